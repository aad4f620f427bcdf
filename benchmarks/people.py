"""What a bundle that looks and listens is worth on people that it never saw, whole and where something is missing.

    python benchmarks/people.py CLIPS --bundle default     # CLIPS/labels.csv: path, emotion, speaker, ...

Each speaker's clips are fused with exponents fitted on the clips of the others (log-pool, row by row), always on clips
where nothing is missing. The answer for a clip is the class with the highest mean probability over its rows.
Intervals: 95 % percentile bootstrap over clips (2,000 resamples, seed 0); gains are paired. The calibration error is of
rows; beside it stands what it would be if each clip's probabilities were true (mean, and 5 to 95 % of 500 drawings of
the clips' labels from them): rows of a clip are right or wrong together, so few clips never show an error of 0.

Missing are: the face in a half of each clip, the first or the second in turn; the sound, which is digital silence; and
what is said, in the babble of four other speakers as loud as the voice.
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

from emofuse import metrics
from emofuse.core.time import Timeline
from emofuse.core.types import Scores
from emofuse.fusion.log_pool import LogPool, LogPoolFusion
from emofuse.fusion.system_scores import SystemScores
from emofuse.inference.prediction import NO_PERSON
from emofuse.inference.predictor import Options, Predictor
from emofuse.media.audio import AudioReader
from emofuse.models.fusion import FACE, VOICE

RATE_HZ = 16_000
PARTS = (FACE, VOICE)


@dataclass(frozen=True)
class Clip:
    """One clip: what it shows, who is in it, and what the parts say of it, all on one timeline."""

    path: Path
    truth: int
    speaker: str
    sex: str
    said: tuple[Scores, Scores]

    @property
    def timeline(self) -> Timeline:
        return self.said[0].timeline

    def hiding(self, part: str, rows: np.ndarray) -> Clip:
        """The same where a part says nothing at some rows, bool [rows]."""
        said = [
            Scores(s.values, s.timeline, s.label_set, s.valid & ~rows, s.system) if s.system == part else s
            for s in self.said
        ]
        return replace(self, said=(said[0], said[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--plot", type=Path, help="PNG of how often rows are right at each confidence")
    given = parser.parse_args()
    predictor = Predictor(Options(given.bundle, given.detector))
    clips = read(given.clips, predictor)
    fits = {s: fitted([c for c in clips if c.speaker != s]) for s in sorted({c.speaker for c in clips})}
    for name, pool in fits.items():
        print(f"without {name}: exponents of {', '.join(pool.systems)}: {pool.exponents.round(2).tolist()}")
    conditions: dict[str, Callable[[], list[Clip]]] = {
        "nothing is missing": lambda: clips,
        "half of the face": lambda: [half_a_face(c, n) for n, c in enumerate(clips)],
        "no face": lambda: [c.hiding(FACE, np.ones(len(c.timeline), bool)) for c in clips],
        "silence": lambda: heard(clips, predictor, lambda sound, _: np.zeros_like(sound)),
        "babble, 0 dB": lambda: heard(clips, predictor, in_babble(clips)),
    }
    print("| | face alone | voice alone | fused | fused above face | fused above voice | calibration error | if true |")
    print("|---|---|---|---|---|---|---|---|")
    for name, condition in conditions.items():
        print(f"| {name} | {' | '.join(figures(condition(), fits))} |", flush=True)
    for sex in sorted({c.sex for c in clips}):
        some = [c for c in clips if c.sex == sex]
        print(f"| nothing is missing, sex {sex}, {len(some)} clips | {' | '.join(figures(some, fits))} |")
    if given.plot:
        draw(clips, fits, given.plot)
    labels = predictor.bundle.label_set.names
    confusion = counts(clips, np.array([best(s) for s in fused_of(clips, fits)]))
    print(
        "fused, nothing missing; rows: labelled, columns: said\n" + " " * 10 + "".join(f"{n[:9]:>10}" for n in labels)
    )
    for name, row in zip(labels, confusion.sum(axis=0), strict=True):
        print(f"{name:<10}" + "".join(f"{c:>10}" for c in row))


def read(folder: Path, predictor: Predictor) -> list[Clip]:
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    clips = []
    for row in rows:
        found = predictor.predict(folder / row["path"])
        parts = found.modalities[max(found.persons, key=lambda p: int(found.scores[p].valid.sum()), default=NO_PERSON)]
        (truth,) = predictor.bundle.label_set.encode([row["emotion"]])
        clips.append(Clip(folder / row["path"], int(truth), row["speaker"], row["sex"], (parts[FACE], parts[VOICE])))
    return clips


def fitted(clips: list[Clip]) -> LogPoolFusion:
    truth = np.concatenate([np.full(len(c.timeline), c.truth) for c in clips])
    return LogPool().fit(SystemScores.of([c.said for c in clips]), truth, metrics.uar_of, np.random.default_rng(0))


def half_a_face(clip: Clip, number: int) -> Clip:
    first = np.arange(len(clip.timeline)) < len(clip.timeline) / 2
    return clip.hiding(FACE, first if number % 2 else ~first)


def heard(clips: list[Clip], predictor: Predictor, change: Callable[[np.ndarray, Clip], np.ndarray]) -> list[Clip]:
    """The clips with another sound, which the same bundle listens to."""
    changed = []
    with tempfile.TemporaryDirectory() as place:
        for clip in clips:
            sound = change(samples(clip.path), clip)
            with wave.open(str(Path(place) / "sound.wav"), "wb") as file:
                file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
                file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
            parts = predictor.predict(Path(place) / "sound.wav").modalities[NO_PERSON]
            changed.append(replace(clip, said=(clip.said[0], parts[VOICE].onto(clip.timeline))))
    return changed


def samples(path: Path) -> np.ndarray:
    with AudioReader(path, rate_hz=RATE_HZ) as audio:
        return np.concatenate([block.samples for block in audio.blocks()])


def in_babble(clips: list[Clip]) -> Callable[[np.ndarray, Clip], np.ndarray]:
    rng = np.random.default_rng(0)

    def mixed(sound: np.ndarray, clip: Clip) -> np.ndarray:
        others = sorted({c.speaker for c in clips} - {clip.speaker})
        babble = np.zeros_like(sound)
        for speaker in rng.permutation(others)[:4]:
            said = samples(rng.choice([str(c.path) for c in clips if c.speaker == speaker]))
            babble += np.resize(said, len(sound)) / np.sqrt(np.mean(said**2))
        both = sound + babble * np.sqrt(np.mean(sound**2) / np.mean(babble**2))
        return both / max(1.0, float(np.abs(both).max()))

    return mixed


def fused_of(clips: list[Clip], fits: dict[str, LogPoolFusion]) -> list[Scores]:
    """What is said of each clip by the exponents of the other speakers."""
    return [fits[c.speaker](c.said) for c in clips]


def calibration(fused: list[Scores], truth: np.ndarray) -> float:
    """The calibration error of the rows of clips, whose labels are int [clips]."""
    of_rows = np.concatenate([np.where(s.valid, t, -1) for s, t in zip(fused, truth, strict=True)])
    return metrics.calibration_error(of_rows, np.concatenate([s.values for s in fused]))


def calibration_if_true(fused: list[Scores]) -> np.ndarray:
    """The error [500] that the rows show where each clip's label is drawn from what is said of the clip."""
    rng = np.random.default_rng(0)
    heard = [s for s in fused if s.valid.any()]
    shares = np.cumsum([s.probabilities()[s.valid].mean(axis=0) for s in heard], axis=1)
    return np.array(
        [calibration(heard, (rng.random((len(heard), 1)) > shares[:, :-1]).sum(axis=1)) for _ in range(500)]
    )


