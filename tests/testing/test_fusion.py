from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from emofuse.core.types import Scores
from emofuse.fusion import METHODS
from emofuse.fusion.search import DirichletSearch, Refinement
from emofuse.fusion.weighted import Mean, WeightedFusion
from emofuse.testing import check_fusion


@pytest.mark.parametrize("name", METHODS)
def test_every_registered_method_keeps_the_contract(name):
    method = METHODS[name]
    if isinstance(method, DirichletSearch):  # fewer draws, since the contract does not depend on them
        short = Refinement(rounds=3) if method.refinement else None
        method = replace(method, draws=100, refinement=short)
    check_fusion(method)


@dataclass(frozen=True)
class Unseeded(Mean):
    def fit(self, scores, truth, measure, rng):
        table = np.random.default_rng().dirichlet(np.ones(len(scores.systems)), size=len(scores.label_set)).T
        return WeightedFusion(self.name, scores.systems, scores.label_set, table.astype(np.float32))


class Shortened(WeightedFusion):
    def __call__(self, scores):
        fused = super().__call__(scores)
        return Scores(fused.values[1:], fused.timeline[1:], fused.label_set, fused.valid[1:], fused.system)


class ByPosition(WeightedFusion):
    def __call__(self, scores):
        return super().__call__([replace(s, system=name) for s, name in zip(scores, self.systems, strict=True)])


class AllOrNothing(WeightedFusion):
    def __call__(self, scores):
        fused = super().__call__(scores)
        return replace(fused, valid=np.all([s.valid for s in scores], axis=0))


@dataclass(frozen=True)
class Fits(Mean):
    result: type[WeightedFusion] = WeightedFusion

    def fit(self, scores, truth, measure, rng):
        rising = np.arange(1, len(scores.systems) + 1, dtype=np.float32)
        table = np.repeat((rising / rising.sum())[:, None], len(scores.label_set), axis=1)
        return self.result(self.name, scores.systems, scores.label_set, table)


@dataclass(frozen=True)
class Forgetful(Fits):
    def restore(self, arrays, systems, label_set):
        return Fits.fit(self, _Names(systems[::-1], label_set), None, None, None)


@dataclass(frozen=True)
class _Names:
    systems: tuple[str, ...]
    label_set: object


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Unseeded(), "two fits with the same seed returned different 'weights'"),
        (Fits(result=Shortened), "keep that of the input"),
        (Fits(result=ByPosition), "bind them by name, not by position"),
        (Fits(result=AllOrNothing), "but at 3[0-9] some system is; they must be the same"),
        (Forgetful(), "saved as mean of .*, loaded as mean of"),
        (Mean(name=""), "method.name is empty"),
    ],
)
def test_a_violation_of_the_contract_is_described(method, message):
    with pytest.raises(AssertionError, match=message):
        check_fusion(method)
