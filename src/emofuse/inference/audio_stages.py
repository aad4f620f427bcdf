"""The stages that audio passes: separate the voice, detect where somebody speaks, cut windows, score them.

A stage takes blocks with `push` and returns what is ready; `close` returns the rest. Only the samples of open windows
are kept, and results do not depend on how the audio was divided into blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.core.time import TICKS_PER_SECOND
from emofuse.core.windows import Windows
from emofuse.errors import ShapeError
from emofuse.media.audio import AudioBlock
from emofuse.models.voice_stages import choose_separation, choose_speech_detector
from emofuse.runtime import Engine
from emofuse.speech import ActivitySegment, ActivityStream, SeparationStream, SpeechDetector, VoiceSeparator

Floats = NDArray[np.float32]
WindowScorer = Callable[[Floats], Floats]


class AudioWindow(NamedTuple):
    """A window of audio.

    intervals: (start, end) in ticks that each segment of the window covers, up to the end of the audio.
    samples: float32 [width], padded with zeros where the audio is shorter; None where nobody speaks.
    """

    intervals: tuple[tuple[int, int], ...]
    samples: Floats | None

    @property
    def start(self) -> int:
        return self.intervals[0][0]

    @property
    def end(self) -> int:
        return self.intervals[-1][1]


class AudioWindowScore(NamedTuple):
    """Probabilities float32 [classes] of the voice in [start, end) ticks; None where nobody speaks."""

    start: int
    end: int
    probabilities: Floats | None


@dataclass(frozen=True)
class AudioStages:
    """What the audio stages of any number of recordings share.

    note: what a user should know about the choice of the stages, or "".
    """

    separation: VoiceSeparator
    activity: SpeechDetector
    note: str = ""

    @property
    def identity(self) -> dict[str, str]:
        """The names of both stages, as results record them."""
        return {"separation": self.separation.identity, "voice_activity": self.activity.identity}

    def cutter(self, windows: Windows) -> AudioWindowCutter:
        """Cuts the windows of one recording whose voice has been separated."""
        return AudioWindowCutter(windows, self.activity.stream(windows.rate_hz))

    def stream(self, windows: Windows, scorer: WindowScorer) -> AudioStream:
        """The audio stages of one recording."""
        return AudioStream(self.separation.stream(windows.rate_hz), self.cutter(windows), scorer)


def choose_audio_stages(separation: str, activity: str, engine: Engine) -> AudioStages:
    """The stages of these names.

    Raises:
        SettingsError: a name is unknown.
        WeightsError: the weights of a stage are missing or damaged.
    """
    chosen = choose_speech_detector(activity)
    return AudioStages(choose_separation(separation, engine), chosen.detector, chosen.note)


class AudioStream:
    """The audio stages of one recording.

    Args:
        scorer: waveforms float32 [n, samples] to probabilities float32 [n, segments, classes].
    """

    def __init__(self, separation: SeparationStream, windows: AudioWindowCutter, scorer: WindowScorer) -> None:
        self._separation, self._windows, self._scorer = separation, windows, scorer
        self._closed = False

    def push(self, block: AudioBlock) -> list[AudioWindowScore]:
        """Process the next block.

        Raises:
            ShapeError: the block does not begin where the one before it ended, has another rate, or the stream is
                closed.
        """
        if self._closed:
            raise ShapeError("Session: audio pushed after close(); open a new session for a new recording.")
        return score_windows([w for v in self._separation.push(block) for w in self._windows.push(v)], self._scorer)

    def close(self) -> list[AudioWindowScore]:
        """Process what is left."""
        self._closed = True
        windows = [w for v in self._separation.close() for w in self._windows.push(v)]
        return score_windows([*windows, *self._windows.close()], self._scorer)


def score_windows(windows: Iterable[AudioWindow], scorer: WindowScorer) -> list[AudioWindowScore]:
    """Scores of windows in order, those with a voice in one batch; one score for each segment."""
    windows = list(windows)
    voiced = [w.samples for w in windows if w.samples is not None]
    outputs = iter(scorer(np.stack(voiced)) if voiced else ())
    scores = list[AudioWindowScore]()
    for window in windows:
        rows = None if window.samples is None else next(outputs)
        for k, (start, end) in enumerate(window.intervals):
            scores.append(AudioWindowScore(start, end, None if rows is None else rows[k]))
    return scores


class AudioWindowCutter:
    """Cuts audio into windows, and keeps the samples of those in which somebody speaks long enough.

    Args:
        activity: detects speech at the rate of the windows.
    """

    def __init__(self, windows: Windows, activity: ActivityStream) -> None:
        self._settings, self._activity = windows, activity
        self._width, self._step = windows.samples
        self._held = np.zeros(0, np.float32)  # samples from number `_first` on
        self._first = 0
        self._next = 0  # index of the first window that is still open
        self._speech: list[ActivitySegment] = []  # active segments that open windows may overlap
        self._known = 0  # number of samples whose activity is known

    def push(self, block: AudioBlock) -> list[AudioWindow]:
        """Take the next block; return the windows that are complete."""
        self._held = np.concatenate([self._held, block.samples])
        self._add(self._activity.push(block))
        return self._windows(self._complete())

    def close(self) -> list[AudioWindow]:
        """Return the windows that are left; the last one is moved back to end with the audio."""
        self._add(self._activity.close())
        self._known = total = self._first + len(self._held)
        starts = self._complete()
        if total > ((self._next - 1) * self._step + self._width if self._next else 0):
            starts.append(max(total - self._width, 0))
        return self._windows(starts)

    def _add(self, segments: list[ActivitySegment]) -> None:
        """Remember segments, which follow one another without gaps."""
        self._speech += [s for s in segments if s.active]
        if segments:
            self._known = segments[-1].end * self._settings.rate_hz // TICKS_PER_SECOND

    def _complete(self) -> list[int]:
        """First samples of the windows that have become complete."""
        until = min(self._known, self._first + len(self._held))
        first = self._next
        self._next = max((until - self._width) // self._step + 1, first)
        return [n * self._step for n in range(first, self._next)]

    def _windows(self, starts: list[int]) -> list[AudioWindow]:
        total = self._first + len(self._held)
        windows = [self._window(start, min(start + self._width, total)) for start in starts]
        # If the audio ends now, the last window still needs the last `width` samples.
        unused = min(self._next * self._step, max(total - self._width, 0))
        if unused > self._first:
            self._held, self._first = self._held[unused - self._first :].copy(), unused
            self._speech = [s for s in self._speech if s.end > self._ticks(unused)]
        return windows

    def _window(self, start: int, end: int) -> AudioWindow:
        count, last = self._settings.segments, self._ticks(end)
        bounds = [min(self._ticks(start + self._width * k // count), last) for k in range(count + 1)]
        speech = sum(max(min(s.end, last) - max(s.start, bounds[0]), 0) for s in self._speech)
        samples = None
        if speech >= max(min(self._settings.min_voice, last - bounds[0]), 1):
            held = self._held[start - self._first : end - self._first]
            samples = np.pad(held, (0, self._width - len(held)))
        return AudioWindow(tuple((a, b) for a, b in pairwise(bounds) if a < b), samples)

    def _ticks(self, sample: int) -> int:
        """When a sample begins."""
        return sample * TICKS_PER_SECOND // self._settings.rate_hz
