"""The paper's weighted fusions, SWF and MCWF: weights drawn at random, the best by the exact measure kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints
from emofuse.errors import SettingsError
from emofuse.fusion.candidates import SortedFrames
from emofuse.fusion.contract import Measure
from emofuse.fusion.refine import Refinement
from emofuse.fusion.system_scores import SystemScores
from emofuse.fusion.weighted import WeightedFusion


@dataclass(frozen=True)
class DirichletSearch:
    """Weights from a Dirichlet distribution, the first best of `draws` by the measure on the frames given.

    per_class: false is SWF, one weight for each system; true is MCWF, one for each system and class, drawn for each
    class anew; alpha: concentration, 1 draws uniformly from all weights that sum to one; refinement: a local search
    that goes on from the best draw, or None as in the paper.

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
        """The best weights; errors as in `emofuse.fusion.contract.FusionMethod`.

        >>> from emofuse.core.labels import LabelSet
        >>> right, wrong = [[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]
        >>> values = np.array([right, wrong], np.float32)
        >>> stack = SystemScores(values, np.ones((2, 2), bool), ("good", "bad"), LabelSet(("calm", "angry")))
        >>> def accuracy(counts):
        ...     return np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))
        >>> found = DirichletSearch("swf", per_class=False).fit(
        ...     stack, np.array([0, 1]), accuracy, np.random.default_rng(0))
        >>> bool(found.table[0, 0] > 0.5)
        True
        """
        frames = SortedFrames.of(scores, truth)
        systems, classes, _ = frames.values.shape
        more = self.refinement.evaluations if self.refinement else 0
        engine = frames.fastest(self.draws + more)

        def worth(shares: NDArray[np.float64]) -> NDArray[np.float64]:
            """Shares float64 [candidates, systems, 1 or classes] -> what each measures; NaN comes last."""
            values = np.asarray(measure(frames.confusions(_tables(shares, classes), engine=engine)), np.float64)
            return np.where(np.isnan(values), -np.inf, values)

        size = (self.draws, classes if self.per_class else 1)
        shares = rng.dirichlet(np.full(systems, self.alpha), size=size).transpose(0, 2, 1)
        values = worth(shares)
        best = shares[values.argmax()]
        if self.refinement:
            best = self.refinement.improve(best, float(values.max()), worth, rng)
        return WeightedFusion(self.name, scores.systems, scores.label_set, _tables(best[None], classes)[0])

    def restore(
        self, arrays: Mapping[str, NDArray[Any]], systems: tuple[str, ...], label_set: LabelSet
    ) -> WeightedFusion:
        """As in `emofuse.fusion.contract.FusionMethod`."""
        return WeightedFusion.restore(self.name, arrays, systems, label_set)


def _tables(shares: NDArray[np.float64], classes: int) -> NDArray[np.float32]:
    return np.repeat(shares, classes // shares.shape[2], axis=2).astype(np.float32)
