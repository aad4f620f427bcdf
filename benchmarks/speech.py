"""Emotion from the voice alone, on speakers and corpora that no system was trained on.

    python benchmarks/speech.py ../shared/data/speech ../shared/weights/whisper-tiny-en-encoder3.safetensors \
        --out runs/speech

RAVDESS (calm counts as neutral) in five folds of speakers; SAVEE, by a system trained on RAVDESS; and each of RAVDESS,
SAVEE, EmoDB and nEMO, by a system trained on the three others. The prediction for a clip is the class with the highest
mean probability over its windows, among the classes of its corpus. Intervals: 95 % bootstrap over speakers.

- `encoder`: the system `speech-encoder`, trained and run as `emofuse train` and `emofuse predict` do. One of twelve
  training speakers of each corpus, at least one, select the temperature; the evaluated speakers select nothing.
- `frozen`: mean and deviation over time of the second block of the published encoder, and logistic regression.
- `egemaps`: 88 functionals and an SVM, whose C is selected on training speakers; needs `pip install opensmile`.

With --noise, the systems of the five folds are also evaluated on changed audio, as they are.
With --bundle BUNDLE, the voice of a bundle is evaluated on the recordings in the folder, also on changed audio.
Calibration errors are those of the mean probabilities of clips.
Trained systems are kept in --out under the digest of their definition, and a killed training resumes.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import soxr
import torch
from measure import with_interval
from scipy.signal import butter, sosfilt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emofuse import metrics
from emofuse.core.files import atomic, digest, file_digest
from emofuse.core.labels import AFFWILD2
from emofuse.core.settings import with_settings
from emofuse.core.time import TICKS_PER_SECOND
from emofuse.datasets import open_data
from emofuse.inference.audio_stages import choose_audio_stages
from emofuse.media.audio import AudioBlock, AudioReader
from emofuse.models import bundle as bundles
from emofuse.nets.speech_encoder import levelled
from emofuse.nets.whisper_encoder import WhisperEncoder, WhisperEncoderSettings, load_published
from emofuse.runtime import Engine
from emofuse.speech.energy import EnergyDetector
from emofuse.systems import system
from emofuse.training import loop
from emofuse.training.train import train_system
from emofuse.training.training_run import TrainingRun

RATE_HZ = 16_000
FOLDS = 5
VALIDATED = 12  # one of so many training speakers of each corpus, and at least one, select the calibration
LISTS = ("labels.csv", "labels-emodb.csv", "labels-nemo.csv")
LONGEST_SECONDS = 8.0  # of a clip, for the frozen encoder
SYSTEM = "speech-encoder"


@dataclass(frozen=True, eq=False)
class Clips:
    """The recordings of all corpora: paths, waveforms at 16 kHz, class indices, speakers, corpora and sexes."""

    paths: np.ndarray
    waves: list[np.ndarray]
    labels: np.ndarray
    speakers: np.ndarray
    corpora: np.ndarray
    sexes: np.ndarray


@dataclass(frozen=True)
class Split:
    """What is trained on and what is evaluated: rows of `Clips`."""

    name: str
    train: np.ndarray
    test: np.ndarray


# Probabilities or other scores [test clips, classes] of a system trained on a split; a function of changed waveforms.
Score = Callable[[list[np.ndarray]], np.ndarray]
Fit = Callable[[Clips, Split], Score]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with the corpora and their labels")
    parser.add_argument("weights", type=Path, nargs="?", help="published weights of Whisper tiny.en")
    parser.add_argument("--out", type=Path, default=Path("runs/speech"))
    parser.add_argument("--systems", default="frozen,encoder,egemaps", help="separated by commas; default: all")
    parser.add_argument("--splits", default="", help="names of splits, separated by commas; default: all")
    parser.add_argument(
        "--set", action="append", default=[], help="change of the system `encoder`, as in emofuse train"
    )
    parser.add_argument("--bundle", help="bundle to evaluate on the folder's labels.csv, instead of the table")
    parser.add_argument("--noise", action="store_true", help="evaluate the folds of RAVDESS on changed audio too")
    options = parser.parse_args()
    lists = LISTS if options.bundle is None else LISTS[:1]
    clips = read(options.folder, options.out, lists=lists)
    changes = dict(change.split("=", 1) for change in options.set)
    print("| system | evaluated on | chance | UAR | women | men | calibration error | mean confidence |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    if options.bundle:
        clips = dataclasses.replace(clips, corpora=clips.speakers)  # babble noise is then of other speakers
        split = Split("all", np.zeros(0, int), np.arange(len(clips.labels)))
        report_changed(options.bundle, "clips", clips, [(split, mean_of_windows(bundles.load(options.bundle)))])
        return
    fits: dict[str, Fit] = {
        "frozen": partial(fit_frozen, weights=options.weights, out=options.out),
        "encoder": partial(fit_encoder, options=options, changes=changes),
        "egemaps": partial(fit_egemaps, out=options.out),
    }
    wanted = [name for name in options.splits.split(",") if name]
    for name in options.systems.split(","):
        if name == "egemaps" and importlib.util.find_spec("opensmile") is None:
            print("egemaps is left out: opensmile is not installed")
            continue
        for evaluated_on, splits in all_splits(clips).items():
            if wanted and evaluated_on not in wanted:
                continue
            scorers = [(split, fits[name](clips, split)) for split in splits]
            if options.noise and evaluated_on == "ravdess-folds":
                report_changed(name, evaluated_on, clips, scorers)
            else:
                report(name, evaluated_on, clips, scorers)


def read(folder: Path, out: Path, *, lists: tuple[str, ...] = LISTS) -> Clips:
    """All recordings; the audio is decoded once and cached as 16 bit in `out`."""
    rows = []
    for name in lists:
        with (folder / name).open(newline="", encoding="utf-8") as file:
            rows += list(csv.DictReader(file))
    stored = out / f"audio-{digest({name: file_digest(folder / name) for name in lists})[:12]}.npz"
    if not stored.exists():
        decoded = [
            np.concatenate([b.samples for b in AudioReader(folder / row["path"], rate_hz=RATE_HZ).blocks(60)])
            for row in rows
        ]
        stored.parent.mkdir(parents=True, exist_ok=True)
        samples = np.round(np.concatenate(decoded) * 32767).clip(-32768, 32767).astype(np.int16)
        np.savez(stored, audio=samples, ends=np.cumsum([len(wave) for wave in decoded]))
    with np.load(stored) as file:
        waves = np.split(file["audio"].astype(np.float32) / 32767, file["ends"][:-1])
    labels = AFFWILD2.encode("neutral" if row["emotion"] == "calm" else row["emotion"] for row in rows)
    columns = [np.array([row[name] for row in rows]) for name in ("path", "speaker", "sex")]
    corpora = np.array([speaker.split("-")[0] for speaker in columns[1]])
    return Clips(np.array([str(folder / p) for p in columns[0]]), waves, labels, columns[1], corpora, columns[2])


def all_splits(clips: Clips) -> dict[str, list[Split]]:
    of = {name: clips.corpora == name for name in np.unique(clips.corpora)}
    order = np.random.default_rng(0).permutation(np.unique(clips.speakers[of["ravdess"]]))
    folds = []
    for k in range(FOLDS):
        test = np.isin(clips.speakers, order[k::FOLDS])
        folds.append(Split(f"fold-{k}", np.flatnonzero(of["ravdess"] & ~test), np.flatnonzero(test)))
    crossed = Split("ravdess-savee", np.flatnonzero(of["ravdess"]), np.flatnonzero(of["savee"]))
    others = {
        f"rest-{name}": [Split(f"rest-{name}", np.flatnonzero(~rows), np.flatnonzero(rows))]
        for name, rows in of.items()
    }
    return {"ravdess-folds": folds, "ravdess-savee": [crossed], **others}


def report_changed(system_name: str, evaluated_on: str, clips: Clips, scorers: list[tuple[Split, Score]]) -> None:
    """Print a row for unchanged audio and one for each condition."""
    report(system_name, evaluated_on, clips, scorers)
    for condition, change in CONDITIONS.items():
        report(system_name, f"{evaluated_on}, {condition}", clips, scorers, change=partial(change, clips))


def report(
    system_name: str,
    evaluated_on: str,
    clips: Clips,
    scorers: list[tuple[Split, Score]],
    *,
    change: Callable[[int], np.ndarray] | None = None,
) -> None:
    """Print a row of the table. change: the changed waveform of a clip by its number; default: unchanged."""
    rows = np.concatenate([split.test for split, _ in scorers])
    waves = {int(k): clips.waves[k] if change is None else change(int(k)) for k in rows}
    scores = np.concatenate([score([waves[int(k)] for k in split.test]) for split, score in scorers])
    classes = np.unique(clips.labels[rows])
    predicted = classes[scores[:, classes].argmax(axis=1)]
    each = metrics.confusion_of_each(clips.labels[rows], predicted)
    cells = []
    for sex in ("", "f", "m"):
        chosen = np.isin(clips.sexes[rows], [sex] if sex else ["f", "m"])
        speakers = clips.speakers[rows]
        by_speaker = [each[chosen & (speakers == speaker)].sum(axis=0) for speaker in np.unique(speakers[chosen])]
        cells.append(with_interval(metrics.bootstrap(np.stack(by_speaker), metrics.uar_of)) if by_speaker else "-")
    cells += confidence(scores[:, classes], np.searchsorted(classes, clips.labels[rows]))
    print(f"| {' | '.join((system_name, evaluated_on, f'{1 / len(classes):.3f}', *cells))} |", flush=True)


def confidence(scores: np.ndarray, truth: np.ndarray) -> list[str]:
    """Calibration error and mean confidence of probabilities; dashes for other scores. Clips without are left out."""
    scored = scores.any(axis=1)
    if scores.min() < 0:
        return ["-", "-"]
    probabilities = scores[scored] / scores[scored].sum(axis=1, keepdims=True)
    error = metrics.calibration_error(truth[scored], probabilities)
    return [f"{error:.3f}", f"{probabilities.max(axis=1).mean():.3f}"]


# -- the system ------------------------------------------------------------------------------------------------


def fit_encoder(clips: Clips, split: Split, *, options: argparse.Namespace, changes: dict[str, str]) -> Score:
    return mean_of_windows(trained_encoder(clips, split, options=options, changes=changes))


def mean_of_windows(bundle: bundles.Bundle) -> Score:
    """A function to the mean probabilities of the windows of each waveform; zeros where nobody speaks."""
    windows_of = window_probabilities(bundle)

    def mean(wave: np.ndarray) -> np.ndarray:
        windows = windows_of(wave)
        return windows.mean(axis=0) if len(windows) else np.zeros(len(AFFWILD2))

    return lambda waves: np.array([mean(wave) for wave in waves])


def trained_encoder(
    clips: Clips, split: Split, *, options: argparse.Namespace, changes: dict[str, str]
) -> bundles.Bundle:
    """The system trained on a split, from `out` if it was trained before."""
    definition = with_settings(system(SYSTEM), changes)
    folder = options.out / f"{SYSTEM}-{split.name}-{definition.digest[:12]}"
    if not (folder / bundles.MANIFEST).exists():
        weights = None if definition.net.scratch or definition.net.tiny else options.weights
        run = TrainingRun(folder, weights, callbacks=loop.Callbacks(epoch=partial(print_epoch, folder.name)))
        share_audio(folder, options.out / "decoded")
        train_system(definition, open_data(write_list(clips, split, folder)), run)
    return bundles.load(folder)


def window_probabilities(bundle: bundles.Bundle) -> Callable[[np.ndarray], np.ndarray]:
    """A function from a waveform to the probabilities [windows, classes] of its windows with speech."""
    voice, scorer = bundle.voice, bundle.voice_scorer(Engine(1))
    stages = choose_audio_stages(voice.separation, voice.activity, Engine(1))

    def of(wave: np.ndarray) -> np.ndarray:
        stream = stages.stream(voice.windows, scorer)
        scores = [*stream.push(AudioBlock(wave, 0, RATE_HZ)), *stream.close()]
        found = [score.probabilities for score in scores if score.probabilities is not None]
        return np.array(found).reshape(-1, len(AFFWILD2))

    return of


def write_list(clips: Clips, split: Split, folder: Path) -> Path:
    """The clip list of a split; some speakers of each corpus are its validation split."""
    held_out = set[str]()
    for corpus in np.unique(clips.corpora[split.train]):
        speakers = np.unique(clips.speakers[split.train][clips.corpora[split.train] == corpus])
        count = max(len(speakers) // VALIDATED, 1)
        held_out |= set(np.random.default_rng(1).permutation(speakers)[:count].tolist())
    path = folder / "clips.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "subject", "corpus", "split"])
        for k in split.train:
            name, part = clips.speakers[k], "validation" if clips.speakers[k] in held_out else "train"
            table.writerow(
                [Path(clips.paths[k]).resolve(), AFFWILD2.names[clips.labels[k]], name, clips.corpora[k], part]
            )
    return path


def share_audio(folder: Path, shared: Path) -> None:
    """Let all trainings use the same decoded audio."""
    shared.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "audio").exists():
        (folder / "audio").symlink_to(shared.resolve())


def print_epoch(name: str, e: loop.Epoch) -> None:
    losses = f"loss {e.train_loss:.3f}, validation {e.validation_loss:.3f}, UAR {e.measures['uar']:.3f}"
    print(f"  {name}: epoch {e.epoch + 1}, {losses}, {e.seconds:.0f} s", flush=True)


# -- features and classifiers ------------------------------------------------------------------------------------


def fit_frozen(clips: Clips, split: Split, *, weights: Path, out: Path) -> Score:
    features = partial(frozen, encoder(weights))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.001, class_weight="balanced", max_iter=300))
    model.fit(cached(features, "frozen", [clips.waves[k] for k in split.train], out), clips.labels[split.train])
    return lambda waves: full(model.decision_function(cached(features, "frozen", waves, out)), model.classes_)


@cache
def encoder(weights: Path) -> WhisperEncoder:
    net = WhisperEncoder(WhisperEncoderSettings(blocks=2)).eval()
    net.load_state_dict(load_published(weights, net.settings))
    return net


def frozen(net: WhisperEncoder, wave: np.ndarray) -> np.ndarray:
    """Mean and deviation over time of the last block, float32 [2 * width], of the part from first to last speech."""
    stream = EnergyDetector().stream(RATE_HZ)
    segments = [*stream.push(AudioBlock(wave, 0, RATE_HZ)), *stream.close()]
    spoken = [(s.start, s.end) for s in segments if s.active] or [(0, len(wave) * TICKS_PER_SECOND // RATE_HZ)]
    first, last = (ticks * RATE_HZ // TICKS_PER_SECOND for ticks in (spoken[0][0], spoken[-1][1]))
    wave = wave[first : min(last, first + round(LONGEST_SECONDS * RATE_HZ))]
    wave = wave[: len(wave) // 320 * 320]
    with torch.inference_mode():
        frames = net(levelled(torch.from_numpy(wave)[None]))[-1][0]
    return torch.cat((frames.mean(dim=0), frames.std(dim=0, correction=0))).numpy()


def fit_egemaps(clips: Clips, split: Split, *, out: Path) -> Score:
    train = split.train
    search = GridSearchCV(
        make_pipeline(StandardScaler(), SVC(class_weight="balanced")),
        {"svc__C": (0.01, 0.1, 1.0, 10.0)},
        scoring="balanced_accuracy",
        cv=GroupKFold(4),
    ).fit(
        cached(egemaps, "egemaps", [clips.waves[k] for k in train], out),
        clips.labels[train],
        groups=clips.speakers[train],
    )
    return lambda waves: full(search.decision_function(cached(egemaps, "egemaps", waves, out)), search.classes_)


def egemaps(wave: np.ndarray) -> np.ndarray:
    """The 88 functionals of eGeMAPS v02, float64 [88]."""
    return smile().process_signal(wave, RATE_HZ).to_numpy(np.float64)[0]


@cache
def smile():
    import opensmile

    return opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)


def full(scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Scores [n, classes of the training] as [n, all classes]."""
    columns = np.full((len(scores), len(AFFWILD2)), -np.inf)
    columns[:, classes] = scores
    return columns


