"""Windows of live sound: the same spans and answers as cutting the whole waveform at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.time import Timeline, ticks
from emofuse.core.windows import Windows
from emofuse.errors import ShapeError
from emofuse.inference.voice_windows import AudioWindowScore, Listener
from emofuse.media.audio import AudioBlock
from emofuse.speech import ActivitySegment, ActivityStream, AlwaysActive, NoSeparation, SeparationStream

RATE = 100
SECOND = ticks(1)
WINDOWS = Windows(4, 1.6, RATE)


class Late:
    """Gives the sound half a second later, as a separation with lookahead does."""

    rate_hz, lookahead = RATE, ticks(0.5)

    def __init__(self) -> None:
        self.held = np.zeros(0, np.float32)
        self.given = 0

    def push(self, sound: AudioBlock) -> list[AudioBlock]:
        self.held = np.concatenate([self.held, sound.samples])
        return self.give(max(len(self.held) - RATE // 2, 0))

    def close(self) -> list[AudioBlock]:
        return self.give(len(self.held))

    def give(self, count: int) -> list[AudioBlock]:
        clean, self.held = AudioBlock(self.held[:count], moment(self.given), RATE), self.held[count:]
        self.given += count
        return [clean]


class LoudIsVoice:
    """A tenth of a second has voice where a sample is above 0.5."""

    lookahead = ticks(0.1)

    def __init__(self) -> None:
        self.held = np.zeros(0, np.float32)
        self.told = 0

    def push(self, sound: AudioBlock) -> list[ActivitySegment]:
        self.held = np.concatenate([self.held, sound.samples])
        return [self.tell(10) for _ in range(len(self.held) // 10)]

    def close(self) -> list[ActivitySegment]:
        return [self.tell(len(self.held))] if len(self.held) else []

    def tell(self, count: int) -> ActivitySegment:
        loud = bool((self.held[:count] > 0.5).any())
        start, self.told, self.held = self.told, self.told + count, self.held[count:]
        return ActivitySegment(moment(start), moment(self.told), loud)


def moment(sample: int) -> int:
    return sample * SECOND // RATE


def listener(
    windows: Windows = WINDOWS,
    score=None,
    *,
    voice: SeparationStream | None = None,
    activity: ActivityStream | None = None,
) -> Listener:
    return Listener(
        windows,
        score or mean_and_end,
        voice=voice or NoSeparation().stream(RATE),
        activity=activity or AlwaysActive().stream(RATE),
    )


def mean_and_end(waves: np.ndarray) -> np.ndarray:
    """One answer of two numbers for a window: its mean, and its last sample."""
    return np.stack([waves.mean(axis=1), waves[:, -1]], axis=1).astype(np.float32)[:, None]


def heard(wave: np.ndarray, sizes: list[int], ears: Listener) -> list[AudioWindowScore]:
    scores, done = list[AudioWindowScore](), 0
    for size in [*sizes, len(wave)]:
        part = wave[done : done + size]
        if len(part):
            scores += ears.push(AudioBlock(part, moment(done), RATE))
            done += len(part)
    return scores + ears.close()


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 0.4, samples).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2500), st.lists(st.integers(1, 700), max_size=6), st.booleans())
def test_windows_do_not_depend_on_how_the_sound_was_cut(samples, sizes, late):
    wave = noise(samples)
    scores = heard(wave, sizes, listener(voice=Late() if late else None))
    expected = Timeline.whole_windows(WINDOWS.width, WINDOWS.step, end=moment(samples))
    assert [(s.start, s.end) for s in scores] == list(expected)
    for score in scores:
        cut = np.pad(wave[score.start * RATE // SECOND : score.end * RATE // SECOND], (0, max(400 - samples, 0)))
        assert score.probabilities == pytest.approx([cut.mean(), cut[-1]], abs=1e-6)


def test_a_window_is_judged_with_its_last_sample():
    ears = listener()
    assert ears.push(AudioBlock(noise(399), 0, RATE)) == []
    assert len(ears.push(AudioBlock(noise(1), moment(399), RATE))) == 1


def test_what_is_kept_does_not_grow_with_time():
    ears = listener(activity=LoudIsVoice())
    kept = []
    for n in range(300):
        ears.push(AudioBlock(np.full(RATE, 0.9 if n % 3 else 0.1, np.float32), n * SECOND, RATE))
        kept.append((len(ears._held), len(ears._spoken)))
    assert max(h for h, _ in kept[20:]) == max(h for h, _ in kept[:20])
    assert max(s for _, s in kept[20:]) <= max(s for _, s in kept[:20])


def test_a_window_without_voice_is_not_judged_but_keeps_its_place():
    wave = np.concatenate([noise(800), np.full(400, 0.9, np.float32), noise(800)])
    scores = heard(wave, [130, 7, 600], listener(activity=LoudIsVoice()))
    assert [(s.start, s.end) for s in scores] == list(
        Timeline.whole_windows(WINDOWS.width, WINDOWS.step, end=20 * SECOND)
    )
    spoken = [s.end > 8 * SECOND and s.start < 12 * SECOND for s in scores]
    assert [s.probabilities is not None for s in scores] == spoken


def test_a_window_with_less_voice_than_asked_for_is_not_judged():
    wave = np.concatenate([noise(200), np.full(20, 0.9, np.float32), noise(180)])
    for least, judged in ((0.2, True), (0.21, False)):
        windows = Windows(4, 4, RATE, min_voice_seconds=least)
        (score,) = heard(wave, [], listener(windows, activity=LoudIsVoice()))
        assert (score.probabilities is not None) == judged


def test_each_answer_of_a_window_has_its_part_of_the_time():
    windows = Windows(4, 4, RATE, segments=4)
    scores = heard(noise(400), [], listener(windows, lambda w: np.zeros((len(w), 4, 2), np.float32)))
    assert [(s.start, s.end) for s in scores] == [(n * SECOND, (n + 1) * SECOND) for n in range(4)]


def test_answers_beyond_the_end_of_a_short_sound_are_left_out():
    windows = Windows(4, 4, RATE, segments=4)
    scores = heard(noise(150), [], listener(windows, lambda w: np.zeros((len(w), 4, 2), np.float32)))
    assert [(s.start, s.end) for s in scores] == [(0, SECOND), (SECOND, 3 * SECOND // 2)]


def test_no_sound_gives_no_window():
    assert heard(noise(0), [], listener()) == []


def test_a_gap_between_blocks_is_refused():
    ears = listener()
    ears.push(AudioBlock(noise(10), 0, RATE))
    with pytest.raises(ShapeError, match="without gaps, in order"):
        ears.push(AudioBlock(noise(10), moment(11), RATE))


def test_sound_of_another_rate_is_refused():
    with pytest.raises(ShapeError, match="a block has 50 Hz"):
        listener().push(AudioBlock(noise(10), 0, 50))


def test_a_closed_listener_takes_nothing_more():
    ears = listener()
    ears.close()
    with pytest.raises(ShapeError, match="after close"):
        ears.push(AudioBlock(noise(10), 0, RATE))


def test_samples_that_are_no_numbers_count_as_silence():
    wave = noise(400)
    wave[[3, 100, 399]] = np.nan, np.inf, -np.inf
    (score,) = heard(wave, [], listener(Windows(4, 4, RATE)))
    assert score.probabilities == pytest.approx([np.nan_to_num(wave, posinf=0, neginf=0).mean(), 0], abs=1e-6)
