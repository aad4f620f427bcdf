"""Smoothing and windows of a live session: the same scores as processing the whole video at once, in little memory."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.align import pool
from emofuse.core.labels import LabelSet
from emofuse.core.smoothing import Triangle, smoothed
from emofuse.core.time import Timeline, ticks
from emofuse.core.types import Scores
from emofuse.core.windows import Windows
from emofuse.faces.detector import Face
from emofuse.inference.collector import Collector
from emofuse.inference.face_stages import FaceStages, FaceWindowStage, ScoredFace, ScoreSmoother
from emofuse.inference.prediction import Prediction
from emofuse.inference.sampling import Sampling
from emofuse.inference.session import Session
from emofuse.media.video import Frame
from emofuse.models.fusion import WINDOWS

LABELS = LabelSet(("still", "lively"))
TWO_SECONDS = Windows(2, 1)
RATE = Fraction(5)


class Anywhere:
    """Detects one face in every image whose face is not black."""

    colour = True
    certain_score = 0.85

    def __call__(self, image: np.ndarray) -> list[Face]:
        return [Face(np.array([2, 2, 8, 8], np.float32), 0.9, None)] if crop(image).any() else []


def crop(image: np.ndarray, _: Face | None = None) -> np.ndarray:
    return image[2:10, 2:10]


def image_of(level: int) -> np.ndarray:
    """A small face before a large wall, so that no change of the face looks like a cut."""
    image = np.full((60, 100, 3), 90, np.uint8)
    image[2:10, 2:10] = level
    return image


class Level:
    """The embedding is the brightness, and one number that never changes."""

    batch = 4

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        level = crops.reshape(len(crops), -1).mean(axis=1)
        return np.stack([level, np.ones_like(level)], axis=1).astype(np.float32)


def head(features: np.ndarray) -> np.ndarray:
    lively = 1 / (1 + np.exp(-(features[:, 2] - features[:, 0] / 50)))
    return np.stack([1 - lively, lively], axis=1).astype(np.float32)


def frames(levels: list[int]) -> list[Frame]:
    edges = Timeline.steps(RATE, end=ticks(len(levels) / RATE))
    return [
        Frame.from_rgb(image_of(level), index=n, start=start, end=end)
        for n, (level, (start, end)) in enumerate(zip(levels, edges, strict=True))
    ]


def new_session() -> Session:
    sampling = Sampling(RATE)
    stages = FaceStages(crop, Anywhere(), Level())
    return Session(sampling, faces=stages.stream(sampling, window_stages=[FaceWindowStage(TWO_SECONDS, head)]))


def scored(start: int, row: np.ndarray, *, person: int = 1) -> ScoredFace:
    return ScoredFace(0, start, person, Face(np.zeros(4, np.float32), 1.0), row, row)


# -- frames of several sizes ----------------------------------------------------------------------------------


class Brightest:
    """Detects the bright square of an image, wherever it is."""

    colour = False
    certain_score = 0.85

    def __call__(self, image: np.ndarray) -> list[Face]:
        rows, columns = (np.flatnonzero((image > 150).any(axis=axis)) for axis in (1, 0))
        box = [columns[0], rows[0], len(columns), len(rows)]
        return [Face(np.array(box, np.float32), 0.9, None)]


def square_in(width: int, height: int, side: int) -> np.ndarray:
    image = np.full((height, width, 3), 90, np.uint8)
    top, left = (height - side) // 2, (width - side) // 2
    image[top : top + side, left : left + side] = 200
    return image


@pytest.mark.parametrize("size", [(320, 180, 20), (80, 45, 5), (90, 160, 18)])
def test_a_person_stays_the_same_when_the_size_of_the_video_changes(size):
    shown = [square_in(160, 90, 10)] * 6 + [square_in(*size)] * 6
    edges = Timeline.steps(RATE, end=ticks(len(shown) / RATE))
    pushed = [
        Frame.from_rgb(image, index=n, start=start, end=end)
        for n, (image, (start, end)) in enumerate(zip(shown, edges, strict=True))
    ]
    stages = FaceStages(lambda image, face: image.region(0, 0, 8, 8), Brightest(), Level())
    stream = stages.stream(Sampling(RATE))
    faces = [*stream.push(pushed)[0], *stream.close(int(edges.end[-1]))[0]]
    assert [face.person for face in faces] == [1] * 12
    assert stream.canvas == (160, 90)
    centres = [face.face.box[:2] + face.face.box[2:] / 2 for face in faces]
    assert np.allclose(centres, [80, 45], atol=1)


# -- windows --------------------------------------------------------------------------------------------------


def predicted(levels: list[int], chunks: list[int]) -> Prediction:
    session = new_session()
    collector, n, shown = Collector(LABELS, modalities=(WINDOWS,)), 0, frames(levels)
    for size in [*chunks, len(shown)]:
        collector.add(session.push_frames(shown[n : n + size]))
        n += size
    collector.add(session.close(shown[-1].end))
    return collector.prediction("clip.mp4", "fake", {})


def at_once(levels: list[int]) -> Scores:
    timeline = Timeline.steps(RATE, end=ticks(len(levels) / RATE))
    embeddings, valid = np.array([[level, 1] for level in levels], np.float32), np.array(levels) > 0
    windows = TWO_SECONDS.timeline(int(timeline.end[-1]))
    pooled = pool(embeddings, timeline, windows, valid=valid)
    scores = Scores(head(pooled.functionals()), windows, LABELS, pooled.valid, "fake").onto(timeline)
    return Scores(scores.values, timeline, LABELS, scores.valid & valid, "fake")


levels = st.lists(st.integers(1, 255), min_size=5, max_size=60)


@settings(max_examples=40, deadline=None)
@given(levels, st.lists(st.integers(1, 9), max_size=20))
def test_window_scores_in_any_chunks_are_those_of_the_whole_video(given_levels, chunks):
    found, expected = predicted(given_levels, chunks).scores[1], at_once(given_levels)
    assert found.timeline == expected.timeline
    assert np.array_equal(found.valid, expected.valid)
    assert found.values == pytest.approx(expected.values, abs=1e-6)


def test_a_row_without_a_face_has_no_score_even_inside_scored_windows():
    shown = [100] * 10 + [0] * 3 + [120] * 10
    found = predicted(shown, [])
    assert np.flatnonzero(~found.scores[1].valid).tolist() == [10, 11, 12]
    assert found.scores[1].values == pytest.approx(at_once(shown).values, abs=1e-6)


def test_a_window_is_scored_as_soon_as_no_later_frame_can_belong_to_it():
    session = new_session()
    counts = [len(session.push_frames([frame]).face_windows) for frame in frames([100] * 30)]
    first = next(n for n, count in enumerate(counts) if count)
    assert 10 <= first <= 10 + session.faces.lookahead_frames
    assert sum(counts) + len(session.close(ticks(6)).face_windows) == 6


def test_an_hour_keeps_only_the_embeddings_of_open_windows():
    windows = FaceWindowStage(TWO_SECONDS, head)
    for n in range(18_000):
        start = ticks(Fraction(n, 5))
        windows.push([scored(start, np.ones(2, np.float32))], start)
        assert len(windows._open.get(1, [])) <= 12


# -- smoothing ------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.sets(st.sampled_from([1, 2]))), min_size=1, max_size=50),
    st.integers(1, 80),
    st.integers(0, 2**32 - 1),
)
def test_smoothing_in_pushes_is_smoothing_at_once(moments, reach, seed):
    """Two persons, each in some of the frames; complete after about every third frame."""
    rng, smoother = np.random.default_rng(seed), ScoreSmoother(Triangle(reach))
    out, time = list[ScoredFace](), 0
    added: dict[int, list[tuple[int, np.ndarray]]] = {}
    for gap, persons in moments:
        time += gap
        faces = [scored(time, rng.uniform(0, 1, 3).astype(np.float32), person=p) for p in sorted(persons)]
        for face in faces:
            added.setdefault(face.person, []).append((time, face.values))
        out += smoother.push(faces, time + 1 if rng.random() < 0.3 else 0)
    out += smoother.close()
    found = {(face.person, face.start): face.values for face in out}
    assert len(found) == len(out) == sum(map(len, added.values()))
    for person, rows in added.items():
        times, values = np.array([t for t, _ in rows]), np.stack([r for _, r in rows])
        for t, expected in zip(times, smoothed(values, times, times, Triangle(reach)), strict=True):
            assert found[person, t] == pytest.approx(expected, abs=1e-6)


def test_a_face_is_returned_exactly_when_its_future_is_complete():
    smoother = ScoreSmoother(Triangle(10))
    assert smoother.lookahead == 10
    assert smoother.push([scored(5, np.ones(3, np.float32))], 14) == []
    assert [face.start for face in smoother.push([], 15)] == [5]
    assert smoother.close() == []


def test_an_hour_keeps_only_the_scores_within_reach():
    smoother, row = ScoreSmoother(Triangle(ticks(1.5))), np.ones(7, np.float32)
    for n in range(18_000):
        start = n * ticks(1) // 5
        smoother.push([scored(start, row, person=1 + n // 6000)], start)
        assert sum(len(p.faces) for p in smoother._persons.values()) <= 16
    smoother.close()
    assert not smoother._persons
