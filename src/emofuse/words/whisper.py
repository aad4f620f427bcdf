"""Transcription of audio by Whisper models that are on this machine, with faster-whisper (the extra `words`)."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import file_digest, printable
from emofuse.core.time import ticks
from emofuse.errors import SettingsError, WeightsError
from emofuse.words.transcript import Cue, Word

RATE_HZ = 16_000


class Transcription(NamedTuple):
    """Cues as they are found, on the clock of the samples, and the language, such as "en"."""

    cues: Iterator[Cue]
    language: str | None


class Transcriber(Protocol):
    """Transcribes audio.

    name: of the model, as users give it. identity: changes with anything that could change a result.
    """

    name: str
    identity: str

    def __call__(self, samples: NDArray[np.float32]) -> Transcription:
        """Mono audio float32 [n] at `RATE_HZ`."""
        ...


class Whisper:
    """A model of Whisper in the format of CTranslate2."""

    def __init__(self, name: str, folder: Path, *, threads: int = 0) -> None:
        from faster_whisper import WhisperModel

        self.name = name
        versions = " ".join(f"{package} {version(package)}" for package in ("faster-whisper", "ctranslate2"))
        self.identity = f"{versions} {file_digest(folder / _MODEL)}"
        self._model: Any = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=threads)

    def __call__(self, samples: NDArray[np.float32]) -> Transcription:
        # One temperature, since higher ones draw random words, and no text of the window before, which it may repeat.
        segments, info = self._model.transcribe(
            samples, word_timestamps=True, vad_filter=True, temperature=0.0, condition_on_previous_text=False
        )
        return Transcription(map(_cue, segments), info.language)


_MODEL = "model.bin"


def load_transcriber(model: str, *, threads: int = 0) -> Transcriber:
    """A model by its name in faster-whisper, such as "base.en", or by its folder; nothing is downloaded.

    Raises:
        SettingsError: faster-whisper is not installed, or there is no such name.
        WeightsError: the model is not on this machine.
    """
    if importlib.util.find_spec("faster_whisper") is None:
        raise SettingsError(
            f"--transcribe {model}: needs faster-whisper, which is not installed; pip install 'emofuse[words]', or "
            "give a --transcript."
        )
    folder = Path(model)
    if not folder.is_dir():
        folder = _cached(model)
    if not (folder / _MODEL).is_file():
        raise WeightsError(f"--transcribe {printable(model)}: the folder has no {_MODEL}, as CTranslate2 writes it.")
    return Whisper(folder.name if Path(model).is_dir() else model, folder, threads=threads)


def _cached(model: str) -> Path:
    from faster_whisper.utils import download_model

    try:
        return Path(download_model(model, local_files_only=True))
    except ValueError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise SettingsError(
            f"--transcribe {model}: neither a folder nor a model of faster-whisper ({reason})."
        ) from None
    except OSError:
        raise WeightsError(
            f"--transcribe {model}: is not on this machine, and emofuse does not download it. Do so once with "
            f"python -c \"import faster_whisper; faster_whisper.download_model('{model}')\", or give a folder."
        ) from None


def _cue(segment: Any) -> Cue:
    words = tuple(Word(ticks(w.start), ticks(w.end), w.word.strip()) for w in segment.words or () if w.word.strip())
    return Cue(ticks(segment.start), ticks(segment.end), segment.text.strip(), None, words)
