"""Real faces with the default bundle: who is who over gaps, and by name."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from emofuse.core.time import ticks
from emofuse.inference.predictor import Options, Predictor
from emofuse.media.video import Frame, VideoReader
from emofuse.models.bundle import load
from support.portraits import CLIPS, portrait

BUNDLE = "default"
ONE, OTHER = ("01-01-01_01.mp4", "01-03-04_01.mp4"), ("06-01-03_01.mp4",)


def shots(names: list[str]) -> list[np.ndarray]:
    """Five frames per second of clips, with five seconds of grey between them."""
    images: list[np.ndarray] = []
    for n, name in enumerate(names):
        if not (CLIPS / name).is_file():
            pytest.skip(f"no {name} in {CLIPS}; set EMOFUSE_TEST_DATA")
        images += [np.full((270, 360, 3), 90, np.uint8)] * (25 if n else 0)
        with VideoReader(CLIPS / name) as video:
            images += [frame.rgb() for frame in video.frames(np.arange(6, len(video.timeline), 6))]
    return images


def test_a_speaker_who_returns_has_the_same_number_and_name(tmp_path):
    if load(BUNDLE).person_threshold is None:
        pytest.skip(f"the bundle {BUNDLE} cannot tell persons apart")
    path = tmp_path / "people" / "Ani.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), portrait("01-04-02_01.mp4")[:, :, ::-1])
    predictor = Predictor(Options(BUNDLE, people=path.parent))
    session, persons = predictor.session(), list[int]()
    images = shots([ONE[0], OTHER[0], ONE[1]])
    for n, image in enumerate(images):
        frame = Frame.from_rgb(image, index=n, start=ticks(n) // 5, end=ticks(n + 1) // 5)
        persons += [face.person for face in session.push_frames([frame]).faces]
    persons += [face.person for face in session.close(ticks(len(images)) // 5).faces]
    assert [p for n, p in enumerate(persons) if n == 0 or p != persons[n - 1]] == [1, 2, 1]
    assert session.faces.persons is not None
    assert [(each.number, each.name) for each in session.faces.persons.identities] == [(1, "Ani"), (2, None)]
