"""Time and memory of the exact search for fusion weights, compared with a loop over scikit-learn's metrics.

    python benchmarks/fusion.py                                      # the full comparison (about 5 min)
    python benchmarks/fusion.py --loop-candidates 50                 # the loop on 50 candidates, extrapolated
    python benchmarks/fusion.py --frames 30000 --loop-candidates 50  # a quick look

1,000 weight tables on 4 systems x 300,000 frames x 7 classes, the exact CPM of each: SWF (a weight for each system) and
MCWF (a weight for each system and class). Every measurement runs in its own process, which generates the same scores
from the same seed. The loop uses one core and the search all of them; on a machine with other load, compare processor
seconds (of all threads) as well as wall-clock seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import environment, peak_bytes, run_child
from numpy.typing import NDArray

SYSTEMS, CLASSES = 4, 7
KINDS = ("swf", "mcwf")
Tables = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300_000)
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--loop-candidates", type=int, help="number of candidates to time the loop on, extrapolated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "CPMS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        what, path = arguments.child
        print(json.dumps(CHILDREN[what](arguments, Path(path))))
        return
    with tempfile.TemporaryDirectory() as folder:
        _compare(arguments, Path(folder))


def _compare(arguments: argparse.Namespace, folder: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    print(f"{environment()}, {cores} cores")
    cold = _measured("start", arguments, folder, NUMBA_CACHE_DIR=str(folder / "cache"))["start"]
    warm = _measured("start", arguments, folder, NUMBA_CACHE_DIR=str(folder / "cache"))["start"]
    print(f"numba: import and compile {cold:.2f} s the first time, {warm:.2f} s from its cache; not counted below")
    found = {what: _measured(what, arguments, folder) for what in ("ceilings", "numba", "numpy", "loop")}
    looped = arguments.loop_candidates or arguments.candidates
    print(f"{arguments.candidates} candidates x {SYSTEMS} systems x {arguments.frames} frames x {CLASSES} classes")
    if looped < arguments.candidates:
        print(f"the loop was timed on {looped} candidates; its seconds are extrapolated to {arguments.candidates}")
    print(f"{'':<18} {'seconds':>9} {'max/min':>8} {'x faster':>9} {'CPU s':>8} {'CPM apart':>10} {'peak MB':>8}")
    for kind in KINDS:
        factor = arguments.candidates / looped
        loop = found["loop"][kind] * factor
        exact = np.load(folder / f"loop-{kind}.npy")
        for what in ("loop", "numpy", "numba"):
            seconds = loop if what == "loop" else found[what][kind]
            apart = np.abs(np.load(folder / f"{what}-{kind}.npy")[: len(exact)] - exact).max()
            name, spread = f"{kind} {'sklearn loop' if what == 'loop' else what}", found[what][f"{kind} spread"]
            processor = found[what][f"{kind} cpu"] * (factor if what == "loop" else 1)
            print(
                f"{name:<18} {seconds:9.3f} {spread:8.2f} {loop / seconds:9.1f} {processor:8.2f} "
                f"{apart:10.1e} {found[what]['peak_mb']:8.0f}"
            )
    _efficiency(arguments, found)


def _efficiency(arguments: argparse.Namespace, found: dict[str, dict[str, float]]) -> None:
    """Speed of the numba search relative to the peak of the machine, both measured in this run."""
    work = arguments.candidates * arguments.frames * CLASSES * (2 * SYSTEMS - 1)
    ceilings, seconds = found["ceilings"], found["numba"]["mcwf"]
    read = found["numba"]["bytes"]
    print(
        f"mcwf numba: {work / seconds / 1e9:.1f} GFLOP/s (products and sums alone), "
        f"{work / seconds / ceilings['multiply_add']:.0%} of a multiply-add loop in the first cache "
        f"({ceilings['multiply_add'] / 1e9:.0f}), {work / seconds / ceilings['matrix']:.0%} of an fp32 matrix product, "
        f"whose fused operations are not allowed here ({ceilings['matrix'] / 1e9:.0f})"
    )
    print(
        f"mcwf numba: {read / seconds / 1e9:.2f} GB/s from memory, {read / seconds / ceilings['read']:.0%} of "
        f"reading alone ({ceilings['read'] / 1e9:.1f})"
    )


def _measured(what: str, arguments: argparse.Namespace, folder: Path, **variables: str) -> dict[str, float]:
    options = ["--frames", arguments.frames, "--candidates", arguments.candidates, "--rounds", arguments.rounds]
    if arguments.loop_candidates:
        options += ["--loop-candidates", arguments.loop_candidates]
    return run_child(__file__, *options, "--child", what, folder / what, **variables)


# -- measurements, each in its own process ------------------------------------------------------------------


def _search(engine_name: str) -> Callable[[argparse.Namespace, Path], dict[str, float]]:
    def child(arguments: argparse.Namespace, path: Path) -> dict[str, float]:
        from emofuse.fusion import candidates
        from emofuse.metrics import cpm_of

        engine = {"numba": candidates.count_with_numba, "numpy": candidates.count_with_numpy}[engine_name]
        scores, truth = _random_scores(arguments.frames)
        candidates.SortedFrames.of(scores, truth).confusions(_tables("swf", 2), engine=engine)  # compiles
        result: dict[str, float] = {}
        for kind in KINDS:
            tables, taken, cpu = _tables(kind, arguments.candidates), [], time.process_time()
            rounds = arguments.rounds if engine_name == "numba" else 1
            for _ in range(rounds):
                start = time.perf_counter()
                values = cpm_of(candidates.SortedFrames.of(scores, truth).confusions(tables, engine=engine))
                taken.append(time.perf_counter() - start)
            np.save(f"{path}-{kind}.npy", values)
            result |= {kind: statistics.median(taken), f"{kind} spread": max(taken) / min(taken)}
            result[f"{kind} cpu"] = (time.process_time() - cpu) / rounds
        blocks = max(len(os.sched_getaffinity(0)), -(-arguments.candidates // candidates._MAX_BLOCK))
        return result | {"peak_mb": peak_bytes() / 2**20, "bytes": float(scores.values.nbytes * blocks)}

    return child


def _loop(arguments: argparse.Namespace, path: Path) -> dict[str, float]:
    """The plain loop: for each candidate the weighted sum, the best class, and scikit-learn's metrics."""
    from sklearn.metrics import accuracy_score, f1_score

    scores, truth = _random_scores(arguments.frames)
    result: dict[str, float] = {}
    for kind in KINDS:
        start, cpu, values = time.perf_counter(), time.process_time(), []
        for table in _tables(kind, arguments.candidates)[: arguments.loop_candidates]:
            fused = table[0] * scores.values[0]
            for m in range(1, SYSTEMS):
                fused += table[m] * scores.values[m]
            guess = fused.argmax(axis=1)
            values.append(0.67 * f1_score(truth, guess, average="macro") + 0.33 * accuracy_score(truth, guess))
        result |= {kind: time.perf_counter() - start, f"{kind} spread": 1.0, f"{kind} cpu": time.process_time() - cpu}
        np.save(f"{path}-{kind}.npy", np.array(values))
    return result | {"peak_mb": peak_bytes() / 2**20}


