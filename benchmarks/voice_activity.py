"""Voice activity detection: real recordings between pauses, and the synthetic corpus, clean and in noise.

    python benchmarks/voice_activity.py ../shared/data/speech        # omit the folder for the synthetic corpus alone

Real: two recordings of each speaker with pauses of 0.8 to 3 s between them, at three levels (RMS of the speech), and
with background noise. The ground truth is where the clean recording is within 30 dB of its loudest 20 ms, with gaps
below 0.3 s closed. Synthetic: the ground truth is the planned segments with a voice.
recall: fraction of the voiced time that is detected. pauses: fraction of the time farther than 0.3 s from any voice
that is classified as voice. all: the same over all time without voice.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import binary_closing, maximum_filter1d, uniform_filter1d

from emofuse.core.time import seconds
from emofuse.media.audio import AudioBlock, AudioReader
from emofuse.models.voice_stages import choose_speech_detector
from emofuse.speech import SpeechDetector
from emofuse.synthetic.corpus.plan import plan_corpus
from emofuse.synthetic.corpus.soundtrack import BACKGROUNDS, RATE_HZ, mixture, voices

STEP = 160  # samples, 10 ms
Case = tuple[str, np.ndarray, np.ndarray]  # name, waveform, and whether there is voice in each step


def main() -> None:
    """Print one line per case and one column per detector."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("speech", type=Path, nargs="?", help="folder with labels.csv: path, speaker")
    parser.add_argument("--recordings", type=int, default=48, help="number of real recordings; default: 48")
    parser.add_argument("--videos", type=int, default=24, help="number of synthetic videos; default: 24")
    options = parser.parse_args()
    detectors = [choose_speech_detector("energy").detector, choose_speech_detector("silero").detector]
    print(f"{'recall / pauses / all':28s}" + "".join(f"{d.identity:>24s}" for d in detectors))
    if options.speech is not None:
        for name, wave, truth in real_cases(options.speech, options.recordings):
            report(name, [(wave, truth)], detectors)
    synthetic: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for name, wave, truth in synthetic_cases(options.videos):
        synthetic.setdefault(name, []).append((wave, truth))
    for name, pairs in sorted(synthetic.items()):
        report(f"synthetic, {name}", pairs, detectors)


def report(name: str, pairs: list[tuple[np.ndarray, np.ndarray]], detectors: list[SpeechDetector]) -> None:
    cells = []
    truth = np.concatenate([t for _, t in pairs])
    near = np.concatenate([maximum_filter1d(t.astype(np.uint8), 61) > 0 for _, t in pairs])
    for detector in detectors:
        detected = np.concatenate([active_steps(detector, wave)[: len(t)] for wave, t in pairs])
        groups = (detected[truth], detected[~near], detected[~truth])
        cells.append(" / ".join(f"{group.mean():.3f}" if len(group) else "  -  " for group in groups))
    print(f"{name:28s}" + "".join(f"{cell:>24s}" for cell in cells), flush=True)


def active_steps(detector: SpeechDetector, wave: np.ndarray) -> np.ndarray:
    """Whether voice is detected in each step."""
    stream = detector.stream(RATE_HZ)
    active = np.zeros(len(wave) // STEP, bool)
    for span in [*stream.push(AudioBlock(wave.astype(np.float32), 0, RATE_HZ)), *stream.close()]:
        active[round(seconds(span.start) * 100) : round(seconds(span.end) * 100)] = span.active
    return active


# -- real speech ----------------------------------------------------------------------------------------------


def real_cases(folder: Path, recordings: int) -> Iterator[Case]:
    """Speech between pauses, at three levels, and in noise."""
    speech, truth = between_pauses(folder, recordings)
    print(f"real: {len(speech) / RATE_HZ:.0f} s, voice in {truth.mean():.0%} of it")
    for level in (-40, -26, -6):
        yield f"real, {level} dBFS", np.clip(speech * 10 ** (level / 20), -1, 1), truth
    for kind in ("white", "pink", "hum", "babble", "music"):
        noise = background(kind, len(speech))
        for snr_db in (10, 0):
            mixed = np.clip((speech + noise * 10 ** (-snr_db / 20)) * 10 ** (-26 / 20), -1, 1)
            yield f"real, {kind} {snr_db} dB", mixed, truth


def between_pauses(folder: Path, recordings: int) -> tuple[np.ndarray, np.ndarray]:
    """Recordings at RMS 1 with pauses between them, and whether there is voice in each step."""
    rng = np.random.default_rng(0)
    rows = pd.read_csv(folder / "labels.csv").groupby("speaker").sample(2, random_state=0)
    rows = rows.sample(min(recordings, len(rows)), random_state=0)
    waves, truth = [], []
    for path in rows["path"]:
        pause = np.zeros(round(rng.uniform(0.8, 3) * 100) * STEP)
        with AudioReader(folder / path, rate_hz=RATE_HZ) as reader:
            clip = np.concatenate([block.samples for block in reader.blocks()]).astype(float)
        clip = clip[: len(clip) // STEP * STEP]
        voiced = voiced_steps(clip)
        fade = np.clip(np.arange(len(clip)) / (0.02 * RATE_HZ), 0, 1)
        clip *= np.minimum(fade, fade[::-1]) / np.sqrt(np.mean(clip[np.repeat(voiced, STEP)] ** 2))
        waves += [pause, clip]
        truth += [np.zeros(len(pause) // STEP, bool), voiced]
    return np.concatenate(waves), np.concatenate(truth)


def voiced_steps(clip: np.ndarray) -> np.ndarray:
    """Whether there is voice in each step of a clean recording."""
    power = uniform_filter1d(clip**2, 2 * STEP)[STEP // 2 :: STEP]
    padded = np.pad(power > 1e-3 * power.max(), 40)
    return binary_closing(padded, np.ones(31))[40:-40]


def background(kind: str, samples: int) -> np.ndarray:
    """White noise, or a looped background of the synthetic corpus, at RMS 1."""
    rng = np.random.default_rng(7)
    loop = rng.normal(0, 1, samples) if kind == "white" else BACKGROUNDS[kind](15 * RATE_HZ, rng)
    noise = np.resize(loop, samples)
    return noise / np.sqrt(np.mean(noise**2))


# -- synthetic speech -----------------------------------------------------------------------------------------


def synthetic_cases(videos: int) -> Iterator[Case]:
    """Mixtures of voices and background of videos of 20 s."""
    for video in plan_corpus(videos, 20.0, seed=0):
        mixed, _ = mixture(video, np.sum(voices(video, seed=0), axis=0), seed=0)
        truth = np.zeros(len(mixed) // STEP, bool)
        for entry in video.entries:
            for segment in entry.segments:
                if segment.voice is not None:
                    truth[round(segment.start * 100) : round(segment.end * 100)] = True
        yield ("no background" if video.snr_db is None else f"{video.background} {video.snr_db} dB"), mixed, truth


if __name__ == "__main__":
    main()
