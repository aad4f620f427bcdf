"""Accuracy of a bundle of face and voice on speakers that it was not trained on, also with one modality missing.

    python benchmarks/people.py CLIPS --bundle default     # CLIPS/labels.csv: path, emotion, speaker, sex, ...

The clips of each speaker are fused with exponents fitted on the clips of the others (log-pool, row by row), always on
complete clips. The prediction for a clip is the class with the highest mean probability over its rows. Intervals: 95 %
percentile bootstrap over clips (2,000 resamples, seed 0); gains are paired. The calibration error is of rows. The last
column is the error that perfectly calibrated clips would show: mean, and 5 to 95 %, over 500 samples of the clips'
labels from their mean probabilities. It is not 0, since the rows of one clip are correct or wrong together.

Conditions: the face is missing in one half of each clip, first and second half alternating; the face is missing
throughout; the audio is digital silence; the audio has babble noise of four other speakers at 0 dB SNR.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import wave
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from measure import print_confusion, with_interval

from emofuse import metrics
from emofuse.core.statuses import NO_PERSON
from emofuse.core.time import Timeline
from emofuse.core.types import Scores
from emofuse.fusion.log_pool import LogPool, LogPoolFusion
from emofuse.fusion.system_scores import SystemScores
from emofuse.inference.predictor import Options, Predictor
from emofuse.media.audio import AudioReader
from emofuse.models.fusion import FACE, VOICE

RATE_HZ = 16_000
MODALITIES = (FACE, VOICE)
COLUMNS = ("face alone", "voice alone", "fused", "gain over face", "gain over voice", "calibration error",
           "if calibrated")  # fmt: skip
Waveform = np.ndarray


@dataclass(frozen=True)
class ScoredClip:
    """A clip with its label, its speaker, and the scores of face and voice on one timeline."""

    path: Path
    truth: int
    speaker: str
    sex: str
    scores: tuple[Scores, Scores]

    @property
    def timeline(self) -> Timeline:
        return self.scores[0].timeline

    def without_face(self, rows: np.ndarray) -> ScoredClip:
        """The clip without scores of the face at some rows, bool [rows]."""
        face, voice = self.scores
        return replace(self, scores=(replace(face, valid=face.valid & ~rows), voice))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder with labels.csv")
    parser.add_argument("--bundle", default="default", help="name or folder of a bundle; default: default")
    parser.add_argument("--detector", default="default", help="face detector: default, or yunet")
    parser.add_argument("--plot", type=Path, help="PNG to write with a reliability diagram")
    options = parser.parse_args()
    predictor = Predictor(Options(options.bundle, options.detector))
    clips = score_clips(options.clips, predictor)
    fusions = {s: fit_fusion([c for c in clips if c.speaker != s]) for s in sorted({c.speaker for c in clips})}
    for speaker, fusion in fusions.items():
        print(f"without {speaker}: exponents of {', '.join(fusion.systems)}: {fusion.exponents.round(2).tolist()}")
    conditions: dict[str, Callable[[], list[ScoredClip]]] = {
        "complete": lambda: clips,
        "no face in one half": lambda: [without_half_of_the_face(c, n) for n, c in enumerate(clips)],
        "no face": lambda: [c.without_face(np.ones(len(c.timeline), bool)) for c in clips],
        "silence": lambda: with_audio(clips, predictor, lambda audio, _: np.zeros_like(audio)),
        "babble, 0 dB": lambda: with_audio(clips, predictor, add_babble(clips)),
    }
    print(f"| condition | {' | '.join(COLUMNS)} |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    for name, condition in conditions.items():
        print(f"| {name} | {' | '.join(cells(condition(), fusions))} |", flush=True)
    for sex in sorted({c.sex for c in clips}):
        chosen = [c for c in clips if c.sex == sex]
        print(f"| complete, sex {sex}, {len(chosen)} clips | {' | '.join(cells(chosen, fusions))} |")
    if options.plot:
        plot_reliability(clips, fusions, options.plot)
    print("complete clips, fused")
    print_confusion(predictor.bundle.label_set.names, confusions(clips, fuse(clips, fusions)).sum(axis=0))


def score_clips(folder: Path, predictor: Predictor) -> list[ScoredClip]:
    """The scores of face and voice of every clip; of several persons, those of the one with the most valid rows."""
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    clips = []
    for row in rows:
        prediction = predictor.predict(folder / row["path"])
        person = max(prediction.persons, key=lambda p: int(prediction.scores[p].valid.sum()), default=NO_PERSON)
        scores = prediction.modalities[person]
        (truth,) = predictor.bundle.label_set.encode([row["emotion"]])
        pair = (scores[FACE], scores[VOICE])
        clips.append(ScoredClip(folder / row["path"], int(truth), row["speaker"], row["sex"], pair))
    return clips


def fit_fusion(clips: list[ScoredClip]) -> LogPoolFusion:
    truth = np.concatenate([np.full(len(c.timeline), c.truth) for c in clips])
    return LogPool().fit(SystemScores.of([c.scores for c in clips]), truth, metrics.uar_of, np.random.default_rng(0))


# -- conditions -----------------------------------------------------------------------------------------------


def without_half_of_the_face(clip: ScoredClip, index: int) -> ScoredClip:
    first = np.arange(len(clip.timeline)) < len(clip.timeline) / 2
    return clip.without_face(first if index % 2 else ~first)


def with_audio(
    clips: list[ScoredClip], predictor: Predictor, change: Callable[[Waveform, ScoredClip], Waveform]
) -> list[ScoredClip]:
    """The clips with the scores that the same bundle returns for changed audio."""
    changed = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audio.wav"
        for clip in clips:
            audio = change(read_audio(clip.path), clip)
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
                file.writeframes((np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes())
            voice = predictor.predict(path).modalities[NO_PERSON][VOICE]
            changed.append(replace(clip, scores=(clip.scores[0], voice.onto(clip.timeline))))
    return changed


def read_audio(path: Path) -> Waveform:
    with AudioReader(path, rate_hz=RATE_HZ) as audio:
        return np.concatenate([block.samples for block in audio.blocks()])


def add_babble(clips: list[ScoredClip]) -> Callable[[Waveform, ScoredClip], Waveform]:
    """Returns a function that adds babble noise of four other speakers at 0 dB SNR."""
    rng = np.random.default_rng(0)

    def mix(audio: Waveform, clip: ScoredClip) -> Waveform:
        others = sorted({c.speaker for c in clips} - {clip.speaker})
        babble = np.zeros_like(audio)
        for speaker in rng.permutation(others)[:4]:
            voice = read_audio(Path(rng.choice([str(c.path) for c in clips if c.speaker == speaker])))
            babble += np.resize(voice, len(audio)) / np.sqrt(np.mean(voice**2))
        mixed = audio + babble * np.sqrt(np.mean(audio**2) / np.mean(babble**2))
        return mixed / max(1.0, float(np.abs(mixed).max()))

    return mix


# -- metrics --------------------------------------------------------------------------------------------------


def fuse(clips: list[ScoredClip], fusions: dict[str, LogPoolFusion]) -> list[Scores]:
    """Fused scores of each clip, with the exponents fitted on the other speakers."""
    return [fusions[c.speaker](c.scores) for c in clips]


def confusions(clips: list[ScoredClip], scores: list[Scores]) -> np.ndarray:
    """Confusion matrices [clips, classes, classes]; a clip without scores counts as neutral."""
    rows = [s.probabilities()[s.valid] for s in scores]
    predicted = [int(values.mean(axis=0).argmax()) if len(values) else 0 for values in rows]
    return metrics.confusion_of_each([c.truth for c in clips], predicted, classes=len(scores[0].label_set))


def calibration_error(scores: list[Scores], truth: np.ndarray) -> float:
    """Calibration error over the rows of clips whose labels are int [clips]."""
    labels = np.concatenate([np.where(s.valid, label, -1) for s, label in zip(scores, truth, strict=True)])
    return metrics.calibration_error(labels, np.concatenate([s.values for s in scores]))


def errors_if_calibrated(scores: list[Scores]) -> np.ndarray:
    """Calibration errors [500] with the label of each clip sampled from its mean probabilities."""
    rng = np.random.default_rng(0)
    scored = [s for s in scores if s.valid.any()]
    cumulative = np.cumsum([s.probabilities()[s.valid].mean(axis=0) for s in scored], axis=1)
    samples = ((rng.random((len(scored), 1)) > cumulative[:, :-1]).sum(axis=1) for _ in range(500))
    return np.array([calibration_error(scored, labels) for labels in samples])


def cells(clips: list[ScoredClip], fusions: dict[str, LogPoolFusion]) -> list[str]:
    """One row of the table: UAR of each modality and of the fusion, gains in UAR, calibration errors."""
    scores = fuse(clips, fusions)
    fused = confusions(clips, scores)
    alone = [confusions(clips, [c.scores[k] for c in clips]) for k in range(len(MODALITIES))]
    uars = [with_interval(metrics.bootstrap(by_clip, metrics.uar_of)) for by_clip in (*alone, fused)]
    gains = [with_interval(metrics.gain(fused, by_clip, metrics.uar_of), "+.3f") for by_clip in alone]
    error = calibration_error(scores, np.array([c.truth for c in clips]))
    expected = errors_if_calibrated(scores)
    low, high = np.quantile(expected, (0.05, 0.95))
    return [*uars, *gains, f"{error:.3f}", f"{expected.mean():.3f} [{low:.3f}, {high:.3f}]"]


def plot_reliability(clips: list[ScoredClip], fusions: dict[str, LogPoolFusion], path: Path) -> None:
    """Plot accuracy and number of rows against confidence, for each modality alone and fused."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = {name: [c.scores[k] for c in clips] for k, name in enumerate(MODALITIES)}
    panels["fused, cross-fitted"] = fuse(clips, fusions)
    for axes, (name, scores) in zip(figure.subplots(1, 3, sharey=True), panels.items(), strict=True):
        valid = np.concatenate([s.valid for s in scores])
        truth = np.concatenate([np.full(len(s), c.truth) for s, c in zip(scores, clips, strict=True)])[valid]
        probabilities = np.concatenate([s.probabilities() for s in scores])[valid]
        confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
        bins = np.minimum((confidence * 10).astype(int), 9)
        count = np.bincount(bins, minlength=10)
        filled = count > 0
        axes.plot([0, 1], [0, 1], color="#b0b0b0", linewidth=1)
        axes.bar((np.arange(10) + 0.5) / 10, count / count.sum(), width=0.09, color="#d8d8d8")
        means = [np.bincount(bins, values, 10)[filled] / count[filled] for values in (confidence, correct)]
        axes.plot(*means, "o-", color="#0072b2")
        axes.set_title(f"{name}: error {metrics.calibration_error(truth, probabilities):.3f}", fontsize=10)
        axes.set_xlabel("confidence")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
    figure.axes[0].set_ylabel("accuracy; grey: fraction of rows")
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
