"""The figures of Table 1: every row alone or fused, in-sample and held out, and what fusing gains."""

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
from emofuse.systems.paper import TableRow


@dataclass(frozen=True)
class Compared:
    """Figures by row as JSON values, the fitted fusions by row, and what a reader must know.

    about: how much was scored, and how the intervals are made.
    """

    rows: Mapping[str, Mapping[str, Any]]
    fitted: Mapping[str, FittedFusion]
    about: Mapping[str, Any]
    notes: Sequence[str]


def compare(rows: Sequence[TableRow], data: DataSet, sources: Mapping[str, Source], settings: Settings) -> Compared:
    """Figures of all rows on a labelled part of a data set.

    Args:
        sources: scores of each system that a row is made of.
    Raises:
        DataError: a clip has no scores, or nothing is labelled.
    """
    names = list(sources)
    clips, notes = scored_clips(data, [sources[n] for n in names], settings)
    counts = {n: video_confusions(clips, [c.scores[k] for c in clips]) for k, n in enumerate(names)}
    figures, fitted = dict[str, Mapping[str, Any]](), dict[str, FittedFusion]()
    for row in rows:
        if not row.method:
            figures[row.name] = _figures(counts[row.systems[0]], data, settings) | _nothing_fused()
            continue
        chosen = [replace(c, scores=[c.scores[names.index(p)] for p in row.systems]) for c in clips]
        fit, fused, held_out = fuse_clips(row.method, chosen, settings)
        fitted[row.name] = fit
        inside, outside = video_confusions(clips, fused), video_confusions(clips, held_out)
        best = max(row.systems, key=lambda p: float(MEASURES[settings.measure](counts[p].sum(axis=0))))
        figures[row.name] = {
            **_figures(outside, data, settings),
            "in_sample": estimates(inside, settings),
            "cross_fitted": estimates(outside, settings),
            "gain": gained(outside, counts[best], best, settings),
            "weights": _weights(fit),
        }
    return Compared(figures, fitted, about(clips, settings), notes)


def estimates(counts: Ints, settings: Settings) -> dict[str, Any]:
    """Each measure with its interval as JSON values, by name."""
    found: dict[str, Any] = to_json(metrics.bootstraps(counts, resamples=settings.resamples, seed=settings.seed))
    return found


def gained(counts: Ints, over: Ints, name: str, settings: Settings) -> dict[str, Any]:
    """By how much the CPM is above that of `name`, with its paired interval, as JSON values."""
    gain = metrics.gain(counts, over, MEASURES["cpm"], resamples=settings.resamples, seed=settings.seed)
    return {"over": name, "cpm": to_json(gain)}


def about(clips: Sequence[ScoredClip], settings: Settings) -> dict[str, Any]:
    """How much was scored, how the intervals are made, and what saying the commonest class all the time would reach."""
    commonest, always = _always(clips)
    names = clips[0].truth.label_set.names
    return {
        "clips": len(clips),
        "videos": int(video_numbers(clips).max()) + 1,
        "frames": sum(int((c.truth.labels >= 0).sum()) for c in clips),
        "chance": {"label": names[commonest], "cpm": estimates(always, settings)["cpm"]},
        "interval": f"95 % bootstrap over videos, {settings.resamples} resamples, seed {settings.seed}",
    }


def _always(clips: Sequence[ScoredClip]) -> tuple[int, Ints]:
    """The commonest class, and the confusions of who says nothing else, int64 [videos, classes, classes]."""
    videos, classes = video_numbers(clips), len(clips[0].truth.label_set)
    said = np.zeros((int(videos.max()) + 1, classes), np.int64)
    for video, clip in zip(videos, clips, strict=True):
        said[video] += np.bincount(clip.truth.labels[clip.truth.labels >= 0], minlength=classes)
    commonest = int(said.sum(axis=0).argmax())
    counts = np.zeros((*said.shape, classes), np.int64)
    counts[:, :, commonest] = said
    return commonest, counts


def _figures(counts: Ints, data: DataSet, settings: Settings) -> dict[str, Any]:
    total = counts.sum(axis=0)
    f1 = dict(zip(data.label_set.names, to_json(metrics.f1_of(total)), strict=True))
    return {"in_sample": estimates(counts, settings), "confusion": total.tolist(), "f1": f1}


def _nothing_fused() -> dict[str, Any]:
    return {"cross_fitted": None, "gain": None, "weights": None}


def _weights(fitted: FittedFusion) -> dict[str, Any] | None:
    """The weight of each system for each class as JSON values; None for a fusion that has no such weights."""
    if fitted.class_weights is None:
        return None
    values = np.asarray(fitted.class_weights, np.float64)
    return {"systems": list(fitted.systems), "values": to_json(values, digits=4)}
