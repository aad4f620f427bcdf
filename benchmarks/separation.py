"""What separation does to the voice of the made corpus, how long it takes, and how its memory grows with the sound.

    python benchmarks/separation.py                    # gain over the mixture, by background; needs Spleeter's weights
    python benchmarks/separation.py --speed            # seconds for a minute of sound, 16 kHz
    python benchmarks/separation.py --memory           # peak memory of 5 and of 30 minutes

Voice and mixture are those of `emofuse data make --videos 24 --seconds 20 --seed 0`. SNR is of the voice over all that
differs from it; SI-SDR the same after the best scaling. "perfect mask" is the voice through the same kind of mask made
from voice and background themselves: no net can do better. --speed and --memory take nets of Spleeter's shape and size
with random weights where its weights are not here; the figures do not depend on the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import soxr
from peak import peak_bytes
from scipy.signal import istft, stft

from emofuse.core.time import ticks
from emofuse.errors import EmofuseError, WeightsError
from emofuse.media.audio import AudioBlock
from emofuse.models import weights
from emofuse.models.voice_stages import choose_separation
from emofuse.runtime import Engine
from emofuse.speech import VoiceSeparator
from emofuse.speech.spleeter import Spleeter
from emofuse.synthetic.corpus.plan import plan_corpus
from emofuse.synthetic.corpus.soundtrack import RATE_HZ, mixture, voices

VIDEOS, SECONDS, SEED = 24, 20.0, 0


def main() -> None:
    """One of the three reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--child", nargs=3, metavar=("VOCALS", "ACCOMPANIMENT", "SECONDS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    engine = Engine(options.threads)
    if options.child:
        print(json.dumps(timed(*options.child, threads=engine.cores)))
        return
    print(f"{platform.platform()}, Python {platform.python_version()}, {engine.cores} threads")
    if options.speed or options.memory:
        with tempfile.TemporaryDirectory() as folder:
            report_cost(nets(Path(folder)), options)
        return
    rows = {"mixture": lambda mixed, _: mixed, "perfect mask": perfect}
    try:
        spleeter = choose_separation("spleeter", engine)
        rows[spleeter.identity] = lambda mixed, _: separated(spleeter, mixed)
    except WeightsError as error:
        print(f"without Spleeter: {error}")
    report_gain(rows)


# -- gain -----------------------------------------------------------------------------------------------------


def report_gain(rows: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]) -> None:
    """Medians over videos, by background."""
    scores: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for video in plan_corpus(VIDEOS, SECONDS, seed=SEED):
        clean = np.sum(voices(video, seed=SEED), axis=0)
        mixed, factor = mixture(video, clean, seed=SEED)
        clean = clean * factor
        kind = "alone" if video.snr_db is None else f"{video.background} {video.snr_db} dB"
        for name, run in rows.items():
            found = run(mixed, clean)
            scores.setdefault((kind, name), []).append((snr(found, clean), si_sdr(found, clean)))
    print(f"{'background':14s} {'videos':>6s} {'':28s} {'SNR dB':>8s} {'SI-SDR dB':>10s}")
    for (kind, name), values in sorted(scores.items()):
        noise, scaled = (statistics.median(v) for v in zip(*values, strict=True))
        print(f"{kind:14s} {len(values):6d} {name:28s} {noise:8.1f} {scaled:10.1f}")


def snr(found: np.ndarray, clean: np.ndarray) -> float:
    """Decibels of the voice over what differs from it, at most 99."""
    return float(min(99, 10 * np.log10(np.sum(clean**2) / max(np.sum((found - clean) ** 2), 1e-12))))


def si_sdr(found: np.ndarray, clean: np.ndarray) -> float:
    """SNR over the voice at the level at which it is in `found`."""
    return snr(found, clean * (np.dot(found, clean) / np.dot(clean, clean)))


