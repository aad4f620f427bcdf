"""The metrics of Table 1: single systems and fusions, in-sample and cross-fitted, and the gain of fusing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emofuse import metrics
from emofuse.core.time import Ints
from emofuse.datasets import DataSet
from emofuse.evaluation.evaluate import (
    ScoredClip,
    Settings,
    fuse_clips,
    scored_clips,
    video_confusions,
    video_numbers,
)
from emofuse.evaluation.sources import Source
from emofuse.fusion import FittedFusion
from emofuse.metrics import MEASURES, to_json
from emofuse.systems.paper import Table1Row


@dataclass(frozen=True)
class Comparison:
    """Metrics by row as JSON values, the fitted fusions by row, and notes for the reader.

    about: size of the data, chance level, and how the intervals are computed.
    """

    rows: Mapping[str, Mapping[str, Any]]
    fitted: Mapping[str, FittedFusion]
    about: Mapping[str, Any]
    notes: Sequence[str]


def compare(rows: Sequence[Table1Row], data: DataSet, sources: Mapping[str, Source], settings: Settings) -> Comparison:
    """Metrics of all rows on a labelled split of a data set.

    Args:
        sources: scores of every system that a row needs.
    Raises:
        DataError: a clip has no scores, or nothing is labelled.
    """
    names = list(sources)
    clips, notes = scored_clips(data, [sources[n] for n in names], settings)
    counts = {n: video_confusions(clips, [c.scores[k] for c in clips]) for k, n in enumerate(names)}
    metrics_by_row, fitted = dict[str, Mapping[str, Any]](), dict[str, FittedFusion]()
    for row in rows:
        if not row.method:
            metrics_by_row[row.name] = _metrics(counts[row.systems[0]], data, settings) | _not_fused()
            continue
        chosen = [replace(c, scores=[c.scores[names.index(p)] for p in row.systems]) for c in clips]
        fit, fused, held_out = fuse_clips(row.method, chosen, settings)
        fitted[row.name] = fit
        inside, outside = video_confusions(clips, fused), video_confusions(clips, held_out)
        best = max(row.systems, key=lambda p: float(MEASURES[settings.measure](counts[p].sum(axis=0))))
        metrics_by_row[row.name] = {
            **_metrics(outside, data, settings),
            "in_sample": estimates(inside, settings),
            "cross_fitted": estimates(outside, settings),
            "gain": gain_over(outside, counts[best], best, settings),
            "weights": _weights(fit),
        }
    return Comparison(metrics_by_row, fitted, about(clips, settings), notes)


def estimates(counts: Ints, settings: Settings) -> dict[str, Any]:
    """Each measure with its interval as JSON values, by name."""
    found: dict[str, Any] = to_json(metrics.bootstraps(counts, resamples=settings.resamples, seed=settings.seed))
    return found


def gain_over(counts: Ints, over: Ints, name: str, settings: Settings) -> dict[str, Any]:
    """Gain in CPM over the system `name`, with its paired interval, as JSON values."""
    gain = metrics.gain(counts, over, MEASURES["cpm"], resamples=settings.resamples, seed=settings.seed)
    return {"over": name, "cpm": to_json(gain)}


def about(clips: Sequence[ScoredClip], settings: Settings) -> dict[str, Any]:
    """Size of the data, the CPM of always predicting the most frequent class, and how intervals are computed."""
    label, constant = _most_frequent(clips)
    names = clips[0].truth.label_set.names
    return {
        "clips": len(clips),
        "videos": int(video_numbers(clips).max()) + 1,
        "frames": sum(int((c.truth.labels >= 0).sum()) for c in clips),
        "chance": {"label": names[label], "cpm": estimates(constant, settings)["cpm"]},
        "interval": f"95 % bootstrap over videos, {settings.resamples} resamples, seed {settings.seed}",
    }


def _most_frequent(clips: Sequence[ScoredClip]) -> tuple[int, Ints]:
    """The most frequent class, and the confusions of always predicting it, int64 [videos, classes, classes]."""
    videos, classes = video_numbers(clips), len(clips[0].truth.label_set)
    labels = np.zeros((int(videos.max()) + 1, classes), np.int64)
    for video, clip in zip(videos, clips, strict=True):
        labels[video] += np.bincount(clip.truth.labels[clip.truth.labels >= 0], minlength=classes)
    most_frequent = int(labels.sum(axis=0).argmax())
    counts = np.zeros((*labels.shape, classes), np.int64)
    counts[:, :, most_frequent] = labels
    return most_frequent, counts


def _metrics(counts: Ints, data: DataSet, settings: Settings) -> dict[str, Any]:
    total = counts.sum(axis=0)
    f1 = dict(zip(data.label_set.names, to_json(metrics.f1_of(total)), strict=True))
    return {"in_sample": estimates(counts, settings), "confusion": total.tolist(), "f1": f1}


def _not_fused() -> dict[str, Any]:
    return {"cross_fitted": None, "gain": None, "weights": None}


def _weights(fitted: FittedFusion) -> dict[str, Any] | None:
    """The weight of each system for each class as JSON values; None for a fusion that has no such weights."""
    if fitted.class_weights is None:
        return None
    values = np.asarray(fitted.class_weights, np.float64)
    return {"systems": list(fitted.systems), "values": to_json(values, digits=4)}