_KNOWN: dict[str, dict[str, np.ndarray]] = {}


def cached(features: Callable[[np.ndarray], np.ndarray], name: str, waves: list[np.ndarray], out: Path) -> np.ndarray:
    """Features of each waveform, computed once and stored in `out`."""
    path = out / f"{name}.npz"
    if name not in _KNOWN:
        _KNOWN[name] = {}
        if path.exists():
            with np.load(path) as file:
                _KNOWN[name] = dict(zip(file["keys"].tolist(), file["rows"], strict=True))
    known, keys = _KNOWN[name], [hashlib.sha256(wave.tobytes()).hexdigest()[:16] for wave in waves]
    if missing := [k for k, key in enumerate(keys) if key not in known]:
        for k in missing:
            known[keys[k]] = features(waves[k])
        with atomic(path) as partial_file, partial_file.open("wb") as file:
            np.savez(file, keys=np.array(list(known)), rows=np.stack(list(known.values())))
    return np.stack([known[key] for key in keys])


# -- changed audio -----------------------------------------------------------------------------------------------


def babble(clips: Clips, k: int, *, snr_db: float) -> np.ndarray:
    """Six voices of other corpora, at `snr_db` below the clip."""
    rng, wave = np.random.default_rng(k), clips.waves[k]
    others = rng.choice(np.flatnonzero(clips.corpora != clips.corpora[k]), 6)
    noise = sum(np.resize(clips.waves[n] / rms(clips.waves[n]), len(wave)) for n in others)
    return (wave + noise * rms(wave) / rms(noise) * 10 ** (-snr_db / 20)).astype(np.float32)


