"""Difficulty of a synthetic corpus, measured by simple probes, and the speed at which corpora are generated.

    python benchmarks/corpus.py DIR              # challenge scores of face, voice and both on DIR
    python benchmarks/corpus.py --speed          # generates corpora in a temporary folder
    python benchmarks/corpus.py DIR --detectors ../shared/weights/yunet_n_dynamic.onnx

The probes are trained on the training split and evaluated on validation and test (labels from DIR/truth). Face:
gradient histograms of the crops, principal components, logistic regression on single frames. Voice: statistics of
mel bands, pitch and loudness in a window around the frame, logistic regression. Both: the mean of their
probabilities. Intervals: percentiles over 1,000 bootstrap samples of videos.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emofuse.core.labels import AFFWILD2
from emofuse.faces.default import DefaultDetector
from emofuse.faces.detector import Detector
from emofuse.faces.yunet import YuNet
from emofuse.media.audio import AudioReader
from emofuse.media.images import read_image
from emofuse.media.video import VideoReader
from emofuse.synthetic import make_corpus
from emofuse.synthetic.corpus import LABEL_FOLDERS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RATE_HZ, HOP, WINDOW, BANDS = 16_000, 160, 640, 24
STEP_SECONDS = 0.2  # between the frames that are used
SPAN_SECONDS = 2.0  # of audio around a frame
CLASSES = 7


@dataclass(frozen=True)
class FrameRows:
    """Frames of some splits: faces float [n, d] (NaN without a face), voices float [n, e] (NaN without audio).

    labels, videos, entries: int [n], the class, and the index of the video and of the person in it. keys: name of the
    entry, and number of the frame.
    """

    faces: Floats
    voices: Floats
    labels: Ints
    videos: Ints
    entries: Ints
    keys: list[tuple[str, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="a synthetic corpus")
    parser.add_argument("--speed", action="store_true", help="measure how fast corpora are generated")
    parser.add_argument("--detectors", type=Path, metavar="YUNET", help="ONNX file of YuNet, to compare with")
    parser.add_argument("--scores", type=Path, metavar="DIR", help="also write tables for `emofuse evaluate`")
    options = parser.parse_args()
    if options.speed:
        report_speed()
    elif options.detectors:
        report_detectors(options.folder, [DefaultDetector(), YuNet(options.detectors)])
    else:
        report_probes(options.folder, options.scores)


# -- probes ---------------------------------------------------------------------------------------------------


def report_probes(folder: Path, scores: Path | None) -> None:
    """Print challenge scores with intervals."""
    corpus = json.loads((folder / "corpus.json").read_text("utf-8"))
    train, held = rows_of(folder, corpus, ("train",)), rows_of(folder, corpus, ("validation", "test"))
    print(
        f"{len(train.labels)} frames for training, {len(held.labels)} of {len(set(held.videos))} videos for evaluation"
    )
    frequencies = np.bincount(train.labels, minlength=CLASSES) / len(train.labels)
    print("class frequencies in training", frequencies.round(3).tolist())
    face = probabilities(train.faces, train.labels, held.faces, components=80, strength=0.001)
    voice = probabilities(train.voices, train.labels, held.voices, components=None, strength=0.003)
    if scores is not None:
        write_tables(held, {"face": face, "voice": voice}, scores)
    rng = np.random.default_rng(0)
    guesses = {
        "always neutral": np.zeros(len(held.labels), np.int64),
        "random by frequency": rng.choice(CLASSES, len(held.labels), p=frequencies),
        "face": face.argmax(axis=1),
        "voice": voice.argmax(axis=1),
        "both": (face + voice).argmax(axis=1),
        "both, smoothed over 1.8 s": smoothed(face + voice, held.entries).argmax(axis=1),
    }
    for name, guess in guesses.items():
        low, high = interval(held, guess)
        f1 = f1_score(held.labels, guess, average=None, labels=range(CLASSES), zero_division=0).round(2).tolist()
        print(f"{name:26s} CPM {cpm(held.labels, guess):.3f} [{low:.3f}, {high:.3f}]  F1 {f1}")
    for name in ("face", "voice"):
        gains = [
            cpm(held.labels[d], guesses["both"][d]) - cpm(held.labels[d], guesses[name][d]) for d in resamples(held)
        ]
        low, middle, high = np.percentile(gains, [2.5, 50, 97.5])
        print(f"gain of both over {name:8s} {middle:.3f} [{low:.3f}, {high:.3f}]")


def write_tables(held: FrameRows, scores: dict[str, Floats], folder: Path) -> None:
    """Write a table for each probe; rows without features are not valid."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in scores.items():
        valid = np.isfinite(held.faces if name == "face" else held.voices).all(axis=1)
        rows = [
            f"{entry},{frame},{int(ok)},{','.join(f'{v:.6f}' for v in row)}\n"
            for (entry, frame), ok, row in zip(held.keys, valid, values, strict=True)
        ]
        head = f"clip,frame,valid,{','.join(AFFWILD2.names)}\n"
        (folder / f"{name}.csv").write_text(head + "".join(rows), "utf-8")