def perfect(mixed: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """The mixture through the share of the voice in the squared magnitudes, 4096 and 1024 samples at 44.1 kHz."""
    up = [soxr.resample(sound, RATE_HZ, 44100, "HQ") for sound in (clean, mixed - clean, mixed)]
    voice, rest, both = (stft(sound, 44100, nperseg=4096, noverlap=3072)[2] for sound in up)
    mask = abs(voice) ** 2 / (abs(voice) ** 2 + abs(rest) ** 2 + 1e-12)
    mask[1024:] = 0
    back = soxr.resample(istft(mask * both, 44100, nperseg=4096, noverlap=3072)[1][: len(up[0])], 44100, RATE_HZ, "HQ")
    return np.pad(back, (0, max(len(mixed) - len(back), 0)))[: len(mixed)]


def separated(separation: VoiceSeparator, mixed: np.ndarray) -> np.ndarray:
    """The voice of a whole sound."""
    stream = separation.stream(RATE_HZ)
    blocks = [*stream.push(AudioBlock(mixed.astype(np.float32), 0, RATE_HZ)), *stream.close()]
    return np.concatenate([block.samples for block in blocks])


# -- cost -----------------------------------------------------------------------------------------------------


def report_cost(stems: tuple[Path, Path], options: argparse.Namespace) -> None:
    """Time or memory, each from a process of its own."""
    lengths = (300, 1800) if options.memory else (60, 60, 60)
    runs = [child(stems, seconds, options.threads) for seconds in lengths]
    if options.memory:
        peaks = [run["peak_mb"] for run in runs]
        print(f"peak memory: 5 min {peaks[0]:.0f} MB, 30 min {peaks[1]:.0f} MB, ratio {peaks[1] / peaks[0]:.3f}")
    for what, name in (("by the clock", "seconds"), ("of CPU time, start included", "cpu")):
        times = [run[name] / length * 60 for run, length in zip(runs, lengths, strict=True)]
        spread = max(times) / min(times)
        print(f"a minute of sound: {statistics.median(times):.2f} s {what}, largest / smallest {spread:.2f}")


def child(stems: tuple[Path, Path], seconds: int, threads: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--threads", str(threads), "--child", *map(str, stems), str(seconds)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ).stdout
    result: dict[str, float] = json.loads(answer)
    return result


def timed(vocals: str, accompaniment: str, seconds: str, *, threads: int) -> dict[str, float]:
    """Noise in blocks of a second through the nets."""
    stream = Spleeter(Path(vocals), Path(accompaniment), engine=Engine(threads, "cpu")).stream(RATE_HZ)
    rng, came = np.random.default_rng(0), 0
    start = time.perf_counter()
    for second in range(int(seconds)):
        noise = rng.normal(0, 0.1, RATE_HZ).astype(np.float32)
        came += sum(len(block.samples) for block in stream.push(AudioBlock(noise, ticks(second), RATE_HZ)))
    came += sum(len(block.samples) for block in stream.close())
    assert came == int(seconds) * RATE_HZ
    elapsed, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": elapsed, "cpu": used.ru_utime + used.ru_stime, "peak_mb": peak_bytes() / 2**20}


def nets(folder: Path) -> tuple[Path, Path]:
    """Spleeter's nets, or random ones of their size."""
    try:
        if found := weights.locate_set(weights.known("spleeter")):
            print(f"nets: {found[0].parent}")
            return found[0], found[1]
    except EmofuseError as error:
        print(error)
    print("nets: of Spleeter's size, with random weights")
    paths = folder / "vocals.onnx", folder / "accompaniment.onnx"
    for seed, path in enumerate(paths):
        random_unet(path, seed)
    return paths


def random_unet(path: Path, seed: int) -> None:
    """Six convolutions down and six up, joined across, 16 to 512 channels; 9.8 million weights."""
    import warnings

    import torch
    from torch import nn

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = (2, 16, 32, 64, 128, 256, 512)
            ups = ((512, 256), (512, 128), (256, 64), (128, 32), (64, 16), (32, 1))
            self.down = nn.ModuleList(nn.Conv2d(a, b, 5, 2, 2) for a, b in pairwise(sizes))
            self.norm = nn.ModuleList(nn.BatchNorm2d(b) for b in sizes[1:-1])
            self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 5, 2, 2, 1) for a, b in ups)
            self.norm_up = nn.ModuleList(nn.BatchNorm2d(b) for _, b in ups)
            self.last = nn.Conv2d(1, 2, 4, padding=3, dilation=2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = rows = x.transpose(0, 1)
            across = []
            for conv, norm in zip(self.down, self.norm, strict=False):
                across.append(conv(y))
                y = nn.functional.leaky_relu(norm(across[-1]), 0.2)
            y = self.down[-1](y)
            for conv, norm in zip(self.up, self.norm_up, strict=True):
                y = norm(conv(y).relu())
                y = torch.cat([across.pop(), y], 1) if across else y
            return (self.last(y).sigmoid() * rows).transpose(0, 1)

    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(UNet().eval(), (torch.rand(2, 1, 512, 1024),), str(path), input_names=["x"],
                          output_names=["y"], opset_version=13, dynamo=False)  # fmt: skip


if __name__ == "__main__":
    main()
