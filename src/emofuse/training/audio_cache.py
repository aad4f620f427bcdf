"""Audio of clips for training: decoded and separated once, cached by digest, cut into windows as in prediction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emofuse.core.files import atomic, digest, file_digest
from emofuse.core.time import TICKS_PER_SECOND
from emofuse.core.types import Clip
from emofuse.core.windows import Windows
from emofuse.errors import DataError
from emofuse.inference.audio_stages import AudioStages, AudioWindow, AudioWindowScore, WindowScorer
from emofuse.media.audio import AudioBlock, AudioReader
from emofuse.media.container import MediaFile
from emofuse.models.voice import FrameScorer

_BLOCK_SECONDS = 30.0


@dataclass(frozen=True)
class AudioCache:
    """The audio of clips at the rate of `windows`; each file is read once and cached in `folder` under its digest."""

    windows: Windows
    stages: AudioStages
    folder: Path

    def path(self, clip: Clip) -> Path | None:
        """The file of a clip's samples, float32 from clip time 0; None if the clip has no audio stream.

        Raises:
            DataError: the clip has no file.
            MediaError: its audio cannot be read.
        """
        file = clip.audio or clip.video
        if file is None:
            raise DataError(f"{clip.id}: has neither a video nor an audio file.")
        with MediaFile(file) as media:
            if not media.has_audio:
                return None
        rate = self.windows.rate_hz
        name = {"audio": file_digest(file), "rate_hz": rate, "separation": self.stages.separation.identity}
        path = self.folder / f"{digest(name)}.f32"
        if not path.exists():
            with atomic(path) as partial, partial.open("wb") as out, AudioReader(file, rate_hz=rate) as reader:
                voice = self.stages.separation.stream(rate)
                for block in reader.blocks(_BLOCK_SECONDS):
                    for clean in voice.push(block):
                        out.write(clean.samples.tobytes())
                for clean in voice.close():
                    out.write(clean.samples.tobytes())
        return path

    def scores(self, path: Path, scorer: WindowScorer | FrameScorer) -> list[AudioWindowScore]:
        """Scores of the windows of cached samples."""
        stage = self.stages.scoring(self.windows, scorer)
        found = [score for block in blocks(mapped(path), self.windows.rate_hz) for score in stage.push(block)]
        return found + stage.close()

    def spoken(self, path: Path) -> list[AudioWindow]:
        """The windows of cached samples in which somebody speaks long enough, without their samples."""
        stage = self.stages.cutter(self.windows)
        spoken = [
            window._replace(samples=None)
            for block in blocks(mapped(path), self.windows.rate_hz)
            for window in stage.push(block)
            if window.samples is not None
        ]
        return spoken + [w._replace(samples=None) for w in stage.close() if w.samples is not None]


def blocks(samples: NDArray[np.float32], rate_hz: int) -> Iterator[AudioBlock]:
    """Samples in blocks of 30 s, as they are pushed into audio stages."""
    size = round(_BLOCK_SECONDS * rate_hz)
    for first in range(0, len(samples), size):
        yield AudioBlock(np.array(samples[first : first + size]), first * TICKS_PER_SECOND // rate_hz, rate_hz)


def mapped(path: Path) -> NDArray[np.float32]:
    """Cached samples, read from disk on access."""
    return np.memmap(path, np.float32, "r") if path.stat().st_size else np.zeros(0, np.float32)
