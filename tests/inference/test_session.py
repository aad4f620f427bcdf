"""The session with a detector of bright squares and a scorer that reads their brightness."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from threading import active_count
from time import sleep

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.labels import LabelSet
from emofuse.core.time import Timeline, ticks
from emofuse.errors import ShapeError
from emofuse.faces.detector import Face
from emofuse.inference.collector import Collector
from emofuse.inference.face_stages import FaceStages
from emofuse.inference.prediction import Prediction
from emofuse.inference.sampling import Sampling
from emofuse.inference.session import Session
from emofuse.media.video import Frame

LABELS = LabelSet(("dark", "light"))
HEIGHT, WIDTH, SIDE = 40, 64, 12


class SquareDetector:
    """Detects the bright square that `image_of` draws, if there is one."""

    colour = True
    certain_score = 0.85

    def __call__(self, image: np.ndarray) -> list[Face]:
        rows, columns = np.nonzero(image[:, :, 0] > 0)
        if not len(rows):
            return []
        return [Face(np.array([columns.min(), rows.min(), SIDE, SIDE], np.float32), 0.9, None)]


class ColourScorer:
    """The probability of light is the brightness of the square."""

    batch = 4

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        light = crops.reshape(len(crops), -1).mean(axis=1) / 255
        return np.stack([1 - light, light], axis=1).astype(np.float32)


def crop(image: np.ndarray, face: Face) -> np.ndarray:
    x, y, w, h = face.box.astype(int)
    return image[y : y + h, x : x + w]


def image_of(level: int) -> np.ndarray:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    if level:
        image[10 : 10 + SIDE, 20 : 20 + SIDE] = level
    return image


def frames_at(starts: list[float], levels: list[int], end: float) -> list[Frame]:
    edges = [ticks(Fraction(str(s))) for s in [*starts, end]]
    return [
        Frame.from_rgb(image_of(level), index=n, start=edges[n], end=edges[n + 1]) for n, level in enumerate(levels)
    ]


def new_session(sampling: Sampling) -> Session:
    return Session(sampling, faces=FaceStages(crop, SquareDetector(), ColourScorer()).stream(sampling))


def run(frames: list[Frame], end: float, rate: Fraction | None, chunks: list[int] | None = None) -> Prediction:
    session = new_session(Sampling(rate))
    collector, n = Collector(LABELS), 0
    for size in [*(chunks or []), len(frames)]:
        collector.add(session.push_frames(frames[n : n + size]))
        n += size
    collector.add(session.close(ticks(Fraction(str(end)))))
    return collector.prediction("clip.mp4", "fake", {})


def at_rate(rate: int, levels: list[int]) -> list[Frame]:
    return frames_at([n / rate for n in range(len(levels))], levels, len(levels) / rate)


def test_each_step_is_scored_by_the_first_frame_that_starts_in_it():
    prediction = run(at_rate(10, [100, 1, 120, 1, 140, 1, 160, 1]), 0.8, Fraction(5))
    assert prediction.frames.tolist() == [0, 2, 4, 6]
    assert prediction.scores[1].values[:, 1] * 255 == pytest.approx([100, 120, 140, 160], abs=0.5)


def test_steps_tile_the_clip_from_zero_to_its_end_and_the_last_is_cut():
    prediction = run(at_rate(10, [100] * 9), 0.9, Fraction(5))
    assert prediction.timeline == Timeline.steps(5, end=ticks(Fraction("0.9")))


def test_a_step_without_a_new_frame_shows_the_frame_on_screen():
    frames = frames_at([0, 0.2, 0.4, 1.5, 1.6], [100, 110, 120, 130, 140], 1.8)
    prediction = run(frames, 1.8, Fraction(5))
    assert prediction.frames.tolist() == [0, 1, 2, 2, 2, 2, 2, 3, 4]
    assert prediction.scores[1].valid.all()


def test_steps_before_the_first_frame_have_status_no_frame():
    prediction = run(frames_at([0.5, 0.6, 0.8, 1.0], [100] * 4, 1.2), 1.2, Fraction(5))
    assert prediction.table().status.tolist() == ["no_frame"] * 2 + ["ok"] * 4
    assert prediction.table().frame.isna().tolist() == [True] * 2 + [False] * 4


def test_a_frame_without_a_face_has_status_no_face():
    prediction = run(at_rate(5, [100, 100, 100, 0, 100]), 1.0, Fraction(5))
    table = prediction.table()
    assert table.status.tolist() == ["ok", "ok", "ok", "no_face", "ok"]
    assert table.loc[3, ["dark", "light", "emotion", "confidence"]].isna().all()


def test_rows_are_frozen_once_their_frame_has_stood_still_for_5_s():
    starts = [0, 0.2, 0.4, 0.6, 12.6, 12.8, 13.0]
    prediction = run(frames_at(starts, [100] * 4 + [0] * 3, 13.2), 13.2, Fraction(5))
    table = prediction.table()
    assert table.status.tolist() == ["ok"] * 28 + ["frozen"] * 35 + ["no_face"] * 3
    assert table.loc[28:62, ["dark", "light", "emotion", "confidence"]].isna().all(axis=None)
    assert table.frame[28:63].tolist() == [3] * 35
    assert prediction.scores[1].valid.sum() == 28
    assert prediction.at(10.0)[0].status == "frozen"


def test_frames_of_a_slide_show_are_not_frozen():
    prediction = run(frames_at([10 * n for n in range(6)], [100] * 6, 60), 60, Fraction(5))
    assert "frozen" not in set(prediction.table().status)


def test_every_frame_keeps_the_row_of_a_frame_that_stands_still():
    starts = [n / 10 for n in range(10)] + [60]
    table = run(frames_at(starts, [100] * 10 + [0], 60.1), 60.1, None).table()
    assert table.status.tolist() == ["ok"] * 10 + ["no_face"]
    assert table.end[9] == 60


def test_steps_after_the_last_frame_show_no_frame():
    session, collector = new_session(Sampling(Fraction(5))), Collector(LABELS)
    collector.add(session.push_frames(at_rate(5, [100] * 5)))
    collector.add(session.close(ticks(2), frames_end=ticks(1)))
    prediction = collector.prediction("clip.mp4", "fake", {})
    assert prediction.timeline == Timeline.steps(5, end=ticks(2))
    assert prediction.table().status.tolist() == ["ok"] * 5 + ["no_frame"] * 5


def test_a_clip_without_any_face_has_rows_without_a_person():
    table = run(at_rate(5, [0, 0, 0]), 0.6, Fraction(5)).table()
    assert table.status.tolist() == ["no_face"] * 3
    assert table.person.isna().all()


def test_a_face_in_a_single_frame_is_not_a_person():
    assert run(at_rate(5, [0, 0, 100, 0, 0, 0, 0, 0, 0]), 1.8, Fraction(5)).persons == []


def test_a_video_of_a_single_frame_is_scored():
    prediction = run(at_rate(5, [100]), 0.2, Fraction(5))
    assert prediction.table()[["person", "status"]].to_numpy().tolist() == [[1, "ok"]]


def test_every_frame_has_one_row_with_its_own_times():
    frames = frames_at([0, 0.03, 0.1, 0.11, 0.5], [100] * 5, 0.6)
    prediction = run(frames, 0.6, None)
    assert prediction.frames.tolist() == [0, 1, 2, 3, 4]
    assert prediction.timeline == Timeline(np.array([f.start for f in frames]), np.array([f.end for f in frames]))


class SlowToStart(SquareDetector):
    """Takes longer for earlier frames."""

    def __init__(self) -> None:
        self.calls = count()

    def __call__(self, image: np.ndarray) -> list[Face]:
        sleep(0.002 * max(4 - next(self.calls) % 6, 0))
        return super().__call__(image)


@pytest.mark.parametrize("levels", [[100, 110, 0, 130] * 7, [0] * 9 + [100] * 8, [140]])
def test_outputs_of_threads_are_those_of_pushes(levels):
    frames, end = at_rate(5, levels), len(levels) / 5
    pushed, collector = run(frames, end, Fraction(5)), Collector(LABELS)
    stages = FaceStages(crop, SlowToStart(), ColourScorer())
    session = Session(Sampling(Fraction(5)), faces=stages.stream(Sampling(Fraction(5))))
    reached, outputs = zip(*session.outputs(iter(frames)), strict=True)
    for output in [*outputs, session.close(ticks(Fraction(str(end))))]:
        collector.add(output)
    assert reached[-1] == frames[-1].start
    pd.testing.assert_frame_equal(collector.prediction("clip.mp4", "fake", {}).table(), pushed.table())


def test_an_exception_in_a_thread_is_raised_and_ends_all_threads():
    def frames() -> Iterator[Frame]:
        yield from at_rate(5, [100] * 30)
        raise OSError("the cable was pulled")

    before = active_count()
    with pytest.raises(OSError, match="the cable was pulled"):
        list(new_session(Sampling()).outputs(frames()))
    with pytest.raises(ShapeError, match="in the order of their time"):
        list(new_session(Sampling()).outputs(iter(at_rate(5, [100] * 9)[::-1])))
    assert active_count() == before


def test_outputs_that_are_not_taken_end_their_threads_and_take_no_more_frames():
    taken = []

    def frames() -> Iterator[Frame]:
        for frame in at_rate(5, [100] * 200):
            taken.append(frame.index)
            yield frame

    before = active_count()
    outputs = new_session(Sampling()).outputs(frames())
    next(outputs)
    outputs.close()
    assert active_count() == before
    assert len(taken) < 60


def test_frames_out_of_order_are_refused():
    session = new_session(Sampling())
    frames = at_rate(5, [100, 100])
    with pytest.raises(ShapeError, match="in the order of their time"):
        session.push_frames(frames[::-1])


def test_a_closed_session_takes_no_more_frames():
    session = new_session(Sampling())
    session.close(0)
    with pytest.raises(ShapeError, match="open a new session"):
        session.push_frames(at_rate(5, [100]))


LEVELS = st.lists(st.sampled_from([0, 60, 100, 200]), min_size=1, max_size=30)


@settings(deadline=None, max_examples=40)
@given(LEVELS, st.lists(st.integers(1, 7), max_size=10), st.sampled_from([None, Fraction(5), Fraction(7, 2)]))
def test_results_do_not_depend_on_how_frames_are_divided_into_pushes(levels, chunks, rate):
    frames = at_rate(12, levels)
    end = len(levels) / 12
    whole, pieces = run(frames, end, rate), run(frames, end, rate, chunks)
    assert whole.timeline == pieces.timeline
    assert whole.table().equals(pieces.table())


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=40),
    st.sampled_from([Fraction(5), Fraction(30000, 1001), Fraction(7, 3), Fraction(1)]),
)
def test_a_session_processes_exactly_the_frames_that_sampling_wants(gaps, rate):
    starts = np.cumsum([0, *gaps[:-1]]) * ticks(Fraction(1, 100))
    timeline = Timeline(starts, starts + np.array(gaps) * ticks(Fraction(1, 100)))
    session = new_session(Sampling(rate))
    processed = []
    for n, (start, end) in enumerate(timeline):
        if session.wants(start):
            processed.append(n)
        session.push_frames([Frame.from_rgb(image_of(100), index=n, start=start, end=end)])
    assert processed == Sampling(rate).wanted(timeline).tolist()


@given(st.integers(0, 10**12), st.fractions(min_value=Fraction(1, 10), max_value=120, max_denominator=1001))
def test_the_step_of_a_time_is_the_one_whose_bounds_contain_it(time, rate):
    sampling = Sampling(rate)
    step = sampling.step_of(time)
    assert sampling.bound(step) <= time < sampling.bound(step + 1)
