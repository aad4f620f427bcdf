"""Blocks of audio that arrive live become one waveform from time 0."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.core.time import ticks
from emofuse.media.audio import AudioBlock
from emofuse.media.contiguous import ContiguousAudio

RATE = 1000


def ones(begin: float, end: float, rate: int = RATE) -> AudioBlock:
    return AudioBlock(np.ones(round((end - begin) * rate), np.float32), ticks(begin), rate)


def joined(*blocks: AudioBlock, rate: int = RATE) -> np.ndarray:
    audio = ContiguousAudio(rate)
    found = [piece for block in blocks for piece in audio.push(block)] + list(audio.close())
    ends = [piece.end for piece in found]
    assert [piece.start for piece in found[1:]] == pytest.approx(ends[:-1], abs=1)
    assert {piece.rate_hz for piece in found} == {rate}
    return np.concatenate([piece.samples for piece in found])


def test_silence_precedes_audio_that_begins_late():
    assert joined(ones(1, 2)).tolist() == [0] * 1000 + [1] * 1000


def test_gaps_are_filled_and_overlaps_trimmed():
    assert joined(ones(0, 1), ones(1.5, 2), ones(1.8, 2.5)).tolist() == [1] * 1000 + [0] * 500 + [1] * 1000


def test_a_block_that_lies_before_the_end_of_the_last_one_is_left_out():
    assert joined(ones(0, 2), ones(0.5, 1), ones(2, 2.5)).tolist() == [1] * 2500


def test_jitter_of_a_few_milliseconds_leaves_the_samples_contiguous():
    assert joined(ones(0, 1), ones(1.01, 1.5), ones(1.495, 2)).tolist() == [1] * 1995


def test_a_change_of_the_rate_keeps_the_clock():
    audio = ContiguousAudio(RATE)
    found = [p for block in (ones(0, 1, 4000), ones(1, 2, 2000), ones(2.5, 3, 4000)) for p in audio.push(block)]
    found += audio.close()
    assert sum(len(piece.samples) for piece in found) == pytest.approx(3000, abs=2)
    assert audio.reached == pytest.approx(ticks(3), abs=10)
    waveform = np.concatenate([piece.samples for piece in found])
    assert np.abs(waveform[2100:2400]).max() < 0.05
    assert waveform[100:900] == pytest.approx(1, abs=0.02)
