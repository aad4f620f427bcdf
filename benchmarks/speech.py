"""Emotion from the voice alone, on speakers and recordings that no system was trained on: small systems compared.

    python benchmarks/speech.py ../shared/data/speech --out runs/speech

RAVDESS (24 speakers) in five folds of speakers, with calm counted as neutral; then trained on all of RAVDESS and
evaluated on SAVEE, on which no setting was selected. The prediction for a clip is the class with the highest mean
probability over its windows. Features are z-normalised by mean and deviation of the training clips, never by those of a
test speaker. Intervals: 95 % bootstrap; on RAVDESS over speakers, on SAVEE, which has only four, over clips.

Networks are trained for a fixed number of epochs; the weights kept are those with the lowest loss on a sample of the
training clips, in practice the last. Predictions are stored in --out under the digest of everything that determines
them, and a killed training resumes. eGeMAPS needs `pip install opensmile`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import scipy.fft
import scipy.special
import soxr
import torch
from measure import with_interval
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from emofuse import metrics
from emofuse.core.files import atomic, digest, file_digest
from emofuse.core.labels import AFFWILD2
from emofuse.media.audio import AudioReader
from emofuse.nets.cnn1d_lstm import Cnn1dLstm
from emofuse.nets.compact_speech import CompactSpeech
from emofuse.nets.logmel import LogMel
from emofuse.systems import system
from emofuse.training import loop

RATE_HZ = 16_000
FOLDS = 5


@dataclass(frozen=True, eq=False)
class Clips:
    """Waveform of each clip at 16 kHz, its label and its speaker."""

    waves: list[np.ndarray]
    labels: np.ndarray
    speakers: np.ndarray

    def select(self, rows: np.ndarray) -> Clips:
        rows = np.flatnonzero(rows)
        return Clips([self.waves[k] for k in rows], self.labels[rows], self.speakers[rows])


# Scores of each clip, CPU seconds of training, and number of parameters of the network.
Scored = tuple[np.ndarray, float, int]
Run = Callable[[Clips, Clips, Path], Scored]


@dataclass(frozen=True)
class TrainedNetwork:
    """A network to train, on windows of `window` samples every `step` samples."""

    build: Callable[[], nn.Module]
    rate_hz: int
    window: int
    step: int
    prepare: loop.Prepare
    settings: loop.FitSettings


_COMPACT = system("compact-speech")
COMPACT = TrainedNetwork(
    CompactSpeech, RATE_HZ, 3 * RATE_HZ, RATE_HZ, loop.Waveforms(_COMPACT.net.augment), _COMPACT.fit
)
LSTM = TrainedNetwork(
    Cnn1dLstm, 12_000, 48_000, 19_200, loop.Waveforms(),
    loop.FitSettings(epochs=2, batch=20, optimiser="nadam", lr=2.5e-4, weight_decay=0, schedule="constant",
                    warmup_epochs=0, ema_decay=None, keep="loss"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with labels.csv")
    parser.add_argument("--out", type=Path, default=Path("runs/speech"))
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="systems, separated by commas; default: all")
    parser.add_argument("--folds", default="0,1,2,3,4,savee", help="folds of RAVDESS, and savee; default: all")
    arguments = parser.parse_args()
    clips = read(arguments.folder, arguments.out)
    ravdess = np.char.startswith(clips.speakers, "ravdess")
    chance = 1 / len(AFFWILD2)
    print(f"{ravdess.sum()} clips of RAVDESS, {(~ravdess).sum()} of SAVEE; UAR by chance {chance:.3f}", flush=True)
    recalls = ", ".join(AFFWILD2.names)
    print(f"| system | evaluated on | UAR | accuracy | recall of {recalls} | CPU s per training | parameters |")
    print("|---|---|---|---|---|---|---|", flush=True)
    folds = arguments.folds.split(",")
    for name in arguments.systems.split(","):
        results = {fold: evaluate(name, clips, fold, arguments.out) for fold in folds}
        ravdess = [results[fold] for fold in folds if fold != "savee"]
        if ravdess:
            report(name, f"RAVDESS, {len(ravdess)} of {FOLDS} folds", ravdess, by_speaker=True)
        if "savee" in results:
            report(name, "SAVEE", [results["savee"]], by_speaker=False)


def read(folder: Path, out: Path) -> Clips:
    """All clips of the folder's labels.csv; the audio is decoded once and cached as 16 bit in `out`."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    cache = out / f"audio-{file_digest(folder / 'labels.csv')[:12]}.npz"
    if not cache.exists():
        decoded = [np.concatenate([b.samples for b in AudioReader(folder / row["path"]).blocks(60)]) for row in rows]
        cache.parent.mkdir(parents=True, exist_ok=True)
        ends = np.cumsum([len(wave) for wave in decoded])
        np.savez(cache, audio=np.round(np.concatenate(decoded) * 32767).clip(-32768, 32767).astype(np.int16), ends=ends)
    with np.load(cache) as file:
        waves = np.split(file["audio"].astype(np.float32) / 32767, file["ends"][:-1])
    labels = AFFWILD2.encode("neutral" if row["emotion"] == "calm" else row["emotion"] for row in rows)
    return Clips(waves, labels, np.array([row["speaker"] for row in rows]))


