"""Windows of a live session: the same scores as cutting, pooling and judging the whole video at once."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.align import pool
from emofuse.core.labels import LabelSet
from emofuse.core.time import Timeline, ticks
from emofuse.core.types import Scores
from emofuse.core.windows import Windows
from emofuse.faces.detector import Face
from emofuse.inference.collector import Collector
from emofuse.inference.face_windows import Windower
from emofuse.inference.prediction import Prediction
from emofuse.inference.sampling import Sampling
from emofuse.inference.session import FaceStages, Session
from emofuse.media.video import Frame
from emofuse.models.fusion import WINDOWS

LABELS = LabelSet(("still", "lively"))
TWO_SECONDS = Windows(2, 1)
RATE = Fraction(5)


class Anywhere:
    """Finds one face in every picture whose face is not black."""

    name = "anywhere"

    def __call__(self, image: np.ndarray) -> list[Face]:
        return [Face(np.array([2, 2, 8, 8], np.float32), 0.9, None)] if cut(image).any() else []


def cut(image: np.ndarray, _: Face | None = None) -> np.ndarray:
    return image[2:10, 2:10]


def picture(level: int) -> np.ndarray:
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
        Frame.from_rgb(picture(level), index=n, start=start, end=end)
        for n, (level, (start, end)) in enumerate(zip(levels, edges, strict=True))
    ]


def predicted(levels: list[int], chunks: list[int]) -> Prediction:
    session = Session(
        FaceStages(cut, Anywhere(), Level()), sampling=Sampling(RATE), windower=Windower(TWO_SECONDS, head)
    )
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
def test_a_session_in_any_chunks_says_what_the_whole_video_says(given_levels, chunks):
    found, expected = predicted(given_levels, chunks).scores[1], at_once(given_levels)
    assert found.timeline == expected.timeline
    assert np.array_equal(found.valid, expected.valid)
    assert found.values == pytest.approx(expected.values, abs=1e-6)


def test_a_moment_without_a_face_has_no_score_though_its_windows_have():
    shown = [100] * 10 + [0] * 3 + [120] * 10
    found = predicted(shown, [])
    assert np.flatnonzero(~found.scores[1].valid).tolist() == [10, 11, 12]
    assert found.scores[1].values == pytest.approx(at_once(shown).values, abs=1e-6)


def test_windows_are_judged_as_soon_as_no_picture_can_join_them():
    session = Session(
        FaceStages(cut, Anywhere(), Level()), sampling=Sampling(RATE), windower=Windower(TWO_SECONDS, head)
    )
    judged = [len(session.push_frames([frame]).face_windows) for frame in frames([100] * 30)]
    first = next(n for n, count in enumerate(judged) if count)
    assert 10 <= first <= 10 + session.lookahead_pictures
    assert sum(judged) + len(session.close(ticks(6)).face_windows) == 6


def test_an_hour_keeps_the_embeddings_of_the_open_windows_only():
    windower = Windower(TWO_SECONDS, head)
    for n in range(18_000):
        windower.add(1, ticks(Fraction(n, 5)), np.ones(2, np.float32))
        windower.settle(ticks(Fraction(n, 5)))
        assert len(windower._open.get(1, [])) <= 12
