"""The part of a bundle that fuses: what the parts say of one person, weighted class by class and calibrated.

Faces are somebody's; a voice is heard by all, and whose it is, is not known. See docs/decisions.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.calibration import LogitCalibration
from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints
from emofuse.core.types import Bools, Floats, Scores
from emofuse.errors import ShapeError
from emofuse.fusion import SystemScores
from emofuse.fusion.log_pool import LogPoolFusion
from emofuse.fusion.weighted import WeightedFusion

# Parts by name: single faces (smoothed over time), windows of faces, windows of sound.
FACE, WINDOWS, VOICE = MODALITIES = ("face", "face-windows", "voice")
ANY = "any"  # the calibration of combinations that have none of their own
_LEAST = 1e-7  # probabilities below this are taken for it, so that their logarithms stay finite


@dataclass(frozen=True, eq=False)
class FusionPart:
    """Weights of the parts, and the calibrations of what comes out by which parts were there.

    weights: of a weighted sum or of a logarithmic pool; its systems are names of `MODALITIES`.
    calibrations: by names joined with "+" in the order of `MODALITIES`, such as "face+voice", or `ANY` for all others;
        of the logarithms of fused probabilities. What has none stays as it is.

    Raises:
        ShapeError: a part is unknown, or a calibration is of no combination of them or for other labels.
    """

    weights: WeightedFusion | LogPoolFusion
    calibrations: Mapping[str, LogitCalibration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := set(self.weights.systems) - set(MODALITIES):
            raise ShapeError(
                f"fusion of {', '.join(sorted(unknown))}: no such modality; there are {', '.join(MODALITIES)}."
            )
        for key, calibration in self.calibrations.items():
            if key != ANY and (not set(key.split("+")) <= set(self.modalities) or combination(key.split("+")) != key):
                raise ShapeError(
                    f"calibration of {key!r}: no combination of the fused parts; join some of "
                    f"{', '.join(self.modalities)} in this order with '+', or say {ANY!r}."
                )
            if len(calibration.bias) != len(self.label_set):
                raise ShapeError(
                    f"calibration of {key!r}: {len(calibration.bias)} numbers for {len(self.label_set)} labels; "
                    "give a bias for each."
                )

    @property
    def modalities(self) -> tuple[str, ...]:
        """Their names, in the order of `MODALITIES`."""
        return tuple(p for p in MODALITIES if p in self.weights.systems)

    @property
    def label_set(self) -> LabelSet:
        """Labels of what goes in and comes out."""
        return self.weights.label_set

    def __call__(self, scores: Mapping[str, Scores], *, visible: Ints) -> Scores:
        """What the parts say of one person, fused; rows are probabilities.

        A part that is not valid at a row drops out: of a sum, whose other weights are renormalised for each class, as
        of a pool, which then is the less certain.
        The voice's weight is divided by the number of persons in the picture, who may all be the one who speaks; a
        person who is not in the picture while others are is not judged by it.

        Args:
            scores: by part, all on one timeline.
            visible: int [rows], how many persons' faces are found.
        Raises:
            ShapeError: a part is missing or too many, or the timelines differ.
            LabelError: the scores have other labels.
        """
        named = [Scores(s.values, s.timeline, s.label_set, s.valid, name) for name, s in scores.items()]
        stack = SystemScores.of_clip(named, self.weights.systems, self.label_set)
        valid = stack.covered & ~(self.voice_alone(stack) & (visible > 0))
        values = np.zeros((len(stack), len(self.label_set)), np.float32)
        sharing = np.maximum(visible, 1)
        for persons in np.unique(sharing[valid]):
            rows = np.flatnonzero(valid & (sharing == persons))
            values[rows] = self._shared(int(persons)).values(stack[rows])
        values = self._calibrated(values, stack, valid)
        return Scores(values, named[0].timeline, self.label_set, valid, self.weights.method)

    def voice_alone(self, stack: SystemScores) -> Bools:
        """Rows where nothing is valid but the voice, bool [rows]."""
        voice = np.array([s == VOICE for s in stack.systems])
        return np.asarray(stack.covered & ~stack.valid[~voice].any(axis=0))

    def _shared(self, persons: int) -> WeightedFusion | LogPoolFusion:
        """The weights where so many persons share one voice."""
        return self.weights if persons == 1 else self.weights.weakened(VOICE, 1 / persons)

    def _calibrated(self, values: Floats, stack: SystemScores, valid: Bools) -> Floats:
        out = np.zeros_like(values)
        present, pattern = stack.patterns()
        for p, there in enumerate(present):
            rows = np.flatnonzero(valid & (pattern == p))
            if len(rows):
                shares = values[rows] / values[rows].sum(axis=1, keepdims=True, dtype=np.float64)
                key = combination([s for s, t in zip(stack.systems, there, strict=True) if t])
                calibrate = self.calibrations.get(key, self.calibrations.get(ANY))
                out[rows] = shares if calibrate is None else calibrate(logarithms(shares))
        return out


def combination(parts: list[str]) -> str:
    """The name of parts that are there together.

    >>> combination(["voice", "face"])
    'face+voice'
    """
    return "+".join(p for p in MODALITIES if p in parts)


def logarithms(probabilities: NDArray[Any]) -> NDArray[np.float32]:
    """What calibrations of fused probabilities take (and are fitted on), float32 [n, classes], always finite."""
    return np.asarray(np.log(np.maximum(probabilities, _LEAST)), np.float32)
