"""Sound of a live session: blocks come in, and each window is judged as soon as its last sample is there.

Only the samples of windows that are still open are kept, so memory does not grow with time, and the answer does not
depend on how the sound was cut into blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.core.time import TICKS_PER_SECOND
from emofuse.core.windows import Windows
from emofuse.errors import ShapeError
from emofuse.media.audio import AudioBlock
from emofuse.speech import ActivitySegment, ActivityStream, SeparationStream

Floats = NDArray[np.float32]


class AudioWindowScore(NamedTuple):
    """What a net says of the voice in [start, end) ticks; probabilities float32 [classes], None without a voice."""

    start: int
    end: int
    probabilities: Floats | None


class Listener:
    """Cuts sound into windows and has those judged in which somebody speaks.

    Args:
        scorer: waveforms float32 [n, samples] to probabilities float32 [n, answers, classes].
        voice: takes the voice out of the sound. activity: finds where there is voice. Both of the windows' rate.
    """

    def __init__(
        self,
        windows: Windows,
        scorer: Callable[[Floats], Floats],
        *,
        voice: SeparationStream,
        activity: ActivityStream,
    ) -> None:
        self._windows, self._score = windows, scorer
        self._voice, self._activity = voice, activity
        self._width, self._step = windows.samples
        self._held = np.zeros(0, np.float32)  # clean samples from number `_first` on
        self._first = 0
        self._next = 0  # number of the first window that is not judged yet
        self._spoken: list[ActivitySegment] = []  # those with voice that open windows may need
        self._known = 0  # up to which sample it is known where there is voice
        self._closed = False

    def push(self, sound: AudioBlock) -> list[AudioWindowScore]:
        """Take the next block, which begins where the one before it ended; samples that are no numbers count as zero.

        Raises:
            ShapeError: it does not, has another rate, or the listener is closed.
        """
        if self._closed:
            raise ShapeError("Listener: sound pushed after close(); open a new session for a new recording.")
        samples = np.nan_to_num(np.asarray(sound.samples, np.float32), nan=0, posinf=0, neginf=0)
        for clean in self._voice.push(replace(sound, samples=samples)):
            self._take(clean)
        return self._judged(self._ready())

    def close(self) -> list[AudioWindowScore]:
        """End the sound: what is left is judged, the last window moved back to end with the sound."""
        self._closed = True
        for clean in self._voice.close():
            self._take(clean)
        self._heed(self._activity.close())
        self._known = total = self._first + len(self._held)
        starts = self._ready()
        last = starts[-1] if starts else (self._next - 1) * self._step
        if total > (last + self._width if last >= 0 else 0):
            starts.append(max(total - self._width, 0))
        return self._judged(starts)

    def _take(self, clean: AudioBlock) -> None:
        self._held = np.concatenate([self._held, clean.samples])
        self._heed(self._activity.push(clean))

    def _heed(self, stretches: Sequence[ActivitySegment]) -> None:
        """Remember where there is voice; stretches follow one another without gaps."""
        self._spoken += [s for s in stretches if s.active]
        if stretches:
            self._known = stretches[-1].end * self._windows.rate_hz // TICKS_PER_SECOND

    def _ready(self) -> list[int]:
        """First samples of the windows that can be judged now."""
        until = min(self._known, self._first + len(self._held))
        first = self._next
        self._next = max((until - self._width) // self._step + 1, first)
        return [n * self._step for n in range(first, self._next)]

    def _judged(self, starts: list[int]) -> list[AudioWindowScore]:
        total = self._first + len(self._held)
        spans = [(start, min(start + self._width, total)) for start in starts]
        heard = [span for span in spans if self._heard(*span)]
        answers = self._score(np.stack([self._wave(*span) for span in heard])) if heard else ()
        said = dict(zip(heard, answers, strict=True))
        scores = [score for span in spans for score in self._answers(*span, said.get(span))]
        # Of a sound that ends now, the last `width` samples may still be asked for.
        self._forget(min(self._next * self._step, max(total - self._width, 0)))
        return scores

    def _wave(self, start: int, end: int) -> Floats:
        """The samples of a window; a sound shorter than a window is followed by silence."""
        wave = self._held[start - self._first : end - self._first]
        return np.pad(wave, (0, self._width - len(wave)))

    def _heard(self, start: int, end: int) -> bool:
        first, last = self._moment(start), self._moment(end)
        voiced = sum(max(min(s.end, last) - max(s.start, first), 0) for s in self._spoken)
        return voiced >= max(min(self._windows.min_voice, last - first), 1)

    def _answers(self, start: int, end: int, said: Floats | None) -> list[AudioWindowScore]:
        """The answers of a window, each for its part of it; those beyond the end of the sound are left out."""
        count = self._windows.segments
        bounds = [self._moment(start + self._width * k // count) for k in range(count + 1)]
        bounds = [min(b, self._moment(end)) for b in bounds]
        return [
            AudioWindowScore(bounds[k], bounds[k + 1], None if said is None else said[k])
            for k in range(count)
            if bounds[k] < bounds[k + 1]
        ]

    def _forget(self, until: int) -> None:
        if until > self._first:
            self._held, self._first = self._held[until - self._first :].copy(), until
            moment = self._moment(until)
            self._spoken = [s for s in self._spoken if s.end > moment]

    def _moment(self, sample: int) -> int:
        """Ticks at which a sample begins."""
        return sample * TICKS_PER_SECOND // self._windows.rate_hz
