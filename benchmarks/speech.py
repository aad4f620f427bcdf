"""Emotion from the voice alone, of speakers and recordings never heard: small systems side by side.

    python benchmarks/speech.py ../shared/data/speech --out runs/speech

RAVDESS (24 speakers) in five folds of speakers, calm counted as neutral; then trained on all of RAVDESS and judged on
SAVEE, which no setting was chosen on. A clip's answer is the class of highest mean probability over its windows.
Features are z-normalised by mean and deviation of the training clips; nothing is known about a test speaker.
Intervals are 95 % bootstrap, on RAVDESS over speakers, on SAVEE, which has four, over clips.

Nets are trained for a fixed number of epochs; the weights kept are those of least loss on some of the
training clips, in effect the last. What a system said of a fold is kept in --out under the digest of all that decides
it, and a training that was killed goes on where it was. eGeMAPS needs `pip install opensmile`.
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
from emofuse.nets.speech_ensemble import SpeechEnsemble
from emofuse.systems import system
from emofuse.training import loop as fit

RATE_HZ = 16_000
FOLDS = 5


@dataclass(frozen=True, eq=False)
class Clips:
    """Sound of each clip at 16 kHz, its label and its speaker."""

    waves: list[np.ndarray]
    labels: np.ndarray
    speakers: np.ndarray

    def some(self, rows: np.ndarray) -> Clips:
        rows = np.flatnonzero(rows)
        return Clips([self.waves[k] for k in rows], self.labels[rows], self.speakers[rows])


# What is said of each clip, CPU seconds of training, and parameters of the net.
Answer = tuple[np.ndarray, float, int]
Run = Callable[[Clips, Clips, Path], Answer]


@dataclass(frozen=True)
class Trained:
    """A net that is trained: windows of so many samples, every `step`, at a rate."""

    build: Callable[[], nn.Module]
    rate_hz: int
    window: int
    step: int
    prepare: fit.Prepare
    settings: fit.FitSettings


_COMPACT, _TOWERS = system("compact-speech"), system("speech-ensemble")
COMPACT = Trained(CompactSpeech, RATE_HZ, 3 * RATE_HZ, RATE_HZ, fit.Waveforms(_COMPACT.net.augment), _COMPACT.fit)
TOWERS = Trained(SpeechEnsemble, RATE_HZ, 3 * RATE_HZ, RATE_HZ, fit.Waveforms(_TOWERS.net.augment), _TOWERS.fit)
LSTM = Trained(
    Cnn1dLstm, 12_000, 48_000, 19_200, fit.Waveforms(),
    fit.FitSettings(epochs=2, batch=20, optimiser="nadam", lr=2.5e-4, weight_decay=0, schedule="constant",
                    warmup_epochs=0, ema_decay=None, keep="loss"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with labels.csv")
    parser.add_argument("--out", type=Path, default=Path("runs/speech"))
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--parts", default="0,1,2,3,4,savee", help="folds of RAVDESS, savee")
    arguments = parser.parse_args()
    clips = read(arguments.folder, arguments.out)
    ravdess = np.char.startswith(clips.speakers, "ravdess")
    chance = 1 / len(AFFWILD2)
    print(f"{ravdess.sum()} clips of RAVDESS, {(~ravdess).sum()} of SAVEE; UAR by chance {chance:.3f}", flush=True)
    recalls = ", ".join(AFFWILD2.names)
    print(f"| system | judged on | UAR | accuracy | recall of {recalls} | CPU s a training | parameters |")
    print("|---|---|---|---|---|---|---|", flush=True)
    parts = arguments.parts.split(",")
    for name in arguments.systems.split(","):
        said = {part: judged(name, clips, part, arguments.out) for part in parts}
        folds = [said[part] for part in parts if part != "savee"]
        if folds:
            told(name, f"RAVDESS, {len(folds)} of {FOLDS} folds", folds, by_speaker=True)
        if "savee" in said:
            told(name, "SAVEE", [said["savee"]], by_speaker=False)


def read(folder: Path, out: Path) -> Clips:
    """All clips of the folder's labels.csv; the sound is decoded once and kept as 16 bit in `out`."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = out / f"sound-{file_digest(folder / 'labels.csv')[:12]}.npz"
    if not kept.exists():
        decoded = [np.concatenate([b.samples for b in AudioReader(folder / row["path"]).blocks(60)]) for row in rows]
        kept.parent.mkdir(parents=True, exist_ok=True)
        ends = np.cumsum([len(wave) for wave in decoded])
        np.savez(kept, sound=np.round(np.concatenate(decoded) * 32767).clip(-32768, 32767).astype(np.int16), ends=ends)
    with np.load(kept) as file:
        waves = np.split(file["sound"].astype(np.float32) / 32767, file["ends"][:-1])
    labels = AFFWILD2.encode("neutral" if row["emotion"] == "calm" else row["emotion"] for row in rows)
    return Clips(waves, labels, np.array([row["speaker"] for row in rows]))


