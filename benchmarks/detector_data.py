"""Collects the photographs that the bundled face detector was trained, chosen and measured on.

    python benchmarks/detector_data.py DATA OUT --backgrounds FOLDER...
    emofuse train face-detector --data OUT --out RUN

DATA holds `faces/lfw` (with people.csv), `faces/rafdb` and `clips`; the background folders hold any images, such as
wallpapers, whose faces the training finds by itself. OUT gets the folders `train`, `validation` and `test` with grey
JPEG files: LFW by people, clips by speakers (four for training, one each to choose by and to measure), RAF-DB and
backgrounds by a digest of the name.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.media.images import read_image
from emofuse.media.video import VideoReader
from emofuse.synthetic.sample import make_sample

Grey = NDArray[np.uint8]

SPLIT_OF_SPEAKER = {"07": "validation", "08": "test"}
LONG_SIDE = 800
FRAMES_PER_CLIP = 4
IMAGES = {".jpg", ".jpeg", ".png", ".webp"}
LEAST_SIDE, MOST_PER_FOLDER = 200, 40  # of backgrounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--backgrounds", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    counts: dict[str, int] = {}
    data = arguments.data
    for split, name, image in chain(
        lfw(data), rafdb(data), clips(data), synthetic(), backgrounds(arguments.backgrounds)
    ):
        path = arguments.out / split / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        key = f"{split}/{path.parent.name}"
        counts[key] = counts.get(key, 0) + 1
    for key, n in sorted(counts.items()):
        print(f"{key:<24} {n:6}")


def split_of(key: str) -> str:
    """A tenth is for choosing, three twentieths for measuring."""
    number = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % 20
    return "validation" if number < 2 else "test" if number < 5 else "train"


def lfw(data: Path) -> Iterator[tuple[str, str, Grey]]:
    folder = data / "faces/lfw"
    with (folder / "people.csv").open() as file:
        for row in csv.DictReader(file):
            yield split_of(row["person"]), f"lfw/{Path(row['path']).stem}", grey(folder / row["path"])


def rafdb(data: Path) -> Iterator[tuple[str, str, Grey]]:
    for path in sorted((data / "faces/rafdb").rglob("*.jpg")):
        yield split_of(path.stem), f"rafdb/{path.stem}", grey(path)


def clips(data: Path) -> Iterator[tuple[str, str, Grey]]:
    for path in sorted((data / "clips").glob("*.mp4")):
        split = SPLIT_OF_SPEAKER.get(path.name[:2], "train")
        with VideoReader(path) as video:
            wanted = np.linspace(2, len(video.timeline) - 3, FRAMES_PER_CLIP).astype(np.int64)
            for frame in video.frames(wanted):
                image = cv2.cvtColor(frame.rgb(), cv2.COLOR_RGB2GRAY)
                yield split, f"clips/{path.stem}-{frame.index}", np.asarray(image, np.uint8)


def synthetic() -> Iterator[tuple[str, str, Grey]]:
    for seed, split in enumerate(("train", "train", "train", "train", "validation", "test")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sample.mp4"
            make_sample(path, seconds=8, seed=seed)
            with VideoReader(path) as video:
                for frame in video.frames(np.arange(0, len(video.timeline), 12)):
                    image = reduced(cv2.cvtColor(frame.rgb(), cv2.COLOR_RGB2GRAY))
                    yield split, f"synthetic/{seed}-{frame.index}", image


def backgrounds(folders: list[Path]) -> Iterator[tuple[str, str, Grey]]:
    used: dict[Path, int] = {}
    for top in folders:
        for path in sorted(p for p in top.rglob("*") if p.suffix.lower() in IMAGES and p.is_file()):
            if used.get(path.parent, 0) == MOST_PER_FOLDER:
                continue
            image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if image is None or min(image.shape) < LEAST_SIDE:
                continue
            used[path.parent] = used.get(path.parent, 0) + 1
            name = "_".join(path.relative_to(top).with_suffix("").parts[-3:])
            yield split_of(name), f"backgrounds/{name}", reduced(image)


def grey(path: Path) -> Grey:
    return np.asarray(cv2.cvtColor(read_image(path), cv2.COLOR_RGB2GRAY), np.uint8)


def reduced(image: NDArray[np.uint8]) -> Grey:
    scale = min(1.0, LONG_SIDE / max(image.shape))
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == "__main__":
    main()
