"""Speed of the SVM and the kernel ELM compared with scikit-learn's SVC and a direct float64 solution, in one run.

    python benchmarks/heads.py                                   # the full sizes; takes several minutes
    python benchmarks/heads.py --windows 1000 --predict 2000 --rows 2000 --rounds 3

Synthetic embeddings: non-negative float32 features of 7 overlapping classes of unequal size (60 % accuracy). Times of
emofuse are medians of three runs. A matrix product in the same run shows the peak speed of the machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from measure import environment
from numpy.typing import NDArray
from scipy.linalg import solve
from sklearn.svm import SVC

from emofuse.heads import SVM, KernelELM

FREQUENCIES = (0.35, 0.08, 0.06, 0.05, 0.22, 0.14, 0.10)
GAMMA, COST = 0.1, 3.0  # as in the paper
RIDGE = 1.0

Result = TypeVar("Result")


class Cost(NamedTuple):
    """Wall-clock seconds, and CPU seconds of all cores, which are more reliable on a machine with other load."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=5000, help="number of rows to fit the SVM on")
    parser.add_argument("--predict", type=int, default=20000, help="number of rows to predict probabilities for")
    parser.add_argument("--rows", type=int, default=10000, help="number of rows to fit the kernel ELM on")
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{environment('numpy', 'scikit-learn')}, {threads} cores")
    for round_ in range(arguments.rounds):
        print(f"\nround {round_ + 1}: {arguments.features} features, 7 classes")
        peak = {dtype: _peak(dtype) for dtype in (np.float32, np.float64)}
        print(f"matrix product: float32 {peak[np.float32]:.0f}, float64 {peak[np.float64]:.0f} GFLOP/s")
        _report_svm(arguments.windows, arguments.predict, arguments.features, peak[np.float32])
        _report_kelm(arguments.rows, arguments.features, peak[np.float32])


def _report_svm(windows: int, predict: int, features: int, peak: float) -> None:
    rows, labels = _embeddings(windows, features, seed=1)
    others, _ = _embeddings(predict, features, seed=2)
    head, seconds = _time(lambda: SVM(gamma=GAMMA, C=COST).fit(rows, labels), times=3)
    reference, slow = _time(lambda: SVC(kernel="poly", degree=3, gamma=GAMMA, C=COST).fit(rows, labels))
    same = np.array_equal(np.sort(reference.support_), head.support_)
    _line(
        f"SVM fit, {windows} windows", seconds, slow, "equal support vectors" if same else "DIFFERENT SUPPORT VECTORS"
    )
    calibrated, seconds = _time(lambda: SVM(gamma=GAMMA, C=COST, probability=True).fit(rows, labels))
    print(f"  with probabilities, 5 folds: {seconds.wall:.2f} s; {len(head.support_)} support vectors")
    probabilities, seconds = _time(lambda: calibrated.predict_proba(others), times=3)
    # A lower bound for the time of SVC(probability=True): the same kernel values, without its pairwise coupling.
    values, slow = _time(lambda: reference.decision_function(others))
    head_values = head.decision_function(others)
    error = np.abs(head_values - values).max() / np.abs(values).max()
    _line(f"SVM probabilities, {predict} windows", seconds, slow, f"relative error of values {error:.0e}")
    work = 2e-9 * predict * len(head.support_) * features
    print(
        f"  {work / seconds.wall:.0f} GFLOP/s, {work / seconds.wall / peak:.0%} of the peak; rows sum to 1 within "
        f"{np.abs(probabilities.sum(axis=1) - 1).max():.0e}"
    )


def _report_kelm(rows: int, features: int, peak: float) -> None:
    values, labels = _embeddings(rows, features, seed=3)
    others, _ = _embeddings(2000, features, seed=4)
    head, seconds = _time(lambda: KernelELM(C=RIDGE).fit(values, labels), times=3)
    direct, slow = _time(lambda: _direct(values, labels, head.g_))
    found, expected = head.decision_function(others), direct(others)
    note = f"argmax equal on {(found.argmax(axis=1) == expected.argmax(axis=1)).sum()} of {len(others)}"
    _line(f"kernel ELM fit, {rows} rows", seconds, slow, f"{note}, scores within {np.abs(found - expected).max():.0e}")
    work = 1e-9 * (rows**2 * features + rows**3 / 3)
    print(f"  {work / seconds.wall:.0f} GFLOP/s, {work / seconds.wall / peak:.0%} of the peak")
    _, seconds = _time(lambda: KernelELM(C=RIDGE, probability=True).fit(values, labels))
    print(f"  with probabilities, exact leave-one-out: {seconds.wall:.2f} s")


def _direct(values: NDArray[np.float32], labels: NDArray[np.int64], g: float) -> Callable[..., NDArray[np.float64]]:
    """The kernel ELM solved directly from its definition, in float64."""
    exact = values.astype(np.float64)
    norms = (exact**2).sum(axis=1)

    def kernel(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        squares = (rows**2).sum(axis=1)[:, None] + norms - 2 * rows @ exact.T
        return np.exp(-np.maximum(squares, 0) / g)

    targets = np.where(labels[:, None] == np.arange(len(FREQUENCIES)), 1.0, -1.0)
    matrix = kernel(exact)
    matrix[np.diag_indices(len(matrix))] += 1 / RIDGE
    beta = solve(matrix, targets, assume_a="pos")
    return lambda rows: kernel(rows.astype(np.float64)) @ beta


def _line(name: str, ours: Cost, reference: Cost, note: str) -> None:
    times, work = reference.wall / ours.wall, reference.cpu / ours.cpu
    print(f"{name:<34} emofuse {ours.wall:6.2f} s, reference {reference.wall:6.2f} s: {times:.1f} times faster, {note}")
    print(f"  by CPU time {ours.cpu:.2f} s, {reference.cpu:.2f} s: {work:.1f} times")


def _time(call: Callable[[], Result], *, times: int = 1) -> tuple[Result, Cost]:
    costs = []
    for _ in range(times):
        wall, processor = time.perf_counter(), time.process_time()
        result = call()
        costs.append(Cost(time.perf_counter() - wall, time.process_time() - processor))
    return result, sorted(costs)[times // 2]


def _peak(dtype: type[np.floating]) -> float:
    """GFLOP/s of a matrix product, median of five runs."""
    left = np.random.default_rng(0).random((4096, 2048)).astype(dtype)
    left @ left[:2048].T
    cost = _time(lambda: left @ left[:2048].T, times=5)[1]
    return 2e-9 * 4096 * 2048 * 2048 / cost.wall


def _embeddings(count: int, width: int, *, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(0)
    centres, basis = 0.25 * fixed.normal(size=(7, 40)), fixed.normal(size=(40, width)) / np.sqrt(40)
    labels = rng.choice(7, count, p=FREQUENCIES)
    hidden = centres[labels] + rng.normal(size=(count, 40))
    features = np.maximum(hidden @ basis + 0.3 * rng.normal(size=(count, width)), 0)
    return features.astype(np.float32), labels


if __name__ == "__main__":
    main()