def telephone(clips: Clips, k: int) -> np.ndarray:
    filtered = sosfilt(butter(4, (300, 3400), "bandpass", fs=RATE_HZ, output="sos"), clips.waves[k])
    narrow = soxr.resample(filtered, RATE_HZ, 8_000)
    return soxr.resample(narrow, 8_000, RATE_HZ).astype(np.float32)


def room(clips: Clips, k: int) -> np.ndarray:
    """A room whose echo decays by 60 dB in half a second, 6 dB below the voice."""
    seconds = np.arange(RATE_HZ // 2) / RATE_HZ
    tail = np.random.default_rng(k).normal(size=len(seconds)) * 10 ** (-3 * seconds / 0.5)
    response = tail * 10 ** (-6 / 20) / np.linalg.norm(tail)
    response[0] = 1
    return np.convolve(clips.waves[k], response)[: len(clips.waves[k])].astype(np.float32)


def opus(clips: Clips, k: int) -> np.ndarray:
    return coded(clips.waves[k], codec="libopus", bit_rate=32_000)


def clipped(clips: Clips, k: int) -> np.ndarray:
    """Cut at a third of the loudest sample."""
    limit = np.abs(clips.waves[k]).max() / 3
    return clips.waves[k].clip(-limit, limit)


def coded(wave: np.ndarray, *, codec: str, bit_rate: int) -> np.ndarray:
    """Audio that was encoded and decoded again, of the same length."""
    import io

    import av

    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream(codec, rate=RATE_HZ, layout="mono", bit_rate=bit_rate)
        for start in range(0, len(wave), 960):
            frame = av.AudioFrame.from_ndarray(wave[None, start : start + 960], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE_HZ, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        rate = container.streams.audio[0].rate
        parts = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    decoded = soxr.resample(np.concatenate(parts).astype(np.float32), rate, RATE_HZ).astype(np.float32)
    return np.pad(decoded, (0, max(len(wave) - len(decoded), 0)))[: len(wave)]


def rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.square(wave).mean())) + 1e-9


CONDITIONS = {
    "babble at 10 dB SNR": partial(babble, snr_db=10),
    "babble at 0 dB SNR": partial(babble, snr_db=0),
    "telephone band": telephone,
    "room": room,
    "Opus at 32 kbit/s": opus,
    "clipped": clipped,
}

if __name__ == "__main__":
    main()
