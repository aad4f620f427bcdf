"""The fusion of the modalities of a bundle: per-class weights, and calibration of the fused probabilities.

A face belongs to one person; a voice and its words to whoever speaks. Each person gets the part of them that is
probably theirs or, where that is not known, as much as everybody else in view.
See docs/decisions.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.calibration import LogitCalibration
from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints
from emofuse.core.types import Bools, Floats, Scores
from emofuse.errors import SettingsError, ShapeError
from emofuse.fusion import SystemScores
from emofuse.fusion import load as load_fusion
from emofuse.fusion.log_pool import LogPoolFusion
from emofuse.fusion.weighted import WeightedFusion
from emofuse.models.face import calibration_of
from emofuse.systems.spec import FACE, VOICE, WORDS, kind

WEIGHTS = "fusion.safetensors"
WINDOWS = "face-windows"
# Single faces (smoothed over time), windows of faces, windows of audio, sentences; of a further network: "voice:NAME".
MODALITIES = (FACE, WINDOWS, VOICE, WORDS)
SPOKEN = frozenset({VOICE, WORDS})  # kinds that belong to whoever speaks
ANY = "any"  # the calibration of combinations that have none of their own
_LEAST = 1e-7  # probabilities are raised to this, so that their logarithms are finite


@dataclass(frozen=True, eq=False)
class ModalityFusion:
    """Weights of the modalities, and calibrations of the fused probabilities by the modalities that are valid.

    weights: a weighted sum or a logarithmic pool, whose systems are modalities of the kinds in `MODALITIES`.
    calibrations: of the logarithms of fused probabilities, by modalities joined with "+" in the order of `ordered`,
        such as "face+voice", or `ANY` for all others. Combinations without one are not calibrated.

    Raises:
        ShapeError: a modality is unknown, or a calibration is for no combination of them or for other labels.
    """

    weights: WeightedFusion | LogPoolFusion
    calibrations: Mapping[str, LogitCalibration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := {m for m in self.weights.systems if kind(m) not in MODALITIES}:
            raise ShapeError(
                f"fusion of {', '.join(sorted(unknown))}: no such modality; there are {', '.join(MODALITIES)}."
            )
        for key, calibration in self.calibrations.items():
            if key != ANY and (not set(key.split("+")) <= set(self.modalities) or combination(key.split("+")) != key):
                raise ShapeError(
                    f"calibration of {key!r}: not a combination of the fused modalities; join some of "
                    f"{', '.join(self.modalities)} in this order with '+', or give {ANY!r}."
                )
            if len(calibration.bias) != len(self.label_set):
                raise ShapeError(
                    f"calibration of {key!r}: {len(calibration.bias)} biases for {len(self.label_set)} labels; "
                    "give a bias for each."
                )

    def to_json(self) -> dict[str, Any]:
        """As `bundle.json` contains it; the weights are in a file of their own."""
        return {"weights": WEIGHTS, "calibrations": {key: asdict(c) for key, c in self.calibrations.items()}}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], folder: Path) -> ModalityFusion:
        """The fusion in `bundle.json`.

        Raises:
            KeyError, TypeError, ValueError, SettingsError, ShapeError: it is incomplete or wrong.
        """
        weights = load_fusion(folder / content["weights"])
        if not isinstance(weights, WeightedFusion | LogPoolFusion):
            raise SettingsError(f"the fusion {weights.method} has no weights of modalities")
        return cls(weights, {key: calibration_of(c) for key, c in content["calibrations"].items()})

    @property
    def modalities(self) -> tuple[str, ...]:
        """The fused modalities, in the order of `ordered`."""
        return ordered(self.weights.systems)

    @property
    def label_set(self) -> LabelSet:
        """Labels of the scores and of the result."""
        return self.weights.label_set

    def __call__(
        self, scores: Mapping[str, Scores], *, visible: Ints, voice_weight: NDArray[np.float64] | None = None
    ) -> Scores:
        """Fused scores of one person; rows are probabilities.

        A modality that is not valid at a row is left out: of a sum, whose other weights are renormalised for each
        class, and of a pool, which is then less certain.
        The weight of voices and words is multiplied by the part of them that is the person's; a person who is not
        visible while others are gets no score from them.

        Args:
            scores: by modality, all on one timeline.
            visible: int [rows], number of persons whose faces are found.
            voice_weight: [rows], the part of voice and words that is the person's, 0 to 1; at 0 they are left out.
                Default: as large as that of everybody who is visible, any of whom may be speaking.
        Raises:
            ShapeError: a modality is missing or unexpected, or the timelines differ.
            LabelError: the scores have other labels.
        """
        parts = 1 / np.maximum(visible, 1) if voice_weight is None else voice_weight
        named = [
            Scores(s.values, s.timeline, s.label_set, s.valid & (parts > 0) if kind(name) in SPOKEN else s.valid, name)
            for name, s in scores.items()
        ]
        stack = SystemScores.of_clip(named, self.weights.systems, self.label_set)
        valid = stack.covered & ~(self.spoken_alone(stack) & (visible > 0))
        values = np.zeros((len(stack), len(self.label_set)), np.float32)
        for part in np.unique(parts[valid]):
            rows = np.flatnonzero(valid & (parts == part))
            values[rows] = self._shared(float(part)).values(stack[rows])
        values = self._calibrated(values, stack, valid)
        return Scores(values, named[0].timeline, self.label_set, valid, self.weights.method)

    def spoken_alone(self, stack: SystemScores) -> Bools:
        """Rows where only voices and words are valid, bool [rows]."""
        spoken = np.array([kind(s) in SPOKEN for s in stack.systems])
        return np.asarray(stack.covered & ~stack.valid[~spoken].any(axis=0))

    def _shared(self, part: float) -> WeightedFusion | LogPoolFusion:
        """The weights for rows in which this part of what is said is the person's."""
        return self.weights if part in (0.0, 1.0) else self.weights.weakened(self._spoken, part)

    @property
    def _spoken(self) -> frozenset[str]:
        return frozenset(m for m in self.weights.systems if kind(m) in SPOKEN)

    def _calibrated(self, values: Floats, stack: SystemScores, valid: Bools) -> Floats:
        out = np.zeros_like(values)
        present, pattern = stack.patterns()
        for p, valid_systems in enumerate(present):
            rows = np.flatnonzero(valid & (pattern == p))
            if len(rows):
                probabilities = values[rows] / values[rows].sum(axis=1, keepdims=True, dtype=np.float64)
                key = combination([s for s, t in zip(stack.systems, valid_systems, strict=True) if t])
                calibrate = self.calibrations.get(key, self.calibrations.get(ANY))
                out[rows] = probabilities if calibrate is None else calibrate(logarithms(probabilities))
        return out


def combination(modalities: list[str]) -> str:
    """The key of modalities that are valid together.

    >>> combination(["voice", "face"])
    'face+voice'
    """
    return "+".join(ordered(modalities))


def ordered(modalities: Iterable[str]) -> tuple[str, ...]:
    """Modalities by their kind, in the order of `MODALITIES`; those of one kind by name, that without one first."""
    return tuple(sorted(modalities, key=lambda m: (MODALITIES.index(kind(m)), m)))


def logarithms(probabilities: NDArray[Any]) -> NDArray[np.float32]:
    """The input of calibrations of fused probabilities, float32 [n, classes], always finite."""
    return np.asarray(np.log(np.maximum(probabilities, _LEAST)), np.float32)
