"""The faces that the default bundle is trained on: RAF-DB, FER-2013 and LFW, aligned as `predict` aligns them.

The bundled detector finds the landmarks, so that the network is trained on crops as inexact as those it will be given.
Images in which it finds no face are cropped by the median landmarks of their data set. What is set aside follows from
the names alone: of RAF-DB's images and of LFW's people a tenth is for measuring, and of RAF-DB another tenth for
selecting.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.arrays import ArrayFormat
from emofuse.core.colour import Colour
from emofuse.core.files import digest, file_digest, printable
from emofuse.datasets.fer2013.dataset import USAGES, FaceImages, Fer2013
from emofuse.datasets.image_folder import LabelledImage, read_image_folder
from emofuse.errors import DataError
from emofuse.faces.crop import FER_TEMPLATE, AlignedCrop, identity_crop
from emofuse.faces.default import DefaultDetector
from emofuse.faces.detector import Face, resized
from emofuse.media.images import Image, luma_of, read_image
from emofuse.nets import mobilefacenet, pretrained
from emofuse.nets.catalogue import network_for
from emofuse.training import loop as fit

IDENTITIES = "mobilefacenet"  # published weights
IDENTITY_SIZE = 112  # of the faces that the published network takes
TEST, VALIDATION = 0, 1  # parts of ten
_PARTS = 10
_MARGIN = 0.5  # added on each side of an image before the search, in sides, since its face may fill it
_SEARCHED = 288  # side of the searched image in pixels
_FORMAT = ArrayFormat("landmarks", 1, remedy="delete it", error=DataError)


def part_of(name: str) -> int:
    """The part from 0 to 9 that a file or person belongs to, by the name alone.

    >>> [part_of(f"train_0000{n}.jpg") for n in range(1, 6)]
    [4, 1, 0, 0, 7]
    """
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % _PARTS


@dataclass(frozen=True, eq=False)
class Photographs:
    """Images with one face each, and where it is.

    image: the image with a number. landmarks: float32 [n, 5, 2] in pixels of each.
    """

    image: Callable[[int], Image]
    landmarks: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.landmarks)

    def __getitem__(self, rows: NDArray[np.int64]) -> Photographs:
        return Photographs(lambda k: self.image(int(rows[k])), self.landmarks[rows])


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of photographs as inputs of a training, made on access: uint8 [n, size, size, 3]."""

    photographs: Sequence[Photographs]
    crop: AlignedCrop

    def __len__(self) -> int:
        return sum(map(len, self.photographs))

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        ends = np.cumsum([len(part) for part in self.photographs])
        return np.stack([self._one(int(row), ends) for row in np.arange(len(self))[rows]])

    def _one(self, row: int, ends: NDArray[np.int64]) -> Image:
        of = int(np.searchsorted(ends, row, side="right"))
        part = self.photographs[of]
        k = row - int(ends[of]) + len(part)
        image = part.image(k)
        return self.crop(image, Face(np.array([0, 0, *image.shape[1::-1]], np.float32), 1.0, part.landmarks[k]))


@dataclass(frozen=True, eq=False)
class Source:
    """The photographs of a data set.

    names: of the files, or of the people in LFW. labels: int64 [n], index in AFFWILD2; -1 for none.
    """

    photographs: Photographs
    names: Sequence[str]
    labels: NDArray[np.int64]

    def rows(self, parts: Sequence[int]) -> NDArray[np.int64]:
        """The rows of some parts, in order."""
        return np.flatnonzero(np.isin([part_of(name) for name in self.names], parts))


def rafdb(folder: Path, out: Path) -> Source:
    """RAF-DB in a folder of photographs with labels; its landmarks are kept in `out`.

    Raises:
        DataError: the folder or an image cannot be read, or a label is unknown or missing.
    """
    listed = read_image_folder(folder)
    if missing := [image.path for image in listed if image.label < 0]:
        raise DataError(f"{printable(missing[0])}: has no label; give one to each photograph of {printable(folder)}.")
    return Source(
        _photographs("rafdb", listed, out), [i.path.name for i in listed], np.array([i.label for i in listed])
    )


def lfw(folder: Path, out: Path) -> Source:
    """LFW in a folder of photographs with subjects; its landmarks are kept in `out`.

    Raises:
        DataError: the folder or an image cannot be read, or a photograph has no subject.
    """
    listed = read_image_folder(folder)
    if missing := [image.path for image in listed if image.subject is None]:
        raise DataError(f"{printable(missing[0])}: has no subject; name the person of each photograph in its table.")
    names = [image.subject or "" for image in listed]
    return Source(_photographs("lfw", listed, out), names, np.array([image.label for image in listed]))


