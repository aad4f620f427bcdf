"""How well voice is found: real recordings between pauses, and the made corpus, clean and in noise.

    python benchmarks/voice_activity.py ../shared/data/speech        # real speech; without it the made corpus alone

Real: one or two recordings of each speaker with pauses of 0.8 to 3 s between them, at three levels, and with
backgrounds behind; levels are root mean squares of the speech. True are the moments at which the clean recording is
within 30 dB of its loudest 20 ms, gaps below 0.3 s closed. Made: true are the stretches in which somebody speaks.
recall: share of the true time that is found. pauses: share of the time farther than 0.3 s from the voice that is taken
for voice. all: the same for all time without voice.
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

STEP = 160  # 10 ms
Case = tuple[str, np.ndarray, np.ndarray]  # name, sound, and whether there is voice in each step


def main() -> None:
    """A line for each case, a column for each detector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, nargs="?", help="folder with labels.csv: path, speaker")
    parser.add_argument("--recordings", type=int, default=48)
    parser.add_argument("--videos", type=int, default=24)
    options = parser.parse_args()
    detectors = [choose_speech_detector("energy").detector, choose_speech_detector("silero").detector]
    print(f"{'recall / pauses / all':28s}" + "".join(f"{d.identity:>24s}" for d in detectors))
    if options.speech is not None:
        for name, sound, truth in real_cases(options.speech, options.recordings):
            report(name, [(sound, truth)], detectors)
    made: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for name, sound, truth in made_cases(options.videos):
        made.setdefault(name, []).append((sound, truth))
    for name, pairs in sorted(made.items()):
        report(f"made, {name}", pairs, detectors)


def report(name: str, pairs: list[tuple[np.ndarray, np.ndarray]], detectors: list[SpeechDetector]) -> None:
    cells = []
    truth = np.concatenate([t for _, t in pairs])
    near = np.concatenate([maximum_filter1d(t.astype(np.uint8), 61) > 0 for _, t in pairs])
    for detector in detectors:
        found = np.concatenate([heard(detector, sound)[: len(t)] for sound, t in pairs])
        parts = (found[truth], found[~near], found[~truth])
        cells.append(" / ".join(f"{part.mean():.3f}" if len(part) else "  -  " for part in parts))
    print(f"{name:28s}" + "".join(f"{cell:>24s}" for cell in cells), flush=True)


def heard(detector: SpeechDetector, sound: np.ndarray) -> np.ndarray:
    """Whether voice is found in each step."""
    stream = detector.stream(RATE_HZ)
    active = np.zeros(len(sound) // STEP, bool)
    for s in [*stream.push(AudioBlock(sound.astype(np.float32), 0, RATE_HZ)), *stream.close()]:
        active[round(seconds(s.start) * 100) : round(seconds(s.end) * 100)] = s.active
    return active


# -- real speech ----------------------------------------------------------------------------------------------


def real_cases(folder: Path, recordings: int) -> Iterator[Case]:
    """Speech between pauses, at other levels, and in noise."""
    speech, truth = between_pauses(folder, recordings)
    print(f"real: {len(speech) / RATE_HZ:.0f} s, voice in {truth.mean():.0%} of it")
    for level in (-40, -26, -6):
        yield f"real, {level} dBFS", np.clip(speech * 10 ** (level / 20), -1, 1), truth
    for kind in ("white", "pink", "hum", "babble", "music"):
        behind = background(kind, len(speech))
        for snr_db in (10, 0):
            mixed = np.clip((speech + behind * 10 ** (-snr_db / 20)) * 10 ** (-26 / 20), -1, 1)
            yield f"real, {kind} {snr_db} dB", mixed, truth


def between_pauses(folder: Path, recordings: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = pd.read_csv(folder / "labels.csv").groupby("speaker").sample(2, random_state=0)
    rows = rows.sample(min(recordings, len(rows)), random_state=0)
    parts, truth = [], []
    for path in rows["path"]:
        pause = np.zeros(round(rng.uniform(0.8, 3) * 100) * STEP)
        with AudioReader(folder / path, rate_hz=RATE_HZ) as reader:
            clip = np.concatenate([block.samples for block in reader.blocks()]).astype(float)
        clip = clip[: len(clip) // STEP * STEP]
        spoken = voice_of(clip)
        edge = np.clip(np.arange(len(clip)) / (0.02 * RATE_HZ), 0, 1)
        clip *= np.minimum(edge, edge[::-1]) / np.sqrt(np.mean(clip[np.repeat(spoken, STEP)] ** 2))
        parts += [pause, clip]
        truth += [np.zeros(len(pause) // STEP, bool), spoken]
    return np.concatenate(parts), np.concatenate(truth)


def voice_of(clip: np.ndarray) -> np.ndarray:
    """Steps of a clean recording with voice."""
    power = uniform_filter1d(clip**2, 2 * STEP)[STEP // 2 :: STEP]
    padded = np.pad(power > 1e-3 * power.max(), 40)
    return binary_closing(padded, np.ones(31))[40:-40]


def background(kind: str, samples: int) -> np.ndarray:
    """Noise or a loop of a background of the made corpus, root mean square 1."""
    rng = np.random.default_rng(7)
    loop = rng.normal(0, 1, samples) if kind == "white" else BACKGROUNDS[kind](15 * RATE_HZ, rng)
    behind = np.resize(loop, samples)
    return behind / np.sqrt(np.mean(behind**2))


# -- made speech ----------------------------------------------------------------------------------------------


def made_cases(videos: int) -> Iterator[Case]:
    """Videos of 20 s, as they are heard."""
    for video in plan_corpus(videos, 20.0, seed=0):
        mixed, _ = mixture(video, np.sum(voices(video, seed=0), axis=0), seed=0)
        truth = np.zeros(len(mixed) // STEP, bool)
        for entry in video.entries:
            for part in entry.segments:
                if part.voice is not None:
                    truth[round(part.start * 100) : round(part.end * 100)] = True
        yield ("alone" if video.snr_db is None else f"{video.background} {video.snr_db} dB"), mixed, truth


if __name__ == "__main__":
    main()
