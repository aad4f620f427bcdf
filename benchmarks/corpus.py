"""What a synthetic corpus asks of a system, by simple probes; and how fast one is made.

    python benchmarks/corpus.py DIR              # challenge scores of face, voice and both on DIR
    python benchmarks/corpus.py --speed          # makes corpora in a temporary folder
    python benchmarks/corpus.py DIR --detectors ../shared/weights/yunet_n_dynamic.onnx

The probes train on the training split and are evaluated on validation and test (labels from DIR/truth). Face:
gradient histograms of the crops, principal components, logistic regression on single frames. Voice: statistics of
mel bands, pitch and loudness in a window around the frame, logistic regression. Both: the mean of their
probabilities. Intervals are percentiles over 1,000 bootstrap draws of videos.
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
from emofuse.faces.detector import Detector
from emofuse.faces.haar import Haar
from emofuse.faces.yunet import YuNet
from emofuse.media.audio import AudioReader
from emofuse.media.images import read_image
from emofuse.media.video import VideoReader
from emofuse.synthetic import make_corpus
from emofuse.synthetic.corpus import LABEL_FOLDERS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RATE_HZ, HOP, WINDOW, BANDS = 16_000, 160, 640, 24
STEP_SECONDS = 0.2  # between the frames that are looked at
SPAN_SECONDS = 2.0  # of sound around a frame
CLASSES = 7


@dataclass(frozen=True)
class Rows:
    """Frames of one split: faces float [n, d] (NaN without one), voices float [n, e] (NaN without sound).

    labels, videos, entries: int [n], the class and by number the video and the person in it. places: entry by name, and
    number of the frame.
    """

    faces: Floats
    voices: Floats
    labels: Ints
    videos: Ints
    entries: Ints
    places: list[tuple[str, int]]


def main() -> None:
    """One of the three reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--detectors", type=Path, metavar="YUNET")
    parser.add_argument("--scores", type=Path, metavar="DIR", help="also write tables for `emofuse evaluate`")
    options = parser.parse_args()
    if options.speed:
        report_speed()
    elif options.detectors:
        report_detectors(options.folder, [Haar(), YuNet(options.detectors)])
    else:
        report_probes(options.folder, options.scores)


# -- probes ---------------------------------------------------------------------------------------------------


