"""Live sources: a camera, a microphone, a stream, a file at its own speed, or standard input.

A thread for each source decodes. Of the frames it keeps the newest one that nobody has taken yet, so that a slow reader
is never late; audio is kept. A source that is lost is opened again after pauses that grow.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import av
import av.error
from av.audio.frame import AudioFrame
from av.container import InputContainer

from emofuse.core.time import TICKS_PER_SECOND, seconds, ticks
from emofuse.errors import MediaError
from emofuse.media.alsa import prepare_alsa
from emofuse.media.audio import AudioBlock
from emofuse.media.audio_clock import sample_time
from emofuse.media.channels import Downmix, channel_names, channels_of
from emofuse.media.container import LENIENT_TAGS, audio_stream, clock_zero, time_of, video_stream
from emofuse.media.frame_image import Looks
from emofuse.media.live_address import Address
from emofuse.media.live_clock import SourceClock, Stamp, WallClock
from emofuse.media.video import Frame

MOST_AUDIO = ticks(30)  # that waits to be taken; beyond it the oldest is dropped
_JITTER = ticks(Fraction(15, 1000))  # smaller differences leave blocks of audio contiguous
_FIRST_PAUSE, _LONGEST_PAUSE, _GIVE_UP = 1.0, 30.0, 300.0  # seconds between attempts, and of attempts in all
_AHEAD = ticks(Fraction(1, 20))  # frames may be handed over this much before their time
_USUAL_RATE = Fraction(25)
_WAIT = 0.2  # seconds until a waiting reader is asked whether it goes on
_WAITING_FRAMES = 8  # that wait to be taken, at most


class Arrival(NamedTuple):
    """What a source brought. time: when it arrived, ticks of the session. notice: a line for the user."""

    time: int
    frame: Frame | None = None
    audio: AudioBlock | None = None
    notice: str | None = None


@dataclass(frozen=True)
class SourceSettings:
    """How sources are read.

    wanted: whether a frame that starts at a time (ticks) is to be processed; called once for each frame, in order.
    shown: whether a frame between them is of use, if it can be had; called likewise.
    turn: degrees clockwise by which frames are turned.
    fast: read files as fast as their frames are taken, and drop none.
    """

    wanted: Callable[[int], bool] = lambda start: True
    shown: Callable[[int], bool] = lambda start: False
    turn: int = 0
    fast: bool = False


class LiveSource:
    """Frames and audio of one source, or of a source and a microphone, on one clock.

    Args:
        video: the source, whose audio is used as well if there is no microphone; None for audio alone.
        audio: the microphone.
        with_audio: whether the audio of the source is used.

    dropped: wanted frames that nobody took in time. audio_dropped: ticks of audio.
    """

    def __init__(
        self,
        video: Address | None,
        audio: Address | None = None,
        *,
        with_audio: bool = True,
        settings: SourceSettings | None = None,
    ) -> None:
        self._wall, self._inbox = WallClock(), _Inbox()
        shared = _Shared(self._inbox, self._wall, settings or SourceSettings())
        feeds = [] if video is None else [_Feed(video, shared, video=True, audio=with_audio and audio is None)]
        feeds += [] if audio is None else [_Feed(audio, shared, video=False, audio=True, essential=video is None)]
        self._feeds, self._main = feeds, feeds[0]

    @property
    def dropped(self) -> int:
        return self._inbox.dropped

    @property
    def audio_dropped(self) -> int:
        return self._inbox.audio_dropped

    @property
    def lost(self) -> bool:
        """Whether the source ended because it was lost and did not come back."""
        return self._main.lost

    @property
    def frames_end(self) -> int:
        """Where the last frame that was decoded ends, ticks; 0 before the first."""
        return self._main.frames_end

    @property
    def now(self) -> int:
        """The time of the session, ticks."""
        return self._wall()

    def arrivals(self) -> Iterator[Arrival]:
        """What arrives, until the source ends; now and then without anything, so that the reader may stop.

        Raises:
            MediaError: a source cannot be opened, or has neither video nor audio.
        """
        for feed in self._feeds:
            feed.start()
        try:
            while True:
                ended = not self._main.is_alive()
                yield from self._inbox.taken(0 if ended else _WAIT, self._wall)
                if self._main.error is not None:
                    raise self._main.error
                if ended and self._inbox.is_empty:
                    return
        finally:
            self.close()

    def close(self) -> None:
        """End the threads; one that waits for data ends once that arrives, or is overdue."""
        self._inbox.close()


class _Waiting(NamedTuple):
    """A frame that nobody has taken, when it arrived (ticks), and whether it is to be processed."""

    arrived: int
    frame: Frame
    wanted: bool


class _Inbox:
    """What was read and not taken yet."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.closed = threading.Event()
        self.dropped = self.audio_dropped = 0
        self._frames: deque[_Waiting] = deque()
        self._audio: deque[AudioBlock] = deque()
        self._notices: deque[str] = deque()

    @property
    def is_empty(self) -> bool:
        with self.changed:
            return not (self._frames or self._audio or self._notices)

    def put_frame(self, frame: _Waiting, *, drop: bool) -> None:
        """Put a frame in the place of one to be processed that nobody took, or wait until there is room."""

        def full() -> bool:
            late = frame.wanted and any(waiting.wanted for waiting in self._frames)
            return len(self._frames) >= _WAITING_FRAMES or (drop and late)

        with self.changed:
            if drop and full():
                self.dropped += sum(waiting.wanted for waiting in self._frames)
                self._frames.clear()
            else:
                self.changed.wait_for(lambda: not full() or self.closed.is_set())
            self._frames.append(frame)
            self.changed.notify_all()

    def put_audio(self, block: AudioBlock, *, drop: bool) -> None:
        def full() -> bool:
            return len(self._audio) > 1 and self._audio[-1].end - self._audio[0].start > MOST_AUDIO

        with self.changed:
            if not drop:
                self.changed.wait_for(lambda: not full() or self.closed.is_set())
            self._audio.append(block)
            while drop and full():
                oldest = self._audio.popleft()
                self.audio_dropped += oldest.end - oldest.start
            self.changed.notify_all()

    def put_notice(self, line: str) -> None:
        with self.changed:
            self._notices.append(line)
            self.changed.notify_all()

    def taken(self, timeout: float, wall: WallClock) -> Iterator[Arrival]:
        """What there is, a frame before the audio, which takes longer; or one arrival of nothing."""
        with self.changed:
            self.changed.wait_for(lambda: self._frames or self._audio or self._notices, timeout)
            notices, audio = list(self._notices), list(self._audio)
            frames = [self._frames.popleft()] if self._frames else []
            self._notices.clear()
            self._audio.clear()
            self.changed.notify_all()
        now = wall()
        yield from (Arrival(now, notice=line) for line in notices)
        yield from (Arrival(waiting.arrived, waiting.frame) for waiting in frames)
        yield from (Arrival(now, audio=block) for block in audio)
        if not (notices or audio or frames):
            yield Arrival(now)

    def close(self) -> None:
        with self.changed:
            self.closed.set()
            self.changed.notify_all()


