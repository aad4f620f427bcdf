"""Small FER-2013 sets in the forms that users have: made faces whose mouth tells the emotion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import FER2013

KAGGLE_USAGES = ("Training", "PublicTest", "PrivateTest")


def made_faces(labels: Sequence[int], *, seed: int = 0) -> NDArray[np.uint8]:
    """Noisy grey faces uint8 [n, 48, 48] with a dark bar whose height is that of the class, of seven."""
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
    """Kaggle's folders: train/ and test/, both with a folder for each emotion, and the part in the file's name."""
    for n, (emotion, face, usage) in enumerate(rows):
        folder = root / ("train" if usage == "Training" else "test") / names[emotion]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{usage}_{n:04d}.png"), face)
    return root


def fer_table(path: Path, *, train: int = 70, judged: int = 28, seed: int = 0) -> Path:
    """A table of made faces, all classes alike often; `judged` of them in each of the test parts."""
    counts = dict(zip(KAGGLE_USAGES, (train, judged, judged), strict=True))
    labels = [n % 7 for count in counts.values() for n in range(count)]
    usages = [usage for usage, count in counts.items() for _ in range(count)]
    return write_table(path, zip(labels, made_faces(labels, seed=seed), usages, strict=True))
