"""Gathering what a session gives into a prediction: every part onto one timeline, then fused."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.time import Ints, Timeline
from emofuse.core.types import Bools, Scores
from emofuse.inference.face_windows import FaceWindowScore
from emofuse.inference.prediction import NO_PERSON, Prediction
from emofuse.inference.session import Output
from emofuse.inference.voice_windows import AudioWindowScore
from emofuse.models.fusion import FACE, VOICE, WINDOWS, FusionPart

Said = dict[str, Scores]  # of one person, by part


class Collector:
    """Gathers what a session gives into a `Prediction`; only rows and found faces are kept, no pictures.

    A row takes what single faces say from its picture, and the mean of the windows of faces or of sound over its start.
    What faces say is valid where the person's face was found in the row's picture.

    Args:
        parts: what the session judges, of `emofuse.models.fusion.PARTS`; several of them need a fusion.
    """

    def __init__(
        self, label_set: LabelSet, *, modalities: tuple[str, ...] = (FACE,), fusion: FusionPart | None = None
    ) -> None:
        self._label_set, self._modalities, self._fusion = label_set, modalities, fusion
        self._heard: list[AudioWindowScore] = []
        self._windows: dict[int, list[FaceWindowScore]] = {}
        self._steps = array("q")  # start, end, frame, picture of one step after the other
        self._found: dict[int, tuple[array[int], array[float]]] = {}
        self._places: dict[int, NDArray[np.float64]] = {}  # sum of the centres of each person's faces, in pixels

    def add(self, output: Output) -> None:
        """Take the output of a push or of the close."""
        for step in output.steps:
            self._steps.extend(step)
        for o in output.faces:
            pictures, shares = self._found.setdefault(o.person, (array("q"), array("f")))
            pictures.append(o.picture)
            if FACE in self._modalities:
                shares.extend(o.values.tolist())
            centre = o.face.box[:2].astype(np.float64) + o.face.box[2:] / 2
            self._places[o.person] = self._places.get(o.person, 0) + centre
        for window in output.face_windows:
            self._windows.setdefault(window.person, []).append(window)
        self._heard += output.audio_windows

    def prediction(
        self, file: str, system: str, metadata: Mapping[str, Any], *, size: tuple[int, int] | None = None
    ) -> Prediction:
        """Everything gathered so far; with the size of the picture (width, height) also where the faces were."""
        start, end, frames, pictures = np.array(self._steps, np.int64).reshape(-1, 4).T
        timeline = Timeline(start, end)
        rows = {p: self._rows(p, pictures) for p in self._found}
        parts = {p: self._seen(p, timeline, r) for p, r in rows.items()}
        pictured = bool(np.any(pictures >= 0))
        if VOICE in self._modalities:
            heard = audio_scores(self._heard, self._label_set, VOICE).onto(timeline)
            if not parts:
                parts[NO_PERSON] = self._nobody(timeline) if pictured else {}
            parts = {p: said | {VOICE: heard} for p, said in parts.items()}
        visible = np.zeros(len(timeline), np.int64)
        for r in rows.values():
            visible += r >= 0
        scores = {p: replace(self._fused(said, visible), system=system) for p, said in parts.items()}
        centres = {p: self._centre(p, size) for p in self._found} if size else {}
        whole = Prediction(file, timeline, frames.copy(), self._label_set, scores, metadata, centres)
        return replace(whole, modalities=parts, modality_names=self._modalities)

    def _centre(self, person: int, size: tuple[int, int]) -> tuple[float, float]:
        x, y = self._places[person] / len(self._found[person][0]) / size
        return float(x), float(y)

    def _rows(self, person: int, pictures: Ints) -> Ints:
        """Which of a person's faces each row shows, -1 for none."""
        at = np.array(self._found[person][0], np.int64)
        # Row of each picture among this person's, or -1; one more place at the end answers for picture -1.
        row_of = np.full(max(int(pictures.max(initial=-1)), int(at.max())) + 2, -1, np.int64)
        row_of[at] = np.arange(len(at))
        return row_of[pictures]

    def _seen(self, person: int, timeline: Timeline, rows: Ints) -> Said:
        """What the parts say that look at faces."""
        said: Said = {}
        if FACE in self._modalities:
            values = np.array(self._found[person][1], np.float32).reshape(-1, len(self._label_set))
            said[FACE] = Scores(values[rows], timeline, self._label_set, rows >= 0, FACE)
        if WINDOWS in self._modalities:
            said[WINDOWS] = self._spread(person, timeline, rows >= 0)
        return said

    def _spread(self, person: int, timeline: Timeline, found: Bools) -> Scores:
        judged = self._windows.get(person, [])
        windows = Timeline(np.array([w.start for w in judged], np.int64), np.array([w.end for w in judged], np.int64))
        values = np.array([w.probabilities for w in judged], np.float32).reshape(len(judged), len(self._label_set))
        scores = Scores(values, windows, self._label_set, np.ones(len(judged), bool), WINDOWS).onto(timeline)
        return replace(scores, valid=scores.valid & found)

    def _nobody(self, timeline: Timeline) -> Said:
        """What the parts say that look at faces where there is none."""
        return {p: _silent(p, timeline, self._label_set) for p in self._modalities if p != VOICE}

    def _fused(self, said: Said, visible: Ints) -> Scores:
        if self._fusion is None:
            (alone,) = said.values()
            return alone
        timeline = next(iter(said.values())).timeline
        missing = [p for p in self._fusion.modalities if p not in said]
        return self._fusion(said | {p: _silent(p, timeline, self._label_set) for p in missing}, visible=visible)


def _silent(part: str, timeline: Timeline, label_set: LabelSet) -> Scores:
    values = np.zeros((len(timeline), len(label_set)), np.float32)
    return Scores(values, timeline, label_set, np.zeros(len(timeline), bool), part)


def audio_scores(heard: Sequence[AudioWindowScore], label_set: LabelSet, system: str) -> Scores:
    """What a listener gave, as scores in the order of their time; windows without a voice are not valid."""
    ordered = sorted(heard, key=lambda h: (h.start, h.end))
    values = np.zeros((len(ordered), len(label_set)), np.float32)
    for row, h in zip(values, ordered, strict=True):
        if h.probabilities is not None:
            row[:] = h.probabilities
    bounds = np.array([h[:2] for h in ordered], np.int64).reshape(-1, 2)
    valid = np.array([h.probabilities is not None for h in ordered], bool)
    return Scores(values, Timeline(bounds[:, 0], bounds[:, 1]), label_set, valid, system)