def fer2013(data: Fer2013, usage: str, out: Path) -> tuple[Photographs, FaceImages]:
    """A split of FER-2013, of the training split the clear faces; its landmarks are kept in `out`.

    Raises:
        DataError: the data set cannot be read.
    """
    faces = data.images(usage)
    if usage == USAGES[0]:
        faces = faces[faces.is_clear]

    def image(k: int) -> Image:
        return np.repeat(faces.faces[k][..., None], 3, axis=2)

    key = hashlib.sha256(faces.faces.tobytes()).hexdigest()
    return Photographs(image, landmarks(image, len(faces), out / f"fer2013-{usage}", key=key)), faces


def landmarks(image: Callable[[int], Image], count: int, name: Path, *, key: str) -> NDArray[np.float32]:
    """Landmarks of the face in the middle of each image, float32 [count, 5, 2] in pixels; computed once.

    Args:
        image: the image with a number. name: of the file with the landmarks, without its suffix. key: digest of the
            images.
    """
    detector = DefaultDetector()
    path = Path(f"{name}-{digest({'key': key, 'detector': detector.identity})[:12]}.safetensors")
    try:
        return np.asarray(_FORMAT.read(path)[0]["landmarks"], np.float32)
    except DataError:
        pass  # missing or incomplete
    found = np.stack([_landmarks(detector, image(k)) for k in range(count)])
    heights = np.array([image(k).shape[0] for k in range(count)], np.float32)
    seen = np.isfinite(found).all(axis=(1, 2))
    found[~seen] = np.median(found[seen], axis=0) if seen.any() else np.array(FER_TEMPLATE)
    found *= heights[:, None, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    _FORMAT.write(path, {"landmarks": found})
    return found


def identities(photographs: Photographs, weights: Path, name: Path) -> NDArray[np.float32]:
    """The published identities of some faces, float32 [n, 128] of length 1; computed once.

    Args:
        name: of the file with the identities, without its suffix.
    Raises:
        WeightsError: the weights are not MobileFaceNet's.
    """
    key = {"weights": file_digest(weights), "landmarks": hashlib.sha256(photographs.landmarks.tobytes()).hexdigest()}
    path = Path(f"{name}-{digest(key)[:12]}.safetensors")
    try:
        return np.asarray(_FORMAT.read(path)[0]["identities"], np.float32)
    except DataError:
        pass  # missing or incomplete
    net = mobilefacenet.build()
    pretrained.load_pretrained(net, weights, name=IDENTITIES, fresh_head=True)
    crops = Crops([photographs], identity_crop(IDENTITY_SIZE))
    found = fit.predict(net, crops, prepare=colour_faces(IDENTITY_SIZE)).embeddings
    assert found is not None  # MobileFaceNet returns them
    unit = np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)
    _FORMAT.write(path, {"identities": unit})
    return unit


def colour_faces(size: int, augment: fit.FaceAugment | None = None) -> fit.Faces:
    """The input of MobileFaceNet from stored faces."""
    given = network_for(IDENTITIES).preprocessing
    assert given is not None
    return fit.Faces(Colour.RGB, given.mean, given.scale, size=size, augment=augment)


def _photographs(name: str, listed: Sequence[LabelledImage], out: Path) -> Photographs:
    def image(k: int) -> Image:
        return read_image(listed[k].path)

    key = digest({each.path.name: each.path.stat().st_size for each in listed})
    return Photographs(image, landmarks(image, len(listed), out / name, key=key))


def _landmarks(detector: DefaultDetector, image: Image) -> NDArray[np.float32]:
    """The landmarks of the face nearest to the middle of an image, [5, 2] in heights of the image; nan if none."""
    height, width = image.shape[:2]
    rows, columns = round(height * _MARGIN), round(width * _MARGIN)
    padded = np.pad(luma_of(image), ((rows, rows), (columns, columns)), mode="edge")
    scale = _SEARCHED / max(padded.shape)
    searched = resized(padded, *(round(side * scale) for side in padded.shape))
    middle = np.array(searched.shape[::-1]) / 2

    def distance(face: Face) -> float:
        return float(np.linalg.norm(face.box[:2] + face.box[2:] / 2 - middle))

    found = min(detector(searched), key=distance, default=None)
    if found is None or found.landmarks is None:
        return np.full((5, 2), np.nan, np.float32)
    return np.asarray((found.landmarks / scale - (columns, rows)) / height, np.float32)
