"""The bundle in the package, made from its data sets in one run.

Each step writes a bundle of its own in `steps`, named by the digest of what decides it, and is skipped if that is
there, so a killed run resumes: the face network, the same in int8, the voice, voices without one corpus each for the
calibration, the calibrated voice, the same in int8, and the words. The fused bundle is in the folder itself.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse import metrics
from emofuse.core.calibration import LogitCalibration
from emofuse.core.files import digest, file_digest, printable, write_bytes
from emofuse.core.labels import AFFWILD2
from emofuse.core.parallel import Executor
from emofuse.core.types import Clip
from emofuse.datasets import DataSet, open_data
from emofuse.datasets.image_folder import read_image_folder
from emofuse.errors import DataError, SettingsError
from emofuse.evaluation.evaluate import Evaluation, Settings
from emofuse.experiments.fuse_bundles import FileProgress, FuseRequest, fuse
from emofuse.experiments.quantise_bundle import QuantiseRequest, quantise
from emofuse.inference.audio_stages import choose_audio_stages
from emofuse.models import bundle as bundles
from emofuse.models.bundle import Bundle, write_bundle
from emofuse.models.voice import VoiceModality, voice_scorer
from emofuse.models.weights import KNOWN
from emofuse.nets.catalogue import published_weights
from emofuse.runtime import Engine
from emofuse.systems import WORDS_SYSTEMS, System, WordsSystem, system
from emofuse.training import default_face
from emofuse.training import loop as fit
from emofuse.training.audio_cache import AudioCache
from emofuse.training.default_face import DefaultSettings, DefaultTraining
from emofuse.training.default_faces import TEST, VALIDATION, part_of
from emofuse.training.train import train_system
from emofuse.training.training_run import TrainingRun, without_weights
from emofuse.training.words import train_words

NAME = "default"
WHISPER = "whisper-tiny-en"
# In the folder of the data.
FACES, SPEECH, CLIPS, SENTENCES = "faces", "speech.csv", "clips.csv", "sentences"
STEPS = "steps"
VERSION = "5.1"


@dataclass(frozen=True)
class DefaultBundleSettings:
    """What decides the bundle besides its data.

    voice, words: their systems. face_drop, voice_drop: accuracy in percentage points that int8 may cost.
    folds: of the subjects of the clips, for the metrics of the fusion.
    """

    face: DefaultSettings = field(default_factory=DefaultSettings)
    voice: System = field(default_factory=lambda: system("speech-encoder"))
    words: WordsSystem = WORDS_SYSTEMS["text-linear"]
    face_drop: float = 1.0
    voice_drop: float = 0.3
    folds: int = 6


@dataclass(frozen=True)
class DefaultBundleRequest:
    """A request for the bundle.

    data: folder with `faces` (fer2013.npz, rafdb and lfw), `speech.csv` (recordings of several corpora, in the splits
        train and validation), `clips.csv` (clips with faces and voices, for the weights of the fusion) and `sentences`
        (train.csv and validation.csv).
    face_weights, voice_weights: published weights of MobileFaceNet and of Whisper; None if a setting does without.
    """

    data: Path
    out: Path
    face_weights: Path
    voice_weights: Path | None
    settings: DefaultBundleSettings = field(default_factory=DefaultBundleSettings)


Report = Callable[[str], None]


def make_default(
    request: DefaultBundleRequest, *, executor: Executor, report: Report, progress: FileProgress
) -> tuple[Bundle, Evaluation]:
    """Train face, voice and words, convert the networks to int8, and fuse them, resuming after the last finished step.

    Args:
        report: called with messages for the user. progress: called while the clips are predicted.
    Raises:
        DataError: a data set is missing or cannot be read.
        WeightsError: the weights are for other networks.
        SettingsError: int8 costs too much accuracy.
    """
    for name in (FACES, SPEECH, CLIPS, SENTENCES):
        if not (request.data / name).exists():
            raise DataError(f"{printable(request.data / name)}: does not exist; docs/model-card.md lists the data.")
    steps = _Steps(request, report)
    parts = tuple(str(folder) for folder in (steps.face(), steps.voice(), steps.words()))
    settings = Settings(split=None, fuse=("log-pool",), folds=request.settings.folds, rows=True)
    found = FuseRequest(parts, request.data / CLIPS, request.out, settings, NAME, VERSION, half=True)
    return fuse(found, executor=executor, note=report, progress=progress)


@dataclass(frozen=True)
class _Steps:
    """The steps of a request; each returns the folder of its bundle."""

    request: DefaultBundleRequest
    report: Report

    def face(self) -> Path:
        """The face network in int8."""
        given, settings = self.request, self.request.settings
        definition = {"settings": asdict(settings.face), "weights": file_digest(given.face_weights)}
        trained = self._folder("face-float32", definition)
        if not _is_done(trained):
            training = DefaultTraining(settings.face, trained, self._on_epoch)
            default_face.train(given.data / FACES, given.face_weights, training)
        quantised = self._folder("face", definition | {"drop": settings.face_drop})
        if not _is_done(quantised):
            listed = quantised / "rafdb.csv"
            _write_list(listed, _rafdb_rows(given.data / FACES / "rafdb"))
            self._quantise(trained, listed, quantised, settings.face_drop)
        return quantised

    def voice(self) -> Path:
        """The voice in int8, calibrated by corpora that were held out of its training."""
        settings, definition = self.request.settings, self._voice_definition
        listed = self.request.data / SPEECH
        calibrated = self._folder("voice-calibrated", definition)
        if not _is_done(calibrated):
            data = open_data(listed)
            trained = self._trained_voice("voice-float32", data, listed, definition)
            self._calibrate(trained, data, calibrated)
        quantised = self._folder("voice", definition | {"drop": settings.voice_drop})
        if not _is_done(quantised):
            self._quantise(calibrated, listed, quantised, settings.voice_drop)
        return quantised

    def words(self) -> Path:
        """The model of sentences."""
        folder, settings = self.request.data / SENTENCES, self.request.settings.words
        data = [file_digest(folder / f"{split}.csv") for split in ("train", "validation")]
        trained = self._folder("words", {"system": settings.digest, "data": data})
        if not _is_done(trained):
            train_words(settings, folder, trained, self.report)
        return trained

    @property
    def _voice_definition(self) -> dict[str, str]:
        weights = self.request.voice_weights
        return {
            "system": self.request.settings.voice.digest,
            "data": file_digest(self.request.data / SPEECH),
            "weights": file_digest(weights) if weights else "",
        }

    def _folder(self, name: str, definition: Mapping[str, Any]) -> Path:
        return self.request.out / STEPS / f"{name}-{digest(definition)[:12]}"

    def _on_epoch(self, stage: str, epoch: fit.Epoch) -> None:
        accuracy = f"accuracy {epoch.measures['accuracy']:.4f}"
        self.report(f"{stage}: epoch {epoch.epoch + 1}, validation loss {epoch.validation_loss:.3f}, {accuracy}")

    def _quantise(self, bundle: Path, data: Path, out: Path, drop: float) -> None:
        self.report(f"{bundle.name}: converting to int8")
        quantise(QuantiseRequest(str(bundle), data, out, drop), report=self.report)

    def _trained_voice(self, name: str, data: DataSet, listed: Path, definition: dict[str, str]) -> Path:
        folder = self._folder(name, definition | {"data": file_digest(listed)})
        if not _is_done(folder):
            self.report(f"{folder.name}: training")
            audio = self.request.out / STEPS / "audio"
            run = TrainingRun(folder, self.request.voice_weights, report=self.report, audio=audio)
            train_system(self.request.settings.voice, data, run)
        return folder

    def _calibrate(self, trained: Path, data: DataSet, out: Path) -> None:
        """Write a voice with the temperature that fits voices on the corpora held out of their training."""
        corpora = sorted({clip.corpus or "" for clip in data.clips})
        if len(corpora) < 2:
            raise DataError(f"{printable(data.path)}: has one corpus; calibration needs several, in a column corpus.")
        bundle, logits, truth = bundles.load(trained), list[NDArray[np.float32]](), list[NDArray[np.int64]]()
        assert bundle.voice is not None
        for corpus in corpora:
            listed = out / f"without-{corpus}.csv"
            _write_list(listed, _speech_rows(data, without=corpus))
            folder = self._trained_voice(f"voice-without-{corpus}", open_data(listed), listed, self._voice_definition)
            voice = bundles.load(folder).voice
            assert voice is not None
            rows, labels = self._window_logits(voice, data, corpus)
            logits.append(rows)
            truth.append(labels)
        found = temperature(np.concatenate(logits), np.concatenate(truth))
        self.report(
            f"temperature by corpora held out: {found.factor:.2f} times that of the speakers held out, calibration "
            f"error {found.before:.3f} before, {found.after:.3f} after"
        )
        own = bundle.voice.calibration
        scaled = LogitCalibration(
            round(own.temperature * found.factor, 4), tuple(round(b / found.factor, 4) for b in own.bias)
        )
        card = dict(bundle.card) | {"calibration": f"temperature by corpora held out, {found.factor:.2f} of its own"}
        write_bundle(out, replace(bundle, voice=replace(bundle.voice, calibration=scaled), card=card))

    def _window_logits(
        self, voice: VoiceModality, data: DataSet, corpus: str
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Logarithms of the probabilities of a corpus's windows with a voice, [n, classes], and their labels."""
        stages = choose_audio_stages(voice.separation, voice.activity, Engine())
        cache = AudioCache(voice.windows, stages, self.request.out / STEPS / "audio")
        scorer = voice_scorer(voice, Engine(device="cpu"), classes=len(AFFWILD2))
        clips = [clip for clip in data.clips if (clip.corpus or "") == corpus]
        known = np.unique([label for clip in clips for label in data.annotation(clip).labels])
        absent = np.setdiff1d(np.arange(len(AFFWILD2)), known)
        rows, labels = [np.zeros((0, len(AFFWILD2)), np.float32)], [np.zeros(0, np.int64)]
        for clip in clips:
            path = cache.path(clip)
            windows = [] if path is None else cache.scores(path, scorer)
            found = [w.probabilities for w in windows if w.probabilities is not None]
            label = int(data.annotation(clip).labels[0])
            if found and label >= 0:
                # Logarithms of probabilities are logits that were divided by the temperature of their calibration.
                values = np.log(np.stack(found) + np.float32(1e-9))
                values[:, absent] = fit.IMPOSSIBLE
                rows.append(values)
                labels.append(np.full(len(values), label, np.int64))
        return np.concatenate(rows), np.concatenate(labels)