def split(clips: Clips, fold: str) -> tuple[np.ndarray, np.ndarray]:
    """Whether each clip is for training, and whether it is for testing, bool [clips]."""
    ravdess = np.char.startswith(clips.speakers, "ravdess")
    if fold == "savee":
        return ravdess, ~ravdess
    order = np.random.default_rng(0).permutation(np.unique(clips.speakers[ravdess]))
    test = np.isin(clips.speakers, order[int(fold) :: FOLDS])
    return ravdess & ~test, test


def evaluate(name: str, clips: Clips, fold: str, out: Path) -> dict[str, np.ndarray]:
    """Truth, scores and speaker of each test clip of a fold; from disk if they were computed before."""
    definition, run = SYSTEMS[name]
    folder = out / f"{name}-{fold}-{digest({'definition': definition, 'fold': fold})[:12]}"
    train, test = (clips.select(rows) for rows in split(clips, fold))
    path = folder / "scores.npz"
    if not path.exists():
        scores, seconds, parameters = run(train, test, folder)
        with atomic(path) as partial_file, partial_file.open("wb") as file:
            np.savez(file, scores=scores, seconds=seconds, parameters=parameters)
    with np.load(path) as file:
        result = {key: file[key] for key in file.files}
    return result | {"truth": test.labels, "speakers": test.speakers}


def report(name: str, evaluated_on: str, folds: list[dict[str, np.ndarray]], *, by_speaker: bool) -> None:
    truth, scores, speakers = (np.concatenate([fold[key] for fold in folds]) for key in ("truth", "scores", "speakers"))
    each = metrics.confusion_of_each(truth, scores.argmax(axis=1))
    if by_speaker:
        each = np.stack([each[speakers == speaker].sum(axis=0) for speaker in np.unique(speakers)])
    estimates = [with_interval(metrics.bootstrap(each, metrics.MEASURES[m])) for m in ("uar", "accuracy")]
    recalls = " ".join(f"{recall:.2f}" for recall in metrics.recalls_of(each.sum(axis=0)))
    seconds, parameters = np.mean([fold["seconds"] for fold in folds]), int(folds[0]["parameters"])
    row = (name, evaluated_on, *estimates, recalls, f"{seconds:.0f}", f"{parameters:,}" if parameters else "-")
    print(f"| {' | '.join(row)} |", flush=True)


# -- networks -------------------------------------------------------------------------------------------------


def windows(clips: Clips, network: TrainedNetwork, *, whole: bool) -> tuple[np.ndarray, np.ndarray]:
    """Windows of all clips, short ones padded with zeros, and the index of the clip of each.

    whole: add a last window that ends with its clip; otherwise a remainder shorter than half a step is left out.
    """
    cut, of = [], []
    for number, wave in enumerate(clips.waves):
        wave = wave if network.rate_hz == RATE_HZ else soxr.resample(wave, RATE_HZ, network.rate_hz).astype(np.float32)
        last = max(len(wave) - network.window, 0)
        starts = {*range(0, last + 1, network.step)} | (
            {last} if whole or last % network.step > network.step / 2 else set()
        )
        for start in sorted(starts):
            piece = wave[start : start + network.window]
            cut.append(np.pad(piece, (0, network.window - len(piece))))
            of.append(number)
    return np.stack(cut), np.array(of)