def cpm(truth: Ints, guess: Ints) -> float:
    """Challenge performance measure over labelled frames: 0.67 macro F1 + 0.33 accuracy."""
    return float(0.67 * f1_score(truth, guess, average="macro") + 0.33 * np.mean(truth == guess))


def resamples(rows: FrameRows) -> Iterator[Ints]:
    """Frames of videos sampled with replacement, 1,000 times."""
    rng = np.random.default_rng(1)
    frames = [np.flatnonzero(rows.videos == video) for video in np.unique(rows.videos)]
    for _ in range(1000):
        yield np.concatenate([frames[k] for k in rng.integers(0, len(frames), len(frames))])


def interval(rows: FrameRows, guess: Ints) -> tuple[float, float]:
    """95 % interval of the score."""
    scores = [cpm(rows.labels[chosen], guess[chosen]) for chosen in resamples(rows)]
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)


def probabilities(features: Floats, labels: Ints, held: Floats, *, components: int | None, strength: float) -> Floats:
    """Probabilities [frames, classes] by logistic regression; equal for all classes where features are missing."""
    known, scored = np.isfinite(features).all(axis=1), np.isfinite(held).all(axis=1)
    steps = [StandardScaler(), *([PCA(components, random_state=0)] if components else []),
             LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)]  # fmt: skip
    probe = make_pipeline(*steps).fit(features[known], labels[known])
    result = np.full((len(held), CLASSES), 1 / CLASSES)
    result[np.ix_(scored, probe[-1].classes_)] = probe.predict_proba(held[scored])
    return result


def smoothed(scores: Floats, entries: Ints) -> Floats:
    """Running means over nine steps of each person."""
    result = np.empty_like(scores)
    for entry in np.unique(entries):
        rows = entries == entry
        padded = np.pad(scores[rows], ((4, 4), (0, 0)), mode="edge")
        result[rows] = np.lib.stride_tricks.sliding_window_view(padded, 9, axis=0).mean(axis=2)
    return result


# -- features -------------------------------------------------------------------------------------------------


def rows_of(folder: Path, corpus: dict, splits: tuple[str, ...]) -> FrameRows:
    """Labelled frames about every 0.2 s of all entries of some splits."""
    faces, voices, labels, videos, entries, keys = [], [], [], [], [], []
    for number, video in enumerate(corpus["videos"].values()):
        if video["split"] not in splits:
            continue
        rate = float(Fraction(video["rate"]))
        audio = read_audio(folder / video["file"]) if video["audio"] else None
        for entry in video["entries"]:
            truth = np.loadtxt(folder / LABEL_FOLDERS[video["split"]] / f"{entry['name']}.txt", int, skiprows=1)
            frames = np.unique(np.arange(0, min(len(truth), video["frames"]), rate * STEP_SECONDS).astype(int))
            frames = frames[truth[frames] >= 0]
            paths = [folder / "cropped_aligned" / entry["name"] / f"{n + 1:05d}.jpg" for n in frames]
            faces += [face_features(path) for path in paths]
            voices += list(voice_features(audio, frames / rate))
            labels += truth[frames].tolist()
            keys += [(entry["name"], int(n)) for n in frames]
            videos += [number] * len(frames)
            entries += [2 * number + entry["name"].endswith("_right")] * len(frames)
    return FrameRows(np.stack(faces), np.stack(voices), np.array(labels), np.array(videos), np.array(entries), keys)


def face_features(path: Path) -> Floats:
    """Histograms of gradients: 8 directions in 14x14 cells at the centre of the crop."""
    if not path.is_file():
        return np.full(14 * 14 * 8, np.nan)
    grey = read_image(path)[14:, 7:105].mean(axis=2)
    dy, dx = np.gradient(grey)
    direction = (np.arctan2(dy, dx) % np.pi / np.pi * 8).astype(int) % 8
    planes = np.where(direction[..., None] == np.arange(8), np.hypot(dx, dy)[..., None], 0)
    cells = planes.reshape(14, 7, 14, 7, 8).sum(axis=(1, 3))
    return np.sqrt(cells / (cells.mean() + 1e-6)).ravel()


def read_audio(path: Path) -> Floats:
    """The audio of a whole file at 16 kHz."""
    return np.concatenate([block.samples for block in AudioReader(path, rate_hz=RATE_HZ).blocks(RATE_HZ)])


