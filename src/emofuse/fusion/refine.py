"""A local search that goes on where the paper's random draws stop, on the same exact measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emofuse.errors import SettingsError

Doubles = NDArray[np.float64]

_LEAST = 1e-4  # weights are moved by factors, and from nothing no factor leads back


@dataclass(frozen=True)
class Refinement:
    """Rounds of moves around the best weights so far, in ever smaller steps; a round's best is taken if it is better.

    The first round tries equal weights, each system alone, and each system alone for one class; every later one
    multiplies weights by exp(width * normal), half of the candidates in all classes and half in one class, and brings
    their sum back to one. The width falls geometrically from `widest` to `narrowest`.

    Raises:
        SettingsError: a number is not above 0.
    """

    rounds: int = 20
    candidates: int = 180
    widest: float = 1.0
    narrowest: float = 0.03
    corners: int = 400

    def __post_init__(self) -> None:
        if min(self.rounds, self.candidates, self.widest, self.narrowest, self.corners) <= 0:
            raise SettingsError(f"{self}: every number must be above 0.")

    @property
    def evaluations(self) -> int:
        """The most candidates that are tried."""
        return self.corners + self.rounds * self.candidates

    def improve(
        self, shares: Doubles, value: float, worth: Callable[[Doubles], Doubles], rng: np.random.Generator
    ) -> Doubles:
        """Shares that are worth at least as much as those given.

        Args:
            shares: float64 [systems, classes], columns that sum to one.
            value: what they are worth.
            worth: float64 [candidates, systems, classes] -> float64 [candidates], more is better.

        >>> near = lambda shares: -np.abs(shares - [[0.3], [0.7]]).sum(axis=(1, 2))
        >>> Refinement().improve(np.array([[0.5], [0.5]]), -0.4, near, np.random.default_rng(0)).round(2)
        array([[0.3],
               [0.7]])
        """
        if len(shares) == 1:  # the only weight is one
            return shares
        shares, value = _better(shares, value, _corners(shares)[: self.corners], worth)
        for width in np.geomspace(self.widest, self.narrowest, self.rounds):
            shares, value = _better(shares, value, self._moves(shares, float(width), rng), worth)
        return shares

    def _moves(self, shares: Doubles, width: float, rng: np.random.Generator) -> Doubles:
        steps = width * rng.standard_normal((self.candidates, *shares.shape))
        chosen = rng.integers(shares.shape[1], size=self.candidates)
        alone = np.arange(self.candidates) % 2 == 1
        steps *= ~alone[:, None, None] | (np.arange(shares.shape[1]) == chosen[:, None])[:, None, :]
        moved: Doubles = np.maximum(shares, _LEAST) * np.exp(steps)
        moved /= moved.sum(axis=1, keepdims=True)
        return moved


def _corners(shares: Doubles) -> Doubles:
    systems, classes = shares.shape
    only = np.eye(systems)
    everywhere = np.repeat(only[:, :, None], classes, axis=2)
    found = [np.full_like(shares, 1 / systems)[None], everywhere]
    for c in range(classes if classes > 1 else 0):
        one_class = np.repeat(shares[None], systems, axis=0)
        one_class[:, :, c] = only
        found.append(one_class)
    return np.concatenate(found)


def _better(
    shares: Doubles, value: float, candidates: Doubles, worth: Callable[[Doubles], Doubles]
) -> tuple[Doubles, float]:
    values = worth(candidates)
    n = int(values.argmax())
    return (candidates[n], float(values[n])) if values[n] > value else (shares, value)
