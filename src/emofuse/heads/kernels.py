"""Kernel functions by matrix product, and sums of them over stored vectors.

A kernel matrix is computed in blocks: inner products in the precision of the features (float32 or float64), then the
kernel in place while the block is in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.registry import find
from emofuse.errors import SettingsError, ShapeError

Array = NDArray[Any]

_BLOCK_BYTES = 8 << 20  # of kernel values: stay in the cache between the product and the sum over the vectors
_POWER_ROWS = 32  # whose kernel values, twice, stay in the second cache level
_MIN_ROWS = 256  # for the full speed of a matrix product


@dataclass(frozen=True)
class Kernel:
    """A kernel: "linear" <x, y>, "poly" (gamma <x, y> + coef0)^degree, or "rbf" exp(-gamma |x - y|^2).

    Raises:
        SettingsError: the name is unknown, or a setting is out of range.

    >>> Kernel("poly", degree=2)(np.array([[3.0]]), np.zeros(1), np.zeros(1))
    array([[9.]])
    """

    name: str
    gamma: float = 1.0
    coef0: float = 0.0
    degree: int = 3

    def __post_init__(self) -> None:
        find(str(self.name), FORMS, "kernel")
        if not (np.isfinite(self.gamma) and self.gamma > 0) or not np.isfinite(self.coef0):
            raise SettingsError(f"kernel {self.name}: gamma {self.gamma}, coef0 {self.coef0}; gamma must be above 0.")
        if self.degree != int(self.degree) or self.degree < 1:
            raise SettingsError(f"kernel {self.name}: degree {self.degree}; give a whole number from 1 up.")

    @property
    def needs_distances(self) -> bool:
        """Whether it depends on the distance of two vectors, not on their inner product."""
        return self.name == "rbf"

    @property
    def is_linear(self) -> bool:
        """Whether it is linear in each vector, up to a constant."""
        return self.name == "linear" or (self.name == "poly" and self.degree == 1)

    def canonical(self) -> Kernel:
        """The kernel up to a factor: without coef0, the factor gamma^degree of "poly" can be left out.

        So gamma and C of such an SVM are one parameter, (gamma, C) = (1, C gamma^degree).

        >>> Kernel("poly", gamma=0.1).canonical()
        Kernel(name='poly', gamma=1.0, coef0=0.0, degree=3)
        """
        return self if self.name != "poly" or self.coef0 else Kernel("poly", degree=self.degree)

    def __call__(self, products: Array, rows: Array, columns: Array) -> Array:
        """Kernel values from inner products [m, n], in place; distances also need the squared norms [m] and [n]."""
        return FORMS[self.name](self, products, rows, columns)


def _linear(kernel: Kernel, q: Array, rows: Array, columns: Array) -> Array:
    return q


def _poly(kernel: Kernel, q: Array, rows: Array, columns: Array) -> Array:
    if kernel.gamma != 1:
        q *= q.dtype.type(kernel.gamma)
    if kernel.coef0:
        q += q.dtype.type(kernel.coef0)
    for start in range(0, len(q) if kernel.degree > 1 else 0, _POWER_ROWS):
        block = q[start : start + _POWER_ROWS]
        base = block.copy()
        for _ in range(int(kernel.degree) - 1):  # many times faster than NumPy's power
            block *= base
    return q


def _rbf(kernel: Kernel, q: Array, rows: Array, columns: Array) -> Array:
    q *= 2
    q -= rows[:, None]
    q -= columns
    np.minimum(q, 0, out=q)  # minus the squared distance, which rounding may make positive
    q *= q.dtype.type(kernel.gamma)
    return np.exp(q, out=q)


FORMS: Mapping[str, Callable[[Kernel, Array, Array, Array], Array]] = MappingProxyType(
    {"linear": _linear, "poly": _poly, "rbf": _rbf}
)


def square_norms(features: Array) -> Array:
    """Squared length of each row, [rows]."""
    return np.asarray(np.einsum("nd,nd->n", features, features))


def centre_of(features: Array, kernel: Kernel) -> Array:
    """Mean [d] to subtract from features for kernels of distances, which reduces rounding errors; else empty [0]."""
    if not kernel.needs_distances:
        return np.zeros(0, features.dtype)
    return np.asarray(features.mean(axis=0, dtype=np.float64), features.dtype)


def centred(features: Array, centre: Array) -> Array:
    """Features minus their centre, if there is one."""
    return features - centre if len(centre) else features


def kernel_blocks(
    rows: Array, columns: Array, kernel: Kernel, *, norms: Array | None = None
) -> Iterator[tuple[slice, Array]]:
    """Kernel values of rows [n, d] and columns [m, d] in blocks of rows: the rows, and values [block, m].

    The values of a block are overwritten by the next.

    Args:
        norms: squared norms of the columns; default: computed.
    """
    if norms is None:
        norms = square_norms(columns) if kernel.needs_distances else np.zeros(0, columns.dtype)
    size = min(len(rows), max(_MIN_ROWS, _BLOCK_BYTES // max(1, len(columns) * columns.itemsize)))
    values = np.empty((size, len(columns)), columns.dtype)
    for start in range(0, len(rows), max(1, size)):
        block = rows[start : start + size]
        lengths = square_norms(block) if kernel.needs_distances else np.zeros(0, block.dtype)
        products = np.matmul(block, columns.T, out=values[: len(block)])
        yield slice(start, start + len(block)), kernel(products, lengths, norms)


def gram(features: Array, kernel: Kernel, *, lower: bool = False) -> Array:
    """Kernel values of all pairs of rows, [rows, rows], in their precision; only half of the products are computed.

    Args:
        lower: leave the values above the diagonal undefined, as for a Cholesky decomposition.
    """
    n = len(features)
    values = np.empty((n, n), features.dtype)
    norms = square_norms(features) if kernel.needs_distances else np.zeros(n, features.dtype)
    for start in range(0, n, 2 * _MIN_ROWS):
        rows = slice(start, min(start + 2 * _MIN_ROWS, n))
        block = values[rows, : rows.stop]
        np.matmul(features[rows], features[: rows.stop].T, out=block)  # allocation of a new block would cost time
        kernel(block, norms[rows], norms[: rows.stop])
        if not lower:
            values[:start, rows] = block[:, :start].T
    return values


@dataclass(frozen=True, eq=False)
class KernelSum:
    """The function f(x) = sum over i of k(x, vectors_i) coefficients_i + offset.

    vectors: [m, d], minus `centre`; coefficients: [m, outputs]; offset: float64 [outputs]; centre: [d], or [0].

    Raises:
        ShapeError: the arrays do not fit each other, or hold values that are not finite.
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
            raise ShapeError("head: a stored value is not finite.")
        object.__setattr__(self, "norms", square_norms(v) if self.kernel.needs_distances else np.zeros(0, v.dtype))

    @classmethod
    def of(cls, kernel: Kernel, vectors: Array, coefficients: Array, *, offset: Array, centre: Array) -> KernelSum:
        """The sum over these centred vectors; for a linear kernel, reduced to one vector for each output."""
        if kernel.is_linear:
            gamma, coef0 = (kernel.gamma, kernel.coef0) if kernel.name == "poly" else (1.0, 0.0)
            rows = gamma * (coefficients.T.astype(np.float64) @ vectors.astype(np.float64))
            return cls.linear(rows.astype(vectors.dtype), offset + coef0 * coefficients.sum(axis=0, dtype=np.float64))
        if kernel.canonical() != kernel:
            coefficients = coefficients * kernel.gamma**kernel.degree
            kernel = kernel.canonical()
        return cls(kernel, vectors, coefficients.astype(vectors.dtype), np.asarray(offset, np.float64), centre)

    @classmethod
    def linear(cls, rows: Array, offset: NDArray[np.float64]) -> KernelSum:
        """f(x) = rows @ x + offset, for rows [outputs, d]."""
        return cls(Kernel("linear"), rows, np.eye(len(rows), dtype=rows.dtype), offset, np.zeros(0, rows.dtype))

    def __call__(self, features: Array) -> NDArray[np.float64]:
        """float64 [rows, outputs]."""
        features = features.astype(self.vectors.dtype, copy=False)
        values = np.empty((len(features), len(self.offset)))
        for rows, block in kernel_blocks(centred(features, self.centre), self.vectors, self.kernel, norms=self.norms):
            values[rows] = block @ self.coefficients
        return values + self.offset

    def arrays(self) -> dict[str, Array]:
        """The arrays by name, for `restore`."""
        names = ("vectors", "coefficients", "offset", "centre")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], kernel: Kernel) -> KernelSum:
        """The function that returned these arrays.

        Raises:
            KeyError: an array is missing.
            ShapeError: the arrays do not fit each other.
        """
        found = (arrays[name] for name in ("vectors", "coefficients", "offset", "centre"))
        return cls(Kernel("linear") if kernel.is_linear else kernel.canonical(), *found)
