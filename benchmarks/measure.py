"""Shared by the benchmarks: time in alternating rounds, peak memory, child processes, and results as text.

Torch and emofuse are imported only where they are used, so that they do not count in the memory of other benchmarks.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from emofuse.datasets.fer2013.dataset import FaceImages
    from emofuse.metrics import Estimate
    from emofuse.runtime import Engine

PRODUCT_SIDE = 2048  # of the square matrices whose product shows the peak speed
PRODUCT_GFLOP = 2e-9 * PRODUCT_SIDE**3


@dataclass(frozen=True)
class Contender:
    """A call to time, with what runs before and after it, untimed."""

    call: Callable[[], object]
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Cost:
    """Seconds of a call.

    wall: median wall-clock time. spread: longest wall-clock time divided by the shortest. cpu: median CPU time of all
    threads, which is more reliable on a machine with other load.
    """

    wall: float
    spread: float
    cpu: float


def alternate(contenders: dict[str, Contender], *, rounds: int) -> dict[str, Cost]:
    """The cost of each contender; all of them run once in every round."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            contender.before()
            contender.call()  # the other contenders have displaced its data from the caches
            wall, cpu = time.perf_counter(), time.process_time()
            contender.call()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
            contender.after()
    costs = {}
    for name, pairs in times.items():
        walls, cpus = np.array(pairs).T
        costs[name] = Cost(float(np.median(walls)), walls.max() / walls.min(), float(np.median(cpus)))
    return costs


def matrix_products(folder: Path, engine: Engine) -> dict[str, Contender]:
    """Matrix products by ONNX Runtime in float32 and int8, PRODUCT_GFLOP each: the peak speed for its networks."""
    import torch

    from emofuse.runtime import OnnxNetwork
    from emofuse.training import loop

    values = torch.rand(PRODUCT_SIDE, PRODUCT_SIDE)
    layer = torch.nn.Linear(PRODUCT_SIDE, PRODUCT_SIDE, bias=False)
    paths = {"float32": folder / "product.onnx", "int8": folder / "product-int8.onnx"}
    loop.export_onnx(layer, values, paths["float32"], outputs=("y",))
    loop.quantise_onnx(*paths.values(), calibration=[values.numpy()], keep=())
    networks = {name: OnnxNetwork(path, engine) for name, path in paths.items()}
    return {name: Contender(lambda net=net: net(values.numpy(), "y")) for name, net in networks.items()}


def peak_bytes() -> float:
    """Peak memory of this process since it started; NaN on systems other than Linux.

    `ru_maxrss` includes the memory of the parent process before exec, so it is not used.
    """
    status = Path("/proc/self/status")
    lines = status.read_text("ascii").splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024.0 for line in lines if line.startswith("VmHWM:")), float("nan"))


def run_child(script: str, *arguments: object, **environment: str) -> dict[str, float]:
    """Run a benchmark in a process of its own; returns what it prints as JSON."""
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def environment(*packages: str) -> str:
    """The platform, and the versions of Python and of packages."""
    versions = (f"{name} {version(name)}" for name in packages)
    return ", ".join([platform.platform(), f"Python {platform.python_version()}", *versions])


def with_interval(estimate: Estimate, form: str = ".3f") -> str:
    """A value with its interval in brackets."""
    value, low, high = (format(v, form) for v in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def print_confusion(names: Sequence[str], counts: Any) -> None:
    """Print counts by labelled class (rows) and predicted class (columns)."""
    print("rows: labelled; columns: predicted")
    print(" " * 10 + "".join(f"{name[:9]:>10}" for name in names))
    for name, row in zip(names, counts, strict=True):
        print(f"{name:<10}" + "".join(f"{count:>10}" for count in row))


def sample_images(images: FaceImages, count: int) -> FaceImages:
    """A random sample, always the same."""
    return images[np.random.default_rng(0).permutation(len(images))[:count]]
