"""Stacked fusion: a regularised multinomial regression on the log scores of the systems.

Unlike a weighted mean it can learn that a system's class is often another one, and how much a whole class is over- or
underrated. Features are centred log ratios, log(max(p, 1e-6)) less its mean over the classes, zeros where a system is
not valid. scikit-learn fits; what is kept are arrays, and prediction is NumPy.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints
from emofuse.core.types import Floats, Scores
from emofuse.errors import SettingsError, ShapeError
from emofuse.fusion.contract import Measure
from emofuse.fusion.system_scores import SystemScores, bind

_LEAST = 1e-6
_MOST_STEPS = 500


@dataclass(frozen=True, eq=False)
class StackedFusion:
    """A fitted stacked fusion: softmax(sum over systems of features @ coefficient + intercept).

    coefficient: float64 [systems, classes in, classes out]; intercept: float64 [classes]. Where a system is not valid
    the blocks of the others grow until their norms sum to what they do with all systems, as weights are renormalised
    in a weighted fusion.

    Raises:
        ShapeError: an array has another shape or type, or is not finite.
    """

    method: str
    systems: tuple[str, ...]
    label_set: LabelSet
    coefficient: NDArray[np.float64]
    intercept: NDArray[np.float64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "systems", tuple(self.systems))
        classes = len(self.label_set)
        for name, shape in (("coefficient", (len(self.systems), classes, classes)), ("intercept", (classes,))):
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
                raise ShapeError(
                    f"{name} of {self.method}: {array.dtype} {list(array.shape)}, not finite float64 {list(shape)}."
                )
            array = array.copy()
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __call__(self, scores: Sequence[Scores]) -> Scores:
        """Fused probabilities of one clip; see `emofuse.fusion.contract.FittedFusion`."""
        stack = bind(scores, self.systems, self.label_set)
        values = np.zeros(stack.values.shape[1:], np.float32)
        features, (validity, pattern) = log_ratios(stack), stack.patterns()
        for p, valid in enumerate(validity):
            if valid.any():
                rows = pattern == p
                logits = self._blocks(valid)(features[rows]) + self.intercept
                powers = np.exp(logits - logits.max(axis=1, keepdims=True))
                values[rows] = powers / powers.sum(axis=1, keepdims=True)
        return Scores(values, scores[0].timeline, self.label_set, stack.covered, self.method)

    def _blocks(self, valid: NDArray[np.bool_]) -> Any:
        norms = np.linalg.norm(self.coefficient, axis=(1, 2))
        left = norms[valid].sum()
        scale = norms.sum() / left if left > _LEAST else 1.0
        flat = (scale * self.coefficient).reshape(-1, len(self.label_set))
        return lambda features: features.astype(np.float64) @ flat

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The coefficients and the intercept, by these names."""
        return {"coefficient": self.coefficient, "intercept": self.intercept}


@dataclass(frozen=True)
class Stacking:
    """How to fit a stacked fusion.

    strength: of the L2 penalty, beside the mean loss of a frame, so that it means the same for any number of frames;
    balance: frames weigh 1 / (share of their class) ** balance, 0 as they come, 1 all classes alike; shifts: how many
    shifts of the intercept along the log shares of the classes are tried, from minus to plus one, the best by the
    measure kept: how much the rare classes should win depends on what is measured.

    Raises:
        SettingsError: strength is not above 0, or there is no shift.
    """

    name: str = "stacking"
    strength: float = 0.1
    balance: float = 0.5
    shifts: int = 21

    def __post_init__(self) -> None:
        if not self.strength > 0 or self.shifts < 1:
            raise SettingsError(f"{self.name}: strength {self.strength}, {self.shifts} shifts; both must be above 0.")

    def fit(self, scores: SystemScores, truth: Ints, measure: Measure, rng: np.random.Generator) -> StackedFusion:
        """The regression, which takes no chance; errors as in `emofuse.fusion.contract.FusionMethod`."""
        kept = scores.judged(truth)
        features, truth = log_ratios(scores)[kept], np.asarray(truth)[kept]
        occurs = np.bincount(truth, minlength=len(scores.label_set))
        coefficient, intercept = self._regression(features, truth, occurs)
        often = np.log(np.maximum(occurs, 1))
        often = np.where(occurs > 0, often - often[occurs > 0].mean(), 0)
        logits, best, highest = features @ coefficient + intercept, 0.0, -np.inf
        # From none outwards, so that among equals the smallest shift is taken.
        for shift in sorted(np.linspace(-1, 1, self.shifts), key=abs) if self.shifts > 1 else [0.0]:
            guess = (logits + shift * often).argmax(axis=1)
            cells = np.bincount(truth * len(occurs) + guess, minlength=len(occurs) ** 2)
            value = float(measure(cells.reshape(len(occurs), -1).astype(np.int64)))
            if value > highest:
                best, highest = float(shift), value
        blocks = coefficient.reshape(len(scores.systems), len(occurs), len(occurs))
        return StackedFusion(self.name, scores.systems, scores.label_set, blocks, intercept + best * often)

    def restore(
        self, arrays: Mapping[str, NDArray[Any]], systems: tuple[str, ...], label_set: LabelSet
    ) -> StackedFusion:
        """As in `emofuse.fusion.contract.FusionMethod`."""
        for name in ("coefficient", "intercept"):
            if name not in arrays:
                raise ShapeError(f"{self.name}: no array {name!r} among {', '.join(arrays) or 'none'}.")
        return StackedFusion(self.name, systems, label_set, arrays["coefficient"], arrays["intercept"])

    def _regression(self, features: Floats, truth: Ints, occurs: Ints) -> tuple[NDArray[np.float64], ...]:
        """Coefficients float64 [features, classes] and intercept float64 [classes]; absent classes come last."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits  # scikit-learn brings it

        coefficient, intercept = np.zeros((features.shape[1], len(occurs))), np.zeros(len(occurs))
        present = np.flatnonzero(occurs)
        if len(present) > 1:
            weights = (len(truth) / occurs[truth]) ** self.balance
            model = LogisticRegression(C=1 / (self.strength * len(truth)), max_iter=_MOST_STEPS)
            # These products are small: threads that wait for each other cost up to a hundred times the work.
            with threadpool_limits(1), warnings.catch_warnings():
                # What it has come to after so many steps is good enough.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(features.astype(np.float64), truth, sample_weight=weights / weights.mean())
            # Of two classes scikit-learn gives only the second one's row, the logit between them.
            halves = np.array([[-0.5], [0.5]]) if len(present) == 2 else 1.0
            coefficient[:, present] = (halves * model.coef_).T
            intercept[present] = (halves * model.intercept_[:, None]).mean(axis=1)
            coefficient[:, present] -= coefficient[:, present].mean(axis=1, keepdims=True)
            intercept[present] -= intercept[present].mean()
        # The logits of the present classes now have a mean of zero whatever the features, so one of them is at least
        # zero, and a class that was never seen stays below one part in as many as there were frames.
        intercept[occurs == 0] = -np.log(len(truth))
        return coefficient, intercept


def log_ratios(stack: SystemScores) -> Floats:
    """Features float32 [frames, systems * classes]: centred log ratios, zeros where a system is not valid."""
    logs = np.log(np.maximum(stack.values, np.float32(_LEAST)))
    logs -= logs.mean(axis=2, keepdims=True)
    logs[~stack.valid] = 0
    return logs.transpose(1, 0, 2).reshape(len(stack), -1)