@dataclass(frozen=True, eq=False)
class _Shared:
    """What the sources of a session share. opened: set once the main one is open, or may be so later."""

    inbox: _Inbox
    wall: WallClock
    settings: SourceSettings
    opened: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Loss:
    """Since when a source has been away, and the pause until the next attempt, in seconds."""

    since: float
    pause: float = _FIRST_PAUSE

    @property
    def lasted(self) -> float:
        return time.monotonic() - self.since


@dataclass(eq=False)
class _Pass:
    """One pass over an open source."""

    video: Any
    audio: Any
    looks: Looks | None
    put_audio: Callable[[AudioBlock], None]
    track: _AudioTrack = field(default_factory=lambda: _AudioTrack())

    @property
    def streams(self) -> list[Any]:
        return [stream for stream in (self.video, self.audio) if stream is not None]

    def close(self) -> None:
        """Hand over the audio that is held back."""
        for block in self.track.close():
            self.put_audio(block)


class _Feed(threading.Thread):
    """Reads one source. error: why it could not be read at all."""

    def __init__(self, address: Address, shared: _Shared, *, video: bool, audio: bool, essential: bool = True) -> None:
        super().__init__(name=f"reading {address.name}", daemon=True)
        self.error: MediaError | None = None
        self._essential = essential
        self._address, self._wants_video, self._wants_audio = address, video, audio
        self._inbox, self._wall, self._settings = shared.inbox, shared.wall, shared.settings
        self._opened = shared.opened
        self._fast = shared.settings.fast and address.finite
        self._clock = SourceClock(None if address.finite else self._wall)
        self.frames_end = 0
        self.lost = False
        self._index = 0
        self._start = -1  # of the last frame
        self._received = self._has_ended = False
        self._loss: _Loss | None = None

    def run(self) -> None:
        try:
            if self._address.patient:
                self._inbox.put_notice(f"{self._address.name}: waiting for data")
                self._opened.set()
            while not (self._essential or self._opened.wait(_WAIT) or self._inbox.closed.is_set()):
                pass  # a session without its main source ends with one error, not with two
            while not self._inbox.closed.is_set():
                reason = self._read()
                if self._has_ended or self._inbox.closed.is_set() or not self._waited(reason):
                    return
        except MediaError as error:
            self.error = error
            if not self._essential:
                self._inbox.put_notice(str(error))
        finally:
            with self._inbox.changed:
                self._inbox.changed.notify_all()

    def _read(self) -> str:
        """Read the source until it ends or is lost; returns why."""
        try:
            with closing(self._open()) as container, closing(self._prepared(container)) as reading:
                for packet in container.demux(*reading.streams):
                    if self._inbox.closed.is_set():
                        break
                    self._take(reading, packet)
                known = container.duration is not None and not self._address.patient  # of a video on a server
                self._has_ended = self._address.finite or known
                return "the stream ended"
        except (av.error.FFmpegError, IndexError) as error:  # IndexError: PyAV, where another stream appears
            if not self._received and not self._address.patient:
                raise self._unreadable(error) from None
            if self._address.finite:
                self._has_ended = True
                self._inbox.put_notice(f"{self._address.name}: cannot be read to its end ({_reason(error)})")
            return _reason(error)

    def _open(self) -> InputContainer:
        address = self._address
        if address.format == "alsa":
            prepare_alsa()
        container: InputContainer = av.open(
            address.url,
            format=address.format,
            options=dict(address.options),
            timeout=address.timeout,
            **LENIENT_TAGS,
        )
        return container

    def _prepared(self, container: InputContainer) -> _Pass:
        video = video_stream(container) if self._wants_video else None
        audio = audio_stream(container) if self._wants_audio else None
        if video is None and audio is None:
            kinds = "video" if not self._wants_audio else "video nor audio" if self._wants_video else "audio"
            raise MediaError(f"{self._address.name}: has no {kinds} that can be decoded. Give another source.")
        for stream in container.streams:
            if stream not in (video, audio):
                stream.discard = av.stream.Discard.all
        if video is not None:
            video.codec_context.thread_type = "SLICE"  # threads of frames would delay each frame
        if self._address.finite:
            self._clock = SourceClock(None, clock_zero(container))
        else:
            self._clock.restart()
        looks = None if video is None else Looks(video, turn=self._settings.turn)
        self._opened.set()
        return _Pass(video, audio, looks, partial(self._inbox.put_audio, drop=not self._fast))

    def _take(self, reading: _Pass, packet: Any) -> None:
        try:
            decoded = packet.stream.decode(packet)
        except av.error.FFmpegError:  # damaged data, as after a loss
            return
        for frame in decoded:
            self._arrived()
            if isinstance(frame, AudioFrame):
                self._take_audio(reading, frame)
            else:
                self._take_frame(reading, frame)

    def _take_frame(self, reading: _Pass, frame: av.VideoFrame) -> None:
        stream, looks = reading.video, reading.looks
        assert looks is not None
        looks.follow(frame)
        rate = stream.average_rate or stream.guessed_rate or _USUAL_RATE
        length = _time(frame.duration or None, stream) or round(TICKS_PER_SECOND / rate)
        start = self._clock.time(stream.index, Stamp(_time(frame.pts, stream), length))
        number, self._index = self._index, self._index + 1
        if start is None or max(start, 0) <= self._start:
            return
        self._start = start = max(start, 0)
        self.frames_end = start + length
        self._pace(start)
        wanted, shown = self._settings.wanted(start), self._settings.shown(start)
        if wanted or shown:
            found = Frame(number, start, start + length, frame, looks.of(frame))
            self._inbox.put_frame(_Waiting(self._wall(), found, wanted), drop=not self._fast)

    def _take_audio(self, reading: _Pass, frame: AudioFrame) -> None:
        length = sample_time(frame.samples, frame.sample_rate)
        start = self._clock.time(reading.audio.index, Stamp(_time(frame.pts, reading.audio), length))
        if start is None:
            return
        self._pace(start)
        for block in reading.track.push(frame, start):
            reading.put_audio(block)

    def _pace(self, start: int) -> None:
        """Wait until the time of what was read, if the source is ahead."""
        if not self._address.paced or self._fast:
            return
        self._wall.start()
        now = self._wall()
        if start > now + _AHEAD:
            self._inbox.closed.wait(seconds(start - now - _AHEAD))
        elif self._address.finite and start < now - ticks(1):  # decoding takes longer than playing
            self._wall.hold(now - start)

    def _arrived(self) -> None:
        if self._loss is not None and self._received:
            self._inbox.put_notice(f"{self._address.name}: is back after {self._loss.lasted:.0f} s")
        self._received, self._loss = True, None

    def _waited(self, reason: str) -> bool:
        """Wait for the next attempt; returns False if there have been enough."""
        name = self._address.name
        if self._loss is None:
            self._loss = _Loss(time.monotonic())
            if self._received:
                self._inbox.put_notice(f"{name}: lost ({reason}); trying again")
        if self._loss.lasted >= _GIVE_UP:
            self._inbox.put_notice(f"{name}: has not come back; ending")
            self.lost = True
            return False
        self._inbox.closed.wait(self._loss.pause)
        self._loss.pause = min(2 * self._loss.pause, _LONGEST_PAUSE)
        return True

    def _unreadable(self, error: Exception) -> MediaError:
        reason = _reason(error)
        return MediaError(f"{self._address.name}: cannot be opened ({reason}). Check that it exists and is not in use.")