@dataclass(frozen=True)
class HeldOutTemperature:
    """A factor for a temperature, and the calibration errors before and after it."""

    factor: float
    before: float
    after: float


def temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> HeldOutTemperature:
    """The temperature that fits logits [n, classes] to their labels.

    >>> logits = np.log(np.float32([[0.9, 0.1]] * 4))
    >>> round(float(temperature(logits, np.array([0, 0, 0, 1])).after), 2)
    0.0
    """
    fitted = LogitCalibration.fit(logits, truth, biased=False)
    unchanged = LogitCalibration.identity(logits.shape[1])
    before, after = (metrics.calibration_error(truth, calibration(logits)) for calibration in (unchanged, fitted))
    return HeldOutTemperature(fitted.temperature, before, after)


def _is_done(folder: Path) -> bool:
    return (folder / bundles.MANIFEST).is_file()


Row = tuple[str, str, str, str, str]  # path, label, subject, corpus, split


def _rafdb_rows(folder: Path) -> Iterator[Row]:
    """The photographs that were trained on, and those that selected the epoch; not those that are set aside."""
    for image in read_image_folder(folder):
        part = part_of(image.path.name)
        if part != TEST:
            split = "validation" if part == VALIDATION else "train"
            yield str(image.path.resolve()), AFFWILD2.names[image.label], "", "", split


