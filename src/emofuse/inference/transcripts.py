"""Where the words of a video come from: a transcript that is given or beside it, or a transcription of its audio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import printable
from emofuse.core.time import TICKS_PER_SECOND, Timeline, seconds, ticks
from emofuse.errors import DataError, MediaError, SettingsError
from emofuse.inference.audio_track import choose_track
from emofuse.inference.selection import Selection
from emofuse.media.audio import AudioReader
from emofuse.media.container import MediaFile
from emofuse.speech import SpeechDetector
from emofuse.words import Cue, Transcript, Word, read_transcript, transcript_beside
from emofuse.words.whisper import RATE_HZ, Transcriber

AUTO = "auto"
_BLOCK_SECONDS = 10
_PIECE_SECONDS = 600  # are transcribed together, so that memory stays flat; a sentence across the border is divided


@dataclass(frozen=True)
class WordsSource:
    """Where words come from; by default from nowhere.

    file: a transcript. beside: use the transcript of the same name beside each video.
    model: of Whisper, for videos without a transcript.
    """

    file: Path | None = None
    beside: bool = False
    model: str | None = None

    @classmethod
    def parse(cls, transcript: str | Path | None = None, transcribe: str | None = None) -> WordsSource:
        """A source as users give it: a file or "auto", and a model.

        Raises:
            SettingsError: a file and a model are given, or the transcript is a folder.
        """
        beside = str(transcript) == AUTO
        file = None if transcript is None or beside else Path(transcript)
        if file is not None and transcribe is not None:
            raise SettingsError(
                "--transcribe: there is a --transcript already; leave one out, or give --transcript auto."
            )
        if file is not None and file.is_dir():
            raise SettingsError(
                f"--transcript {printable(file)}: is a folder; put each transcript beside its video, with the same "
                "name, and give --transcript auto."
            )
        return cls(file, beside, transcribe)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self != WordsSource()

    def transcript_of(self, media: Path) -> Path | None:
        """The file of the transcript of a video; None if there is none.

        Raises:
            DataError: the file that was given does not exist.
        """
        if self.file is not None and not self.file.is_file():
            raise DataError(f"{printable(self.file)}: no such file; give a transcript, or --transcript auto.")
        return self.file or (transcript_beside(media) if self.beside else None)

    def read(self, media: Path) -> Transcript | None:
        """The transcript of a video; None if there is none.

        Raises:
            DataError: it cannot be read.
        """
        path = self.transcript_of(media)
        return None if path is None else read_transcript(path)


@dataclass(frozen=True)
class Listening:
    """What is transcribed of a file, and how.

    activity: detects speech, to choose among several tracks; None for the track that players play.
    progress: called now and then.
    """

    transcriber: Transcriber
    selection: Selection
    activity: SpeechDetector | None
    progress: Callable[[], None]

    def transcribe(self, media: Path) -> Transcript:
        """The words in the audio of a file; none, with a warning, if it has no audio that can be decoded."""
        source, cues, language, warnings = f"Whisper {self.transcriber.name}", list[Cue](), None, list[str]()
        with suppress(MediaError), MediaFile(media) as file:
            if not file.has_audio:
                return Transcript((), source, None, ("has no audio, so nothing was transcribed",))
            try:
                for start, samples in self._pieces(file):
                    found = self.transcriber(samples)
                    language = language or found.language
                    for cue in found.cues:
                        cues.append(_moved(cue, start))
                        self.progress()
            except MediaError:  # the scoring of the voice reports it; what was decoded before is kept
                warnings.append("its audio cannot be read to its end, and is transcribed up to there")
        return Transcript.of([cue for cue in cues if cue.end > cue.start], source, language=language, warnings=warnings)

    def _pieces(self, file: MediaFile) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The start (ticks) and the samples of each piece of the selected audio."""
        track = self.selection.audio_stream(file)
        if track is None and self.activity is not None:
            track = choose_track(file, self.activity, RATE_HZ).stream
        held, size, start = list[NDArray[np.float32]](), 0, self.selection.start
        with AudioReader(file, rate_hz=RATE_HZ, track=track) as audio:
            for block in audio.blocks(_BLOCK_SECONDS):
                self.progress()
                part = self.selection.audio(block)
                if part is not None:
                    held.append(part.samples)
                    size += len(part.samples)
                if size >= _PIECE_SECONDS * RATE_HZ:
                    yield start, np.concatenate(held)
                    start, held, size = start + size * TICKS_PER_SECOND // RATE_HZ, [], 0
        if held:
            yield start, np.concatenate(held)


def _moved(cue: Cue, start: int) -> Cue:
    words = tuple(Word(word.start + start, word.end + start, word.text) for word in cue.words)
    return replace(cue, start=cue.start + start, end=cue.end + start, words=words)


def misplaced(transcript: Transcript, timeline: Timeline, *, cut: bool) -> str | None:
    """A warning if no cue lies within the rows, or if cues last more than a second beyond them.

    cut: only a part of the video is processed, so cues beyond it are no fault.
    """
    cues, start, end = transcript.cues, int(timeline.start[0]), int(timeline.end[-1])
    if cues and not any(cue.start < end and start < cue.end for cue in cues):
        first, last = seconds(cues[0].start), seconds(cues[-1].end)
        return (
            f"{len(cues)} of {len(cues)} cues of {transcript.source} ({first:.1f} to {last:.1f} s) are outside "
            f"{seconds(start):.1f} to {seconds(end):.1f} s, so no words were scored"
        )
    late = 0 if cut else sum(cue.end > end + ticks(1) for cue in cues)
    if not late:
        return None
    return f"{late} of {len(cues)} cues of {transcript.source} last beyond the end of the video and are cut"