def _start(arguments: argparse.Namespace, path: Path) -> dict[str, float]:
    from emofuse.fusion import candidates

    scores, truth = _random_scores(1000)
    start = time.perf_counter()
    candidates.SortedFrames.of(scores, truth).confusions(_tables("swf", 2), engine=candidates.count_with_numba)
    return {"start": time.perf_counter() - start}


def _ceilings(arguments: argparse.Namespace, path: Path) -> dict[str, float]:
    """Peak operations and bytes per second of this machine, on all cores."""
    from concurrent.futures import ThreadPoolExecutor

    import numba

    def loop(values: Any, rounds: int) -> None:
        for _ in range(rounds):
            for n in range(len(values)):
                x, y = values[n], values[n] + np.float32(1)
                for _ in range(8):  # two chains of products and sums
                    x, y = x * np.float32(0.9) + np.float32(0.1), y * np.float32(0.8) + np.float32(0.2)
                values[n] = x + y

    compiled, cores = numba.njit(nogil=True)(loop), len(os.sched_getaffinity(0))
    rows, rounds = [np.ones(2048, np.float32) for _ in range(cores)], 20_000
    square, long = np.ones((2048, 2048), np.float32), np.ones(60_000_000, np.float32)
    compiled(rows[0], 1)
    with ThreadPoolExecutor(cores) as pool:
        chains = _fastest(lambda: list(pool.map(lambda row: compiled(row, rounds), rows)))
        reading = _fastest(lambda: list(pool.map(np.max, np.array_split(long, cores))))
    return {
        "multiply_add": cores * rounds * 2048 * 32 / chains,
        "matrix": 2 * 2048**3 / _fastest(lambda: square @ square),
        "read": long.nbytes / reading,
    }


def _fastest(work: Callable[[], object], times: int = 4) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


CHILDREN: dict[str, Callable[[argparse.Namespace, Path], dict[str, float]]] = {
    "numba": _search("numba"),
    "numpy": _search("numpy"),
    "loop": _loop,
    "start": _start,
    "ceilings": _ceilings,
}


def _random_scores(frames: int) -> tuple[Any, NDArray[np.int64]]:
    """Random scores of systems with different accuracies, all valid, and the truth of every frame."""
    from emofuse.core.labels import AFFWILD2
    from emofuse.fusion import SystemScores

    rng = np.random.default_rng(0)
    truth = np.repeat(rng.choice(CLASSES, p=[0.4, 0.05, 0.05, 0.05, 0.2, 0.15, 0.1], size=frames // 50 + 1), 50)[
        :frames
    ]
    values = np.empty((SYSTEMS, frames, CLASSES), np.float32)
    for m in range(SYSTEMS):
        logits = rng.standard_normal((frames, CLASSES), np.float32)
        logits[np.arange(frames), truth] += np.float32(1.5 - 0.3 * m)
        powers = np.exp(logits)
        values[m] = powers / powers.sum(axis=1, keepdims=True)
    names = ("vggface2-svm", "vggfer-kelm", "cnn1d-lstm", "pann")
    return SystemScores(values, np.ones((SYSTEMS, frames), np.bool_), names, AFFWILD2), truth.astype(np.int64)


def _tables(kind: str, candidates: int) -> Tables:
    weights = np.random.default_rng(1).dirichlet(np.ones(SYSTEMS), size=(candidates, CLASSES if kind == "mcwf" else 1))
    return np.repeat(weights.transpose(0, 2, 1), CLASSES // weights.shape[1], axis=2).astype(np.float32)


if __name__ == "__main__":
    main()
