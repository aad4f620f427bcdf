"""Annotated videos: where boxes are between rows, marks of statuses, and blurred faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from emofuse.core.time import Timeline, ticks
from emofuse.core.types import Scores
from emofuse.errors import DataError, SettingsError
from emofuse.export import ExportOptions, export_results
from emofuse.export.person_overlay import PersonRows
from emofuse.inference.face_rows import FACE_COLUMNS, FaceRows
from emofuse.inference.prediction import Prediction
from emofuse.media.video import VideoReader
from emofuse.testing.writers import LABELS
from support.media_files import moving_bar, write_media


def rows(places: list[float | None], **columns: object) -> pd.DataFrame:
    """Rows of half a second, with a box of 0.2 x 0.4 at each place from the left; None: no face."""
    n, found = len(places), np.array([place is not None for place in places])
    table = pd.DataFrame({"person": 1, "start": np.arange(n) / 2, "end": np.arange(1, n + 1) / 2})
    table["status"], table["emotion"] = np.where(found, "ok", "no_face"), np.where(found, "anger", None)
    values = {"neutral": 0.1, "anger": 0.7, "happiness": 0.2, "y": 0.3, "width": 0.2, "height": 0.4}
    scores = {name: np.where(found, value, np.nan) for name, value in values.items()}
    return table.assign(x=np.array(places, float), **scores).assign(**columns)


def box_at(person: PersonRows, time: float) -> float | None:
    box = person._box(int(time * 2), time)
    return None if box is None else round(box[0], 6)


def test_boxes_move_evenly_between_rows_and_wait_before_gaps_and_jumps():
    person = PersonRows.of(rows([0.1, 0.2, None, 0.3, 0.9]), LABELS.names)
    assert [box_at(person, t) for t in (0, 0.25, 0.5, 0.75, 1.25, 1.75)] == [0.1, 0.15, 0.2, 0.2, None, 0.3]


def test_blurring_covers_short_gaps_and_the_moments_around_a_face():
    person = PersonRows.of(rows([None, None, 0.1, None, 0.2, None, None]), LABELS.names)
    boxes = [person.blurred_box(t) for t in (0.2, 0.6, 1.0, 1.75, 2.0, 2.9, 3.1)]
    assert [None if b is None else round(b[0], 6) for b in boxes] == [None, 0.1, 0.1, 0.175, 0.2, 0.2, None]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({}, "1 anger 0.70"),
        ({"name": "Anna"}, "1 Anna anger 0.70"),
        ({"status": "voice_only"}, "1 voice only: anger 0.70"),
        ({"status": "turned", "emotion": None}, "1 turned"),
        ({"emotion": "uncertain"}, "1 uncertain 0.70"),
    ],
)
def test_the_text_names_person_status_emotion_and_probability(columns, text, monkeypatch):
    drawn = list[object]()
    monkeypatch.setattr("emofuse.export.person_overlay.draw_face", lambda image, face: drawn.append(face))
    PersonRows.of(rows([0.1], **columns), LABELS.names).draw(np.zeros((10, 10, 3), np.uint8), 0.1)
    (face,) = drawn
    assert face.text == text
    assert [name for name, _, _ in face.bars] == (list(LABELS.names) if "status" not in columns else [])


def test_a_voice_without_a_face_is_a_line_of_text():
    image = np.zeros((100, 100, 3), np.uint8)
    person = PersonRows.of(rows([0.1], status="voice_only", x=np.nan), LABELS.names)
    assert person.draw(image, 0.1) == "1 voice only: anger 0.70"
    assert not image.any()


@pytest.fixture
def prediction(tmp_path) -> Prediction:
    """One person in a video of a second."""
    media = write_media(tmp_path / "talk.mp4", moving_bar(30, 320, 240))
    timeline = Timeline.steps(2, end=ticks(1))
    scores = Scores(np.array([[1, 7, 2]] * 2, np.float32), timeline, LABELS, np.ones(2, bool), "x")
    faces = np.full((2, len(FACE_COLUMNS)), [0.3, 0.3, 0.2, 0.4, 0.9, 0, 0, 0])
    details = {1: FaceRows(faces, np.zeros(2, bool))}
    frames = np.array([0, 15])
    return Prediction(media.name, timeline, frames, LABELS, {1: scores}, {"warnings": []}, faces=details, media=media)


def middle(path: Path) -> np.ndarray:
    with VideoReader(path) as video:
        (frame,) = video.frames(np.array([15]))
        return frame.rgb().astype(int)


def test_faces_are_drawn_over_the_frames_or_blurred_too(prediction, tmp_path):
    original = middle(tmp_path / "talk.mp4")
    plain = middle(prediction.export(tmp_path / "a.mp4", "annotated-video"))
    assert np.abs(plain[100:140, 96] - (213, 94, 0)).mean() < 40  # the left edge of the box
    assert np.abs(plain[90:150, 105:150] - original[90:150, 105:150]).mean() < 6
    blurred = middle(prediction.export(tmp_path / "b.mp4", "annotated-video", ExportOptions(blur_faces=True)))
    assert np.abs(blurred[200:] - original[200:]).mean() < 6
    assert np.abs(np.diff(blurred[90:150, 105:150], axis=1)).max() < np.abs(np.diff(original, axis=1)).max() / 2


def test_results_that_exist_are_annotated_from_the_video_beside_them(prediction, tmp_path):
    table = prediction.save(tmp_path / "talk.csv")
    (written,) = export_results([table], formats=["annotated-video"])
    assert written == tmp_path / "talk.annotated.mp4"
    assert (middle(written) == middle(prediction.export(tmp_path / "a.mp4", "annotated-video"))).all()


def test_a_video_that_was_moved_away_is_one_line(prediction, tmp_path):
    table = prediction.save(tmp_path / "talk.csv")
    (tmp_path / "talk.mp4").unlink()
    with pytest.raises(SettingsError, match=r"talk\.mp4: the video is not found; put it back beside the table"):
        export_results([table], formats=["annotated-video"])


def test_a_table_without_positions_is_one_line(prediction, tmp_path):
    table = prediction.save(tmp_path / "talk.csv")
    pd.read_csv(table).drop(columns=["x", "y"]).to_csv(table, index=False)
    with pytest.raises(
        DataError, match=r"talk\.mp4: the table has no column 'x' for the faces; predict the file again"
    ):
        export_results([table], formats=["annotated-video"])


def test_a_prediction_without_persons_is_written(prediction, tmp_path):
    nobody = replace(prediction, scores={}, faces={})
    assert (middle(nobody.export(tmp_path / "a.mp4", "annotated-video")) - middle(tmp_path / "talk.mp4")).mean() < 6


def test_a_photograph_has_no_annotated_video(prediction, tmp_path):
    photograph = tmp_path / "photo.png"
    cv2.imwrite(str(photograph), np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(SettingsError, match="is a photograph, of which there is no annotated video"):
        replace(prediction, media=photograph).export(tmp_path / "x.mp4", "annotated-video")
    assert not (tmp_path / "x.mp4").exists()
