"""Metrics of scores against annotations: each system alone, and fused, in-sample and cross-fitted, over videos.

Where a system has no score for a frame, its last prediction is held, as in the authors' code; where it has none for a
whole clip, the clip counts as the first class (neutral), since leaving it out would flatter the system.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emofuse import fusion, metrics
from emofuse.core.files import own_outputs, write_json
from emofuse.core.registry import find
from emofuse.core.time import Ints
from emofuse.core.types import Annotation, Clip, Scores
from emofuse.datasets import DataSet
from emofuse.errors import DataError, SettingsError
from emofuse.evaluation.sources import Source
from emofuse.metrics import MEASURES, Estimate

_MAX_LISTED = 3  # missing clips that a message lists


@dataclass(frozen=True)
class Settings:
    """How to evaluate.

    split: the split to score; None for all clips. fuse: names of fusion methods, whose weights are fitted by `measure`.
    folds: number of folds for cross-fitting.
    rows: bring labels to the rows of the scores, for weights that will fuse row by row; otherwise scores are brought to
        the labels, and a label of a whole clip is one row.
    allow_missing: leave out clips that some system has no scores for.
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
        find(self.measure, MEASURES, "--measure")
        if self.folds < 2 or self.resamples < 1:
            raise SettingsError(f"--folds {self.folds}, --resamples {self.resamples}: give at least 2 and 1.")
        if self.seed < 0:
            raise SettingsError(f"--seed {self.seed}: give a whole number from 0.")


@dataclass(frozen=True)
class SystemMetrics:
    """Metrics of one system or fusion.

    fitted: how its weights were fitted: "" (none), "in-sample" or "cross-fitted".
    counts: int [classes, classes] over all clips, row truth, column prediction.
    calibration_error: expected calibration error of labelled frames with scores; NaN if there are none.
    """

    system: str
    fitted: str
    estimates: Mapping[str, Estimate]
    counts: Ints
    calibration_error: float = float("nan")


@dataclass(frozen=True)
class Evaluation:
    """The result; `notes` are remarks that a reader of the metrics needs. fitted: by method, on all clips."""

    data: str
    settings: Settings
    labels: tuple[str, ...]
    clips: int
    videos: int
    frames: int
    rows: list[SystemMetrics]
    notes: list[str]
    fitted: Mapping[str, fusion.FittedFusion] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON values; undefined metrics are null."""
        return {
            "data": self.data,
            "split": self.settings.split,
            "labels": list(self.labels),
            "clips": self.clips,
            "videos": self.videos,
            "frames": self.frames,
            "interval": f"95 % bootstrap over videos, {self.settings.resamples} resamples, seed {self.settings.seed}",
            "systems": [self._system_json(row) for row in self.rows],
            "notes": self.notes,
        }

    def _system_json(self, row: SystemMetrics) -> dict[str, Any]:
        classes = zip(*(f(row.counts) for f in (metrics.f1_of, metrics.precisions_of, metrics.recalls_of)), strict=True)
        by_label = [dict(zip(("f1", "precision", "recall"), values, strict=True)) for values in classes]
        return {
            "system": row.system,
            "weights": row.fitted or None,
            **metrics.to_json(row.estimates),
            "calibration_error": metrics.to_json(row.calibration_error),
            "classes": metrics.to_json(dict(zip(self.labels, by_label, strict=True))),
            "confusion": row.counts.tolist(),
        }


def save_evaluation(result: Evaluation, folder: str | Path) -> list[Path]:
    """Write evaluation.json, and each fitted fusion as NAME.safetensors for `emofuse submit --fusion`.

    Raises:
        SettingsError: a file is there that emofuse has not written.
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    paths = [folder / f"{name}.safetensors" for name in result.fitted]
    evaluation = folder / "evaluation.json"
    with own_outputs([*paths, evaluation]):
        for path, fitted in zip(paths, result.fitted.values(), strict=True):
            fusion.save(path, fitted)
        write_json(evaluation, result.to_json())
    return [*paths, evaluation]