class _AudioTrack:
    """Pieces of decoded audio as mono blocks, each piece where its timestamp says."""

    def __init__(self) -> None:
        self._mix: Downmix | None = None
        self._kind: tuple[tuple[str, ...], int] = ((), 1)
        self._start = self._taken = self._given = 0

    def push(self, frame: AudioFrame, start: int) -> Iterator[AudioBlock]:
        kind = channel_names(frame), frame.sample_rate
        expected = self._start + sample_time(self._taken, self._kind[1])
        if self._mix is None or kind != self._kind or abs(start - expected) > _JITTER:
            yield from self.close()
            self._mix, self._kind = Downmix(*kind), kind
            self._start, self._taken, self._given = start, 0, 0
        self._taken += frame.samples
        yield from self._blocks(self._mix.push(channels_of(frame)))

    def close(self) -> Iterator[AudioBlock]:
        """What the mix still holds."""
        if self._mix is not None:
            yield from self._blocks(self._mix.close())

    def _blocks(self, mixed: list[Any]) -> Iterator[AudioBlock]:
        for samples in mixed:
            yield AudioBlock(samples, self._start + sample_time(self._given, self._kind[1]), self._kind[1])
            self._given += len(samples)


def _time(pts: int | None, stream: Any) -> int | None:
    return None if stream.time_base is None else time_of(pts, stream.time_base)


def _reason(error: Exception) -> str:
    if isinstance(error, av.error.ExitError):
        return "no data"
    return (getattr(error, "strerror", None) or "its streams have changed").lower()
