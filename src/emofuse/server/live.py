"""Live sessions over a WebSocket: one at a time, in a process of its own, with back-pressure.

Client to server: a text message that starts the session, then binary ones: a byte for the kind (1 frame, 2 audio), the
time of capture as float64 (milliseconds of the session, little endian), of audio also the sample rate as uint32, and
the content: a JPEG or WebP image, or mono samples as float32. Of frames only the newest one waits; audio waits in turn.
"""

from __future__ import annotations

import asyncio
import math
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from emofuse.core.isolation import resident_bytes
from emofuse.core.parallel import Processes, interrupts_blocked
from emofuse.inference.batch import worker_bytes
from emofuse.server.api_models import LiveRequest, LiveStop
from emofuse.server.jobs import now
from emofuse.server.live_worker import AudioInput, FrameInput, Input, LiveStart, Message, StopInput, work
from emofuse.server.services import Services
from emofuse.server.uploads import typed_name

BUSY, POLICY = 4409, 1008  # close codes
_FRAME, _AUDIO = 1, 2
_HEAD, _AUDIO_HEAD = struct.Struct("<Bd"), struct.Struct("<BdI")
_RATES_HZ = range(8000, 192_001)
_AUDIO_SECONDS = 10.0  # that may wait
_MOST_FRAME_BYTES = 4 << 20
_AHEAD_MS = 5000.0  # by which times may be later than the clock
_LONGEST_MS = 12 * 3_600_000.0
_START_SECONDS, _STALL_SECONDS = 120.0, 30.0  # without an answer of the process
_FIRST_SECONDS, _IDLE_SECONDS = 15.0, 60.0  # without a message of the client
_MOST_UNSENT = 500  # messages for a client that does not read
_POLL_SECONDS = 0.5
_ENDING_SECONDS = 2.0  # in which a session that was stopped has ended
_TOO_LARGE = "its process needs too much memory"
_CRASHED = "its process crashed, perhaps on a damaged frame"


class InvalidMessageError(Exception):
    """A message that is not of the protocol, in one line."""


