"""Where faces are in the rows of a prediction, and faces that are turned too far to be scored."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from emofuse.core.labels import LabelSet
from emofuse.core.smoothing import Triangle
from emofuse.core.time import Timeline, ticks
from emofuse.core.windows import Windows
from emofuse.faces.detector import Face
from emofuse.inference.collector import Collector
from emofuse.inference.face_rows import FACE_COLUMNS, FaceGeometry
from emofuse.inference.face_stages import FaceStages, FaceWindowStage, ScoreSmoother
from emofuse.inference.prediction import Prediction
from emofuse.inference.sampling import Sampling
from emofuse.inference.session import Session
from emofuse.inference.summary import describe
from emofuse.media.video import Frame
from emofuse.models.fusion import WINDOWS
from emofuse.systems import FACE
from support.turned_heads import MODEL, landmarks

LABELS = LabelSet(("dark", "light"))
WIDTH, HEIGHT, SIDE = 64, 40, 12
RATE = Fraction(5)
TURNED = 200  # faces that are lighter are turned by 60 degrees


class Heads:
    """Detects the square that `shown` draws, as a head in a known pose."""

    identity = "heads"
    colour = True
    certain_score = 0.85
    head_model = MODEL

    def __call__(self, image: np.ndarray) -> list[Face]:
        rows, columns = np.nonzero(image[:, :, 0] > 20)
        if not len(rows):
            return []
        yaw = 60 if image[rows[0], columns[0], 0] > TURNED else 10
        box = np.array([columns.min(), rows.min(), SIDE, SIDE], np.float32)
        return [Face(box, 0.875, landmarks((yaw, 5, -15)))]


def crop(image: np.ndarray, face: Face) -> np.ndarray:
    x, y, width, height = face.box.astype(int)
    return image[y : y + height, x : x + width]


class Brightness:
    """Probabilities by the brightness of the square; they are the embedding too."""

    batch = 4

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        light = crops.reshape(len(crops), -1).mean(axis=1) / 255
        return np.stack([1 - light, light], axis=1).astype(np.float32)


def shown(level: int) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
    if level:
        image[10 : 10 + SIDE, 20 : 20 + SIDE] = level
    return image


def frames(levels: list[int]) -> list[Frame]:
    """Five frames per second; the same object is on screen for two rows at 10 rows per second."""
    edges = Timeline.steps(RATE, end=ticks(len(levels) / RATE))
    return [
        Frame.from_rgb(shown(level), index=n, start=start, end=end)
        for n, (level, (start, end)) in enumerate(zip(levels, edges, strict=True))
    ]


def predicted(
    levels: list[int],
    *,
    rate: Fraction = RATE,
    max_yaw: float | None = None,
    smoothed: bool = False,
    windows: bool = False,
) -> Prediction:
    smoother = ScoreSmoother(Triangle(ticks(1))) if smoothed else None
    stages = FaceStages(crop, Heads(), Brightness(), max_yaw)
    of_windows = [FaceWindowStage(Windows(2, 2), lambda features: features[:, :2])] if windows else []
    sampling = Sampling(rate)
    session = Session(sampling, faces=stages.stream(sampling, smoother=smoother, window_stages=of_windows))
    collector = Collector(LABELS, modalities=(WINDOWS if windows else FACE,))
    collector.add(session.push_frames(frames(levels)))
    collector.add(session.close(ticks(len(levels) / RATE)))
    return collector.prediction("x.mp4", "x", {"max_yaw": max_yaw}, size=(WIDTH, HEIGHT))


def test_each_row_has_the_box_as_fractions_of_the_frame_the_score_and_the_angles():
    table = predicted([100] * 4).table()
    assert table.columns[-8:].tolist() == list(FACE_COLUMNS)
    for row in table[list(FACE_COLUMNS)].to_numpy():
        assert row.tolist() == [20 / 64, 10 / 40, 12 / 64, 12 / 40, 0.875, 10, 5, -15]


def test_a_moment_has_the_face_unless_it_was_not_found():
    found, missing = (predicted([100, 100, 100, 0]).at(time)[0].face for time in (0.5, 0.7))
    assert isinstance(found, FaceGeometry)
    assert found == pytest.approx((0.3125, 0.25, 0.1875, 0.3, 0.875, 10, 5, -15), abs=1e-4)
    assert missing is None


def test_no_box_is_invented_for_a_row_without_a_face_between_two_with_one():
    table = predicted([100, 100, 100, 0, 100, 100], smoothed=True).table()
    assert table.status.tolist() == ["ok"] * 3 + ["no_face"] + ["ok"] * 2
    assert table[list(FACE_COLUMNS)].isna().all(axis=1).tolist() == [False] * 3 + [True] + [False] * 2


def test_rows_of_one_frame_have_the_face_of_that_frame():
    levels, prediction = [100, 100, 0, 100], predicted([100, 100, 0, 100], rate=2 * RATE)
    assert prediction.faces[1].found.tolist() == [bool(level) for level in levels for _ in range(2)]


def test_a_frozen_row_has_no_box():
    shots = frames([100] * 3)
    late = Frame.from_rgb(shown(0), index=3, start=ticks(20), end=ticks(20) + ticks(1) // 5)
    session, collector = Session(Sampling(RATE), faces=_stream()), Collector(LABELS)
    collector.add(session.push_frames([*shots, late]))
    collector.add(session.close(ticks(21)))
    table = collector.prediction("x.mp4", "x", {}, size=(WIDTH, HEIGHT)).table()
    assert set(table.status) == {"ok", "frozen", "no_face"}
    assert (table.x.notna() == (table.status == "ok")).all()


def _stream():
    return FaceStages(crop, Heads(), Brightness()).stream(Sampling(RATE))


def test_a_table_without_any_face_has_the_columns_too():
    table = predicted([0] * 4).table()
    assert table[list(FACE_COLUMNS)].isna().all(axis=None)
    assert table.dtypes[list(FACE_COLUMNS)].tolist() == [np.float64] * 8


def test_without_a_limit_turned_faces_are_scored():
    assert set(predicted([100, 100, 250, 250, 100]).table().status) == {"ok"}


def test_faces_beyond_the_limit_have_status_turned_a_box_and_no_scores():
    table = predicted([100, 100, 250, 250, 100], max_yaw=45).table()
    assert table.status.tolist() == ["ok", "ok", "turned", "turned", "ok"]
    turned = table[table.status == "turned"]
    assert turned[["dark", "light", "emotion", "confidence"]].isna().all(axis=None)
    assert (turned.yaw.tolist(), turned.x.tolist()) == ([60, 60], [0.3125, 0.3125])


def test_turned_faces_change_no_smoothed_neighbour():
    with_turned = predicted([100, 100, 250, 250, 100], max_yaw=45, smoothed=True)
    assert with_turned.scores[1].values[with_turned.scores[1].valid, 1] == pytest.approx([100 / 255] * 3, abs=1e-5)


def test_turned_faces_are_in_no_window():
    with_turned = predicted([100] * 5 + [250] * 3 + [100] * 2, max_yaw=45, windows=True)
    assert with_turned.statuses(1).tolist() == ["ok"] * 5 + ["turned"] * 3 + ["ok"] * 2
    assert with_turned.scores[1].values[with_turned.scores[1].valid, 1] == pytest.approx([100 / 255] * 7, abs=1e-5)


def test_the_summary_has_the_mean_geometry_and_the_fraction_of_turned_rows():
    (entry,) = describe(predicted([100, 100, 250, 250, 0], max_yaw=45))["persons"]
    assert (entry["face_fraction"], entry["turned_fraction"]) == (0.8, 0.4)
    assert entry["face_centre"] == [0.4062, 0.4]
    assert entry["mean_face"] == dict(zip(FACE_COLUMNS, (0.3125, 0.25, 0.1875, 0.3, 0.875, 35, 5, -15), strict=True))