@dataclass(frozen=True)
class ScoredClip:
    """One clip with its truth and the scores of every system, all on one timeline."""

    clip: Clip
    truth: Annotation
    scores: Sequence[Scores]


def evaluate(data: DataSet, sources: Sequence[Source], settings: Settings | None = None) -> Evaluation:
    """Metrics of every source, and of every fusion of all of them.

    Raises:
        DataError: a source lacks a clip, a clip has no annotation, or nothing is labelled.
        SettingsError: two systems have the same name, or a fusion needs more systems than there are.
    """
    settings = settings or Settings()
    _check(sources, settings)
    clips, notes = scored_clips(data, sources, settings)
    rows = [
        _system_metrics(source.system, "", clips, [c.scores[k] for c in clips], settings)
        for k, source in enumerate(sources)
    ]
    fitted = {}
    for name in settings.fuse:
        fitted[name], in_sample, cross_fitted = fuse_clips(name, clips, settings)
        rows.append(_system_metrics(name, "in-sample", clips, in_sample, settings))
        rows.append(_system_metrics(name, "cross-fitted", clips, cross_fitted, settings))
    absent = [n for n, k in zip(data.label_set.names, rows[0].counts.sum(axis=1), strict=True) if k == 0]
    if absent:
        listed = ", ".join(absent)
        notes.append(f"No frame is labelled {listed}: F1 is the mean over the classes that occur in truth or guess.")
    return Evaluation(
        data=data.name,
        settings=settings,
        labels=data.label_set.names,
        clips=len(clips),
        videos=int(video_numbers(clips).max()) + 1,
        frames=sum(int((c.truth.labels >= 0).sum()) for c in clips),
        rows=rows,
        notes=notes,
        fitted=fitted,
    )


def _check(sources: Sequence[Source], settings: Settings) -> None:
    names = [s.system for s in sources]
    if not names:
        raise SettingsError("evaluate: no scores given; name at least one table, folder or submission.")
    if duplicate := next((n for n in names if names.count(n) > 1), None):
        raise SettingsError(f"two sources are called {duplicate}; give them distinct names: NAME=PATH.")
    for name in settings.fuse:
        fusion.METHODS[name]
    if settings.fuse and len(names) < 2:
        raise SettingsError(f"--fuse {', '.join(settings.fuse)}: a single system cannot be fused; give two or more.")


def _system_metrics(
    system: str, fitted: str, clips: Sequence[ScoredClip], scores: Sequence[Scores], settings: Settings
) -> SystemMetrics:
    counts = video_confusions(clips, scores)
    estimates = metrics.bootstraps(counts, resamples=settings.resamples, seed=settings.seed)
    truth = np.concatenate([c.truth.labels for c in clips])
    known = (truth >= 0) & np.concatenate([s.valid for s in scores])
    probabilities = np.concatenate([s.probabilities() for s in scores])
    error = metrics.calibration_error(truth[known], probabilities[known]) if known.any() else float("nan")
    return SystemMetrics(system, fitted, estimates, counts.sum(axis=0), error)


# -- scores of clips --------------------------------------------------------------------------------------------------


def scored_clips(data: DataSet, sources: Sequence[Source], settings: Settings) -> tuple[list[ScoredClip], list[str]]:
    """The clips of a split with the scores of every source, and remarks on what is missing.

    Raises:
        DataError: a source lacks a clip, a clip has no annotation, or nothing is labelled.
    """
    missing: dict[str, list[str]] = {}
    found, notes = list[ScoredClip](), list[str]()
    clips = list(data.clips) if settings.split is None else data.split(settings.split)
    for clip in clips:
        truth = data.annotation(clip)
        given = [source.scores(clip, data.timeline(clip), data.label_set) for source in sources]
        scores = [s for s in given if s is not None]
        if len(scores) < len(sources):
            for source, s in zip(sources, given, strict=True):
                if s is None:
                    missing.setdefault(source.system, []).append(clip.id)
            continue
        if settings.rows:
            truth = truth.onto(scores[0].timeline)
            scores = [s.onto(scores[0].timeline) for s in scores]
        else:
            scores = [aligned(s, truth) for s in scores]
        first = data.label_set.names[0]
        notes += [f"{s.system} has no score for {clip.id}: it counts as {first}." for s in scores if not s.valid.any()]
        found.append(ScoredClip(clip, truth, scores))
    lacking = list(_lacking(missing, len(clips)))
    if lacking and not (settings.allow_missing and found):
        content = "; ".join(source.content() for source in sources if source.system in missing)
        raise DataError(f"{'; '.join(lacking)}. {content}. Predict them too, or leave them out with --allow-missing.")
    notes += [f"{line}: left out." for line in lacking]
    if not any((c.truth.labels >= 0).any() for c in found):
        split = f"the {settings.split} split" if settings.split else "any split"
        raise DataError(f"{data.path}: no frame of {split} is labelled; there is nothing to score.")
    return found, notes


