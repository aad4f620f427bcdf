"""Scores against annotations: every system alone, and fused, in-sample and held-out, with intervals over videos.

A system that says nothing at a frame is held to its last answer, as the authors did; where it says nothing of a whole
clip, the clip counts as the first class (neutral), since leaving it out would flatter the system.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emofuse import fusion, metrics
from emofuse.core.registry import nearest
from emofuse.core.time import Ints
from emofuse.core.types import Annotation, Clip, Scores
from emofuse.datasets import DataSet
from emofuse.errors import DataError, SettingsError
from emofuse.evaluation.sources import Source
from emofuse.fusion.cross_fitting import clip_groups, cross_fit
from emofuse.fusion.system_scores import SystemScores
from emofuse.metrics import MEASURES, Estimate, Measure

_NAMED = 3  # so many missing clips are named


@dataclass(frozen=True)
class Settings:
    """How to evaluate.

    split: the part that is scored; None for every clip of the data set. fuse: names of fusion methods.
    folds: parts that fused figures are held out in.
    rows: whether labels are brought to the rows of the scores, as for weights that are to fuse row by row; otherwise
        scores are brought to the labels, and a label of a whole clip is one row.
    allow_missing: evaluate the clips that every system has, where some lack a few.
    """

    split: str | None = "validation"
    measure: str = "cpm"
    fuse: tuple[str, ...] = ()
    folds: int = 5
    seed: int = 0
    resamples: int = 2000
    rows: bool = False
    allow_missing: bool = False

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise SettingsError(
                f"--measure {self.measure}: unknown{nearest(self.measure, MEASURES)}; choose {', '.join(MEASURES)}."
            )
        if self.folds < 2 or self.resamples < 1:
            raise SettingsError(f"--folds {self.folds}, --resamples {self.resamples}: give at least 2 and 1.")


@dataclass(frozen=True)
class Row:
    """One system's figures. fitted: how its weights were found: "" (none), "in-sample" or "cross-fitted".

    counts: int [classes, classes] over all clips, row truth, column guess.
    calibration_error: expected calibration error of what was said where there is a label; NaN if nothing was.
    """

    system: str
    fitted: str
    estimates: Mapping[str, Estimate]
    counts: Ints
    calibration_error: float = float("nan")


@dataclass(frozen=True)
class Evaluation:
    """What came out; `notes` tells what a reader of the figures must know. fitted: by method, on all clips."""

    data: str
    settings: Settings
    labels: tuple[str, ...]
    clips: int
    videos: int
    frames: int
    rows: list[Row]
    notes: list[str]
    fitted: Mapping[str, fusion.FittedFusion] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values; figures that do not exist are None."""
        return {
            "data": self.data,
            "split": self.settings.split,
            "labels": list(self.labels),
            "clips": self.clips,
            "videos": self.videos,
            "frames": self.frames,
            "interval": f"95 % bootstrap over videos, {self.settings.resamples} resamples, seed {self.settings.seed}",
            "systems": [_row_json(row, self.labels) for row in self.rows],
            "notes": self.notes,
        }


def _row_json(row: Row, labels: Sequence[str]) -> dict[str, Any]:
    each = zip(
        labels, *(f(row.counts) for f in (metrics.f1_of, metrics.precisions_of, metrics.recalls_of)), strict=True
    )
    return {
        "system": row.system,
        "weights": row.fitted or None,
        **{n: [number(v) for v in (e.value, e.low, e.high)] for n, e in row.estimates.items()},
        "calibration_error": number(row.calibration_error),
        "classes": {n: dict(zip(("f1", "precision", "recall"), map(number, v), strict=True)) for n, *v in each},
        "confusion": row.counts.tolist(),
    }


def number(value: float) -> float | None:
    """A figure as JSON has it: none is None."""
    return None if np.isnan(value) else float(value)


