"""The face modality of a bundle: crop and input of the network, calibration of its scores, and the head on windows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.core.calibration import LogitCalibration
from emofuse.core.colour import LUMA, Colour
from emofuse.core.smoothing import Triangle
from emofuse.core.time import seconds, ticks
from emofuse.core.windows import Windows
from emofuse.errors import BundleError, SettingsError
from emofuse.faces import crop as crops
from emofuse.runtime import Engine, OnnxNetwork

OUTPUT, EMBEDDING, IDENTITY = "logits", "embedding", "identity"  # outputs of a network
NET, HEAD = "face.onnx", "head.safetensors"


@dataclass(frozen=True)
class FaceInput:
    """Turns crops into the input of the network: channels of `colour`, then (pixel - mean) / scale per channel."""

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
class Identity:
    """How the output `identity` of a network, float32 [n, d], is compared.

    threshold: cosine from which two faces belong to one person.

    Raises:
        SettingsError: it is not between -1 and 1.
    """

    threshold: float

    def __post_init__(self) -> None:
        if not -1 < self.threshold < 1:
            raise SettingsError(f"identity: threshold is {self.threshold}; give a cosine between -1 and 1.")


@dataclass(frozen=True)
class FaceModality:
    """How a bundle classifies faces.

    net: ONNX file. calibration: of the logits of single faces; None if only windows are classified.
    windows, head: windows, and the file of the head of `emofuse.heads` that classifies the mean and deviation of the
        embeddings in each. smoothing: of the probabilities of single faces over time.
    identity: of the network's output `identity`, which distinguishes persons; None if it has none.
    """

    net: Path
    crop: crops.Crop
    input: FaceInput
    calibration: LogitCalibration | None
    windows: Windows | None = None
    head: Path | None = None
    smoothing: Triangle | None = None
    identity: Identity | None = None

    @property
    def files(self) -> dict[str, Path]:
        """Files by their names in a bundle."""
        return {NET: self.net} | ({HEAD: self.head} if self.head else {})

    def to_json(self) -> dict[str, Any]:
        """As `bundle.json` contains it."""
        return {
            "net": NET,
            "colour": self.input.colour.value,
            "mean": list(self.input.mean),
            "scale": list(self.input.scale),
            "crop": self.crop.to_json(),
            "calibration": asdict(self.calibration) if self.calibration else None,
            "windows": asdict(self.windows) if self.windows else None,
            "head": HEAD if self.head else None,
            "smoothing_seconds": seconds(self.smoothing.reach) if self.smoothing else None,
            "identity": asdict(self.identity) if self.identity else None,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], folder: Path) -> FaceModality:
        """The modality in `bundle.json`.

        Raises:
            KeyError, TypeError, ValueError, BundleError, SettingsError, ShapeError: it is incomplete or wrong.
        """
        windows, head, reach = content["windows"], content["head"], content["smoothing_seconds"]
        identity = content.get("identity")  # bundles that are older have none
        if (windows is None) != (head is None):
            raise ValueError("windows without a head, or a head without windows")
        return cls(
            net=folder / content["net"],
            crop=crops.from_json(content["crop"]),
            input=FaceInput(Colour(content["colour"]), tuple(content["mean"]), tuple(content["scale"])),
            calibration=calibration_of(content["calibration"]) if content["calibration"] or head is None else None,
            windows=Windows(**windows) if windows else None,
            head=folder / head if head else None,
            smoothing=Triangle(ticks(reach)) if reach is not None else None,
            identity=Identity(float(identity["threshold"])) if identity is not None else None,
        )


def calibration_of(content: Mapping[str, Any]) -> LogitCalibration:
    """A calibration in `bundle.json`."""
    return LogitCalibration(float(content["temperature"]), tuple(content["bias"]))


class FaceOutputs(NamedTuple):
    """Outputs of one inference: values float32 [n, ...], embeddings [n, features], and identities [n, d] if there are.

    values: probabilities of the classes, or the embeddings if only windows are classified. embeddings: equal to
    `values` if only single faces are classified.
    """

    values: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    identities: NDArray[np.float32] | None = None


class FaceScorer:
    """Face crops to calibrated probabilities, or to embeddings.

    Raises:
        BundleError: the network does not fit the labels.
    """

    batch = 16

    def __init__(self, face: FaceModality, engine: Engine, *, classes: int, output: str = OUTPUT) -> None:
        self._face, self._output = face, output
        self._net, self._map = _checked_network(face, engine, (output,), classes), engine.parallel_map()
        self.provider = self._net.provider
        columns = self._net.outputs[output][-1]
        if not isinstance(columns, int):  # not every network states it
            columns = self._scores(np.zeros((1, face.crop.size, face.crop.size, 3), np.uint8)).shape[1]
        self._columns = columns

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB crops uint8 [n, size, size, 3] -> probabilities float32 [n, classes], or embeddings [n, features]."""
        rows = [self._scores(crops[n : n + self.batch]) for n in range(0, len(crops), self.batch)]
        return np.concatenate(rows) if rows else np.zeros((0, self._columns), np.float32)

    def _scores(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        (values,) = self._net.run_in_pieces((self._output,), self._face.input(crops), self._map)
        calibrate = self._face.calibration if self._output == OUTPUT else None
        return values if calibrate is None else calibrate(values)


class FaceOutputsScorer:
    """Face crops to several outputs of one inference: calibrated probabilities, embeddings, identities.

    outputs: of the network, in the order OUTPUT, EMBEDDING, IDENTITY; one of the first two at least.

    Raises:
        BundleError: the network does not fit the labels, or lacks one of the outputs.
    """

    batch = FaceScorer.batch

    def __init__(
        self,
        face: FaceModality,
        engine: Engine,
        *,
        classes: int,
        outputs: tuple[str, ...] = (OUTPUT, EMBEDDING),
    ) -> None:
        self._net, self._map = _checked_network(face, engine, outputs, classes), engine.parallel_map()
        self._face, self._names, self.provider = face, outputs, self._net.provider

    def __call__(self, crops: NDArray[np.uint8]) -> FaceOutputs:
        """RGB crops uint8 [n, size, size, 3], at least one."""
        batches = [self._outputs(crops[n : n + self.batch]) for n in range(0, len(crops), self.batch)]
        found = [np.concatenate(rows) for rows in zip(*batches, strict=True)]
        identities = found.pop() if IDENTITY in self._names else None
        return FaceOutputs(found[0], found[-1], identities)

    def _outputs(self, crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        rows = self._net.run_in_pieces(self._names, self._face.input(crops), self._map)
        if self._names[0] == OUTPUT and self._face.calibration is not None:
            rows[0] = self._face.calibration(rows[0])
        return rows


class FacesScorer:
    """Several networks on the same crops.

    columns: of the embeddings, by key; of those networks whose windows are scored.

    Args:
        scorers: by key; those whose single faces are scored, in order, are in `single`, those of windows in `windowed`.
    """

    def __init__(
        self,
        scorers: Mapping[str, FaceScorer | FaceOutputsScorer],
        *,
        single: Collection[str],
        windowed: Collection[str],
        size: int,
    ) -> None:
        self._scorers, self._single, self._windowed = scorers, single, windowed
        self.provider = next(iter(scorers.values())).provider
        self.columns: dict[str, slice] = {}
        start = 0
        for key, outputs in self._outputs(np.zeros((1, size, size, 3), np.uint8)).items():
            if key in windowed:
                self.columns[key] = slice(start, start + outputs.embeddings.shape[1])
                start = self.columns[key].stop

    def __call__(self, crops: NDArray[np.uint8]) -> FaceOutputs:
        """RGB crops uint8 [n, size, size, 3] -> probabilities of all networks in a row, embeddings likewise, and the
        identities of the first network that has any."""
        outputs = self._outputs(crops)
        empty = np.zeros((len(crops), 0), np.float32)
        return FaceOutputs(
            np.concatenate([empty, *(outputs[key].values for key in self._single)], axis=1),
            np.concatenate([empty, *(outputs[key].embeddings for key in self._windowed)], axis=1),
            next((each.identities for each in outputs.values() if each.identities is not None), None),
        )

    def _outputs(self, crops: NDArray[np.uint8]) -> dict[str, FaceOutputs]:
        found = {key: scorer(crops) for key, scorer in self._scorers.items()}
        return {key: each if isinstance(each, FaceOutputs) else FaceOutputs(each, each) for key, each in found.items()}


def _checked_network(face: FaceModality, engine: Engine, outputs: tuple[str, ...], classes: int) -> OnnxNetwork:
    net = OnnxNetwork(face.net, engine.single_threaded)
    for output in outputs:
        shape = net.outputs.get(output)
        if shape is None or (output == OUTPUT and shape[-1] != classes):
            found = "no such output" if shape is None else f"{shape[-1]} columns"
            raise BundleError(
                f"{face.net}: the bundle has {classes} labels, but its network's output {output!r} has {found}; "
                "the bundle is mislabelled, get it again."
            )
    return net
