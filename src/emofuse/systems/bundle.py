"""A bundle: the folder that a trained system is kept in, without pickles.

`bundle.json` says what it is: label names, face crop and preprocessing, temperature, training data,
figures, licence, and the SHA-256 of every other file and of itself. Nets are ONNX files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.colour import LUMA, Colour
from emofuse.core.labels import LabelSet
from emofuse.core.names import nearest
from emofuse.core.store import digest, file_digest, write_json
from emofuse.core.time import Timeline, ticks
from emofuse.errors import BundleError, LabelError
from emofuse.media.faces import crop as crops
from emofuse.systems.engine import Engine, Net

if TYPE_CHECKING:
    from emofuse.heads.saved import Saved

FORMAT = 1
MANIFEST = "bundle.json"
OUTPUT, EMBEDDING = "logits", "embedding"


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
class WindowPart:
    """How a system judges stretches of time: mean and deviation of the embeddings in each window, then a head.

    width, step: ticks; the first window begins at 0. head: a file of `emofuse.heads`.
    """

    width: int
    step: int
    head: Path

    def timeline(self, end: int) -> Timeline:
        """The windows of a video that ends at `end` (ticks); the last ones are cut there."""
        return Timeline.windows(self.width, self.step, end=end)


@dataclass(frozen=True)
class Bundle:
    """A trained system as it lies on disk; `identity` changes with anything that could change a result.

    calibration: of single faces; None where a window's head judges.
    """

    name: str
    version: str
    label_set: LabelSet
    crop: crops.Crop
    face_input: FaceInput
    net: Path
    calibration: Calibration | None
    identity: str
    card: Mapping[str, Any]
    window: WindowPart | None = None

    def face_scorer(self, engine: Engine, *, embeddings: bool = False) -> FaceScorer:
        """The net of the bundle, ready to run: probabilities, or embeddings if asked for or where windows are judged.

        Raises:
            BundleError: the net does not fit the label names.
        """
        return FaceScorer(self, engine, output=EMBEDDING if embeddings or self.window else OUTPUT)

    def window_head(self) -> Saved | None:
        """The head that judges windows, if the system has one.

        Raises:
            BundleError: it is damaged, or for other labels.
        """
        if self.window is None:
            return None
        from emofuse.heads.saved import load as load_head  # brings scikit-learn, which single faces do without

        head = load_head(self.window.head)
        if head.label_set != self.label_set:
            raise BundleError(
                f"bundle {self.name}: labels {', '.join(self.label_set.names)}, but its head was fitted on "
                f"{', '.join(head.label_set.names)}; the bundle is mislabelled, get it again."
            )
        return head


class FaceScorer:
    """Face crops to calibrated probabilities, or to embeddings."""

    batch = 16

    def __init__(self, bundle: Bundle, engine: Engine, *, output: str = OUTPUT) -> None:
        self._bundle = bundle
        self._net = Net(bundle.net, engine)
        self._output = output
        shape = self._net.outputs.get(output)
        if shape is None or (output == OUTPUT and shape[-1] != len(bundle.label_set)):
            found = "no such output" if shape is None else f"{shape[-1]} columns"
            raise BundleError(
                f"bundle {bundle.name}: {len(bundle.label_set)} labels, but the output {self._output!r} of "
                f"{bundle.net.name} has {found}; the bundle is mislabelled, get it again."
            )
        # Some nets do not tell; one black face does.
        told = isinstance(shape[-1], int)
        size = bundle.crop.size
        self._columns = shape[-1] if told else self._judged(np.zeros((1, size, size, 3), np.uint8)).shape[1]

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB crops uint8 [n, size, size, 3] -> probabilities float32 [n, classes], or embeddings [n, features]."""
        rows = [self._judged(crops[n : n + self.batch]) for n in range(0, len(crops), self.batch)]
        return np.concatenate(rows) if rows else np.zeros((0, self._columns), np.float32)

    def _judged(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = self._net(self._bundle.face_input(crops), self._output)
        calibrate = self._bundle.calibration if self._output == OUTPUT else None
        return values if calibrate is None else calibrate(values)


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
        face, window = content["face"], content.get("window")
        return Bundle(
            name=content["name"],
            version=content["version"],
            label_set=LabelSet(tuple(content["labels"])),
            crop=crops.from_json(face["crop"]),
            face_input=FaceInput(Colour(face["colour"]), tuple(face["mean"]), tuple(face["scale"])),
            net=folder / face["net"],
            calibration=None if window else Calibration(float(face["temperature"]), tuple(face["bias"])),
            identity=digest(content),
            card=content["card"],
            window=_window(folder, window) if window else None,
        )
    except (KeyError, TypeError, ValueError, LabelError) as error:
        raise BundleError(f"{folder / MANIFEST}: incomplete or wrong ({error}); get the bundle again.") from None


def _window(folder: Path, content: Mapping[str, Any]) -> WindowPart:
    width, step = (ticks(Fraction(content[k])) for k in ("seconds", "step_seconds"))
    if width < 1 or step < 1:
        raise ValueError(f"windows of {content['seconds']} s every {content['step_seconds']} s")
    return WindowPart(width, step, folder / content["head"])


def write_manifest(folder: Path, content: Mapping[str, Any], *, files: tuple[str, ...]) -> None:
    """Write `bundle.json` with the checksums of `files` and of itself; the other files must be there."""
    body = {"format": FORMAT, **content, "files": {f: file_digest(folder / f) for f in files}}
    write_json(folder / MANIFEST, body | {"sha256": digest(body)})
