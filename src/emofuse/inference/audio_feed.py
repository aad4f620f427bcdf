"""The audio of a file, decoded and scored in a thread of its own while its video is processed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial

from emofuse.core.prefetch import prefetch
from emofuse.core.time import ticks
from emofuse.errors import MediaError
from emofuse.inference.audio_track import choose_track
from emofuse.inference.selection import Selection
from emofuse.inference.session import Session, SessionOutput
from emofuse.media.audio import AudioBlock, AudioReader
from emofuse.media.container import MediaFile
from emofuse.speech import SpeechDetector
from emofuse.systems import VOICE

_BLOCK_SECONDS = 10


class AudioFeed:
    """Pushes the audio of a file into a session, from its start to its end, for one modality.

    activity: detects speech, to choose among several tracks. rate_hz: sample rate of the modality's audio.
    selection: the part of the file that is processed. track: index of the stream that is scored, once it is chosen.
    warnings: problems of audio that can be read nevertheless. error: what ended the reading early, if anything.
    reached: end of the audio so far, ticks; the end of the stream, once `outputs(None)` is exhausted.
    """

    def __init__(
        self,
        file: MediaFile,
        session: Session,
        activity: SpeechDetector,
        rate_hz: int,
        modality: str = VOICE,
        selection: Selection | None = None,
    ) -> None:
        self.warnings: list[str] = []
        self.error: MediaError | None = None
        self.reached = 0
        self.track: int | None = None
        self._selection = selection or Selection()
        push = partial(session.push_audio, modality=modality)
        self._outputs = prefetch(self._read(file, push, activity, rate_hz))
        self._started = False

    def outputs(self, until: int | None) -> Iterator[SessionOutput]:
        """The outputs of blocks that end `_BLOCK_SECONDS` before a time (ticks), or of all that are left."""
        while until is None or not self._started or self.reached + ticks(_BLOCK_SECONDS) <= until:
            self._started = True
            if (found := next(self._outputs, None)) is None:
                return
            self.reached, output = found
            yield output

    def close(self) -> None:
        """End the thread."""
        self._outputs.close()

    def _read(
        self, file: MediaFile, push: Callable[[AudioBlock], SessionOutput], activity: SpeechDetector, rate_hz: int
    ) -> Generator[tuple[int, SessionOutput], None, None]:
        yield 0, SessionOutput()  # at once, so that the first block is scored in the background
        try:
            self.track = self._chosen_track(file, activity, rate_hz)
            with AudioReader(file, rate_hz=rate_hz, track=self.track) as audio:
                reached = 0
                for block in audio.blocks(_BLOCK_SECONDS):
                    part, reached = self._selection.audio(block), self._selection.until(block.end)
                    yield reached, SessionOutput() if part is None else push(part)
                    if reached < block.end:
                        break
                self.warnings += audio.warnings
                yield reached, SessionOutput()
        except MediaError as error:
            self.error = error

    def _chosen_track(self, file: MediaFile, activity: SpeechDetector, rate_hz: int) -> int | None:
        if (given := self._selection.audio_stream(file)) is not None:
            return given
        track = choose_track(file, activity, rate_hz)
        self.warnings += [track.note] if track.note else []
        return track.stream