def divided(clips: Clips, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Which clips are trained on, and which are judged."""
    ravdess = np.char.startswith(clips.speakers, "ravdess")
    if part == "savee":
        return ravdess, ~ravdess
    order = np.random.default_rng(0).permutation(np.unique(clips.speakers[ravdess]))
    test = np.isin(clips.speakers, order[int(part) :: FOLDS])
    return ravdess & ~test, test


def judged(name: str, clips: Clips, part: str, out: Path) -> dict[str, np.ndarray]:
    """Truth, answer and speaker of each clip of a part, from disk where it has been done before."""
    definition, run = SYSTEMS[name]
    folder = out / f"{name}-{part}-{digest({'definition': definition, 'part': part})[:12]}"
    train, test = (clips.some(rows) for rows in divided(clips, part))
    kept = folder / "said.npz"
    if not kept.exists():
        said, seconds, parameters = run(train, test, folder)
        with atomic(kept) as partial_file, partial_file.open("wb") as file:
            np.savez(file, said=said, seconds=seconds, parameters=parameters)
    with np.load(kept) as file:
        result = {key: file[key] for key in file.files}
    return result | {"truth": test.labels, "speakers": test.speakers}


def told(name: str, judged_on: str, parts: list[dict[str, np.ndarray]], *, by_speaker: bool) -> None:
    truth, said, speakers = (np.concatenate([part[key] for part in parts]) for key in ("truth", "said", "speakers"))
    each = metrics.confusion_of_each(truth, said.argmax(axis=1))
    if by_speaker:
        each = np.stack([each[speakers == speaker].sum(axis=0) for speaker in np.unique(speakers)])
    estimates = [metrics.bootstrap(each, metrics.MEASURES[measure]) for measure in ("uar", "accuracy")]
    figures = [f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in estimates]
    recalls = " ".join(f"{recall:.2f}" for recall in metrics.recalls_of(each.sum(axis=0)))
    seconds, parameters = np.mean([part["seconds"] for part in parts]), int(parts[0]["parameters"])
    row = (name, judged_on, *figures, recalls, f"{seconds:.0f}", f"{parameters:,}" if parameters else "-")
    print(f"| {' | '.join(row)} |", flush=True)


# -- nets -----------------------------------------------------------------------------------------------------


def windows(clips: Clips, trained: Trained, *, whole: bool) -> tuple[np.ndarray, np.ndarray]:
    """Windows of all clips, zeros after short ones, and the clip of each.

    `whole`: with a last one that ends with its clip; otherwise an end that is shorter than half a step is left out.
    """
    cut, of = [], []
    for number, wave in enumerate(clips.waves):
        wave = wave if trained.rate_hz == RATE_HZ else soxr.resample(wave, RATE_HZ, trained.rate_hz).astype(np.float32)
        last = max(len(wave) - trained.window, 0)
        starts = {*range(0, last + 1, trained.step)} | (
            {last} if whole or last % trained.step > trained.step / 2 else set()
        )
        for start in sorted(starts):
            piece = wave[start : start + trained.window]
            cut.append(np.pad(piece, (0, trained.window - len(piece))))
            of.append(number)
    return np.stack(cut), np.array(of)


def trained_net(trained: Trained, train: Clips, test: Clips, folder: Path) -> Answer:
    inputs, of = windows(train, trained, whole=False)
    examples = fit.Examples(inputs, np.eye(len(AFFWILD2), dtype=np.float32)[train.labels[of]])
    seen = fit.Examples(inputs[::16], examples.targets[::16])
    net = fit.fresh(trained.build, seed=0)
    watch = fit.Callbacks(epoch=lambda e: noted(folder, e), events=False, clock=time.process_time)
    history = fit.fit(
        net,
        fit.TrainingData(examples, seen, trained.prepare),
        settings=trained.settings,
        folder=folder,
        callbacks=watch,
    )
    inputs, of = windows(test, trained, whole=True)
    logits = fit.predict(net, inputs, prepare=trained.prepare, batch=32, embeddings=False).logits
    said = scipy.special.softmax(logits.astype(np.float64), axis=1)
    mean = np.stack([said[of == clip].mean(axis=0) for clip in range(len(test.waves))])
    return mean, sum(e.seconds for e in history), sum(p.numel() for p in net.parameters())


def noted(folder: Path, e: fit.Epoch) -> None:
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
    """Features of whole clips and a head, whose settings are chosen on speakers held out of the training clips."""

    def run(train: Clips, test: Clips, folder: Path) -> Answer:
        kept = {name: rows_of(features, clips, folder.parent) for name, clips in (("train", train), ("test", test))}
        began = time.process_time()
        search = GridSearchCV(
            make_pipeline(StandardScaler(), head()),
            {f"{type(head()).__name__.lower()}__C": (0.01, 0.1, 1.0, 10.0)},
            scoring="balanced_accuracy",
            cv=GroupKFold(4),
        ).fit(kept["train"], train.labels, groups=train.speakers)
        seconds = time.process_time() - began
        return np.eye(len(AFFWILD2))[search.predict(kept["test"])], seconds, 0

    return run


def rows_of(features: Callable[[list[np.ndarray]], np.ndarray], clips: Clips, out: Path) -> np.ndarray:
    """Features, computed once for each clip and kept in `out`."""
    keys = [hashlib.sha256(wave.tobytes()).hexdigest()[:16] for wave in clips.waves]
    path = out / f"{features.__name__}.npz"
    known: dict[str, np.ndarray] = {}
    if path.exists():
        with np.load(path) as file:
            known = dict(zip(file["keys"].tolist(), file["rows"], strict=True))
    missing = [k for k, key in enumerate(keys) if key not in known]
    for some in range(0, len(missing), 100):
        rows = missing[some : some + 100]
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
    "compact": (f"{COMPACT} {CompactSpeech()}", partial(trained_net, COMPACT)),
    "towers": (f"{TOWERS} {SpeechEnsemble()}", partial(trained_net, TOWERS)),
    "cnn1d-lstm": (f"{LSTM} {Cnn1dLstm()}", partial(trained_net, LSTM)),
}

if __name__ == "__main__":
    main()
