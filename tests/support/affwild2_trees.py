"""Small Aff-Wild2 folders for tests: every film is encoded once for a test run and copied into place."""

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

Film = Callable[..., Path]


def make_film(folder: Path, frames: int, *, sound: bool = True, suffix: str = ".mp4", times: str = "even") -> Path:
    """A film of 30 frames a second; with uneven times, frame n is shown from n * n / 30 seconds on."""
    path = folder / f"{frames}-{sound}-{times}{suffix}"
    if not path.exists():
        write_media(
            path,
            moving_bar(frames, 64, 48),
            codec="mpeg4" if suffix == ".avi" else "libx264",
            times=None if times == "even" else [n * n for n in range(frames)],
            time_base=Fraction(1, 30),
            audio=tone_burst(44100, length=frames / 30) if sound else None,
            audio_codec="mp3" if suffix == ".avi" else "aac",
        )
    return path


def picture(number: int, size: int = 8) -> bytes:
    """A grey picture that is the brighter the higher the number."""
    return encode_jpeg(np.full((size, size, 3), min(number * 8, 255), np.uint8))


@dataclass(frozen=True)
class Tree:
    """A folder that fills up with what a test asks for."""

    root: Path
    film: Film

    def video(self, name: str, frames: int = 14, *, folder: str = "videos/batch1", **kind: object) -> Path:
        source = self.film(frames, **kind)
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
        place = self.root / folder / entry
        place.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            (place / f"{number:05d}.jpg").write_bytes(picture(number))
        return place

    def entry(self, name: str, labels: Sequence[object] = (*ALL, *ALL), *, folder: str = TRAIN) -> None:
        """A video, images of all its frames and labels: nothing is wrong with it."""
        self.video(name)
        self.images(name)
        self.labels(name, labels, folder=folder)