class LiveProcess:
    """The process of one session and the thread that feeds it.

    Args:
        deliver: called from the thread with each message for the client; None is the last one.
    """

    def __init__(self, start: LiveStart, deliver: Callable[[Message | None], None]) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, start), daemon=True, name="live")
        with interrupts_blocked():
            self._process.start()
        theirs.close()
        self._deliver = deliver
        self._limit = worker_bytes(2)
        self._condition = threading.Condition()
        self._frame: FrameInput | None = None
        self._audio: deque[AudioInput] = deque()
        self._audio_seconds = 0.0
        self._audio_is_next = True
        self._stop: StopInput | None = None
        self._killed = False
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="live", daemon=True)
        self._thread.start()

    def put_frame(self, frame: FrameInput) -> None:
        """The newest frame; one that still waits is dropped."""
        with self._condition:
            self._dropped += self._frame is not None
            self._frame = frame
            self._condition.notify()

    def put_audio(self, audio: AudioInput) -> None:
        """The next block of audio; of too many the oldest is dropped."""
        with self._condition:
            self._audio.append(audio)
            self._audio_seconds += _seconds(audio)
            while self._audio_seconds > _AUDIO_SECONDS:
                self._audio_seconds -= _seconds(self._audio.popleft())
            self._condition.notify()

    def stop(self, end_ms: float) -> None:
        """End the session after what waits."""
        with self._condition:
            self._stop = StopInput(end_ms)
            self._condition.notify()

    def kill(self) -> None:
        """End the process at once."""
        with self._condition:
            self._killed = True
            self._condition.notify()

    def join(self) -> None:
        """Wait until the process has ended."""
        self._thread.join(_POLL_SECONDS + 10)

    def _work(self) -> None:
        try:
            self._exchange()
        finally:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._deliver(None)

    def _exchange(self) -> None:
        if not self._answered(_START_SECONDS):
            return
        while (given := self._next()) is not None:
            with suppress(OSError):  # it died, which the answer says
                self._connection.send(given)
            if not self._answered(_STALL_SECONDS) or isinstance(given, StopInput):
                return

    def _next(self) -> Input | None:
        """The next input; None if the session was given up, or its process died while it waited."""
        with self._condition:
            while not (self._killed or self._audio or self._frame or self._stop):
                self._condition.wait(_POLL_SECONDS)
                if not self._process.is_alive():
                    self._failed(_CRASHED)
                    return None
            if self._killed:
                return None
            # In turn, so that neither waits for ever where the machine is too slow for both.
            if self._audio and (self._audio_is_next or self._frame is None):
                self._audio_is_next = False
                audio = self._audio.popleft()
                self._audio_seconds -= _seconds(audio)
                return audio
            self._audio_is_next = True
            frame, self._frame = self._frame, None
            return frame or self._stop

    def _answered(self, seconds: float) -> bool:
        """Deliver the answer of the process; False if there is none, which the client is told."""
        waiting = 0.0
        try:
            while not self._connection.poll(_POLL_SECONDS):
                waiting += _POLL_SECONDS
                if self._killed:
                    return False
                if waiting > seconds:
                    return self._failed(f"there was no answer for {seconds:.0f} s")
                if self._is_too_large():
                    return self._failed(_TOO_LARGE)
            messages: list[Message] = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return self._failed(_CRASHED)
        for message in messages:
            self._pass_on(message)
        if self._is_too_large():
            return self._failed(_TOO_LARGE)
        return not any(message["type"] == "error" for message in messages)

    def _is_too_large(self) -> bool:
        return resident_bytes(self._process.pid) > self._limit

    def _pass_on(self, message: Message) -> None:
        kind = message["type"]
        self._dropped += kind in ("unwanted", "damaged")
        if kind == "unwanted":
            return
        if kind == "frame":
            self._deliver({**message, "dropped": self._dropped})
        else:
            self._deliver(message)

    def _failed(self, reason: str) -> bool:
        self._deliver({"type": "error", "error": f"the live session ended: {reason}; start it again."})
        return False


def _seconds(audio: AudioInput) -> float:
    return len(audio.content) / 4 / audio.rate_hz


class _Session:
    """A client's session, in the event loop; live state."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket, self._loop = socket, asyncio.get_running_loop()
        self._unsent: asyncio.Queue[Message | None] = asyncio.Queue()
        self._began: float | None = None  # when it was ready, on the monotonic clock
        self._latest_ms = 0.0
        self._process: LiveProcess | None = None
        self._ended = asyncio.Event()

    async def run(self, start: LiveStart) -> None:
        """Start the process, and pass messages on until it ends.

        Raises:
            InvalidMessageError: the client sent something wrong; what it sent before is a result.
        """
        self._process = await asyncio.to_thread(LiveProcess, start, self._deliver)
        sending = asyncio.create_task(self._send_all(self._process))
        receiving = asyncio.create_task(self._receive_all(self._process))
        try:
            await self._ended.wait()
            if receiving.done():
                receiving.result()
        finally:
            self._process.kill()
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)
            await asyncio.to_thread(self._process.join)

    def _deliver(self, message: Message | None) -> None:
        """Called from the thread of the process."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._unsent.put_nowait, message)

    async def _send_all(self, process: LiveProcess) -> None:
        """Send what the process says, until it ends."""
        while (message := await self._unsent.get()) is not None:
            if message["type"] == "ready":
                self._began = time.monotonic()
            if self._unsent.qsize() > _MOST_UNSENT:  # the client does not read
                process.kill()
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._socket.send_json(message)
        self._ended.set()

    async def _receive_all(self, process: LiveProcess) -> None:
        """Pass on what the client sends, until it stops, leaves, or sends something wrong."""
        try:
            while True:
                message = await asyncio.wait_for(self._socket.receive(), _IDLE_SECONDS)
                if message["type"] == "websocket.disconnect" or _is_stop(message.get("text")):
                    break
                self._receive(process, message["bytes"])
        except TimeoutError:
            pass
        except InvalidMessageError as error:
            self._unsent.put_nowait({"type": "error", "error": str(error)})
            raise
        finally:
            process.stop(self._latest_ms)

    def _receive(self, process: LiveProcess, content: bytes | None) -> None:
        now_ms = 0.0 if self._began is None else 1000 * (time.monotonic() - self._began)
        given = read_input(content, now_ms)
        if isinstance(given, FrameInput):
            self._latest_ms = max(self._latest_ms, given.time_ms)
            process.put_frame(given)
        else:
            self._latest_ms = max(self._latest_ms, given.time_ms + 1000 * _seconds(given))
            process.put_audio(given)


