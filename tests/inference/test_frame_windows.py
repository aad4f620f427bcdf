"""Windows over shared frames: a live stream in blocks of any size equals encoding every chunk of the whole file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.chunks import RATE_HZ, Chunks, RunningLevel
from emofuse.core.time import Timeline, ticks
from emofuse.core.windows import Windows
from emofuse.inference.audio_stages import AudioWindowCutter, AudioWindowScore, FrameWindows, speech_of_frames
from emofuse.media.audio import AudioBlock
from emofuse.speech import ActivityStream, AlwaysActive
from emofuse.speech.energy import EnergyDetector

WINDOWS = Windows(1.0, 0.5, rate_hz=RATE_HZ, min_voice_seconds=0.1)
CHUNKS = Chunks(0.6, before_seconds=0.2, after_seconds=0.1)


class Means:
    """Frames of one number, the mean of their samples times a weight that depends on the context; scores are means.

    encoded: number of chunks so far.
    """

    chunks, frames = CHUNKS, 50

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, chunks: np.ndarray) -> np.ndarray:
        self.encoded += len(chunks)
        before, inside, _ = CHUNKS.frames
        context = chunks[:, :1].mean(axis=1) + chunks[:, -1:].mean(axis=1)
        means = chunks.reshape(len(chunks), -1, 320).mean(axis=2)[:, before : before + inside]
        return (means + context[:, None])[:, :, None].astype(np.float32)

    def score(self, frames: np.ndarray, speech: np.ndarray) -> np.ndarray:
        return np.array([frames[speech >= 0.5].sum(), speech.sum()], np.float32)


def windows_of(scorer: Any, activity: ActivityStream | None = None) -> FrameWindows:
    return FrameWindows(AudioWindowCutter(WINDOWS, activity or AlwaysActive().stream(RATE_HZ)), scorer)


def scored(wave: np.ndarray, sizes: Sequence[int], windows: FrameWindows) -> list[AudioWindowScore]:
    scores, done = list[AudioWindowScore](), 0
    for size in [*sizes, len(wave)]:
        block = wave[done : done + size]
        if len(block):
            scores += windows.push(AudioBlock(block, done * ticks(1) // RATE_HZ, RATE_HZ))
            done += len(block)
    return scores + windows.close()


def noise(samples: int, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(0.02, 0.1, samples) * np.repeat(rng.uniform(0, 1, samples // 1600 + 1), 1600)[:samples]).astype(
        np.float32
    )


def by_hand(wave: np.ndarray) -> list[float]:
    """The sum of the frames of each window, from all chunks of the whole waveform, which is at least a window long."""
    before, inside, after = CHUNKS.samples
    chunks = -(-len(wave) // inside)
    padded = np.pad(wave, (before, chunks * inside + after - len(wave)))
    level, frames = RunningLevel(), []
    for k in range(chunks):
        start, stop = (k * inside + after if k else 0), (k + 1) * inside + after
        gain = np.float32(level.gain(padded[before + start : before + stop]))
        frames.append(Means().encode(padded[None, k * inside : k * inside + before + inside + after] * gain)[0, :, 0])
    together = np.concatenate(frames)
    starts = [*range(0, len(wave) - 16_000 + 1, 8_000)]
    starts += [len(wave) - 16_000] * (len(wave) > starts[-1] + 16_000)
    return [float(together[start // 320 : start // 320 + 50].sum()) for start in starts]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60_000), st.lists(st.integers(1, 20_000), max_size=6))
def test_scores_do_not_depend_on_how_the_audio_was_divided(samples, sizes):
    wave = noise(samples)
    live, whole = scored(wave, sizes, windows_of(Means())), scored(wave, [], windows_of(Means()))
    assert [s[:2] for s in live] == [s[:2] for s in whole]
    assert all(np.array_equal(a.probabilities, b.probabilities) for a, b in zip(live, whole, strict=True))
    expected = Timeline.whole_windows(WINDOWS.width, WINDOWS.step, end=samples * ticks(1) // RATE_HZ)
    assert [(s.start, s.end) for s in live] == list(expected)


@pytest.mark.parametrize("samples", [16_000, 24_000, 40_000, 57_600])
def test_scores_equal_pooling_all_chunks_of_the_whole_waveform(samples):
    wave = noise(samples, seed=1)
    found = [float(s.probabilities[0]) for s in scored(wave, [5_000, 1, 9_999], windows_of(Means()))]
    assert found == pytest.approx(by_hand(wave), rel=1e-4)


def test_every_chunk_is_encoded_once():
    scorer = Means()
    scored(noise(10 * RATE_HZ), [1_000] * 50, windows_of(scorer))
    assert scorer.encoded == -(-10 * RATE_HZ // CHUNKS.samples[1])


def test_silence_is_never_encoded():
    scorer = Means()
    wave = np.concatenate([np.zeros(60 * RATE_HZ), noise(RATE_HZ), np.zeros(60 * RATE_HZ)]).astype(np.float32)
    scores = scored(wave, [RATE_HZ] * 100, windows_of(scorer, EnergyDetector().stream(RATE_HZ)))
    assert 0 < sum(s.probabilities is not None for s in scores) < 6
    assert scorer.encoded < 8


def test_a_window_is_scored_with_the_context_of_its_last_chunk():
    windows = windows_of(Means())
    needed = 2 * CHUNKS.samples[1] + CHUNKS.samples[2]  # the window of 1 s ends in the second chunk of 0.6 s
    assert windows.push(AudioBlock(noise(needed - 1), 0, RATE_HZ)) == []
    assert len(windows.push(AudioBlock(noise(1), (needed - 1) * ticks(1) // RATE_HZ, RATE_HZ))) == 1


def test_the_memory_does_not_grow_with_time():
    windows, held = windows_of(Means()), []
    for n in range(120):
        windows.push(AudioBlock(noise(RATE_HZ), ticks(n), RATE_HZ))
        held.append((len(windows._held), len(windows._frames), len(windows._gains)))
    assert max(held[60:]) <= max(held[:60])


def test_speech_of_frames_is_the_fraction_that_its_parts_cover():
    second = ticks(1)
    found = speech_of_frames([(0, second // 100), (second * 3 // 100, second * 6 // 100)], 0, 4)
    np.testing.assert_allclose(found, [0.5, 0.5, 1.0, 0.0])
    assert speech_of_frames([], 7, 2).tolist() == [0.0, 0.0]
