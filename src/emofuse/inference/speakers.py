"""Who of the persons in view speaks: evidence from mouths and voice, and the part of the voice that each person gets.

Evidence is summed in bins of 0.2 s, over the frames with speech. From the log-likelihood ratios of the persons in view
follow the probabilities that nobody of them, one or two speak (`posterior`).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.core.time import TICKS_PER_SECOND, Ints, Timeline
from emofuse.core.types import Bools
from emofuse.inference.mouths import MouthSecond
from emofuse.speech.active_speaker import FRAMES, VoiceChunk

Doubles = NDArray[np.float64]

BINS = 5  # of a second
_FRAMES_PER_BIN = FRAMES // BINS
_REACH, _VOICE_REACH = 5, 7  # bins on either side: of evidence, and of the windows of the voice that a row uses
REACH = (_REACH + _VOICE_REACH + 1) * TICKS_PER_SECOND // BINS  # ticks on either side that rows depend on
_ENOUGH = 12.0  # frames of speech; with fewer, evidence counts less
_STRONGEST = 5.0  # log-likelihood ratio
_OFF_SCREEN, _TWO = 0.1, 0.1  # prior probabilities that nobody in view speaks, and that two do
_LEAST = 1e-3  # frames of speech
_LONGEST = 60  # seconds that mouths wait for the voice, or the voice for mouths
_STEPS = 64  # weights of the voice are multiples of 1 / _STEPS


@dataclass(frozen=True, eq=False)
class SpeechRows:
    """Of one person in n rows, float64 [n]; NaN where it is not known or does not apply.

    speaking: probability that the person speaks. voice_weight: the part of the voice that the person's scores use, 0 to
    1.
    """

    speaking: Doubles
    voice_weight: Doubles

    @classmethod
    def none(cls, n: int) -> SpeechRows:
        """n rows of which nothing is known."""
        return cls(np.full(n, np.nan), np.full(n, np.nan))

    @classmethod
    def alone(cls, n: int) -> SpeechRows:
        """n rows of a voice without any person in view."""
        return cls(np.full(n, np.nan), np.ones(n))

    def __getitem__(self, rows: slice) -> SpeechRows:
        return SpeechRows(self.speaking[rows], self.voice_weight[rows])

    def where_voiced(self, voiced: Bools) -> SpeechRows:
        """The same, with weights only in the rows that have scores of the voice, bool [n]."""
        return SpeechRows(self.speaking, np.where(voiced, self.voice_weight, np.nan))

    def columns(self) -> dict[str, Doubles]:
        """The columns of the table, rounded, by name."""
        return {"speaking": np.round(self.speaking, 4), "voice_weight": np.round(self.voice_weight, 4)}


@dataclass(eq=False)
class _Bins:
    """Of one person: for each second with a mouth its number, and `BINS` sums, weights and valid fractions."""

    numbers: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("f"))

    def onto(self, first: int, count: int) -> tuple[Doubles, Doubles, Doubles]:
        """Sums, weights and valid fractions in `count` bins from second number `first` on, float64 [count] each."""
        out = np.zeros((3, -(-count // BINS), BINS))
        out[:, np.array(self.numbers, np.int64) - first] = np.array(self.values).reshape(-1, 3, BINS).swapaxes(0, 1)
        sums, weights, valid = out.reshape(3, -1)[:, :count]
        return sums, weights, valid

    def forget(self, first: int) -> None:
        """Forget the seconds before one."""
        old = bisect_left(self.numbers, first)
        del self.numbers[:old], self.values[: old * 3 * BINS]


class _Attributed(NamedTuple):
    """By group of persons and bin, float64 [groups, bins]; NaN where it is not known."""

    speaking: Doubles
    part: Doubles


class SpeakerEvidence:
    """Joins the mouths and the voice of one video; keeps a few numbers per person and second.

    Args:
        scale, bias: turn the mean evidence of frames into a log-likelihood ratio.
        origin: ticks, where the audio begins.
    """

    def __init__(self, scale: float = 1.0, bias: float = 0.0, *, origin: int = 0) -> None:
        self._scale, self._bias, self._origin = scale, bias, origin
        self._mouths: dict[int, MouthSecond] = {}  # that wait for the voice
        self._voices: dict[int, VoiceChunk] = {}  # that wait for the mouths
        self._first = 0  # number of the first second that is not forgotten
        self._joined = 0  # number of seconds that have both
        self._speech = array("f")  # fraction of speech in each bin of the seconds from `_first` on
        self._persons: dict[int, _Bins] = {}

    @property
    def certain(self) -> int:
        """The time (ticks) before which the rows are certain."""
        return max(self._origin + self._joined * TICKS_PER_SECOND - REACH, 0)

    def add(self, mouths: Sequence[MouthSecond], voices: Sequence[VoiceChunk]) -> None:
        """Take what was completed of the mouths, and of the voice, each in the order of time."""
        for voice in voices:
            if voice.number < self._first:  # the rows have not waited for it
                continue
            self._speech.extend(voice.speech.reshape(BINS, -1).mean(axis=1).tolist())
        self._mouths |= {mouth.number: mouth for mouth in mouths}
        self._voices |= {voice.number: voice for voice in voices}
        for number in sorted(self._mouths.keys() & self._voices.keys()):
            second, voice = self._mouths.pop(number), self._voices.pop(number)
            if number >= self._first:
                self._join(second, voice)
            self._joined = number + 1
        for waiting in (self._mouths, self._voices):
            for number in sorted(waiting)[:-_LONGEST]:  # the other stream has ended
                del waiting[number]

    def forget(self, time: int) -> None:
        """Forget what the rows from `time` (ticks) on do not need."""
        first = max((time - self._origin - REACH) // TICKS_PER_SECOND, self._first)
        del self._speech[: (first - self._first) * BINS]
        self._first = first
        for bins in self._persons.values():
            bins.forget(first)
        self._persons = {person: bins for person, bins in self._persons.items() if bins.numbers}

    def _join(self, mouths: MouthSecond, voice: VoiceChunk) -> None:
        for person, mouth in mouths.persons.items():
            agreement = np.einsum("tw,tw->t", mouth.outputs, voice.outputs)
            weight = mouth.valid * voice.speech
            values = np.stack([agreement * weight, weight, mouth.valid / _FRAMES_PER_BIN])
            bins = self._persons.setdefault(person, _Bins())
            bins.numbers.append(mouths.number)
            bins.values.extend(values.reshape(3, BINS, -1).sum(axis=2).ravel().tolist())

    def rows(
        self, timeline: Timeline, persons: Mapping[int, Sequence[int]], seen: Mapping[int, Bools], in_view: Ints
    ) -> dict[int, SpeechRows]:
        """Who speaks in each row.

        Args:
            persons: numbers of the session of each person; others may also speak.
            seen: bool [rows] by number of the session; the rows in which the face is scored.
            in_view: int [rows], number of all persons whose faces are scored.
        """
        grouped = [list(numbers) for numbers in persons.values()]
        others = sorted(self._persons.keys() - {n for numbers in grouped for n in numbers})
        found = self._attributed(grouped + [[number] for number in others])
        middle = timeline.start + (timeline.end - timeline.start) // 2 - self._origin
        row = middle * BINS // TICKS_PER_SECOND - self._first * BINS
        inside = (row >= 0) & (row < found.speaking.shape[1])
        row = np.where(inside, row, -1)  # the last bin answers for rows outside, and is not known
        shared = np.where(in_view > 0, 1 / np.maximum(in_view, 1), 1.0)
        out = {}
        for n, (person, numbers) in enumerate(persons.items()):
            visible = np.any([np.zeros(len(timeline), bool), *(seen[number] for number in numbers)], axis=0)
            speaking = np.where(visible, found.speaking[n, row], np.nan)
            part = np.where(np.isnan(found.part[n, row]), shared, found.part[n, row])
            out[person] = SpeechRows(speaking, np.where(visible, part, np.where(in_view > 0, np.nan, 1.0)))
        return out

    def _attributed(self, groups: Sequence[Sequence[int]]) -> _Attributed:
        """Who speaks in each bin, and at the end a bin of which nothing is known."""
        speech = np.append(np.array(self._speech, np.float64), 0.0)
        ratios, followed = self._log_ratios(groups, len(speech))
        speaks, part = posterior(ratios, followed)
        known = speech * followed.any(axis=0)
        kernel = _kernel(_VOICE_REACH)
        spoken = np.maximum(_smoothed(known, kernel), 0)
        parts = np.array([_smoothed(known * each, kernel) for each in part]).reshape(part.shape)
        parts = np.round(parts / np.maximum(spoken, _LEAST) * _STEPS) / _STEPS
        return _Attributed(np.where(followed, speaks * speech, np.nan), np.where(spoken > _LEAST, parts, np.nan))

    def _log_ratios(self, groups: Sequence[Sequence[int]], count: int) -> tuple[Doubles, Bools]:
        """Log-likelihood ratios of speaking, and where the mouth was followed, [groups, count] each."""
        ratios, followed = np.zeros((len(groups), count)), np.zeros((len(groups), count), bool)
        kernel = _kernel(_REACH)
        for n, numbers in enumerate(groups):
            bins = [self._persons[number].onto(self._first, count) for number in numbers if number in self._persons]
            if not bins:
                continue
            sums, weights, valid = np.sum(bins, axis=0)
            weight = _smoothed(weights, kernel)
            mean = _smoothed(sums, kernel) / np.maximum(weight, _LEAST)
            trust = np.minimum(weight / _ENOUGH, 1)
            ratios[n] = np.clip(trust * (self._scale * mean + self._bias), -_STRONGEST, _STRONGEST)
            # After the last face that was found, the mouth is not known, but the person is still in view.
            followed[n] = np.convolve(valid > 0.5, np.ones(3), "same") > 0
        return ratios, followed


def posterior(log_ratios: Doubles, in_view: Bools) -> tuple[Doubles, Doubles]:
    """Where there is speech: probabilities that each person speaks, and the expected part of the voice that is theirs.

    Nobody in view, one person or two may speak; of two, each has half of the voice.

    Args:
        log_ratios, in_view: [persons, n]; log-likelihood ratios of speaking against not speaking.
    Returns:
        float64 [persons, n] each; zeros for persons who are not in view.

    >>> speaks, part = posterior(np.array([[2.0], [-2.0]]), np.ones((2, 1), bool))
    >>> speaks.round(2).ravel().tolist(), part.round(2).ravel().tolist()
    ([0.95, 0.05], [0.94, 0.03])
    """
    odds = np.where(in_view, np.exp(log_ratios), 0.0)
    count = in_view.sum(axis=0)
    two = np.where(count > 1, _TWO / np.maximum(count * (count - 1) / 2, 1), 0.0)
    one = np.where(count > 1, 1 - _OFF_SCREEN - _TWO, 1 - _OFF_SCREEN) / np.maximum(count, 1)
    total = odds.sum(axis=0)
    pairs = two * odds * (total - odds)
    everything = _OFF_SCREEN + one * total + pairs.sum(axis=0) / 2
    return (one * odds + pairs) / everything, (one * odds + pairs / 2) / everything


def _kernel(reach: int) -> Doubles:
    """A triangle over bins up to `reach` away."""
    return 1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)


def _smoothed(values: Doubles, kernel: Doubles) -> Doubles:
    """Weighted sums of the values around each."""
    return np.convolve(values, kernel)[len(kernel) // 2 :][: len(values)] if len(values) else values
