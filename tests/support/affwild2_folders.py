"""Small Aff-Wild2 folders; each video is encoded once per test run and copied into place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from emofuse.media.images import encode_jpeg
from support.media_files import moving_bar, tone_burst, write_media

HEADER = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise"
HEADER_8 = f"{HEADER},Other"
TRAIN = "annotations/EXPR_Set/Training_Set"
VALIDATION = "annotations/EXPR_Set/Validation_Set"
ALL = [0, 1, 2, 3, 4, 5, 6]

MakeVideo = Callable[..., Path]


def make_video(folder: Path, frames: int, *, audio: bool = True, suffix: str = ".mp4", times: str = "even") -> Path:
    """A video of 30 frames per second; with uneven times, frame n begins at n * n / 30 seconds."""
    path = folder / f"{frames}-{audio}-{times}{suffix}"
    if not path.exists():
        write_media(
            path,
            moving_bar(frames, 64, 48),
            codec="mpeg4" if suffix == ".avi" else "libx264",
            times=None if times == "even" else [n * n for n in range(frames)],
            time_base=Fraction(1, 30),
            audio=tone_burst(44100, length=frames / 30) if audio else None,
            audio_codec="mp3" if suffix == ".avi" else "aac",
        )
    return path


def grey_image(number: int, size: int = 8) -> bytes:
    """A grey image whose brightness increases with the number."""
    return encode_jpeg(np.full((size, size, 3), min(number * 8, 255), np.uint8))


@dataclass(frozen=True)
class Tree:
    """An Aff-Wild2 folder to which tests add files."""

    root: Path
    make_video: MakeVideo

    def video(self, name: str, frames: int = 14, *, folder: str = "videos/batch1", **kind: object) -> Path:
        source = self.make_video(frames, **kind)
        path = self.root / folder / f"{name}{source.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path)
        return path

    def labels(self, entry: str, labels: Iterable[object] = (*ALL, *ALL), *, folder: str = TRAIN) -> Path:
        return self.text(entry, [HEADER_8 if "EXPR_Set" not in folder else HEADER, *labels], folder=folder)

    def text(self, entry: str, lines: Iterable[object], *, folder: str = TRAIN) -> Path:
        path = self.root / folder / f"{entry}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), newline="")
        return path

    def images(self, entry: str, numbers: Iterable[int] = range(1, 15), *, folder: str = "cropped_aligned") -> Path:
        path = self.root / folder / entry
        path.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            (path / f"{number:05d}.jpg").write_bytes(grey_image(number))
        return path

    def entry(self, name: str, labels: Sequence[object] = (*ALL, *ALL), *, folder: str = TRAIN) -> None:
        """Add a video, images of all its frames, and labels, without problems."""
        self.video(name)
        self.images(name)
        self.labels(name, labels, folder=folder)
