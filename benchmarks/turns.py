"""Timing for the benchmarks: contenders take turns in one run, beside what a matrix product reaches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from emofuse.runtime import Engine, OnnxNetwork
from emofuse.training import loop as fit

SIDE = 2048  # of the matrices that say how fast a product can be


@dataclass(frozen=True)
class Turn:
    """One contender: what is timed, and what stands before and after it."""

    call: Callable[[], object]
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Cost:
    """Seconds of a call: the median by the clock, its spread (largest to smallest), and the median of all cores."""

    wall: float
    spread: float
    processor: float


def in_turns(turns: dict[str, Turn], *, rounds: int) -> dict[str, Cost]:
    """The cost of each contender over so many rounds."""
    spent: dict[str, list[tuple[float, float]]] = {key: [] for key in turns}
    for _ in range(rounds):
        for key, turn in turns.items():
            turn.before()
            turn.call()  # the others have used the caches meanwhile
            wall, processor = time.perf_counter(), time.process_time()
            turn.call()
            spent[key].append((time.perf_counter() - wall, time.process_time() - processor))
            turn.after()
    costs = {}
    for key, times in spent.items():
        walls, processors = np.array(times).T
        costs[key] = Cost(float(np.median(walls)), walls.max() / walls.min(), float(np.median(processors)))
    return costs


def products(folder: Path, engine: Engine) -> dict[str, Turn]:
    """Products of square matrices by ONNX Runtime, 2 * SIDE**3 operations each: the most that its nets could reach."""
    left = torch.rand(SIDE, SIDE)
    fit.export_onnx(nn.Linear(SIDE, SIDE, bias=False), left, folder / "product.onnx", outputs=("y",))
    fit.quantise_onnx(
        folder / "product.onnx", folder / "product-int8.onnx", calibration=[left.numpy()], held_back=[left.numpy()],
        settings=fit.Int8(keep=()),
    )  # fmt: skip
    nets = {
        "float32": OnnxNetwork(folder / "product.onnx", engine),
        "int8": OnnxNetwork(folder / "product-int8.onnx", engine),
    }
    return {key: Turn(lambda net=net: net(left.numpy(), "y")) for key, net in nets.items()}
