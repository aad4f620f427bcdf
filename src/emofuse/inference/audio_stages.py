"""The stages that audio passes: separate the voice, detect where somebody speaks, cut windows, score them.

A stage takes blocks with `push` and returns what is ready; `close` returns the rest. Only the samples of open windows
are kept, and results do not depend on how the audio was divided into blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from emofuse.core.chunks import RATE_HZ, SAMPLES_PER_FRAME, Chunks, RunningLevel
from emofuse.core.time import TICKS_PER_SECOND
from emofuse.core.windows import Windows
from emofuse.errors import ShapeError
from emofuse.media.audio import AudioBlock
from emofuse.media.audio_clock import sample_time
from emofuse.models.voice import FrameScorer
from emofuse.models.voice_stages import choose_separation, choose_speech_detector
from emofuse.runtime import Engine
from emofuse.speech import ActivitySegment, ActivityStream, SeparationStream, SpeechDetector, VoiceSeparator
from emofuse.systems import VOICE

Floats = NDArray[np.float32]
WindowScorer = Callable[[Floats], Floats]


class AudioWindow(NamedTuple):
    """A window of audio.

    intervals: (start, end) in ticks that each segment of the window covers, up to the end of the audio.
    samples: float32 [width], padded with zeros where the audio is shorter; None where nobody speaks.
    speech: (start, end) in ticks of the parts in which somebody speaks.
    """

    intervals: tuple[tuple[int, int], ...]
    samples: Floats | None
    speech: tuple[tuple[int, int], ...] = ()

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
    modality: str = VOICE


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

    def scoring(self, windows: Windows, scorer: WindowScorer | FrameScorer) -> ScoringStage:
        """Scores the windows of one recording whose voice has been separated."""
        cutter = self.cutter(windows)
        return FrameWindows(cutter, scorer) if isinstance(scorer, FrameScorer) else WaveWindows(cutter, scorer)

    def stream(self, windows: Windows, scorer: WindowScorer | FrameScorer) -> AudioStream:
        """The audio stages of one recording."""
        return AudioStream(self.separation.stream(windows.rate_hz), self.scoring(windows, scorer))


def choose_audio_stages(separation: str, activity: str, engine: Engine) -> AudioStages:
    """The stages of these names.

    Raises:
        SettingsError: a name is unknown.
        WeightsError: the weights of a stage are missing or damaged.
    """
    chosen = choose_speech_detector(activity)
    return AudioStages(choose_separation(separation, engine), chosen.detector, chosen.note)


class ScoringStage(Protocol):
    """Scores the windows of one recording."""

    def push(self, block: AudioBlock) -> list[AudioWindowScore]:
        """Take the next block of the voice; return the scores that are ready."""
        ...

    def close(self) -> list[AudioWindowScore]:
        """End the recording; return the rest."""
        ...

    rate_hz: int

    @property
    def certain(self) -> int:
        """The time (ticks) before which no score begins that is returned later."""
        ...

    @property
    def lookahead(self) -> int:
        """Ticks of audio after a moment until it is certain."""
        ...


class AudioStream:
    """The audio stages of one recording."""

    def __init__(self, separation: SeparationStream, windows: ScoringStage) -> None:
        self._separation, self._windows = separation, windows
        self._closed = False

    def push(self, block: AudioBlock) -> list[AudioWindowScore]:
        """Process the next block.

        Raises:
            ShapeError: the block does not begin where the one before it ended, has another rate, or the stream is
                closed.
        """
        if self._closed:
            raise ShapeError("Session: audio pushed after close(); open a new session for a new recording.")
        return [score for voice in self._separation.push(block) for score in self._windows.push(voice)]

    def close(self) -> list[AudioWindowScore]:
        """Process what is left."""
        self._closed = True
        scores = [score for voice in self._separation.close() for score in self._windows.push(voice)]
        return [*scores, *self._windows.close()]

    @property
    def rate_hz(self) -> int:
        """Sample rate of the blocks."""
        return self._windows.rate_hz

    @property
    def certain(self) -> int:
        """The time (ticks) before which no score begins that is returned later."""
        return self._windows.certain

    @property
    def lookahead(self) -> int:
        """Ticks of audio after a moment until it is certain."""
        return self._separation.lookahead + self._windows.lookahead


class ChunkScorer(Protocol):
    """Encodes chunks of audio, and scores the frames of windows, as `emofuse.models.voice.FrameScorer` does.

    frames: number of frames of a window.
    """

    chunks: Chunks
    frames: int

    def encode(self, chunks: Floats) -> Floats:
        """Frames float32 [n, frames, width] of chunks with their context, float32 [n, samples], at least one."""
        ...

    def score(self, frames: Floats, speech: Floats) -> Floats:
        """The score float32 [k] of a window: frames float32 [frames, width], speech float32 [frames]."""
        ...


class WaveWindows:
    """Scores windows by their waveforms.

    Args:
        scorer: waveforms float32 [n, samples] to probabilities float32 [n, segments, classes].
    """

    def __init__(self, cutter: AudioWindowCutter, scorer: WindowScorer) -> None:
        self._cutter, self._scorer = cutter, scorer
        self.rate_hz = cutter.rate_hz

    @property
    def certain(self) -> int:
        return self._cutter.certain

    @property
    def lookahead(self) -> int:
        return self._cutter.lookahead

    def push(self, block: AudioBlock) -> list[AudioWindowScore]:
        return self._scored(self._cutter.push(block))

    def close(self) -> list[AudioWindowScore]:
        return self._scored(self._cutter.close())

    def _scored(self, windows: list[AudioWindow]) -> list[AudioWindowScore]:
        """Scores in order, those with a voice in one batch; one score for each segment."""
        voiced = [w.samples for w in windows if w.samples is not None]
        outputs = iter(self._scorer(np.stack(voiced)) if voiced else ())
        scores = list[AudioWindowScore]()
        for window in windows:
            rows = None if window.samples is None else next(outputs)
            for k, (start, end) in enumerate(window.intervals):
                scores.append(AudioWindowScore(start, end, None if rows is None else rows[k]))
        return scores


class FrameWindows:
    """Scores windows by frames, which are encoded once, in chunks with context, and shared by all windows over them.

    The level of a chunk is the running level of the voice up to the end of its context. Chunks in which no window has
    speech are not encoded. A window is complete with the context of the last chunk that it touches.
    """

    def __init__(self, cutter: AudioWindowCutter, scorer: ChunkScorer) -> None:
        self._cutter, self._scorer = cutter, scorer
        self.rate_hz = cutter.rate_hz
        self._before, self._inside, self._after = scorer.chunks.samples
        self._held = np.zeros(self._before, np.float32)  # samples from number `_first` on; silence before the first
        self._first = -self._before
        self._level = RunningLevel()
        self._gains: dict[int, float] = {}  # by the number of the chunk
        self._complete = 0  # number of chunks whose context has been received
        self._frames: dict[int, Floats] = {}  # by the number of the chunk
        self._waiting: list[AudioWindow] = []

    @property
    def certain(self) -> int:
        return min([window.start for window in self._waiting[:1]] + [self._cutter.certain])

    @property
    def lookahead(self) -> int:
        return self._cutter.lookahead + sample_time(self._inside + self._after, RATE_HZ)

    def push(self, block: AudioBlock) -> list[AudioWindowScore]:
        self._held = np.concatenate([self._held, block.samples])
        self._waiting += self._cutter.push(block)
        return self._scored()

    def close(self) -> list[AudioWindowScore]:
        self._held = np.pad(self._held, (0, self._inside + self._after))
        self._waiting += self._cutter.close()
        return self._scored()

    def _scored(self) -> list[AudioWindowScore]:
        """Scores of the first waiting windows, up to the first that is not complete."""
        self._measure_levels()
        complete = [w.samples is None or self._chunks(w)[-1] < self._complete for w in self._waiting]
        count = next((n for n, each in enumerate(complete) if not each), len(complete))
        ready, self._waiting = self._waiting[:count], self._waiting[count:]
        voiced = {k for w in ready if w.samples is not None for k in self._chunks(w)}
        self._encode(sorted(voiced - self._frames.keys()))
        scores = [
            AudioWindowScore(w.start, w.end, None if w.samples is None else self._probabilities(w)) for w in ready
        ]
        self._forget()
        return scores

    def _chunks(self, window: AudioWindow) -> range:
        """Numbers of the chunks that a window touches."""
        first, last = (_sample(ticks) // self._inside for ticks in (window.start, window.end - 1))
        return range(first, last + 1)

    def _measure_levels(self) -> None:
        end = self._first + len(self._held)
        while (stop := (self._complete + 1) * self._inside + self._after) <= end:
            # Every sample is measured once: the context of a chunk before it was measured with the chunk before.
            start = self._complete * self._inside + self._after if self._complete else 0
            self._gains[self._complete] = self._level.gain(self._held[start - self._first : stop - self._first])
            self._complete += 1

    def _encode(self, chunks: list[int]) -> None:
        waves = []
        for k in chunks:
            start = k * self._inside - self._before - self._first
            waves.append(
                self._held[start : start + self._before + self._inside + self._after] * np.float32(self._gains[k])
            )
        if waves:
            self._frames |= zip(chunks, self._scorer.encode(np.stack(waves)), strict=True)

    def _probabilities(self, window: AudioWindow) -> Floats:
        chunks, count = self._chunks(window), self._scorer.frames
        first = _sample(window.start) // SAMPLES_PER_FRAME
        offset = first - chunks[0] * (self._inside // SAMPLES_PER_FRAME)
        frames = np.concatenate([self._frames[k] for k in chunks])[offset : offset + count]
        frames = np.pad(frames, ((0, count - len(frames)), (0, 0)))
        return self._scorer.score(frames, speech_of_frames(window.speech, first, count))

    def _forget(self) -> None:
        """Drop what no later window or level needs."""
        earliest = min([_sample(w.start) for w in self._waiting[:1]] + [self._cutter.first]) // self._inside
        for known in (self._frames, self._gains):
            for k in [k for k in known if k < earliest]:
                del known[k]
        unused = min(earliest * self._inside - self._before, self._complete * self._inside) - self._first
        if unused > 0:
            self._held, self._first = self._held[unused:].copy(), self._first + unused


def speech_of_frames(speech: Iterable[tuple[int, int]], first: int, count: int) -> Floats:
    """The fraction of speech in each of `count` frames of 20 ms from number `first` on; float32 [count].

    >>> speech_of_frames([(0, TICKS_PER_SECOND * 3 // 100)], 0, 3).tolist()
    [1.0, 0.5, 0.0]
    """
    width = SAMPLES_PER_FRAME * TICKS_PER_SECOND // RATE_HZ
    starts = (first + np.arange(count, dtype=np.int64)) * width
    covered = sum(
        (np.clip(np.minimum(b, starts + width) - np.maximum(a, starts), 0, None) for a, b in speech), 0 * starts
    )
    return np.asarray(covered / width, np.float32)


def _sample(ticks: int) -> int:
    return ticks * RATE_HZ // TICKS_PER_SECOND


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

    @property
    def rate_hz(self) -> int:
        """Sample rate of the audio."""
        return self._settings.rate_hz

    @property
    def first(self) -> int:
        """Number of a sample that no later window begins before."""
        return self._first

    @property
    def certain(self) -> int:
        """The time (ticks) before which no later window begins."""
        return self._ticks(self._first)

    @property
    def lookahead(self) -> int:
        """Ticks of audio after a moment until no later window can cover it."""
        return self._settings.width + self._activity.lookahead

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
        parts = [(max(s.start, bounds[0]), min(s.end, last)) for s in self._speech]
        speech = tuple((a, b) for a, b in parts if a < b)
        samples = None
        if sum(b - a for a, b in speech) >= max(min(self._settings.min_voice, last - bounds[0]), 1):
            held = self._held[start - self._first : end - self._first]
            samples = np.pad(held, (0, self._width - len(held)))
        return AudioWindow(tuple((a, b) for a, b in pairwise(bounds) if a < b), samples, speech)

    def _ticks(self, sample: int) -> int:
        """When a sample begins."""
        return sample * TICKS_PER_SECOND // self._settings.rate_hz