def voice_features(audio: Floats | None, times: Floats) -> Floats:
    """Voice features in a window around each time, relative to the medians of the video.

    Of the louder half of the window: mean and deviation of log-mel bands. Of its voiced steps: mean pitch, its
    deviation and its jitter. Of all steps: loudness, the voiced fraction, and the power of its modulation by frequency.
    """
    if audio is None:
        return np.full((len(times), 2 * BANDS + 10), np.nan)
    mel, pitch, voicing, loud = tracks(audio)
    spoken, voiced = loud > np.median(loud), voicing > 0.5
    baseline = np.concatenate([np.median(mel[spoken], axis=0), [np.median(pitch[voiced]), np.median(loud[spoken])]])
    half = round(SPAN_SECONDS / 2 * RATE_HZ / HOP)
    rows = []
    for moment in np.rint(times * RATE_HZ / HOP).astype(int):
        window = slice(max(0, min(moment, len(loud)) - half), moment + half)
        level = loud[window]
        chosen = mel[window][level >= np.median(level)]
        tones = pitch[window][voiced[window]] if voiced[window].sum() > 8 else np.full(9, baseline[-2])
        beats = np.abs(np.fft.rfft((level - level.mean()) * np.hanning(len(level)), 256)) ** 2
        hz = np.fft.rfftfreq(256, HOP / RATE_HZ)
        speeds = [np.log(beats[(hz > low) & (hz <= high)].sum() + 1e-6)
                  for low, high in ((1, 2.5), (2.5, 3.5), (3.5, 4.7), (4.7, 7))]  # fmt: skip
        rows.append(np.concatenate([
            chosen.mean(axis=0) - baseline[:-2], chosen.std(axis=0),
            [tones.mean() - baseline[-2], tones.std(), np.abs(np.diff(tones, 2)).mean()],
            [np.sort(level)[-half:].mean() - baseline[-1], level.std(), voiced[window].mean()], speeds]))  # fmt: skip
    return np.stack(rows)


def tracks(audio: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Every 10 ms: log-mel bands [n, BANDS], log pitch, voicing from 0 to 1, and loudness."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, 2 * WINDOW, axis=1)) ** 2
    mel = np.log(power @ mel_bands().T + 1e-5)
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(WINDOW), 2 * WINDOW)) ** 2)[:WINDOW]
    lags = np.fft.irfft(power)[:, :232] / window[:232]
    best = 32 + lags[:, 32:230].argmax(axis=1)  # 70 to 500 Hz
    voicing = lags[np.arange(len(lags)), best] / (lags[:, 0] + 1e-9)
    return mel, np.log(RATE_HZ / best), voicing, np.log(power.sum(axis=1) + 1e-4)


def mel_bands() -> Floats:
    """Triangular mel filters [BANDS, bins]."""
    edges = 700 * (10 ** (np.linspace(np.log10(1 + 80 / 700), np.log10(1 + 7600 / 700), BANDS + 2)) - 1)
    bins = np.fft.rfftfreq(2 * WINDOW, 1 / RATE_HZ)
    up = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    down = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.clip(np.minimum(up, down), 0, None)


# -- detectors and speed --------------------------------------------------------------------------------------


def report_detectors(folder: Path, detectors: list[Detector]) -> None:
    """Print the fraction of the faces that are detected, in every 10th frame; false detections are not counted."""
    corpus = json.loads((folder / "corpus.json").read_text("utf-8"))
    found: dict[str, list[bool]] = {detector.identity: [] for detector in detectors}
    for video in corpus["videos"].values():
        names = [entry["name"] for entry in video["entries"]]
        for frame in VideoReader(folder / video["file"]).frames(np.arange(0, video["frames"], 10)):
            crops = [folder / "cropped_aligned" / name / f"{frame.index + 1:05d}.jpg" for name in names]
            faces = sum(crop.is_file() for crop in crops)
            for detector in detectors:
                found[detector.identity] += [
                    len(detector(frame.rgb() if detector.colour else frame.luma())) >= k for k in range(1, faces + 1)
                ]
    for name, hits in found.items():
        print(f"{name}: {np.mean(hits):.2%} of {len(hits)} faces")


def report_speed(videos: int = 12, seconds: float = 10.0, repeats: int = 5) -> None:
    """Print seconds of video generated per second by two processes, by wall-clock time and by CPU time of two cores."""
    by_clock, by_cpu = [], []
    for n in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            start, used = time.perf_counter(), cpu_seconds()
            make_corpus(Path(folder) / "corpus", videos=videos, seconds=seconds, seed=n, processes=2)
            by_clock.append(videos * seconds / (time.perf_counter() - start))
            by_cpu.append(videos * seconds / ((cpu_seconds() - used) / 2))
        speed = f"{by_clock[-1]:.2f} x real time, by CPU time {by_cpu[-1]:.2f}"
        print(f"{videos} videos of {seconds:g} s, seed {n}: {speed}", flush=True)
    print(f"median {statistics.median(by_clock):.2f} x real time, by CPU time {statistics.median(by_cpu):.2f}")


def cpu_seconds() -> float:
    """CPU time of this process and of its finished child processes."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(
        resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))  # fmt: skip


if __name__ == "__main__":
    main()
