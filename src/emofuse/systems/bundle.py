"""A bundle: the folder that a trained system is kept in, without pickles.

`bundle.json` says what it is: label names, face crop and preprocessing, temperature, training data,
figures, licence, and the SHA-256 of every other file and of itself. Nets are ONNX files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.colour import LUMA, Colour
from emofuse.core.labels import LabelSet
from emofuse.core.names import nearest
from emofuse.core.store import digest, file_digest, write_json
from emofuse.errors import BundleError, LabelError
from emofuse.media.faces import crop as crops
from emofuse.systems.engine import Engine, Net

FORMAT = 1
MANIFEST = "bundle.json"
OUTPUT = "logits"


@dataclass(frozen=True)
class FaceInput:
    """What is done to a crop before the net sees it: channels, then (pixel - mean) / scale per channel."""

    colour: Colour
    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB crops uint8 [n, size, size, 3] -> float32 [n, channels, size, size]."""
        pixels = crops.astype(np.float32)
        if self.colour is Colour.GREY:
            pixels = (pixels @ np.array(LUMA, np.float32))[..., None]
        elif self.colour is Colour.BGR:
            pixels = pixels[..., ::-1]
        scaled = (pixels - np.array(self.mean, np.float32)) / np.array(self.scale, np.float32)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)


@dataclass(frozen=True)
class Calibration:
    """From logits to probabilities: softmax(logits / temperature + bias), one bias for each class."""

    temperature: float
    bias: tuple[float, ...]

    def __call__(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits float32 [n, classes] -> probabilities float32 [n, classes]."""
        scaled = logits / np.float32(self.temperature) + np.array(self.bias, np.float32)
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


@dataclass(frozen=True)
class Bundle:
    """A trained system as it lies on disk; `identity` changes with anything that could change a result."""

    name: str
    version: str
    label_set: LabelSet
    crop: crops.Crop
    face_input: FaceInput
    net: Path
    calibration: Calibration
    identity: str
    card: Mapping[str, Any]

    def face_scorer(self, engine: Engine) -> FaceScorer:
        """The net of the bundle, ready to run.

        Raises:
            BundleError: the net does not fit the label names.
        """
        return FaceScorer(self, engine)


class FaceScorer:
    """Face crops to calibrated probabilities."""

    batch = 16

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self._bundle = bundle
        self._net = Net(bundle.net, engine)
        shape = self._net.outputs.get(OUTPUT)
        if shape is None or shape[-1] != len(bundle.label_set):
            found = "no such output" if shape is None else f"{shape[-1]} columns"
            raise BundleError(
                f"bundle {bundle.name}: {len(bundle.label_set)} labels, but the output {OUTPUT!r} of {bundle.net.name} "
                f"has {found}; the bundle is mislabelled, get it again."
            )

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB crops uint8 [n, size, size, 3] -> probabilities float32 [n, classes]."""
        rows = [
            self._bundle.calibration(self._net(self._bundle.face_input(crops[n : n + self.batch]), OUTPUT))
            for n in range(0, len(crops), self.batch)
        ]
        return np.concatenate(rows) if rows else np.zeros((0, len(self._bundle.label_set)), np.float32)


def shipped() -> dict[str, Path]:
    """Bundles inside the package, by name."""
    folder = Path(str(resources.files("emofuse"))) / "bundles"
    return {p.parent.name: p.parent for p in sorted(folder.glob(f"*/{MANIFEST}"))}


def load(name_or_folder: str | Path) -> Bundle:
    """A bundle by the name of one that ships, or by its folder. Every file is checked against its SHA-256.

    Raises:
        BundleError: unknown, damaged, changed by hand, or of another format.

    >>> load("default").label_set.names[0]
    'neutral'
    """
    known = shipped()
    folder = known.get(str(name_or_folder), Path(name_or_folder))
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise BundleError(
            f"bundle {str(name_or_folder)!r}: neither a folder with a {MANIFEST} nor one of: "
            f"{', '.join(known)}{nearest(str(name_or_folder), known)}."
        )
    content = _read(manifest)
    for file, expected in content["files"].items():
        path = folder / file
        if not path.is_file() or file_digest(path) != expected:
            state = "is damaged (its SHA-256 differs)" if path.is_file() else "is missing"
            raise BundleError(f"bundle {folder}: {file} {state}; get the bundle again.")
    return _bundle(folder, content)


def _read(manifest: Path) -> dict[str, Any]:
    try:
        content = json.loads(manifest.read_text("utf-8"))
        stated = content.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{manifest}: not a bundle description ({error!r}); get the bundle again.") from None
    if content.get("format") != FORMAT:
        raise BundleError(
            f"{manifest}: format {content.get('format')!r}, this emofuse reads {FORMAT}; update emofuse or the bundle."
        )
    if digest(content) != stated:
        raise BundleError(f"{manifest}: changed after it was made (its checksum differs); get the bundle again.")
    return dict(content)


def _bundle(folder: Path, content: dict[str, Any]) -> Bundle:
    try:
        face = content["face"]
        return Bundle(
            name=content["name"],
            version=content["version"],
            label_set=LabelSet(tuple(content["labels"])),
            crop=crops.from_json(face["crop"]),
            face_input=FaceInput(Colour(face["colour"]), tuple(face["mean"]), tuple(face["scale"])),
            net=folder / face["net"],
            calibration=Calibration(float(face["temperature"]), tuple(face["bias"])),
            identity=digest(content),
            card=content["card"],
        )
    except (KeyError, TypeError, ValueError, LabelError) as error:
        raise BundleError(f"{folder / MANIFEST}: incomplete or wrong ({error}); get the bundle again.") from None


def write_manifest(folder: Path, content: Mapping[str, Any], *, files: tuple[str, ...]) -> None:
    """Write `bundle.json` with the checksums of `files` and of itself; the other files must be there."""
    body = {"format": FORMAT, **content, "files": {f: file_digest(folder / f) for f in files}}
    write_json(folder / MANIFEST, body | {"sha256": digest(body)})
