"""Photographs with their faces, found by a teacher or listed in a table, and images without faces as backgrounds."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emofuse.core.arrays import ArrayFormat
from emofuse.errors import DataError
from emofuse.faces import Detector, Face
from emofuse.faces.default import DefaultDetector
from emofuse.faces.detector import region_around
from emofuse.media.images import IMAGE_SUFFIXES, luma_of, read_image
from emofuse.synthetic.canvases import Photograph, Studio

Boxes = NDArray[np.float32]
Labels = dict[str, tuple[Boxes, Boxes, NDArray[np.bool_]]]  # boxes, landmarks and certainty by relative path

BACKGROUNDS = "backgrounds"
CERTAIN_SCORE = 0.75  # faces that the teacher is less sure of are neither faces nor background
_LEAST_SIDE = 8  # of a confusing part, pixels
_SAVED_EVERY = 5000  # images
_BORDER = 0.4  # black border around an image, relative to its long side: teachers miss faces that fill it
_FORMAT = ArrayFormat("face labels", 1, remedy="delete it, and the images are labelled again", error=DataError)
_COLUMNS = ("path", "left", "top", "width", "height", *(f"{axis}{n}" for n in range(1, 6) for axis in "xy"))


def image_paths(folder: Path) -> list[Path]:
    """The images of a folder and of those in it, sorted.

    Raises:
        DataError: there are none.
    """
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    if not found:
        raise DataError(f"{folder}: has no images; give a folder with photographs of faces and of other things.")
    return found


def teacher_labels(folder: Path, paths: list[Path], teacher: Detector, *, cache: Path) -> Labels:
    """The faces of each image according to a detector with landmarks; what was labelled before is read from `cache`."""
    labels = read_labels(cache) if cache.is_file() else {}
    for n, path in enumerate(paths, 1):
        key = path.relative_to(folder).as_posix()
        if key not in labels:
            labels[key] = _label(path, teacher)
        if n % _SAVED_EVERY == 0 or n == len(paths):
            write_labels(cache, labels)
    return labels


def table_labels(table: Path) -> Labels:
    """The faces of a CSV with the columns path, left, top, width, height and x1, y1, ..., x5, y5, one line per face.

    Images without a line are backgrounds.

    Raises:
        DataError: a column is missing, or a value is not a number.
    """
    rows: dict[str, list[list[float]]] = {}
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if missing := set(_COLUMNS) - set(reader.fieldnames or ()):
            raise DataError(f"{table}: has no column {', '.join(sorted(missing))}; give {', '.join(_COLUMNS)}.")
        for line in reader:
            try:
                rows.setdefault(line["path"], []).append([float(line[name]) for name in _COLUMNS[1:]])
            except (TypeError, ValueError):
                raise DataError(f"{table}:{reader.line_num}: a value is not a number; give pixels.") from None
    labels: Labels = {}
    for path, values in rows.items():
        array = np.array(values, np.float32)
        boxes = np.hstack([array[:, :2], array[:, :2] + array[:, 2:4]])
        labels[path] = boxes, array[:, 4:].reshape(-1, 5, 2), np.ones(len(array), bool)
    return labels


def studio(folder: Path, paths: list[Path], labels: Labels) -> Studio:
    """The images in memory, as grey levels.

    Images in a folder named `backgrounds` show no face; those in which one was found are left out, as are images of
    other folders in which none was found.

    Raises:
        DataError: no image has a face.
    """
    faces, backgrounds = list[Photograph](), list[NDArray[np.uint8]]()
    for path in paths:
        boxes, landmarks, certain = labels.get(path.relative_to(folder).as_posix(), _NOTHING)
        is_background = BACKGROUNDS in path.relative_to(folder).parts
        if is_background and not len(boxes):
            backgrounds.append(luma_of(read_image(path)))
        elif not is_background and certain.any():
            faces.append(Photograph(luma_of(read_image(path)), boxes, landmarks, certain))
    if not faces:
        raise DataError(f"{folder}: no face was found in its {len(paths)} images; give photographs of faces.")
    return Studio(faces, backgrounds)


def confusing_parts(backgrounds: Sequence[NDArray[np.uint8]], detector: DefaultDetector) -> list[NDArray[np.uint8]]:
    """The parts of images without faces that a detector takes for possible faces, with their surroundings."""
    parts = []
    for image in backgrounds:
        halves = [part for rows in np.array_split(image, 2) for part in np.array_split(rows, 2, axis=1)]
        for part in (image, *halves):
            whole = np.ascontiguousarray(part)
            parts += [region_around(whole, box).image for box in detector.candidates(whole)]
    return [part for part in parts if min(part.shape) >= _LEAST_SIDE]


def write_labels(path: Path, labels: Labels) -> None:
    """Write labels to a safetensors file."""
    names = sorted(labels)
    counts = np.array([len(labels[name][0]) for name in names], np.int64)
    arrays = {
        "counts": counts,
        "boxes": np.concatenate([labels[name][0] for name in names]),
        "landmarks": np.concatenate([labels[name][1] for name in names]),
        "certain": np.concatenate([labels[name][2] for name in names]).astype(np.uint8),
    }
    _FORMAT.write(path, arrays, {"names": names})


def read_labels(path: Path) -> Labels:
    """The labels that `write_labels` wrote."""
    arrays, meaning = _FORMAT.read(path)
    ends = np.cumsum(arrays["counts"])[:-1]
    parts = (np.split(arrays[name], ends) for name in ("boxes", "landmarks", "certain"))
    return {name: (b, p, c.astype(bool)) for name, b, p, c in zip(meaning["names"], *parts, strict=True)}


_NOTHING = (np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, bool))


def _label(path: Path, teacher: Detector) -> tuple[Boxes, Boxes, NDArray[np.bool_]]:
    try:
        image = read_image(path)
    except DataError:
        return _NOTHING
    border = round(_BORDER * max(image.shape[:2]))
    framed = np.pad(image, ((border, border), (border, border), (0, 0)))
    found = list(_with_landmarks(teacher(framed if teacher.colour else luma_of(framed))))
    if not found:
        return _NOTHING
    boxes = np.stack([np.concatenate([f.box[:2], f.box[:2] + f.box[2:]]) for f, _ in found]) - border
    landmarks = np.stack([points for _, points in found]) - border
    return boxes, landmarks, np.array([f.score >= CERTAIN_SCORE for f, _ in found])


def _with_landmarks(faces: list[Face]) -> Iterator[tuple[Face, Boxes]]:
    for face in faces:
        if face.landmarks is not None:
            yield face, face.landmarks