def report_probes(folder: Path, scores: Path | None) -> None:
    """Challenge scores with intervals."""
    corpus = json.loads((folder / "corpus.json").read_text("utf-8"))
    train, held = rows_of(folder, corpus, ("train",)), rows_of(folder, corpus, ("validation", "test"))
    print(f"{len(train.labels)} frames to train on, {len(held.labels)} of {len(set(held.videos))} videos to judge")
    shares = np.bincount(train.labels, minlength=CLASSES) / len(train.labels)
    print("shares in train", shares.round(3).tolist())
    face = probabilities(train.faces, train.labels, held.faces, components=80, strength=0.001)
    voice = probabilities(train.voices, train.labels, held.voices, components=None, strength=0.003)
    if scores is not None:
        write_tables(held, {"face": face, "voice": voice}, scores)
    rng = np.random.default_rng(0)
    guesses = {
        "always neutral": np.zeros(len(held.labels), np.int64),
        "random by the shares": rng.choice(CLASSES, len(held.labels), p=shares),
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
        gains = [cpm(held.labels[d], guesses["both"][d]) - cpm(held.labels[d], guesses[name][d]) for d in draws(held)]
        low, middle, high = np.percentile(gains, [2.5, 50, 97.5])
        print(f"both above {name:15s} by  {middle:.3f} [{low:.3f}, {high:.3f}]")


def write_tables(held: Rows, said: dict[str, Floats], folder: Path) -> None:
    """One table for each probe; a probe that had no features says nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in said.items():
        there = np.isfinite(held.faces if name == "face" else held.voices).all(axis=1)
        rows = [
            f"{entry},{frame},{int(ok)},{','.join(f'{v:.6f}' for v in row)}\n"
            for (entry, frame), ok, row in zip(held.places, there, values, strict=True)
        ]
        head = f"clip,frame,valid,{','.join(AFFWILD2.names)}\n"
        (folder / f"{name}.csv").write_text(head + "".join(rows), "utf-8")


def cpm(truth: Ints, guess: Ints) -> float:
    """Challenge performance measure over labelled frames: 0.67 macro F1 + 0.33 accuracy."""
    return float(0.67 * f1_score(truth, guess, average="macro") + 0.33 * np.mean(truth == guess))


def draws(rows: Rows) -> Iterator[Ints]:
    """Frames of videos drawn with replacement, 1,000 times."""
    rng = np.random.default_rng(1)
    frames = [np.flatnonzero(rows.videos == video) for video in np.unique(rows.videos)]
    for _ in range(1000):
        yield np.concatenate([frames[k] for k in rng.integers(0, len(frames), len(frames))])


def interval(rows: Rows, guess: Ints) -> tuple[float, float]:
    """95 % interval of the score."""
    scores = [cpm(rows.labels[chosen], guess[chosen]) for chosen in draws(rows)]
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)


def probabilities(features: Floats, labels: Ints, held: Floats, *, components: int | None, strength: float) -> Floats:
    """Of each class [frames, classes]; where there are no features, the shares."""
    there, seen = np.isfinite(features).all(axis=1), np.isfinite(held).all(axis=1)
    steps = [StandardScaler(), *([PCA(components, random_state=0)] if components else []),
             LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)]  # fmt: skip
    probe = make_pipeline(*steps).fit(features[there], labels[there])
    result = np.full((len(held), CLASSES), 1 / CLASSES)
    result[np.ix_(seen, probe[-1].classes_)] = probe.predict_proba(held[seen])
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


def rows_of(folder: Path, corpus: dict, splits: tuple[str, ...]) -> Rows:
    """Labelled frames about every 0.2 s of all entries of some splits."""
    faces, voices, labels, videos, entries, places = [], [], [], [], [], []
    for number, video in enumerate(corpus["videos"].values()):
        if video["split"] not in splits:
            continue
        rate = float(Fraction(video["rate"]))
        sound = read_sound(folder / video["file"]) if video["audio"] else None
        for entry in video["entries"]:
            truth = np.loadtxt(folder / LABEL_FOLDERS[video["split"]] / f"{entry['name']}.txt", int, skiprows=1)
            frames = np.unique(np.arange(0, min(len(truth), video["frames"]), rate * STEP_SECONDS).astype(int))
            frames = frames[truth[frames] >= 0]
            paths = [folder / "cropped_aligned" / entry["name"] / f"{n + 1:05d}.jpg" for n in frames]
            faces += [face_features(path) for path in paths]
            voices += list(voice_features(sound, frames / rate))
            labels += truth[frames].tolist()
            places += [(entry["name"], int(n)) for n in frames]
            videos += [number] * len(frames)
            entries += [2 * number + entry["name"].endswith("_right")] * len(frames)
    return Rows(np.stack(faces), np.stack(voices), np.array(labels), np.array(videos), np.array(entries), places)


def face_features(path: Path) -> Floats:
    """Histograms of gradients: 8 directions in 14x14 cells of the middle of the crop."""
    if not path.is_file():
        return np.full(14 * 14 * 8, np.nan)
    grey = read_image(path)[14:, 7:105].mean(axis=2)
    dy, dx = np.gradient(grey)
    direction = (np.arctan2(dy, dx) % np.pi / np.pi * 8).astype(int) % 8
    planes = np.where(direction[..., None] == np.arange(8), np.hypot(dx, dy)[..., None], 0)
    cells = planes.reshape(14, 7, 14, 7, 8).sum(axis=(1, 3))
    return np.sqrt(cells / (cells.mean() + 1e-6)).ravel()


def read_sound(path: Path) -> Floats:
    """All of it, at 16 kHz."""
    return np.concatenate([block.samples for block in AudioReader(path, rate_hz=RATE_HZ).blocks(RATE_HZ)])


def voice_features(sound: Floats | None, times: Floats) -> Floats:
    """What is heard around each moment, against what is usual in the video.

    Of the louder half of the moments in the window: mean and deviation of log-mel bands; of voiced ones: pitch, its
    deviation and its trembling; loudness, how much of it is voiced, and how fast it goes up and down.
    """
    if sound is None:
        return np.full((len(times), 2 * BANDS + 10), np.nan)
    mel, pitch, voicing, loud = tracks(sound)
    spoken, voiced = loud > np.median(loud), voicing > 0.5
    usual = np.concatenate([np.median(mel[spoken], axis=0), [np.median(pitch[voiced]), np.median(loud[spoken])]])
    half = round(SPAN_SECONDS / 2 * RATE_HZ / HOP)
    rows = []
    for moment in np.rint(times * RATE_HZ / HOP).astype(int):
        part = slice(max(0, min(moment, len(loud)) - half), moment + half)
        level = loud[part]
        chosen = mel[part][level >= np.median(level)]
        tones = pitch[part][voiced[part]] if voiced[part].sum() > 8 else np.full(9, usual[-2])
        beats = np.abs(np.fft.rfft((level - level.mean()) * np.hanning(len(level)), 256)) ** 2
        hz = np.fft.rfftfreq(256, HOP / RATE_HZ)
        speeds = [np.log(beats[(hz > low) & (hz <= high)].sum() + 1e-6)
                  for low, high in ((1, 2.5), (2.5, 3.5), (3.5, 4.7), (4.7, 7))]  # fmt: skip
        rows.append(np.concatenate([
            chosen.mean(axis=0) - usual[:-2], chosen.std(axis=0),
            [tones.mean() - usual[-2], tones.std(), np.abs(np.diff(tones, 2)).mean()],
            [np.sort(level)[-half:].mean() - usual[-1], level.std(), voiced[part].mean()], speeds]))  # fmt: skip
    return np.stack(rows)


def tracks(sound: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Every 10 ms log-mel bands [n, BANDS], logarithm of the pitch, voicing 0 to 1, and loudness."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, 2 * WINDOW, axis=1)) ** 2
    mel = np.log(power @ mel_bands().T + 1e-5)
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(WINDOW), 2 * WINDOW)) ** 2)[:WINDOW]
    lags = np.fft.irfft(power)[:, :232] / window[:232]
    best = 32 + lags[:, 32:230].argmax(axis=1)  # 70 to 500 Hz
    voicing = lags[np.arange(len(lags)), best] / (lags[:, 0] + 1e-9)
    return mel, np.log(RATE_HZ / best), voicing, np.log(power.sum(axis=1) + 1e-4)


def mel_bands() -> Floats:
    """Triangles [BANDS, bins]."""
    edges = 700 * (10 ** (np.linspace(np.log10(1 + 80 / 700), np.log10(1 + 7600 / 700), BANDS + 2)) - 1)
    bins = np.fft.rfftfreq(2 * WINDOW, 1 / RATE_HZ)
    up = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    down = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.clip(np.minimum(up, down), 0, None)


# -- detectors and speed --------------------------------------------------------------------------------------


def report_detectors(folder: Path, detectors: list[Detector]) -> None:
    """In which part of the frames that should show n faces at least n are found; every 10th frame."""
    corpus = json.loads((folder / "corpus.json").read_text("utf-8"))
    found: dict[str, list[bool]] = {detector.identity: [] for detector in detectors}
    for video in corpus["videos"].values():
        names = [entry["name"] for entry in video["entries"]]
        for frame in VideoReader(folder / video["file"]).frames(np.arange(0, video["frames"], 10)):
            crops = [folder / "cropped_aligned" / name / f"{frame.index + 1:05d}.jpg" for name in names]
            there = sum(crop.is_file() for crop in crops)
            for detector in detectors:
                found[detector.identity] += [len(detector(frame.rgb())) >= k for k in range(1, there + 1)]
    for name, hits in found.items():
        print(f"{name}: {np.mean(hits):.2%} of {len(hits)} faces")


def report_speed(videos: int = 12, seconds: float = 10.0, repeats: int = 5) -> None:
    """Seconds of video made in one second by two processes; by the clock, and as two idle cores would by CPU time."""
    clock, cores = [], []
    for n in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            start, used = time.perf_counter(), cpu_seconds()
            make_corpus(Path(folder) / "corpus", videos=videos, seconds=seconds, seed=n, processes=2)
            clock.append(videos * seconds / (time.perf_counter() - start))
            cores.append(videos * seconds / ((cpu_seconds() - used) / 2))
        print(f"{videos} videos of {seconds:g} s, seed {n}: {clock[-1]:.2f} x real time, by CPU time {cores[-1]:.2f}",
              flush=True)  # fmt: skip
    print(f"median {statistics.median(clock):.2f} x real time, by CPU time {statistics.median(cores):.2f}")


def cpu_seconds() -> float:
    """Of this process and those that it started and that have ended."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(
        resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))  # fmt: skip


if __name__ == "__main__":
    main()
