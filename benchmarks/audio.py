"""How many times faster than real time sound is judged: decoding, spectrum and each net, side by side in one run.

    python benchmarks/audio.py

Each net sees windows as its system cuts them (4 s every 1.6 s, or 3 s every second), so a net that is told to be 10
times real time judges 10 s of a recording in a second, overlaps included. Contenders take turns; medians over rounds.
Random weights: only speed is measured here. Decoding is of a made AAC file of 44.1 kHz, brought to the net's rate.
"""

from __future__ import annotations

import argparse
import platform
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import onnxruntime
import torch
from torch.utils.flop_counter import FlopCounterMode
from turns import SIDE, Cost, Turn, in_turns, products

from emofuse.media.audio import AudioReader
from emofuse.nets.catalogue import Input, network
from emofuse.nets.cnn14 import LOGMEL_16K
from emofuse.nets.logmel import LogMel
from emofuse.runtime import Engine, OnnxNetwork
from emofuse.systems import system
from emofuse.training import loop as fit

SYSTEMS = ("cnn1d-lstm", "pann", "compact-speech")
SECONDS = 60


@dataclass(frozen=True)
class Contender:
    """What is timed, and of how many seconds of a recording. work: GFLOP of a call. peak: the product it is held to."""

    turn: Turn
    seconds: float
    work: float = 0.0
    peak: str = "float32"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8, help="windows at a time")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    engine = Engine(arguments.threads, "cpu")
    print(
        f"{platform.platform()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"ONNX Runtime {onnxruntime.__version__}; {arguments.threads} threads, {arguments.batch} windows at a time, "
        f"{arguments.rounds} rounds"
    )
    with TemporaryDirectory() as folder:
        contenders = front(Path(folder))
        for name in SYSTEMS:
            contenders |= nets(name, Path(folder), engine, batch=arguments.batch)
        peaks = products(Path(folder), engine)
        costs = in_turns({**{k: c.turn for k, c in contenders.items()}, **peaks}, rounds=arguments.rounds)
    told(contenders, costs, {key: 2e-9 * SIDE**3 / costs[key].wall for key in peaks})


def told(contenders: dict[str, Contender], costs: dict[str, Cost], peaks: dict[str, float]) -> None:
    print("matrix product: " + ", ".join(f"{key} {value:.0f} GOP/s" for key, value in peaks.items()))
    print(f"{'':<34}x real time  by CPU time  spread  GOP/s  of the product")
    for key, c in contenders.items():
        cost = costs[key]
        reached = f"{c.work / cost.wall:7.0f}{c.work / cost.wall / peaks[c.peak]:16.0%}" if c.work else ""
        print(f"{key:<34}{c.seconds / cost.wall:11.1f}{c.seconds / cost.processor:13.1f}{cost.spread:8.2f}{reached}")


def front(folder: Path) -> dict[str, Contender]:
    """Decoding and resampling, and the spectrum of a whole recording at once."""
    path = recording(folder / "made.m4a")
    spectrum, waves = LogMel(LOGMEL_16K).eval(), fit.wave_example(SECONDS * LOGMEL_16K.rate_hz, n=1)

    @torch.inference_mode()
    def log_mel() -> object:
        return spectrum(waves)

    def decoded(rate_hz: int) -> object:
        return sum(len(block.samples) for block in AudioReader(path, rate_hz=rate_hz).blocks(10))

    return {
        "decode, to 16 kHz": Contender(Turn(lambda: decoded(16_000)), SECONDS),
        "decode, to 12 kHz": Contender(Turn(lambda: decoded(12_000)), SECONDS),
        "log-mel once per file, torch": Contender(Turn(log_mel), SECONDS),
    }


def nets(name: str, folder: Path, engine: Engine, *, batch: int) -> dict[str, Contender]:
    """The net of a system by torch, ONNX Runtime and in int8."""
    definition = system(name)
    windows = definition.windows
    width = windows.samples[0]
    build = partial(network(definition.net.network, Input.WAVEFORMS).build, rate_hz=windows.rate_hz, samples=width)
    net = fit.fresh(build, seed=0).eval()
    waves = fit.wave_example(width, n=batch)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(waves)
    work, seconds = counter.get_total_flops() / 1e9, batch * windows.step_seconds
    plain = waves.numpy()
    fit.export_onnx(net, waves[:2], folder / f"{name}.onnx", outputs=("embedding", "logits"))
    said = fit.quantise_onnx(
        folder / f"{name}.onnx", folder / f"{name}-int8.onnx", calibration=[plain[:2]], held_back=[plain]
    )
    print(
        f"{name}: {work / batch:.2f} GFLOP a window of {windows.seconds:g} s; "
        f"int8: {said.layers} layers, {said.kept} kept in float32"
    )
    runs = {key: OnnxNetwork(folder / f"{name}{key}.onnx", engine) for key in ("", "-int8")}

    @torch.inference_mode()
    def eager() -> object:
        return net(waves)

    return {
        f"{name}, torch": Contender(Turn(eager), seconds, work),
        f"{name}, ONNX Runtime float32": Contender(Turn(lambda: runs[""](plain, "logits")), seconds, work),
        f"{name}, ONNX Runtime int8": Contender(Turn(lambda: runs["-int8"](plain, "logits")), seconds, work, "int8"),
    }


def recording(path: Path, *, rate_hz: int = 44_100) -> Path:
    """A minute of tones in noise, AAC."""
    rng, time = np.random.default_rng(0), np.arange(SECONDS * rate_hz) / rate_hz
    sound = 0.2 * np.sin(2 * np.pi * 220 * time) + rng.normal(0, 0.05, len(time))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate_hz, Fraction(1, rate_hz), 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return path


if __name__ == "__main__":
    main()