def draw(clips: list[Clip], fits: dict[str, LogPoolFusion], path: Path) -> None:
    """How often rows are right, and how many there are, by their confidence: each part alone, and fused."""
    from matplotlib.figure import Figure

    whole = Figure(figsize=(9, 3.2), layout="constrained")
    rows = {name: [c.said[k] for c in clips] for k, name in enumerate(PARTS)}
    rows["fused, cross-fitted"] = fused_of(clips, fits)
    for axes, (name, scores) in zip(whole.subplots(1, 3, sharey=True), rows.items(), strict=True):
        truth = np.concatenate([np.full(len(s), c.truth) for s, c in zip(scores, clips, strict=True)])
        said = np.concatenate([s.probabilities() for s in scores])
        kept = np.concatenate([s.valid for s in scores])
        sure, right = said[kept].max(axis=1), said[kept].argmax(axis=1) == truth[kept]
        place = np.minimum((sure * 10).astype(int), 9)
        count = np.bincount(place, minlength=10)
        there = count > 0
        axes.plot([0, 1], [0, 1], color="#b0b0b0", linewidth=1)
        axes.bar((np.arange(10) + 0.5) / 10, count / count.sum(), width=0.09, color="#d8d8d8")
        centres = np.bincount(place, sure, 10)[there] / count[there]
        axes.plot(centres, np.bincount(place, right, 10)[there] / count[there], "o-", color="#0072b2")
        axes.set_title(f"{name}: error {metrics.calibration_error(truth[kept], said[kept]):.3f}", fontsize=10)
        axes.set_xlabel("confidence")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
    whole.axes[0].set_ylabel("share that is right; grey: share of rows")
    whole.savefig(path, dpi=110, metadata={"Software": None})


def best(scores: Scores) -> int:
    rows = scores.probabilities()[scores.valid]
    return int(rows.mean(axis=0).argmax()) if len(rows) else -1


def counts(clips: list[Clip], guess: np.ndarray) -> np.ndarray:
    """Counts [clips, classes, classes]; a clip of which nothing is said counts as neutral."""
    classes = len(clips[0].said[0].label_set)
    return metrics.confusion_of_each([c.truth for c in clips], np.maximum(guess, 0), classes=classes)


def figures(clips: list[Clip], fits: dict[str, LogPoolFusion]) -> list[str]:
    said = fused_of(clips, fits)
    fused = counts(clips, np.array([best(s) for s in said]))
    alone = [counts(clips, np.array([best(c.said[k]) for c in clips])) for k in range(len(PARTS))]
    told = []
    for each in (*alone, fused):
        e = metrics.bootstrap(each, metrics.uar_of)
        told.append(f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]")
    for each in alone:
        e = metrics.gain(fused, each, metrics.uar_of)
        told.append(f"{e.value:+.3f} [{e.low:+.3f}, {e.high:+.3f}]")
    true = calibration_if_true(said)
    low, high = np.quantile(true, (0.05, 0.95))
    error = calibration(said, np.array([c.truth for c in clips]))
    return [*told, f"{error:.3f}", f"{true.mean():.3f} [{low:.3f}, {high:.3f}]"]


if __name__ == "__main__":
    main()
