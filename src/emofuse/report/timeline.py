"""Plots of a prediction over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emofuse.core.colour import COLOURS
from emofuse.core.files import atomic
from emofuse.core.plot_text import plain
from emofuse.core.statuses import NO_PERSON, VOICE_ONLY
from emofuse.core.time import TICKS_PER_SECOND

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from emofuse.inference.prediction import Prediction

_PERSONS_SHOWN = 8
_LABELLED_FRACTION = 0.05  # segments shorter than this fraction of the video are not labelled


def draw_timeline(prediction: Prediction, path: Path) -> None:
    """Draw a PNG with one band per person, or one for the voice: probabilities stacked over time, blank without scores.

    Raises:
        OutputError: the file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    shown = [p for p in sorted(prediction.scores) if p or _has_voice(prediction)][:_PERSONS_SHOWN]
    figure = Figure(figsize=(11, 1.3 + 1.9 * max(len(shown), 1)), layout="constrained")
    bands = figure.subplots(max(len(shown), 1), 1, sharex=True, squeeze=False)[:, 0]
    for band, person in zip(bands, shown, strict=False):
        _band(band, prediction, person)
    if not shown:
        missing = "no voice found" if prediction.audio_only else "no face found"
        bands[0].text(0.5, 0.5, missing, ha="center", va="center", transform=bands[0].transAxes)
        bands[0].set_yticks([])
    more = len(prediction.persons) - len([p for p in shown if p])
    title = plain(prediction.file)
    title["s"] += f"  ({more} more persons in the table)" if more else ""
    figure.suptitle(title.pop("s"), x=0.01, ha="left", fontsize=12, **title)
    used = ", ".join(f"{modality}: {stage}" for modality, stage in used_for(prediction).items())
    bands[0].set_title(used, loc="right", fontsize=8, color="#707070", pad=16)
    if shown:
        handles, labels = bands[0].get_legend_handles_labels()
        if any(VOICE_ONLY in prediction.statuses(p) for p in shown):
            handles.append(Patch(facecolor="#e8e8e8", edgecolor="#c0c0c0"))
            labels.append("pale: voice only")
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    if prediction.is_photograph:
        bands[-1].set_xticks([])
    else:
        bands[-1].set_xlabel("time (s)")
    if len(prediction.timeline):
        bands[-1].set_xlim(
            prediction.timeline.start[0] / TICKS_PER_SECOND, prediction.timeline.end[-1] / TICKS_PER_SECOND
        )
    with atomic(path) as partial:
        # No creation date or version in the file: equal results give equal bytes.
        figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})


def used_for(prediction: Prediction) -> dict[str, str]:
    """The face detector and the audio stages that were used, one word each; without the face for an audio file. The
    transcript, if a row has scores of its words.

    >>> from emofuse.inference.prediction import Prediction
    >>> stages = {"detector": "yunet:0123", "separation": "none", "voice_activity": "energy:4567"}
    >>> used_for(Prediction.empty("x.mp4", metadata=stages))
    {'face': 'yunet', 'voice': 'energy'}
    """
    stages = {"face": () if prediction.audio_only else ("detector",), "voice": ("separation", "voice_activity")}
    used = {}
    for modality, keys in stages.items():
        names = [str(prediction.metadata[k]).split(":")[0] for k in keys if k in prediction.metadata]
        if names:
            used[modality] = " and ".join(n for n in names if n != "none") or "unfiltered audio"
    if prediction.words is not None and prediction.words.any_scored:
        used["words"] = str(prediction.metadata["transcript"])
    return used


def person_label(prediction: Prediction, person: int) -> str:
    """The number of a person, with the name if it is known."""
    name = prediction.name(person)
    return str(person) if name is None else f"{person} {name}"


def _has_voice(prediction: Prediction) -> bool:
    """Whether there is a band to draw for the voice of a video in which no person was found."""
    return len(prediction.modality_names) <= 1 or bool(prediction.scores[NO_PERSON].valid.any())


def _band(axes: Axes, prediction: Prediction, person: int) -> None:
    scores = prediction.scores[person]
    edges = np.repeat(np.append(scores.timeline.start, scores.timeline.end[-1:]), 2)[1:-1] / TICKS_PER_SECOND
    probabilities = np.repeat(scores.probabilities(), 2, axis=0).T
    colours = COLOURS[: len(scores.label_set)]
    axes.stackplot(edges, probabilities, labels=scores.label_set.names, colors=colours, linewidth=0)
    length = prediction.duration_seconds
    for s in (s for s in prediction.segments() if s.person == (person or None)):
        if s.status == VOICE_ONLY:
            axes.axvspan(s.start, s.end, facecolor="white", alpha=0.55, linewidth=0)
        if s.end - s.start >= _LABELLED_FRACTION * length:
            name = s.emotion or s.status.replace("_", " ")
            axes.text((s.start + s.end) / 2, 1.03, name, ha="center", va="bottom", fontsize=8, color="#404040")
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    label = plain(f"person {person_label(prediction, person)}" if person else "voice")
    axes.set_ylabel(label.pop("s"), **label)
    axes.spines[["top", "right"]].set_visible(False)