def train_network(network: TrainedNetwork, train: Clips, test: Clips, folder: Path) -> Scored:
    inputs, of = windows(train, network, whole=False)
    examples = loop.Examples(inputs, np.eye(len(AFFWILD2), dtype=np.float32)[train.labels[of]])
    monitored = loop.Examples(inputs[::16], examples.targets[::16])
    net = loop.fresh(network.build, seed=0)
    progress = loop.Callbacks(epoch=lambda e: print_epoch(folder, e), events=False, clock=time.process_time)
    history = loop.fit(
        net,
        loop.TrainingData(examples, monitored, network.prepare),
        settings=network.settings,
        folder=folder,
        callbacks=progress,
    )
    inputs, of = windows(test, network, whole=True)
    logits = loop.predict(net, inputs, prepare=network.prepare, batch=32, embeddings=False).logits
    scores = scipy.special.softmax(logits.astype(np.float64), axis=1)
    mean = np.stack([scores[of == clip].mean(axis=0) for clip in range(len(test.waves))])
    return mean, sum(e.seconds for e in history), sum(p.numel() for p in net.parameters())


def print_epoch(folder: Path, e: loop.Epoch) -> None:
    print(f"  {folder.name}: epoch {e.epoch + 1}, loss {e.train_loss:.3f}, {e.seconds:.0f} CPU s", flush=True)


# -- features -------------------------------------------------------------------------------------------------


def mfcc(waves: list[np.ndarray]) -> np.ndarray:
    """Mean and deviation over time of 20 cepstral coefficients and of their differences, float64 [clips, 80]."""
    spectrum, rows = LogMel(), []
    for wave in waves:
        with torch.inference_mode():
            spectra = spectrum(torch.from_numpy(wave)[None])[0].double().numpy()
        cepstra = scipy.fft.dct(spectra, norm="ortho", axis=1)[:, :20]
        each = np.hstack([cepstra, np.gradient(cepstra, axis=0)])
        rows.append(np.hstack([each.mean(axis=0), each.std(axis=0)]))
    return np.stack(rows)


def egemaps(waves: list[np.ndarray]) -> np.ndarray:
    """The 88 functionals of eGeMAPS v02, float64 [clips, 88]."""
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    return np.concatenate([smile.process_signal(wave, RATE_HZ).to_numpy(np.float64) for wave in waves])


def fitted(features: Callable[[list[np.ndarray]], np.ndarray], head: Callable[[], object]) -> Run:
    """Features of whole clips and a classifier, whose C is selected on held-out speakers of the training clips."""

    def run(train: Clips, test: Clips, folder: Path) -> Scored:
        rows = {name: cached_rows(features, clips, folder.parent) for name, clips in (("train", train), ("test", test))}
        began = time.process_time()
        search = GridSearchCV(
            make_pipeline(StandardScaler(), head()),
            {f"{type(head()).__name__.lower()}__C": (0.01, 0.1, 1.0, 10.0)},
            scoring="balanced_accuracy",
            cv=GroupKFold(4),
        ).fit(rows["train"], train.labels, groups=train.speakers)
        seconds = time.process_time() - began
        return np.eye(len(AFFWILD2))[search.predict(rows["test"])], seconds, 0

    return run


def cached_rows(features: Callable[[list[np.ndarray]], np.ndarray], clips: Clips, out: Path) -> np.ndarray:
    """Features, computed once for each clip and cached in `out`."""
    keys = [hashlib.sha256(wave.tobytes()).hexdigest()[:16] for wave in clips.waves]
    path = out / f"{features.__name__}.npz"
    known: dict[str, np.ndarray] = {}
    if path.exists():
        with np.load(path) as file:
            known = dict(zip(file["keys"].tolist(), file["rows"], strict=True))
    missing = [k for k, key in enumerate(keys) if key not in known]
    for start in range(0, len(missing), 100):
        rows = missing[start : start + 100]
        known |= dict(zip([keys[k] for k in rows], features([clips.waves[k] for k in rows]), strict=True))
        with atomic(path) as partial, partial.open("wb") as file:
            np.savez(file, keys=np.array(list(known)), rows=np.stack(list(known.values())))
    return np.stack([known[key] for key in keys])


SYSTEMS: dict[str, tuple[str, Run]] = {
    "mfcc": (
        "mean, deviation of MFCC; logistic regression",
        fitted(mfcc, lambda: LogisticRegression(class_weight="balanced", max_iter=2000)),
    ),
    "egemaps": ("eGeMAPS functionals; SVM", fitted(egemaps, lambda: SVC(class_weight="balanced"))),
    "compact": (f"{COMPACT} {CompactSpeech()}", partial(train_network, COMPACT)),
    "cnn1d-lstm": (f"{LSTM} {Cnn1dLstm()}", partial(train_network, LSTM)),
}

if __name__ == "__main__":
    main()
