"""Speed of the audio branch as a multiple of real time: decoding, log-mel spectrum, and each network by engine.

    python benchmarks/audio.py

Each network gets windows as its system cuts them (4 s every 1.6 s, or 3 s every second), so a network at 10 times real
time processes 10 s of a recording per second, overlaps included. Contenders alternate; medians over rounds. Weights
are random: only speed is measured. Decoding is of a generated AAC file at 44.1 kHz, resampled to the network's rate.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import torch
from measure import PRODUCT_GFLOP, Contender, Cost, alternate, environment, matrix_products
from torch.utils.flop_counter import FlopCounterMode

from emofuse.media.audio import AudioReader
from emofuse.nets.catalogue import Input, network
from emofuse.nets.cnn14 import LOGMEL_16K
from emofuse.nets.logmel import LogMel
from emofuse.runtime import Engine, OnnxNetwork
from emofuse.systems import system
from emofuse.training import loop

SYSTEMS = ("cnn1d-lstm", "pann", "compact-speech")
SECONDS = 60


@dataclass(frozen=True)
class Workload:
    """A contender that processes `seconds` of a recording per call, with `gflop` operations.

    product: the matrix product to which its speed is compared.
    """

    contender: Contender
    seconds: float
    gflop: float = 0.0
    product: str = "float32"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8, help="windows per call; default: 8")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    engine = Engine(options.threads, "cpu")
    print(
        f"{environment('torch', 'onnxruntime')}; {options.threads} threads, {options.batch} windows per call, "
        f"{options.rounds} rounds"
    )
    with TemporaryDirectory() as folder:
        workloads = decoding(Path(folder))
        for name in SYSTEMS:
            workloads |= engines(name, Path(folder), engine, batch=options.batch)
        products = matrix_products(Path(folder), engine)
        contenders = {name: workload.contender for name, workload in workloads.items()}
        costs = alternate(contenders | products, rounds=options.rounds)
    report(workloads, costs, {name: PRODUCT_GFLOP / costs[name].wall for name in products})


def report(workloads: dict[str, Workload], costs: dict[str, Cost], peaks: dict[str, float]) -> None:
    print("matrix product: " + ", ".join(f"{name} {peak:.0f} GOP/s" for name, peak in peaks.items()))
    print(f"{'':<34}x real time  by CPU time  spread  GOP/s  of the product")
    for name, load in workloads.items():
        cost = costs[name]
        rate = load.gflop / cost.wall
        rates = f"{rate:7.0f}{rate / peaks[load.product]:16.0%}" if rate else ""
        print(f"{name:<34}{load.seconds / cost.wall:11.1f}{load.seconds / cost.cpu:13.1f}{cost.spread:8.2f}{rates}")


def decoding(folder: Path) -> dict[str, Workload]:
    """Decoding with resampling, and the log-mel spectrum of a whole recording at once."""
    path = write_recording(folder / "recording.m4a")
    spectrum, waves = LogMel(LOGMEL_16K).eval(), loop.wave_example(SECONDS * LOGMEL_16K.rate_hz, n=1)

    @torch.inference_mode()
    def log_mel() -> object:
        return spectrum(waves)

    def decode(rate_hz: int) -> object:
        return sum(len(block.samples) for block in AudioReader(path, rate_hz=rate_hz).blocks(10))

    return {
        "decode, to 16 kHz": Workload(Contender(lambda: decode(16_000)), SECONDS),
        "decode, to 12 kHz": Workload(Contender(lambda: decode(12_000)), SECONDS),
        "log-mel once per file, torch": Workload(Contender(log_mel), SECONDS),
    }


def engines(name: str, folder: Path, engine: Engine, *, batch: int) -> dict[str, Workload]:
    """The network of a system in torch, and in ONNX Runtime in float32 and int8."""
    definition = system(name)
    windows = definition.windows
    width = windows.samples[0]
    build = partial(network(definition.net.network, Input.WAVEFORMS).build, rate_hz=windows.rate_hz, samples=width)
    net = loop.fresh(build, seed=0).eval()
    waves = loop.wave_example(width, n=batch)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(waves)
    gflop, seconds = counter.get_total_flops() / 1e9, batch * windows.step_seconds
    array = waves.numpy()
    loop.export_onnx(net, waves[:2], folder / f"{name}.onnx", outputs=("embedding", "logits"))
    loop.quantise_onnx(folder / f"{name}.onnx", folder / f"{name}-int8.onnx", calibration=[array[:2]])
    print(f"{name}: {gflop / batch:.2f} GFLOP per window of {windows.seconds:g} s")
    sessions = {form: OnnxNetwork(folder / f"{name}{form}.onnx", engine) for form in ("", "-int8")}

    @torch.inference_mode()
    def eager() -> object:
        return net(waves)

    return {
        f"{name}, torch": Workload(Contender(eager), seconds, gflop),
        f"{name}, ONNX Runtime float32": Workload(Contender(lambda: sessions[""](array, "logits")), seconds, gflop),
        f"{name}, ONNX Runtime int8": Workload(
            Contender(lambda: sessions["-int8"](array, "logits")), seconds, gflop, "int8"
        ),
    }


def write_recording(path: Path, *, rate_hz: int = 44_100) -> Path:
    """Write a minute of a tone in noise as AAC."""
    rng, time = np.random.default_rng(0), np.arange(SECONDS * rate_hz) / rate_hz
    wave = 0.2 * np.sin(2 * np.pi * 220 * time) + rng.normal(0, 0.05, len(time))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate_hz, Fraction(1, rate_hz), 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return path


if __name__ == "__main__":
    main()