def read_input(content: bytes | None, now_ms: float) -> FrameInput | AudioInput:
    """The frame or audio in a binary message; `now_ms`: the time since the session was ready.

    Raises:
        InvalidMessageError: it is not one.
    """
    _check(content is not None and len(content) > _HEAD.size, "the message is too short.")
    assert content is not None
    kind, time_ms = _HEAD.unpack_from(content)
    _check(math.isfinite(time_ms) and 0 <= time_ms <= now_ms + _AHEAD_MS, "the time is not that of now.")
    _check(time_ms < _LONGEST_MS, "a session may last 12 hours.")
    _check(kind in (_FRAME, _AUDIO), "the kind is neither a frame (1) nor audio (2).")
    if kind == _FRAME:
        _check(len(content) <= _MOST_FRAME_BYTES, "the frame is too large.")
        return FrameInput(time_ms, content[_HEAD.size :])
    _check(len(content) > _AUDIO_HEAD.size, "the message is too short.")
    _, _, rate = _AUDIO_HEAD.unpack_from(content)
    _check(rate in _RATES_HZ, "the sample rate is not from 8000 to 192000.")
    audio = AudioInput(time_ms, rate, content[_AUDIO_HEAD.size :])
    _check(len(audio.content) % 4 == 0 and _seconds(audio) <= _AUDIO_SECONDS, "the audio has a wrong length.")
    return audio


def _check(condition: Any, problem: str) -> None:
    if not condition:
        raise InvalidMessageError(problem)


def _is_stop(text: str | None) -> bool:
    if text is None:
        return False
    try:
        LiveStop.model_validate_json(text)
    except ValidationError:
        raise InvalidMessageError('the text is not {"type": "stop"}.') from None
    return True


def live_routes(services: Services) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        if not await asyncio.to_thread(services.live.acquire, timeout=_ENDING_SECONDS):
            await socket.close(BUSY, "another client has a live session; end it first.")
            return
        try:
            request = await _asked(socket)
            name = typed_name(request.name or f"live {now()[:16].replace('T', ' ').replace(':', '')}")
            with services.queue.unused_name(name) as chosen:
                stem = chosen if request.record else None
                settings = services.settings
                start = LiveStart(settings.bundle, settings.results, chosen, stem, request.camera, Processes(1).threads)
                await _Session(socket).run(start)
            with suppress(RuntimeError, WebSocketDisconnect):
                await socket.close()
        except InvalidMessageError as error:
            with suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(POLICY, str(error))
        except WebSocketDisconnect:
            pass
        finally:
            services.live.release()
            services.events.publish("results")

    return router


async def _asked(socket: WebSocket) -> LiveRequest:
    """The first message; the client is told if it is not one.

    Raises:
        InvalidMessageError: it is not one, or does not come.
    """
    try:
        return await _first(socket)
    except InvalidMessageError as error:
        with suppress(RuntimeError, WebSocketDisconnect):
            await socket.send_json({"type": "error", "error": str(error)})
        raise


async def _first(socket: WebSocket) -> LiveRequest:
    try:
        text = await asyncio.wait_for(socket.receive_text(), _FIRST_SECONDS)
        return LiveRequest.model_validate_json(text)
    except (ValidationError, KeyError):
        raise InvalidMessageError('the first message is not {"type": "start", "record": false}.') from None
    except TimeoutError:
        raise InvalidMessageError("no first message came.") from None
