"""Windows of live audio: the same spans and scores as cutting the whole waveform at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.time import Timeline, ticks
from emofuse.core.windows import Windows
from emofuse.errors import ShapeError
from emofuse.inference.audio_stages import AudioStream, AudioWindowCutter, AudioWindowScore, WaveWindows
from emofuse.media.audio import AudioBlock
from emofuse.speech import ActivitySegment, ActivityStream, AlwaysActive, NoSeparation, SeparationStream

RATE = 100
SECOND = ticks(1)
WINDOWS = Windows(4, 1.6, RATE)


class Delayed:
    """Returns the audio half a second later, as a separation with lookahead does."""

    rate_hz, lookahead = RATE, ticks(0.5)

    def __init__(self) -> None:
        self.held = np.zeros(0, np.float32)
        self.returned = 0

    def push(self, block: AudioBlock) -> list[AudioBlock]:
        self.held = np.concatenate([self.held, block.samples])
        return self.take(max(len(self.held) - RATE // 2, 0))

    def close(self) -> list[AudioBlock]:
        return self.take(len(self.held))

    def take(self, count: int) -> list[AudioBlock]:
        voice, self.held = AudioBlock(self.held[:count], moment(self.returned), RATE), self.held[count:]
        self.returned += count
        return [voice]


class LoudIsSpeech:
    """A tenth of a second is speech where a sample is above 0.5."""

    lookahead = ticks(0.1)

    def __init__(self) -> None:
        self.held = np.zeros(0, np.float32)
        self.known = 0

    def push(self, block: AudioBlock) -> list[ActivitySegment]:
        self.held = np.concatenate([self.held, block.samples])
        return [self.segment(10) for _ in range(len(self.held) // 10)]

    def close(self) -> list[ActivitySegment]:
        return [self.segment(len(self.held))] if len(self.held) else []

    def segment(self, count: int) -> ActivitySegment:
        loud = bool((self.held[:count] > 0.5).any())
        start, self.known, self.held = self.known, self.known + count, self.held[count:]
        return ActivitySegment(moment(start), moment(self.known), loud)


def moment(sample: int) -> int:
    return sample * SECOND // RATE


def stream(
    windows: Windows = WINDOWS,
    scorer=None,
    *,
    separation: SeparationStream | None = None,
    activity: ActivityStream | None = None,
) -> AudioStream:
    cutter = AudioWindowCutter(windows, activity or AlwaysActive().stream(RATE))
    return AudioStream(separation or NoSeparation().stream(RATE), WaveWindows(cutter, scorer or mean_and_end))


def mean_and_end(waves: np.ndarray) -> np.ndarray:
    """One segment of two numbers per window: its mean, and its last sample."""
    return np.stack([waves.mean(axis=1), waves[:, -1]], axis=1).astype(np.float32)[:, None]


def scored(wave: np.ndarray, sizes: list[int], audio: AudioStream) -> list[AudioWindowScore]:
    scores, done = list[AudioWindowScore](), 0
    for size in [*sizes, len(wave)]:
        block = wave[done : done + size]
        if len(block):
            scores += audio.push(AudioBlock(block, moment(done), RATE))
            done += len(block)
    return scores + audio.close()


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 0.4, samples).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2500), st.lists(st.integers(1, 700), max_size=6), st.booleans())
def test_windows_do_not_depend_on_how_the_audio_was_divided(samples, sizes, delayed):
    wave = noise(samples)
    scores = scored(wave, sizes, stream(separation=Delayed() if delayed else None))
    expected = Timeline.whole_windows(WINDOWS.width, WINDOWS.step, end=moment(samples))
    assert [(s.start, s.end) for s in scores] == list(expected)
    for score in scores:
        cut = np.pad(wave[score.start * RATE // SECOND : score.end * RATE // SECOND], (0, max(400 - samples, 0)))
        assert score.probabilities == pytest.approx([cut.mean(), cut[-1]], abs=1e-6)


def test_a_window_is_scored_with_its_last_sample():
    audio = stream()
    assert audio.push(AudioBlock(noise(399), 0, RATE)) == []
    assert len(audio.push(AudioBlock(noise(1), moment(399), RATE))) == 1


def test_the_memory_of_the_windows_does_not_grow_with_time():
    windows = AudioWindowCutter(WINDOWS, LoudIsSpeech())
    kept = []
    for n in range(300):
        windows.push(AudioBlock(np.full(RATE, 0.9 if n % 3 else 0.1, np.float32), n * SECOND, RATE))
        kept.append((len(windows._held), len(windows._speech)))
    assert max(held for held, _ in kept[20:]) == max(held for held, _ in kept[:20])
    assert max(segments for _, segments in kept[20:]) <= max(segments for _, segments in kept[:20])


def test_a_window_without_speech_has_no_probabilities_but_keeps_its_time():
    wave = np.concatenate([noise(800), np.full(400, 0.9, np.float32), noise(800)])
    scores = scored(wave, [130, 7, 600], stream(activity=LoudIsSpeech()))
    assert [(s.start, s.end) for s in scores] == list(
        Timeline.whole_windows(WINDOWS.width, WINDOWS.step, end=20 * SECOND)
    )
    spoken = [s.end > 8 * SECOND and s.start < 12 * SECOND for s in scores]
    assert [s.probabilities is not None for s in scores] == spoken


def test_a_window_with_less_speech_than_required_is_not_scored():
    wave = np.concatenate([noise(200), np.full(20, 0.9, np.float32), noise(180)])
    for least, expected in ((0.2, True), (0.21, False)):
        windows = Windows(4, 4, RATE, min_voice_seconds=least)
        (score,) = scored(wave, [], stream(windows, activity=LoudIsSpeech()))
        assert (score.probabilities is not None) == expected


def test_each_segment_of_a_window_has_scores_of_its_own():
    windows = Windows(4, 4, RATE, segments=4)
    scores = scored(noise(400), [], stream(windows, lambda w: np.zeros((len(w), 4, 2), np.float32)))
    assert [(s.start, s.end) for s in scores] == [(n * SECOND, (n + 1) * SECOND) for n in range(4)]


def test_segments_beyond_the_end_of_short_audio_are_left_out():
    windows = Windows(4, 4, RATE, segments=4)
    scores = scored(noise(150), [], stream(windows, lambda w: np.zeros((len(w), 4, 2), np.float32)))
    assert [(s.start, s.end) for s in scores] == [(0, SECOND), (SECOND, 3 * SECOND // 2)]


def test_no_audio_has_no_window():
    assert scored(noise(0), [], stream()) == []


def test_a_gap_between_blocks_is_refused():
    audio = stream()
    audio.push(AudioBlock(noise(10), 0, RATE))
    with pytest.raises(ShapeError, match="without gaps, in order"):
        audio.push(AudioBlock(noise(10), moment(11), RATE))


def test_audio_of_another_rate_is_refused():
    with pytest.raises(ShapeError, match="a block has 50 Hz"):
        stream().push(AudioBlock(noise(10), 0, 50))


def test_a_closed_stream_takes_no_more_audio():
    audio = stream()
    audio.close()
    with pytest.raises(ShapeError, match="after close"):
        audio.push(AudioBlock(noise(10), 0, RATE))


def test_samples_that_are_not_finite_count_as_silence():
    wave = noise(400)
    wave[[3, 100, 399]] = np.nan, np.inf, -np.inf
    (score,) = scored(wave, [], stream(Windows(4, 4, RATE)))
    assert score.probabilities == pytest.approx([np.nan_to_num(wave, posinf=0, neginf=0).mean(), 0], abs=1e-6)
