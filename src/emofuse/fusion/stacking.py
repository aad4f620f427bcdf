"""Stacked fusion: a regularised multinomial regression on the log ratios of the systems' scores.

Unlike a weighted mean it can learn that a system confuses two classes, and that a class is predicted too often or too
rarely. Fitted with scikit-learn; the result is arrays, applied with NumPy.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints
from emofuse.core.types import Bools, Floats, Scores
from emofuse.errors import SettingsError, ShapeError
from emofuse.fusion.registry import METHODS, Arrays, Measure
from emofuse.fusion.system_scores import SystemScores, read_only

Doubles = NDArray[np.float64]

_MIN_NORM = 1e-6
_MAX_ITERATIONS = 500


@dataclass(frozen=True, eq=False)
class StackedFusion:
    """A fitted stacked fusion: softmax(sum over systems of log ratios @ coefficient + intercept).

    coefficient: float64 [systems, classes in, classes out]; intercept: float64 [classes]. Where a system is not valid,
    the coefficients of the others are scaled so that their norms have the same sum as those of all systems, as weights
    are renormalised in a weighted fusion.

    Raises:
        ShapeError: an array has another shape or type, or is not finite.
    """

    method: str
    systems: tuple[str, ...]
    label_set: LabelSet
    coefficient: Doubles
    intercept: Doubles

    def __post_init__(self) -> None:
        object.__setattr__(self, "systems", tuple(self.systems))
        classes = len(self.label_set)
        for name, shape in (("coefficient", (len(self.systems), classes, classes)), ("intercept", (classes,))):
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
                raise ShapeError(
                    f"{name} of {self.method}: {array.dtype} {list(array.shape)}, not finite float64 {list(shape)}."
                )
            object.__setattr__(self, name, read_only(array))

    @property
    def class_weights(self) -> None:
        """None: each class of the output depends on all classes of a system."""
        return None

    def __call__(self, scores: Sequence[Scores]) -> Scores:
        """Fused probabilities of one clip; see `emofuse.fusion.FittedFusion`."""
        aligned = SystemScores.of_clip(scores, self.systems, self.label_set)
        return Scores(self.values(aligned), scores[0].timeline, self.label_set, aligned.covered, self.method)

    def values(self, scores: SystemScores) -> Floats:
        """Fused probabilities float32 [frames, classes]; zeros where no system is valid."""
        values = np.zeros(scores.values.shape[1:], np.float32)
        features, (validity, pattern) = _features(scores), scores.patterns()
        for p, valid in enumerate(validity):
            if valid.any():
                frames = pattern == p
                logits = features[frames].astype(np.float64) @ self._scaled(valid) + self.intercept
                powers = np.exp(logits - logits.max(axis=1, keepdims=True))
                values[frames] = powers / powers.sum(axis=1, keepdims=True)
        return values

    def _scaled(self, valid: Bools) -> Doubles:
        norms = np.linalg.norm(self.coefficient, axis=(1, 2))
        left = norms[valid].sum()
        scale = norms.sum() / left if left > _MIN_NORM else 1.0
        return np.asarray((scale * self.coefficient).reshape(-1, len(self.label_set)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As in `emofuse.fusion.FittedFusion`."""
        return {"coefficient": self.coefficient, "intercept": self.intercept}


@dataclass(frozen=True)
class Stacking:
    """Fits a stacked fusion.

    strength: L2 penalty relative to the mean loss of a frame, so that it has the same effect for any number of frames.
    balance: frames are weighted by 1 / (frequency of their class) ** balance; 0 weights all frames, 1 all classes
    equally. shifts: number of shifts of the intercept along the log frequencies of the classes, from -1 to 1, of which
    the best by the measure is kept: how often rare classes should be predicted depends on the measure.

    Raises:
        SettingsError: strength or shifts is not above 0.
    """

    name: str = "stacking"
    strength: float = 0.1
    balance: float = 0.5
    shifts: int = 21

    def __post_init__(self) -> None:
        if not self.strength > 0 or self.shifts < 1:
            raise SettingsError(f"{self.name}: strength {self.strength}, {self.shifts} shifts; both must be above 0.")

    def fit(self, scores: SystemScores, truth: Ints, measure: Measure, rng: np.random.Generator) -> StackedFusion:
        """The regression, which does not depend on `rng`; errors as in `emofuse.fusion.FusionMethod`."""
        kept = scores.fitting_frames(truth)
        features, truth = _features(scores)[kept], np.asarray(truth)[kept]
        counts = np.bincount(truth, minlength=len(scores.label_set))
        coefficient, intercept = self._regression(features, truth, counts)
        log_counts = np.log(np.maximum(counts, 1))
        log_counts = np.where(counts > 0, log_counts - log_counts[counts > 0].mean(), 0)
        logits, best, highest = features @ coefficient + intercept, 0.0, -np.inf
        # From zero outwards, so that among equals the smallest shift is kept.
        for shift in sorted(np.linspace(-1, 1, self.shifts), key=abs) if self.shifts > 1 else [0.0]:
            guess = (logits + shift * log_counts).argmax(axis=1)
            cells = np.bincount(truth * len(counts) + guess, minlength=len(counts) ** 2)
            value = float(measure(cells.reshape(len(counts), -1).astype(np.int64)))
            if value > highest:
                best, highest = float(shift), value
        coefficient = coefficient.reshape(len(scores.systems), len(counts), len(counts))
        return StackedFusion(self.name, scores.systems, scores.label_set, coefficient, intercept + best * log_counts)

    def restore(self, arrays: Arrays, systems: tuple[str, ...], label_set: LabelSet) -> StackedFusion:
        """As in `emofuse.fusion.FusionMethod`."""
        return StackedFusion(self.name, systems, label_set, arrays["coefficient"], arrays["intercept"])

    def _regression(self, features: Floats, truth: Ints, counts: Ints) -> tuple[Doubles, Doubles]:
        """Coefficients float64 [features, classes] and intercept float64 [classes]; absent classes are improbable."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits  # a dependency of scikit-learn

        coefficient, intercept = np.zeros((features.shape[1], len(counts))), np.zeros(len(counts))
        present = np.flatnonzero(counts)
        if len(present) > 1:
            weights = (len(truth) / counts[truth]) ** self.balance
            model = LogisticRegression(C=1 / (self.strength * len(truth)), max_iter=_MAX_ITERATIONS)
            # These products are small: threads that wait for each other can cost a hundred times the work.
            with threadpool_limits(1), warnings.catch_warnings():
                # The solution after this number of iterations is good enough.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(features.astype(np.float64), truth, sample_weight=weights / weights.mean())
            # For two classes scikit-learn returns one row, the logit between them.
            halves = np.array([[-0.5], [0.5]]) if len(present) == 2 else 1.0
            coefficient[:, present] = (halves * model.coef_).T
            intercept[present] = (halves * model.intercept_[:, None]).mean(axis=1)
            coefficient[:, present] -= coefficient[:, present].mean(axis=1, keepdims=True)
            intercept[present] -= intercept[present].mean()
        # The logits of the present classes have a mean of zero for all features, so one of them is at least zero, and
        # the probability of an absent class stays below 1 / frames.
        intercept[counts == 0] = -np.log(len(truth))
        return coefficient, intercept


def _features(scores: SystemScores) -> Floats:
    """Log ratios float32 [frames, systems * classes]."""
    return scores.log_ratios().reshape(len(scores), -1)


METHODS.add("stacking", Stacking())
