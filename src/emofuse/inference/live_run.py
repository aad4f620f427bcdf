"""A live session that is fed by a live source, and how it does: frames per second, frames dropped, latency."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from emofuse.core.time import seconds, ticks
from emofuse.inference.live import PATIENCE, LiveSession, LiveUpdate
from emofuse.inference.sampling import FirstOfEachStep, LipFrames
from emofuse.media.audio import AudioBlock
from emofuse.media.live import Arrival, LiveSource, SourceSettings
from emofuse.media.video import Frame

_OUTLASTS = ticks(1)  # audio that ends less than this after the last frame adds no rows, as in a file
_LEAST_WAIT = 10.0  # seconds that a source has to open and to bring its first data
_RECENT = 5.0  # seconds over which the rate of frames is measured


@dataclass(frozen=True)
class LiveState:
    """How a run does.

    time: of the session, ticks. frames, dropped: processed, and left out because a newer one had arrived.
    rate_hz: processed frames per second of late. latency: seconds from the arrival of the last frame to its result.
    """

    time: int
    frames: int
    dropped: int
    rate_hz: float
    latency: float


@dataclass(frozen=True)
class LiveEvent:
    """An update of the session, or a line for the user.

    age: seconds since the frame of the update arrived; 0 where there is none.
    """

    update: LiveUpdate | None = None
    notice: str | None = None
    age: float = 0.0


def source_settings(session: LiveSession, *, turn: int = 0, fast: bool = False) -> SourceSettings:
    """How a source is read for a session: the first frame of each step, and frames between that show who speaks.

    turn, fast: as in `SourceSettings`.
    """
    if session.follows_mouths:
        return SourceSettings(FirstOfEachStep(session.sampling), LipFrames(), turn, fast)
    return SourceSettings(FirstOfEachStep(session.sampling), turn=turn, fast=fast)


class LiveRun:
    """Pushes what a source brings into a session until the source ends, `stop` is called, or the time is up.

    until: ticks of the session at which it ends, and of waiting for data, but at least 10 s; None for no limit.
    """

    def __init__(self, session: LiveSession, source: LiveSource, *, until: int | None = None) -> None:
        self._session, self._source, self._until = session, source, until
        self._stopped = False
        self._audio_end = self._reached = 0
        self._frames = 0
        self._latency = 0.0
        self._processed: deque[float] = deque()
        self._data_at = 0.0  # when the last data was processed; the clock of the session may stand still without data

    def stop(self) -> None:
        """End the run soon; `events` still emits the last rows."""
        self._stopped = True

    @property
    def state(self) -> LiveState:
        while self._processed and self._processed[0] < time.monotonic() - _RECENT:
            self._processed.popleft()
        known = max(time.monotonic() - self._processed[0], 0.2) if self._processed else _RECENT
        rate = len(self._processed) / (_RECENT if self._frames > len(self._processed) else known)
        return LiveState(max(self._reached, self._audio_end), self._frames, self._source.dropped, rate, self._latency)

    def events(self) -> Iterator[LiveEvent]:
        """What happens, in order; the last event has the last rows.

        Raises:
            MediaError: the source cannot be opened.
        """
        self._data_at = time.monotonic()
        for arrival in self._source.arrivals():
            if arrival.notice is not None:
                yield LiveEvent(notice=arrival.notice)
            if self._is_over(arrival):
                break
            if arrival.frame is not None:
                yield self._pushed_frame(arrival, arrival.frame)
            elif arrival.audio is not None:
                yield LiveEvent(self._pushed_audio(arrival.audio))
            elif arrival.time - PATIENCE > self._reached:  # nothing has come for long
                self._reached = arrival.time - PATIENCE
                yield LiveEvent(self._session.advance(self._reached))
            if arrival.frame is not None or arrival.audio is not None:
                self._data_at = time.monotonic()
        self._source.close()
        yield LiveEvent(self._session.close(self._end(), frames_end=self._source.frames_end or None))

    def _is_over(self, arrival: Arrival) -> bool:
        if self._until is None or self._stopped:
            return self._stopped
        if arrival.frame is not None or arrival.audio is not None:
            start = arrival.time if arrival.frame is None else arrival.frame.start
            return start >= self._until
        waited = time.monotonic() - self._data_at
        return arrival.time >= self._until or waited >= max(_LEAST_WAIT, seconds(self._until))

    def _pushed_frame(self, arrival: Arrival, frame: Frame) -> LiveEvent:
        processed = self._session.wants(frame.start)
        update = self._session.push_frame(frame)
        if not processed:
            return LiveEvent(update)
        self._frames += 1
        self._reached = max(self._reached, frame.start)
        age = seconds(self._source.now - arrival.time)
        self._latency = age
        self._processed.append(time.monotonic())
        return LiveEvent(update, age=age)

    def _pushed_audio(self, block: AudioBlock) -> LiveUpdate:
        self._audio_end = max(self._audio_end, block.end)
        if self._until is not None and block.end > self._until:
            kept = max(0, round(seconds(self._until - block.start) * block.rate_hz))
            block = AudioBlock(block.samples[:kept], block.start, block.rate_hz)
        return self._session.push_audio(block)

    def _end(self) -> int:
        frames_end = self._source.frames_end
        end = frames_end if self._audio_end <= frames_end + _OUTLASTS else self._audio_end
        end = max(end, self._reached)
        return end if self._until is None else min(end, self._until)
