"""Voice separation on the synthetic corpus: gain in SNR, time, and memory by length of the audio.

    python benchmarks/separation.py                    # SNR by background noise; needs Spleeter's weights
    python benchmarks/separation.py --speed            # seconds per minute of audio, 16 kHz
    python benchmarks/separation.py --memory           # peak memory for 5 and 30 minutes

Voices and mixtures are those of `emofuse data make --videos 24 --seconds 20 --seed 0`. SNR is of the voice to all that
differs from it; SI-SDR is the same after the best scaling. "ideal mask" is a mask of the same kind computed from voice
and background themselves, an upper bound for any network. Without Spleeter's weights, --speed and --memory use
networks of its shape and size with random weights, which have no effect on time and memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import soxr
from measure import environment, peak_bytes, run_child
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speed", action="store_true", help="measure the time per minute of audio")
    parser.add_argument("--memory", action="store_true", help="measure peak memory for 5 and 30 minutes")
    parser.add_argument("--threads", type=int, default=0, help="default: one per core")
    parser.add_argument("--child", nargs=3, metavar=("VOCALS", "ACCOMPANIMENT", "SECONDS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    engine = Engine(options.threads)
    if options.child:
        print(json.dumps(separate_noise(*options.child, threads=engine.cores)))
        return
    print(f"{environment()}, {engine.cores} threads")
    if options.speed or options.memory:
        with tempfile.TemporaryDirectory() as folder:
            report_cost(networks(Path(folder)), options)
        return
    methods = {"mixture": lambda mixed, _: mixed, "ideal mask": ideal_mask}
    try:
        spleeter = choose_separation("spleeter", engine)
        methods[spleeter.identity] = lambda mixed, _: separate(spleeter, mixed)
    except WeightsError as error:
        print(f"without Spleeter: {error}")
    report_gain(methods)


# -- gain -----------------------------------------------------------------------------------------------------


def report_gain(methods: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]) -> None:
    """Print medians over videos, by background."""
    scores: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for video in plan_corpus(VIDEOS, SECONDS, seed=SEED):
        clean = np.sum(voices(video, seed=SEED), axis=0)
        mixed, factor = mixture(video, clean, seed=SEED)
        clean = clean * factor
        background = "none" if video.snr_db is None else f"{video.background} {video.snr_db} dB"
        for name, extract in methods.items():
            voice = extract(mixed, clean)
            scores.setdefault((background, name), []).append((snr(voice, clean), si_sdr(voice, clean)))
    print(f"{'background':14s} {'videos':>6s} {'':28s} {'SNR dB':>8s} {'SI-SDR dB':>10s}")
    for (background, name), values in sorted(scores.items()):
        snrs, si_sdrs = (statistics.median(v) for v in zip(*values, strict=True))
        print(f"{background:14s} {len(values):6d} {name:28s} {snrs:8.1f} {si_sdrs:10.1f}")


def snr(estimate: np.ndarray, clean: np.ndarray) -> float:
    """Signal-to-noise ratio in dB, at most 99; noise is all that differs from the clean voice."""
    return float(min(99, 10 * np.log10(np.sum(clean**2) / max(np.sum((estimate - clean) ** 2), 1e-12))))


def si_sdr(estimate: np.ndarray, clean: np.ndarray) -> float:
    """SNR relative to the clean voice at its level in the estimate."""
    return snr(estimate, clean * (np.dot(estimate, clean) / np.dot(clean, clean)))


def ideal_mask(mixed: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """The mixture masked by the voice's fraction of the power; STFT of 4096 samples, hop 1024, at 44.1 kHz."""
    up = [soxr.resample(wave, RATE_HZ, 44100, "HQ") for wave in (clean, mixed - clean, mixed)]
    voice, rest, both = (stft(wave, 44100, nperseg=4096, noverlap=3072)[2] for wave in up)
    mask = abs(voice) ** 2 / (abs(voice) ** 2 + abs(rest) ** 2 + 1e-12)
    mask[1024:] = 0
    back = soxr.resample(istft(mask * both, 44100, nperseg=4096, noverlap=3072)[1][: len(up[0])], 44100, RATE_HZ, "HQ")
    return np.pad(back, (0, max(len(mixed) - len(back), 0)))[: len(mixed)]


