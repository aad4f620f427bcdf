"""Small FER-2013 files in the distributed forms, with random faces whose dark bar depends on the class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import FER2013

KAGGLE_USAGES = ("Training", "PublicTest", "PrivateTest")


def generate_faces(labels: Sequence[int], *, seed: int = 0) -> NDArray[np.uint8]:
    """Noisy grey faces uint8 [n, 48, 48] with a dark bar at one of seven heights, by class."""
    rng = np.random.default_rng(seed)
    faces = rng.integers(120, 200, (len(labels), 48, 48)).astype(np.uint8)
    for face, label in zip(faces, labels, strict=True):
        face[6 * label : 6 * label + 6] //= 4
    return faces


def write_table(
    path: Path,
    rows: Iterable[tuple[object, Sequence[int] | NDArray[np.uint8] | str, str]],
    *,
    header: str = "emotion,pixels,Usage",
) -> Path:
    """Kaggle's table; a row is emotion, pixels (numbers or text) and Usage."""
    lines = [header]
    for emotion, pixels, usage in rows:
        text = pixels if isinstance(pixels, str) else " ".join(map(str, np.asarray(pixels).ravel().tolist()))
        lines.append(f"{emotion},{text},{usage}")
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def write_images(
    root: Path, rows: Iterable[tuple[int, NDArray[np.uint8], str]], *, names: Sequence[str] = FER2013.names
) -> Path:
    """Kaggle's folders: train/ and test/, each with a folder per emotion; file names begin with the usage."""
    for n, (emotion, face, usage) in enumerate(rows):
        folder = root / ("train" if usage == "Training" else "test") / names[emotion]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{usage}_{n:04d}.png"), face)
    return root


def write_random_table(path: Path, *, train: int = 70, test: int = 28, seed: int = 0) -> Path:
    """A table of random faces with balanced classes; each of the two test sets has `test` of them."""
    counts = dict(zip(KAGGLE_USAGES, (train, test, test), strict=True))
    labels = [n % 7 for count in counts.values() for n in range(count)]
    usages = [usage for usage, count in counts.items() for _ in range(count)]
    return write_table(path, zip(labels, generate_faces(labels, seed=seed), usages, strict=True))