def _lacking(missing: Mapping[str, Sequence[str]], clips: int) -> Iterator[str]:
    for system, ids in missing.items():
        listed = ", ".join(ids[:_MAX_LISTED]) + (", ..." if len(ids) > _MAX_LISTED else "")
        yield f"{system} has no scores for {len(ids)} of {clips} clips ({listed})"


def aligned(scores: Scores, truth: Annotation) -> Scores:
    """Scores on the annotation's timeline: the mean over each label that spans several scores, else the current one."""
    if len(scores) and len(truth):
        step = np.median(np.diff(scores.timeline.start)) if len(scores) > 1 else scores.timeline.end[0]
        if np.median(truth.timeline.end - truth.timeline.start) > 2 * step:
            return scores.over(truth.timeline)
    return scores.onto(truth.timeline)


def predicted_classes(scores: Scores) -> Ints:
    """Predicted class of every row, int64 [n], never -1: gaps are held, and without any score it is the first class."""
    return np.maximum(scores.filled().predictions(), 0)


def confusions(truths: Sequence[Annotation], scores: Sequence[Scores], groups: Ints | None = None) -> Ints:
    """Confusion matrix of each group of clips, int64 [groups, classes, classes]; default: each clip is a group.

    Scores are on the timeline of the truth.
    """
    groups = np.arange(len(truths)) if groups is None else groups
    classes = len(truths[0].label_set)
    counts = np.zeros((int(groups.max()) + 1, classes, classes), np.int64)
    for truth, s, group in zip(truths, scores, groups, strict=True):
        counts[group] += metrics.confusion(truth.labels, predicted_classes(s), classes=classes)
    return counts


# -- videos -----------------------------------------------------------------------------------------------------------


def video_numbers(clips: Sequence[ScoredClip]) -> Ints:
    """Number of the video of each clip, int64 [clips], from 0; two persons in one video share it."""
    return fusion.clip_groups([_video(c.clip) for c in clips], [None] * len(clips))


def video_confusions(clips: Sequence[ScoredClip], scores: Sequence[Scores]) -> Ints:
    """Confusion matrix of each video, int64 [videos, classes, classes], for scores of each clip."""
    return confusions([c.truth for c in clips], scores, video_numbers(clips))


def fuse_clips(
    name: str, clips: Sequence[ScoredClip], settings: Settings
) -> tuple[fusion.FittedFusion, list[Scores], list[Scores]]:
    """The fusion fitted on all clips, its in-sample scores of each clip, and the cross-fitted ones.

    Folds never divide the clips of a video or of a subject.
    """
    method, measure = fusion.METHODS[name], MEASURES[settings.measure]
    scores, truths = [c.scores for c in clips], [c.truth.labels for c in clips]
    groups = fusion.clip_groups([_video(c.clip) for c in clips], [c.clip.subject for c in clips])
    rng = np.random.default_rng(settings.seed)
    fitted = method.fit(fusion.SystemScores.of(scores), np.concatenate(truths), measure, rng)
    cross_fitted = fusion.cross_fit(method, scores, truths, groups, measure, count=settings.folds, seed=settings.seed)
    return fitted, [fitted(s) for s in scores], cross_fitted


def _video(clip: Clip) -> str:
    return str(clip.video or clip.audio or clip.id)
