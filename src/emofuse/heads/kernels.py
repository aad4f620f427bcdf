"""Kernel functions by matrix product, and sums of them over stored vectors.

A kernel is computed block by block: inner products in the precision of the features, then the kernel in place while
the block is in the cache. Features float32 [rows, features] are multiplied in float32, others in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.registry import nearest
from emofuse.errors import SettingsError, ShapeError

Array = NDArray[Any]

_BLOCK_BYTES = 8 << 20  # of kernel values: stays in the cache between the product and the sum over the vectors
_FEW_ROWS = 32  # whose kernel values, twice over, stay nearer still
_FEWEST_ROWS = 256  # below this a matrix product is short of its peak


@dataclass(frozen=True)
class Kernel:
    """A kernel: "linear" <x, y>, "poly" (gamma <x, y> + coef0)^degree, or "rbf" exp(-gamma |x - y|^2).

    Raises:
        SettingsError: the name is unknown, or a setting has a value that makes no sense.

    >>> Kernel("poly", degree=2)(np.array([[3.0]]), np.zeros(1), np.zeros(1))
    array([[9.]])
    """

    name: str
    gamma: float = 1.0
    coef0: float = 0.0
    degree: int = 3

    def __post_init__(self) -> None:
        if self.name not in FORMS:
            raise SettingsError(f"kernel {self.name!r}: unknown{nearest(str(self.name), FORMS)}; choose {_known()}.")
        if not (np.isfinite(self.gamma) and self.gamma > 0) or not np.isfinite(self.coef0):
            raise SettingsError(f"kernel {self.name}: gamma {self.gamma}, coef0 {self.coef0}; gamma must be above 0.")
        if self.degree != int(self.degree) or self.degree < 1:
            raise SettingsError(f"kernel {self.name}: degree {self.degree}; give a whole number from 1 up.")

    @property
    def needs_distances(self) -> bool:
        return self.name == "rbf"

    @property
    def is_linear(self) -> bool:
        return self.name == "linear" or (self.name == "poly" and self.degree == 1)

    def lean(self) -> Kernel:
        """The kernel but for a factor: without coef0, gamma^degree of "poly" can as well be in what is multiplied.

        So gamma and C of such an SVM are one parameter, (gamma, C) = (1, C gamma^degree).

        >>> Kernel("poly", gamma=0.1).lean()
        Kernel(name='poly', gamma=1.0, coef0=0.0, degree=3)
        """
        return self if self.name != "poly" or self.coef0 else Kernel("poly", degree=self.degree)

    def __call__(self, products: Array, rows: Array, columns: Array) -> Array:
        """Kernel values in place of inner products [m, n]; squared norms [m] and [n] are for distances."""
        return FORMS[self.name](self, products, rows, columns)


def _known() -> str:
    return ", ".join(FORMS)


def _linear(kernel: Kernel, q: Array, rows: Array, columns: Array) -> Array:
    return q


def _poly(kernel: Kernel, q: Array, rows: Array, columns: Array) -> Array:
    if kernel.gamma != 1:
        q *= q.dtype.type(kernel.gamma)
    if kernel.coef0:
        q += q.dtype.type(kernel.coef0)
    for start in range(0, len(q) if kernel.degree > 1 else 0, _FEW_ROWS):
        part = q[start : start + _FEW_ROWS]
        base = part.copy()
        for _ in range(int(kernel.degree) - 1):  # NumPy's power is many times slower than these products
            part *= base
    return q


def _rbf(kernel: Kernel, q: Array, rows: Array, columns: Array) -> Array:
    q *= 2
    q -= rows[:, None]
    q -= columns
    np.minimum(q, 0, out=q)  # minus the squared distance, which rounding may have made negative
    q *= q.dtype.type(kernel.gamma)
    return np.exp(q, out=q)


FORMS: Mapping[str, Callable[[Kernel, Array, Array, Array], Array]] = MappingProxyType(
    {"linear": _linear, "poly": _poly, "rbf": _rbf}
)


def square_norms(features: Array) -> Array:
    """Squared length of each row, [rows]."""
    return np.asarray(np.einsum("nd,nd->n", features, features))


def centre_of(features: Array, kernel: Kernel) -> Array:
    """Subtracted from features first: their mean [d] where distances matter, so that rounding does less; else [0]."""
    if not kernel.needs_distances:
        return np.zeros(0, features.dtype)
    return np.asarray(features.mean(axis=0, dtype=np.float64), features.dtype)


def centred(features: Array, centre: Array) -> Array:
    """Features less their centre, if there is one."""
    return features - centre if len(centre) else features


def between(
    rows: Array, columns: Array, kernel: Kernel, *, norms: Array | None = None
) -> Iterator[tuple[slice, Array]]:
    """Kernel values of rows [n, d] and columns [m, d], in blocks of rows: which rows, and values [block, m].

    Args:
        norms: squared lengths of the columns, where they are known.
    The values of a block are overwritten by the next.
    """
    if norms is None:
        norms = square_norms(columns) if kernel.needs_distances else np.zeros(0, columns.dtype)
    size = min(len(rows), max(_FEWEST_ROWS, _BLOCK_BYTES // max(1, len(columns) * columns.itemsize)))
    values = np.empty((size, len(columns)), columns.dtype)
    for start in range(0, len(rows), max(1, size)):
        block = rows[start : start + size]
        lengths = square_norms(block) if kernel.needs_distances else np.zeros(0, block.dtype)
        products = np.matmul(block, columns.T, out=values[: len(block)])
        yield slice(start, start + len(block)), kernel(products, lengths, norms)


def gram(features: Array, kernel: Kernel, *, lower: bool = False) -> Array:
    """Kernel values of all pairs of rows, [rows, rows], in their precision; only half of the products are taken.

    Args:
        lower: leave what is above the diagonal undefined, for a Cholesky decomposition.
    """
    n = len(features)
    values = np.empty((n, n), features.dtype)
    norms = square_norms(features) if kernel.needs_distances else np.zeros(n, features.dtype)
    for start in range(0, n, 2 * _FEWEST_ROWS):
        rows = slice(start, min(start + 2 * _FEWEST_ROWS, n))
        block = values[rows, : rows.stop]
        np.matmul(features[rows], features[: rows.stop].T, out=block)  # new memory costs more than it looks
        kernel(block, norms[rows], norms[: rows.stop])
        if not lower:
            values[:start, rows] = block[:, :start].T
    return values


@dataclass(frozen=True, eq=False)
class Expansion:
    """Sums of kernel values over stored vectors: f(x) = sum over i of k(x, vectors_i) coefficients_i + offset.

    vectors: [m, d], less `centre`; coefficients: [m, outputs]; offset: float64 [outputs]; centre: [d], or [0] for none.

    Raises:
        ShapeError: the arrays do not fit each other, or hold numbers that are not finite.
    """

    kernel: Kernel
    vectors: Array
    coefficients: Array
    offset: NDArray[np.float64]
    centre: Array
    norms: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        v, c, o = self.vectors, self.coefficients, self.offset
        fits = v.ndim == c.ndim == 2 and len(v) == len(c) and o.shape == c.shape[1:]
        if not fits or self.centre.shape not in ((0,), v.shape[1:]) or v.dtype.kind != "f":
            raise ShapeError(f"head: vectors {v.shape}, coefficients {c.shape}, offset {o.shape} do not fit.")
        if not all(np.isfinite(a).all() for a in (v, c, o, self.centre)):
            raise ShapeError("head: a stored number is not finite.")
        object.__setattr__(self, "norms", square_norms(v) if self.kernel.needs_distances else np.zeros(0, v.dtype))

    @classmethod
    def of(cls, kernel: Kernel, vectors: Array, coefficients: Array, *, offset: Array, centre: Array) -> Expansion:
        """The sums over these (centred) vectors; of a linear kernel only one vector for each output is left."""
        if kernel.is_linear:
            gamma, coef0 = (kernel.gamma, kernel.coef0) if kernel.name == "poly" else (1.0, 0.0)
            rows = gamma * (coefficients.T.astype(np.float64) @ vectors.astype(np.float64))
            return cls.linear(rows.astype(vectors.dtype), offset + coef0 * coefficients.sum(axis=0, dtype=np.float64))
        if kernel.lean() != kernel:
            coefficients = coefficients * kernel.gamma**kernel.degree
            kernel = kernel.lean()
        return cls(kernel, vectors, coefficients.astype(vectors.dtype), np.asarray(offset, np.float64), centre)

    @classmethod
    def linear(cls, rows: Array, offset: NDArray[np.float64]) -> Expansion:
        """f(x) = rows @ x + offset, for rows [outputs, d]."""
        return cls(Kernel("linear"), rows, np.eye(len(rows), dtype=rows.dtype), offset, np.zeros(0, rows.dtype))

    def __call__(self, features: Array) -> NDArray[np.float64]:
        """float64 [rows, outputs]."""
        features = features.astype(self.vectors.dtype, copy=False)
        values = np.empty((len(features), len(self.offset)))
        for rows, block in between(centred(features, self.centre), self.vectors, self.kernel, norms=self.norms):
            values[rows] = block @ self.coefficients
        return values + self.offset

    def arrays(self) -> dict[str, Array]:
        """The stored arrays by name; `restore` takes them back."""
        names = ("vectors", "coefficients", "offset", "centre")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], kernel: Kernel) -> Expansion:
        """The sums that gave these arrays.

        Raises:
            KeyError: an array is missing.
            ShapeError: the arrays do not fit each other.
        """
        parts = (arrays["vectors"], arrays["coefficients"], arrays["offset"], arrays["centre"])
        return cls(Kernel("linear") if kernel.is_linear else kernel.lean(), *parts)