def _speech_rows(data: DataSet, *, without: str) -> Iterator[Row]:
    for clip in data.clips:
        if (clip.corpus or "") != without and clip.split in ("train", "validation"):
            label = AFFWILD2.names[int(data.annotation(clip).labels[0])]
            yield str(_audio_of(clip).resolve()), label, clip.subject or "", clip.corpus or "", clip.split


def _audio_of(clip: Clip) -> Path:
    file = clip.audio or clip.video
    if file is None:
        raise DataError(f"{clip.id}: has neither a video nor an audio file.")
    return file


def _write_list(path: Path, rows: Iterator[Row]) -> None:
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "label", "subject", "corpus", "split"])
    table.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def weights_in(folder: Path, settings: DefaultBundleSettings) -> tuple[Path, Path | None]:
    """The published weights of the face and of the voice in a folder; the voice needs none where its setting says so.

    Raises:
        SettingsError: one is missing.
    """
    net, whisper = settings.voice.net, KNOWN[WHISPER]
    names = [name for (name,) in whisper.sets]
    voice = next((folder / name for name in names if (folder / name).is_file()), None)
    if voice is None and not (net.scratch or net.tiny):
        raise SettingsError(f"{printable(folder)}: has no {' or '.join(names)}; {whisper.provide}, and put it there.")
    face = folder / published_weights(default_face.START).file
    if not face.is_file():
        raise without_weights(NAME, default_face.START)
    return face, voice
