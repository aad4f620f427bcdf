"""The paper's weighted fusions, SWF and MCWF: random weights, of which the best by the exact measure are kept.

`swf-refined` and `mcwf-refined` continue with a local search on the same measure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints
from emofuse.core.types import Floats
from emofuse.errors import SettingsError
from emofuse.fusion.candidates import SortedFrames
from emofuse.fusion.registry import METHODS, Arrays, Measure
from emofuse.fusion.system_scores import SystemScores
from emofuse.fusion.weighted import WeightedFusion

Doubles = NDArray[np.float64]
Evaluate = Callable[[Doubles], Doubles]
"""Weights float64 [candidates, systems, 1 or classes] -> measure float64 [candidates], higher is better."""

_MIN_WEIGHT = 1e-4  # weights are changed by factors, which cannot change zero


@dataclass(frozen=True)
class Refinement:
    """Local search: rounds of random changes to the best weights so far, with a falling step size.

    The first round tries equal weights, each system alone, and each system alone for one class. Later rounds multiply
    the weights by exp(width * normal), half of the candidates in all classes and half in one class, and normalise their
    sum to one. The best candidate of a round is kept if it is better. The width falls geometrically from `max_width` to
    `min_width`.

    Raises:
        SettingsError: a setting is not above 0.
    """

    rounds: int = 20
    candidates: int = 180
    max_width: float = 1.0
    min_width: float = 0.03
    corners: int = 400

    def __post_init__(self) -> None:
        if min(self.rounds, self.candidates, self.max_width, self.min_width, self.corners) <= 0:
            raise SettingsError(f"{self}: every number must be above 0.")

    @property
    def max_evaluations(self) -> int:
        """The largest number of candidates that are evaluated."""
        return self.corners + self.rounds * self.candidates

    def improve(self, weights: Doubles, value: float, evaluate: Evaluate, rng: np.random.Generator) -> Doubles:
        """Weights that are at least as good as those given.

        Args:
            weights: float64 [systems, classes], columns that sum to one.
            value: their measure.

        >>> target = np.array([[0.3], [0.7]])
        >>> closeness = lambda weights: -np.abs(weights - target).sum(axis=(1, 2))
        >>> Refinement().improve(np.array([[0.5], [0.5]]), -0.4, closeness, np.random.default_rng(0)).round(2)
        array([[0.3],
               [0.7]])
        """
        if len(weights) == 1:  # the weight of a single system is one
            return weights
        weights, value = _better(weights, value, _corners(weights)[: self.corners], evaluate)
        for width in np.geomspace(self.max_width, self.min_width, self.rounds):
            weights, value = _better(weights, value, self._changed(weights, float(width), rng), evaluate)
        return weights

    def _changed(self, weights: Doubles, width: float, rng: np.random.Generator) -> Doubles:
        steps = width * rng.standard_normal((self.candidates, *weights.shape))
        chosen = rng.integers(weights.shape[1], size=self.candidates)
        one_class = np.arange(self.candidates) % 2 == 1
        steps *= ~one_class[:, None, None] | (np.arange(weights.shape[1]) == chosen[:, None])[:, None, :]
        changed: Doubles = np.maximum(weights, _MIN_WEIGHT) * np.exp(steps)
        changed /= changed.sum(axis=1, keepdims=True)
        return changed


def _corners(weights: Doubles) -> Doubles:
    systems, classes = weights.shape
    alone = np.eye(systems)
    found = [np.full_like(weights, 1 / systems)[None], np.repeat(alone[:, :, None], classes, axis=2)]
    for c in range(classes if classes > 1 else 0):
        one_class = np.repeat(weights[None], systems, axis=0)
        one_class[:, :, c] = alone
        found.append(one_class)
    return np.concatenate(found)


def _better(weights: Doubles, value: float, candidates: Doubles, evaluate: Evaluate) -> tuple[Doubles, float]:
    values = evaluate(candidates)
    n = int(values.argmax())
    return (candidates[n], float(values[n])) if values[n] > value else (weights, value)


@dataclass(frozen=True)
class DirichletSearch:
    """Weights drawn from a Dirichlet distribution; the first best of `draws` by the measure on the given frames.

    per_class: false is SWF, one weight for each system; true is MCWF, one for each system and class, drawn
    independently for each class. alpha: concentration; 1 draws uniformly from all weights that sum to one.
    refinement: a local search from the best draw, or None as in the paper.

    Raises:
        SettingsError: draws or alpha is not above 0.
    Source: paper, section 2.3; draws and alpha as in the authors' code.
    """

    name: str
    per_class: bool
    draws: int = 1000
    alpha: float = 1.0
    refinement: Refinement | None = None

    def __post_init__(self) -> None:
        if self.draws < 1 or not self.alpha > 0:
            raise SettingsError(f"{self.name}: {self.draws} draws with alpha {self.alpha}; both must be above 0.")

    def fit(self, scores: SystemScores, truth: Ints, measure: Measure, rng: np.random.Generator) -> WeightedFusion:
        """The best weights; errors as in `emofuse.fusion.FusionMethod`.

        >>> from emofuse.core.labels import LabelSet
        >>> right, wrong = [[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]
        >>> values = np.array([right, wrong], np.float32)
        >>> scores = SystemScores(values, np.ones((2, 2), bool), ("good", "bad"), LabelSet(("calm", "angry")))
        >>> def accuracy(counts):
        ...     return np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))
        >>> fitted = DirichletSearch("swf", per_class=False).fit(
        ...     scores, np.array([0, 1]), accuracy, np.random.default_rng(0))
        >>> bool(fitted.class_weights[0, 0] > 0.5)
        True
        """
        frames = SortedFrames.of(scores, truth)
        systems, classes, _ = frames.values.shape
        engine = frames.fastest(self.draws + (self.refinement.max_evaluations if self.refinement else 0))

        def evaluate(weights: Doubles) -> Doubles:
            counts = frames.confusions(_for_each_class(weights, classes), engine=engine)
            values = np.asarray(measure(counts), np.float64)
            return np.where(np.isnan(values), -np.inf, values)

        size = (self.draws, classes if self.per_class else 1)
        weights = rng.dirichlet(np.full(systems, self.alpha), size=size).transpose(0, 2, 1)
        values = evaluate(weights)
        best = weights[values.argmax()]
        if self.refinement:
            best = self.refinement.improve(best, float(values.max()), evaluate, rng)
        return WeightedFusion(self.name, scores.systems, scores.label_set, _for_each_class(best[None], classes)[0])

    def restore(self, arrays: Arrays, systems: tuple[str, ...], label_set: LabelSet) -> WeightedFusion:
        """As in `emofuse.fusion.FusionMethod`."""
        return WeightedFusion(self.name, systems, label_set, arrays["weights"])


def _for_each_class(weights: Doubles, classes: int) -> Floats:
    return np.repeat(weights, classes // weights.shape[2], axis=2).astype(np.float32)


for _method in (
    DirichletSearch("swf", per_class=False),
    DirichletSearch("mcwf", per_class=True),
    DirichletSearch("swf-refined", per_class=False, refinement=Refinement()),
    DirichletSearch("mcwf-refined", per_class=True, refinement=Refinement()),
):
    METHODS.add(_method.name, _method)
