"""The process of a live session: decodes and scores what it receives, and writes the recorded rows at the end.

Only this process decodes what a client sends, so damaged or hostile frames can end it, but not the server. Modules that
load libraries are imported in it alone, once the libraries' limits are set.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.core.parallel import prepare_worker
from emofuse.errors import EmofuseError

if TYPE_CHECKING:
    import pandas as pd

    from emofuse.inference.live import LiveSession, LiveUpdate
    from emofuse.inference.predictor import Predictor

RATE_HZ = 10  # rows per second, and frames that are processed
_MOST_PIXELS = 1 << 24  # of a frame
_MOST_DAMAGED = 10  # frames in a row
_TICKS_PER_MS = 705_600


@dataclass(frozen=True)
class LiveStart:
    """What a session begins with.

    stem: the name of its result; None if it is not recorded. camera: whether frames will come. threads: of its process.
    """

    bundle: str
    results: Path
    name: str
    stem: str | None
    camera: bool
    threads: int


@dataclass(frozen=True)
class FrameInput:
    """A JPEG or WebP image; time in milliseconds of the session."""

    time_ms: float
    content: bytes


@dataclass(frozen=True)
class AudioInput:
    """Mono samples, float32 little endian; time of the first in milliseconds of the session."""

    time_ms: float
    rate_hz: int
    content: bytes


@dataclass(frozen=True)
class StopInput:
    """The end of the session, in milliseconds."""

    time_ms: float


Input = FrameInput | AudioInput | StopInput
Message = dict[str, Any]


def work(connection: Connection, start: LiveStart) -> None:
    """The main function of the process: a list of messages for each input, the first one when it is ready."""
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(_MOST_PIXELS)  # read when OpenCV is imported
    prepare_worker(start.threads)
    try:
        worker = _Worker(start)
        connection.send([worker.ready()])
        while not worker.ended:
            connection.send(worker.messages(connection.recv()))
    except (EOFError, OSError):  # the server gave it up
        return
    except EmofuseError as error:
        connection.send([{"type": "error", "error": str(error)}])


class _Worker:
    """The session and the rows that are recorded; live state."""

    def __init__(self, start: LiveStart) -> None:
        from fractions import Fraction

        import pandas  # noqa: F401  the first rows need it, and must not wait for its import

        from emofuse.inference.live import LiveSession
        from emofuse.inference.predictor import Options, Predictor
        from emofuse.runtime import Engine

        options = Options(start.bundle, rate_hz=Fraction(RATE_HZ), engine=Engine(start.threads))
        self._start = start
        self._predictor: Predictor = Predictor(options)
        self._session: LiveSession = LiveSession(self._predictor, start.name)
        self._rows: list[pd.DataFrame] = []
        self._frames = 0
        self._frames_start = -1  # of the last one, ticks
        self._damaged_frames = 0  # in a row
        self._audio_end_ms = 0.0  # end of the audio
        self.ended = False
        self._actions: dict[type[Input], Callable[[Any], Iterator[Message]]] = {
            FrameInput: self._frame,
            AudioInput: self._audio,
            StopInput: self._stop,
        }

    def ready(self) -> Message:
        """The first message."""
        from emofuse.core.colour import COLOURS

        labels = list(self._predictor.bundle.label_set.names)
        colours = {label: COLOURS[n % len(COLOURS)] for n, label in enumerate(labels)}
        return {"type": "ready", "labels": labels, "colours": colours, "rate": RATE_HZ}

    def messages(self, given: Input) -> list[Message]:
        """What results from an input."""
        return list(self._actions[type(given)](given))

    def _frame(self, given: FrameInput) -> Iterator[Message]:
        from emofuse.core.time import ticks
        from emofuse.errors import DataError
        from emofuse.media.images import decode_image
        from emofuse.media.video import Frame

        began = time.perf_counter()
        start = _ticks(given.time_ms)
        if start <= self._frames_start or not self._session.uses(start):
            yield {"type": "unwanted"}
            return
        try:
            image = decode_image(given.content, f"the frame at {given.time_ms:.0f} ms")
        except DataError as error:
            yield from self._damaged(given, error)
            return
        self._damaged_frames = 0
        self._frames_start = start
        frame = Frame.from_rgb(image, index=self._frames, start=start, end=start + ticks(1 / RATE_HZ))
        self._frames += 1
        processed = self._session.wants(start)
        update = self._session.push_frame(frame)
        if not processed:  # it only shows who speaks
            yield {"type": "used", "time_ms": given.time_ms}
            yield from self._final(update)
            return
        yield {
            "type": "frame",
            "time_ms": given.time_ms,
            "faces": [asdict(face) for face in update.faces],
            "voice": update.voice,
            "processing_ms": round(1000 * (time.perf_counter() - began), 1),
        }
        yield from self._final(update)

    def _damaged(self, given: FrameInput, error: EmofuseError) -> Iterator[Message]:
        """A frame that cannot be decoded is dropped; after several in a row there is no use in going on."""
        self._damaged_frames += 1
        yield {"type": "damaged", "time_ms": given.time_ms, "error": str(error)}
        if self._damaged_frames == _MOST_DAMAGED:
            line = f"{_MOST_DAMAGED} frames in a row cannot be decoded; send JPEG or WebP images, and start again."
            yield {"type": "error", "error": line}
            yield from self._stop(StopInput(max(given.time_ms, self._audio_end_ms)))

    def _audio(self, given: AudioInput) -> Iterator[Message]:
        import numpy as np

        from emofuse.media.audio import AudioBlock

        samples = np.frombuffer(given.content, "<f4")
        block = AudioBlock(samples, _ticks(given.time_ms), given.rate_hz)
        self._audio_end_ms = max(self._audio_end_ms, given.time_ms + 1000 * len(samples) / given.rate_hz)
        yield from self._final(self._session.push_audio(block))
        if not self._start.camera:
            yield from self._final(self._session.advance(block.end))

    def _stop(self, given: StopInput) -> Iterator[Message]:
        from emofuse.server.live_results import speaker_warnings, write_live_result

        self.ended = True
        yield from self._final(self._session.close(_ticks(given.time_ms)))
        if self._start.stem is not None and self._rows:
            warnings = [*self._session.warnings, *speaker_warnings(self._rows)]
            write_live_result(self._start.results, self._start.stem, self._rows, self._predictor, warnings)
        yield {"type": "stopped", "result": self._start.stem if self._rows else None}

    def _final(self, update: LiveUpdate) -> Iterator[Message]:
        from emofuse.inference.live import records

        if update.rows is None or not len(update.rows):
            return
        if self._start.stem is not None:
            self._rows.append(update.rows)
        yield {"type": "rows", "rows": records(update.rows)}


def _ticks(time_ms: float) -> int:
    return round(time_ms * _TICKS_PER_MS)
