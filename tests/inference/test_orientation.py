"""Videos on their side or upside down are turned before they are processed; a live session reports them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emofuse.core.time import ticks
from emofuse.core.types import Scores
from emofuse.errors import SettingsError
from emofuse.faces.detector import Face
from emofuse.inference.orientation import OrientationWatch, checked_rotation, upright_frames
from emofuse.inference.predictor import Options, Predictor
from emofuse.media.video import Frame, VideoReader
from support.media_files import set_display_matrix, write_media
from support.portraits import CLIPS, weights_file

LEVEL = np.float32([[2, 3], [8, 3], [5, 5], [3, 8], [7, 8]])
UNDONE = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}  # display matrices that undo a clockwise turn


class BrightTop:
    """Finds a face with a high score where the upper part of the image is bright, with a low one where it is not."""

    colour = True
    certain_score = 0.85

    def __init__(self, low: float = 0.75) -> None:
        self.calls, self._low = 0, low

    def __call__(self, image: np.ndarray) -> list[Face]:
        self.calls += 1
        bright = image[: image.shape[0] // 4].mean()
        score = 0.95 if bright > 150 else self._low if bright > 20 else 0
        return [Face(np.float32([0, 0, 10, 10]), score, LEVEL)] if score else []


def clip(path: Path, *, turned: int, dark: int = 0, n: int = 60) -> Path:
    """Two seconds of an image whose upper part is bright, turned clockwise; the first frames are black."""
    image = np.full((64, 96, 3), 40, np.uint8)
    image[:24] = 220
    image = np.ascontiguousarray(np.rot90(image, -turned // 90))
    return write_media(path, [np.zeros_like(image)] * dark + [image] * (n - dark))


def upright(path: Path, detector: BrightTop) -> tuple[np.ndarray, str | None]:
    """The last frame of a file at 5 frames per second, and the note."""
    with VideoReader(path) as video:
        frames, note = upright_frames(video, np.arange(0, 60, 6), detector)
        found = list(frames)
        assert [frame.index for frame in found] == list(range(0, 60, 6))
        assert (video.info.height, video.info.width) == found[-1].rgb().shape[:2]
        assert video.warnings == []
        return found[-1].rgb(), note


@pytest.mark.parametrize(
    ("turned", "note"),
    [
        (90, "turned by 270 degrees clockwise, as its faces lie on their side"),
        (180, "turned by 180 degrees, as its faces are upside down"),
        (270, "turned by 90 degrees clockwise, as its faces lie on their side"),
    ],
)
@pytest.mark.parametrize("low", [0.75, 0])
@pytest.mark.parametrize("dark", [0, 10])
def test_a_video_is_turned_until_its_faces_are_upright(tmp_path, turned, note, low, dark):
    image, said = upright(clip(tmp_path / "a.mp4", turned=turned, dark=dark), BrightTop(low))
    assert said == note
    assert image.shape == (64, 96, 3)
    assert image[:16].min() > 180 > image[32:].max()


def test_an_upright_video_costs_four_detections(tmp_path):
    detector = BrightTop()
    image, note = upright(clip(tmp_path / "a.mp4", turned=0), detector)
    assert (note, detector.calls) == (None, 4)
    assert image[:16].min() > 180


def test_a_video_without_faces_is_checked_a_few_times_and_stays_as_it_is(tmp_path):
    detector = BrightTop()
    _, note = upright(clip(tmp_path / "a.mp4", turned=0, dark=60), detector)
    assert note is None
    assert detector.calls == 4 + 4 * 4  # at 0, 0, 0.25, 0.5 and 1 s


def test_a_video_that_soon_becomes_upright_stays_as_it_is(tmp_path):
    image = np.full((64, 64, 3), 40, np.uint8)
    image[:24] = 220
    path = write_media(
        tmp_path / "a.mp4", [np.rot90(image, -1).copy()] * 10 + [image] * 50
    )  # on its side at 0 and 0.25 s
    assert upright(path, BrightTop())[1] is None


def test_a_live_session_reports_the_turn_that_helps():
    image = np.full((64, 96, 3), 40, np.uint8)
    image[:24] = 220
    detector = BrightTop()
    watch = OrientationWatch(detector)
    for n in range(100):
        start = ticks(n / 10)
        watch.push(Frame.from_rgb(np.rot90(image, 1).copy(), index=n, start=start, end=start + 1))
    assert watch.warning == "faces lie on their side: turn the video by 90 degrees clockwise"
    assert detector.calls == 4 * 7


def test_a_live_session_without_faces_is_checked_at_ever_longer_intervals():
    detector = BrightTop()
    watch = OrientationWatch(detector)
    for n in range(1000):
        start = ticks(n / 10)
        watch.push(Frame.from_rgb(np.zeros((4, 4, 3), np.uint8), index=n, start=start, end=start + 1))
    assert watch.warning is None
    assert detector.calls <= 4 * 12


@pytest.mark.parametrize(("value", "rotation"), [("auto", None), ("0", 0), (270, 270)])
def test_a_rotation_is_a_right_angle_or_auto(value, rotation):
    assert checked_rotation(value) == rotation


def test_another_rotation_is_refused():
    with pytest.raises(SettingsError, match="choose auto, 0, 90, 180, 270"):
        checked_rotation(45)


def test_results_of_another_rotation_are_not_done_already():
    identities = [Predictor(Options(rotate=rotate)).identity["rotate"] for rotate in (None, 0, 90)]
    assert identities == ["auto", 0, 90]


GOOD = {"options": {"crf": "12"}}


@pytest.fixture(scope="module")
def happy() -> list[np.ndarray]:
    """Two seconds of a real clip."""
    path = CLIPS / "01-03-02_01.mp4"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {CLIPS}; set EMOFUSE_TEST_DATA")
    with VideoReader(path) as video:
        return [frame.rgb() for frame in video.frames(np.arange(20, 80))]


@pytest.fixture(scope="module")
def predictor() -> Iterator[Predictor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOFUSE_WEIGHTS", str(weights_file("yunet_n_dynamic.onnx").parent))
        yield Predictor(Options(detector="yunet"))


@pytest.fixture(scope="module")
def upright_scores(tmp_path_factory, happy, predictor) -> Scores:
    path = write_media(tmp_path_factory.mktemp("happy") / "a.mp4", happy, **GOOD)
    return predictor.predict(path).scores[1]


@pytest.mark.parametrize("turned", [90, *(pytest.param(turn, marks=pytest.mark.slow) for turn in (180, 270))])
def test_a_real_clip_has_the_same_emotions_however_it_is_turned(tmp_path, happy, predictor, upright_scores, turned):
    images = [np.ascontiguousarray(np.rot90(image, -turned // 90)) for image in happy]
    untagged = write_media(tmp_path / "untagged.mp4", images, **GOOD)
    tagged = tmp_path / "tagged.mp4"
    tagged.write_bytes(untagged.read_bytes())
    set_display_matrix(tagged, UNDONE[turned])
    turned_back, shown_upright = predictor.predict(untagged), predictor.predict(tagged)
    assert turned_back.metadata["warnings"][0].startswith(f"turned by {360 - turned} degrees")
    assert not any("turned" in line for line in shown_upright.metadata["warnings"])
    scores = turned_back.scores[1]
    assert np.array_equal(scores.values, shown_upright.scores[1].values)
    assert np.array_equal(scores.valid, upright_scores.valid)
    assert np.abs(scores.values - upright_scores.values).mean() < 0.01  # they are encoded differently
    assert (scores.predictions() == upright_scores.predictions()).mean() >= 0.9


def test_a_real_clip_on_its_side_is_scored_wrongly_if_it_is_not_turned(tmp_path, happy, predictor, upright_scores):
    path = write_media(tmp_path / "a.mp4", [np.ascontiguousarray(np.rot90(image)) for image in happy], **GOOD)
    as_it_is = Predictor(replace(predictor.options, rotate=0)).predict(path)
    assert as_it_is.metadata["rotate"] == 0
    assert np.abs(as_it_is.scores[1].values - upright_scores.values).mean() > 0.02