def separate(separation: VoiceSeparator, mixed: np.ndarray) -> np.ndarray:
    """The separated voice of a whole waveform."""
    stream = separation.stream(RATE_HZ)
    blocks = [*stream.push(AudioBlock(mixed.astype(np.float32), 0, RATE_HZ)), *stream.close()]
    return np.concatenate([block.samples for block in blocks])


# -- cost -----------------------------------------------------------------------------------------------------


def report_cost(networks: tuple[Path, Path], options: argparse.Namespace) -> None:
    """Print time or memory, each measured in a process of its own."""
    lengths = (300, 1800) if options.memory else (60, 60, 60)
    runs = [run_child(__file__, "--threads", options.threads, "--child", *networks, seconds) for seconds in lengths]
    if options.memory:
        peaks = [run["peak_mb"] for run in runs]
        print(f"peak memory: 5 min {peaks[0]:.0f} MB, 30 min {peaks[1]:.0f} MB, ratio {peaks[1] / peaks[0]:.3f}")
    for clock, name in (("wall-clock time", "seconds"), ("CPU time including start-up", "cpu")):
        times = [run[name] / length * 60 for run, length in zip(runs, lengths, strict=True)]
        spread = max(times) / min(times)
        print(f"per minute of audio: {statistics.median(times):.2f} s {clock}, largest / smallest {spread:.2f}")


def separate_noise(vocals: str, accompaniment: str, seconds: str, *, threads: int) -> dict[str, float]:
    """Separate noise in blocks of one second; returns seconds and peak memory."""
    stream = Spleeter(Path(vocals), Path(accompaniment), engine=Engine(threads, "cpu")).stream(RATE_HZ)
    rng, separated = np.random.default_rng(0), 0
    start = time.perf_counter()
    for second in range(int(seconds)):
        noise = rng.normal(0, 0.1, RATE_HZ).astype(np.float32)
        separated += sum(len(block.samples) for block in stream.push(AudioBlock(noise, ticks(second), RATE_HZ)))
    separated += sum(len(block.samples) for block in stream.close())
    assert separated == int(seconds) * RATE_HZ
    elapsed, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": elapsed, "cpu": used.ru_utime + used.ru_stime, "peak_mb": peak_bytes() / 2**20}


def networks(folder: Path) -> tuple[Path, Path]:
    """The paths of Spleeter's networks, or of random ones of the same size."""
    try:
        if found := weights.locate_set(weights.known("spleeter")):
            print(f"networks: {found[0].parent}")
            return found[0], found[1]
    except EmofuseError as error:
        print(error)
    print("networks: Spleeter's size, random weights")
    paths = folder / "vocals.onnx", folder / "accompaniment.onnx"
    for seed, path in enumerate(paths):
        export_random_unet(path, seed)
    return paths


def export_random_unet(path: Path, seed: int) -> None:
    """Six convolutions down and six up with skip connections, 16 to 512 channels; 9.8 million weights."""
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
            skips = []
            for conv, norm in zip(self.down, self.norm, strict=False):
                skips.append(conv(y))
                y = nn.functional.leaky_relu(norm(skips[-1]), 0.2)
            y = self.down[-1](y)
            for conv, norm in zip(self.up, self.norm_up, strict=True):
                y = norm(conv(y).relu())
                y = torch.cat([skips.pop(), y], 1) if skips else y
            return (self.last(y).sigmoid() * rows).transpose(0, 1)

    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(UNet().eval(), (torch.rand(2, 1, 512, 1024),), str(path), input_names=["x"],
                          output_names=["y"], opset_version=13, dynamo=False)  # fmt: skip


if __name__ == "__main__":
    main()