def rounded(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """Figures for a card: each measure, None where nothing is labelled, and its interval where there is one."""
    interval = {n: [round(v, 4) for v in (e.low, e.high)] for n, e in estimates.items() if e.low == e.low}
    values = {n: round(e.value, 4) if e.value == e.value else None for n, e in estimates.items()}
    return values | {"interval": interval}


def aligned(scores: Scores, truth: Annotation) -> Scores:
    """Scores on the annotation's timeline: where labels cover long stretches, the mean over each; else in step."""
    if len(scores) and len(truth):
        step = np.median(np.diff(scores.timeline.start)) if len(scores) > 1 else scores.timeline.end[0]
        if np.median(truth.timeline.end - truth.timeline.start) > 2 * step:
            return scores.over(truth.timeline)
    return scores.onto(truth.timeline)


def decided(scores: Scores) -> Ints:
    """The class of every row, int64 [n], never -1: gaps are held, and silence is the first class."""
    return np.maximum(scores.held().best(), 0)


@dataclass(frozen=True)
class Case:
    """One clip with its truth and what every system says of it, all on the annotation's timeline."""

    clip: Clip
    truth: Annotation
    scores: Sequence[Scores]


def evaluate(data: DataSet, sources: Sequence[Source], settings: Settings | None = None) -> Evaluation:
    """Figures of every source, and of every fusion of all of them.

    Raises:
        DataError: a source lacks a clip, a part has no annotation, or nothing is labelled.
        SettingsError: a system is named twice, or a fusion needs more systems than there are.
    """
    settings = settings or Settings()
    _check(sources, settings)
    notes: list[str] = []
    cases = cases_of(data, sources, settings, notes)
    measure = MEASURES[settings.measure]
    videos = clip_groups([video_of(c.clip) for c in cases], [None] * len(cases))
    rows = [
        _row(source.system, "", cases, [c.scores[k] for c in cases], videos, settings)
        for k, source in enumerate(sources)
    ]
    fitted = {}
    apart = clip_groups([video_of(c.clip) for c in cases], [c.clip.subject for c in cases])
    for name in settings.fuse:
        fitted[name], fused, held_out = fuse_cases(name, cases, apart, measure, settings)
        rows.append(_row(name, "in-sample", cases, fused, videos, settings))
        rows.append(_row(name, "cross-fitted", cases, held_out, videos, settings))
    notes += _absent(rows[0].counts, data)
    frames = sum(int((c.truth.labels >= 0).sum()) for c in cases)
    return Evaluation(
        data.name, settings, data.label_set.names, len(cases), len(set(videos.tolist())), frames, rows, notes, fitted
    )


def _check(sources: Sequence[Source], settings: Settings) -> None:
    names = [s.system for s in sources]
    if not names:
        raise SettingsError("evaluate: no scores given; name at least one table, folder or submission.")
    if twice := next((n for n in names if names.count(n) > 1), None):
        raise SettingsError(f"two sources are called {twice}; name them apart: NAME=PATH.")
    for name in settings.fuse:
        fusion.METHODS[name]
    if settings.fuse and len(names) < 2:
        raise SettingsError(f"--fuse {', '.join(settings.fuse)}: one system alone cannot be fused; give two or more.")


def cases_of(data: DataSet, sources: Sequence[Source], settings: Settings, notes: list[str]) -> list[Case]:
    """The clips of a part with what every source says of them; adds to `notes` what a reader must know.

    Raises:
        DataError: a source lacks a clip, a clip has no annotation, or nothing is labelled.
    """
    missing: dict[str, list[str]] = {}
    cases = []
    clips = list(data.clips) if settings.split is None else data.split(settings.split)
    for clip in clips:
        truth = data.annotation(clip)
        found = [source.scores(clip, data.timeline(clip), data.label_set) for source in sources]
        for source, scores in zip(sources, found, strict=True):
            if scores is None:
                missing.setdefault(source.system, []).append(clip.id)
        if any(s is None for s in found):
            continue
        there = [s for s in found if s is not None]
        if settings.rows:
            truth = truth.onto(there[0].timeline)
            parts = [s.onto(there[0].timeline) for s in there]
        else:
            parts = [aligned(s, truth) for s in there]
        notes += [
            f"{s.system} says nothing of {clip.id}: it counts as {data.label_set.names[0]}."
            for s in parts
            if not s.valid.any()
        ]
        cases.append(Case(clip, truth, parts))
    lacking = list(_lacking(missing, len(clips)))
    if lacking and not (settings.allow_missing and cases):
        raise DataError(f"{'; '.join(lacking)}. Predict them too, or leave them out with --allow-missing.")
    notes += [f"{line}: left out." for line in lacking]
    if not any((c.truth.labels >= 0).any() for c in cases):
        part = f"the part {settings.split}" if settings.split else "any part"
        raise DataError(f"{data.path}: no frame of {part} is labelled; there is nothing to score.")
    return cases


def _lacking(missing: Mapping[str, Sequence[str]], clips: int) -> Iterator[str]:
    for system, ids in missing.items():
        named = ", ".join(ids[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")
        yield f"{system} has no scores of {len(ids)} of {clips} clips ({named})"


def video_of(clip: Clip) -> str:
    """What clips of the same recording share."""
    return str(clip.video or clip.audio or clip.id)


def fuse_cases(
    name: str, cases: Sequence[Case], apart: Ints, measure: Measure, settings: Settings
) -> tuple[fusion.FittedFusion, list[Scores], list[Scores]]:
    """The fit on all clips, what it says of them, and what fits on the other folds say of each."""
    method = fusion.METHODS[name]
    clips, truths = [c.scores for c in cases], [c.truth.labels for c in cases]
    fitted = method.fit(SystemScores.of(clips), np.concatenate(truths), measure, np.random.default_rng(settings.seed))
    held_out = cross_fit(method, clips, truths, apart, measure, count=settings.folds, seed=settings.seed)
    return fitted, [fitted(scores) for scores in clips], held_out


def _row(
    system: str, how: str, cases: Sequence[Case], scores: Sequence[Scores], videos: Ints, settings: Settings
) -> Row:
    place = np.unique(videos, return_inverse=True)[1]
    counts = confusions([c.truth for c in cases], scores, place)
    estimates = metrics.bootstraps(counts, resamples=settings.resamples, seed=settings.seed)
    return Row(system, how, estimates, counts.sum(axis=0), _calibration_error(cases, scores))


def _calibration_error(cases: Sequence[Case], scores: Sequence[Scores]) -> float:
    truth = np.concatenate([c.truth.labels for c in cases])
    said = np.concatenate([s.probabilities() for s in scores])
    judged = (truth >= 0) & np.concatenate([s.valid for s in scores])
    return metrics.calibration_error(truth[judged], said[judged]) if judged.any() else float("nan")


def confusions(truths: Iterable[Annotation], said: Iterable[Scores], rows: Ints) -> Ints:
    """Counts int64 [groups, classes, classes] of clips, each added to its row in `rows`: that of its video, say.

    Scores are on the timeline of the truth; where a system says nothing, its last answer counts.
    """
    both = list(zip(truths, said, rows, strict=True))
    classes = len(both[0][0].label_set)
    counts = np.zeros((int(max(rows)) + 1, classes, classes), np.int64)
    for truth, scores, row in both:
        counts[row] += metrics.confusion(truth.labels, decided(scores), classes=classes)
    return counts


def _absent(counts: Ints, data: DataSet) -> list[str]:
    names = [n for n, k in zip(data.label_set.names, counts.sum(axis=1), strict=True) if k == 0]
    if not names:
        return []
    return [f"No frame is labelled {', '.join(names)}: F1 is the mean over the classes that occur in truth or guess."]


def save_evaluation(result: Evaluation, folder: str | Path) -> list[Path]:
    """Write evaluation.json, and each fitted fusion as NAME.safetensors for `emofuse submit --fusion`."""
    from emofuse.core.files import write_json
    from emofuse.fusion.saved import save

    folder = Path(folder)
    paths = [folder / f"{name}.safetensors" for name in result.fitted]
    for path, fitted in zip(paths, result.fitted.values(), strict=True):
        save(path, fitted)
    write_json(folder / "evaluation.json", result.to_json())
    return [*paths, folder / "evaluation.json"]
