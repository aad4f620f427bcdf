"""A clip list of synthetic audio whose pitch depends on the label, and nothing else does."""

from __future__ import annotations

import csv
import wave
from pathlib import Path

import numpy as np

from emofuse.core.labels import AFFWILD2
from emofuse.core.time import ticks
from emofuse.inference.prediction import Prediction
from emofuse.inference.predictor import Predictor
from emofuse.media.audio import AudioBlock

RATE = 4_000


def tone(label: int, seconds: float, seed: int, *, rate: int = RATE) -> np.ndarray:
    """A voice-like tone whose pitch depends on the label, with a little noise; float32 [n]."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = 120 * 1.35**label * rng.uniform(0.98, 1.02)
    voice = sum(np.sin(2 * np.pi * pitch * k * time + rng.uniform(0, 6)) / k for k in (1, 2, 3))
    level = 0.1 + 0.1 * (np.sin(2 * np.pi * 3 * time) > 0)  # syllables
    return (level * voice + rng.normal(0, 0.01, len(time))).astype(np.float32)


def write_wave(path: Path, samples: np.ndarray, *, rate: int = RATE, channels: int = 1) -> Path:
    """Write samples float32 in -1 to 1 as 16 bit; those of several channels are interleaved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def push_in_chunks(
    predictor: Predictor, name: str, samples: np.ndarray, rng: np.random.Generator, *, rate: int = RATE
) -> Prediction:
    """The prediction of a live session for audio that is pushed in blocks of any size up to two seconds."""
    session, collector, done = predictor.session(), predictor.collector(), 0
    while done < len(samples):
        size = int(rng.integers(1, 2 * rate))
        collector.add(session.push_audio(AudioBlock(samples[done : done + size], done * ticks(1) // rate, rate)))
        done += size
    collector.add(session.close(len(samples) * ticks(1) // rate))
    return collector.prediction(name, "x", {})


def write_clip_list(folder: Path, *, train: int, validation: int, seconds: float = 4.0) -> Path:
    """Write a clip list with n clips in each split, the labels in turn."""
    with (folder / "clips.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "subject", "split"])
        for n in range(train + validation):
            label, split = n % len(AFFWILD2), "train" if n < train else "validation"
            name = f"{split}/{n:03d}.wav"
            write_wave(folder / name, tone(label, seconds, n))
            rows.writerow([name, AFFWILD2.names[label], f"{split}-{n}", split])
    return folder / "clips.csv"
