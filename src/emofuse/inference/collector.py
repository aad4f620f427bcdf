"""Collects the output of a session into a prediction: every modality on one timeline, then fused."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.statuses import NO_PERSON
from emofuse.core.time import Ints, Timeline, ticks
from emofuse.core.types import Bools, Scores
from emofuse.inference.audio_stages import AudioWindowScore
from emofuse.inference.face_rows import FACE_COLUMNS, FaceRows
from emofuse.inference.face_stages import FaceWindowScore
from emofuse.inference.prediction import PersonDetails, Prediction
from emofuse.inference.renumbering import FilePerson, PersonFaces
from emofuse.inference.sentences import SentenceRows, SentenceScore
from emofuse.inference.session import SessionOutput
from emofuse.inference.speakers import SpeakerEvidence, SpeechRows
from emofuse.models.fusion import SPOKEN, WINDOWS, ModalityFusion
from emofuse.systems import FACE, VOICE, WORDS, kind

_FROZEN_AFTER = ticks(5)  # recorders of screens and calls leave out frames for a few seconds where nothing moves
_REMEMBERED = 250  # frames whose typical time on screen is known after their rows are forgotten
_NO_POSE = (np.nan, np.nan, np.nan)


@dataclass
class _Person:
    """Frames in which a person's face was found, its probabilities and geometry there, and the person's windows.

    geometry: in the order of `FACE_COLUMNS`, boxes in pixels. turned: 1 where the face was turned too far.
    """

    frames: array[int] = field(default_factory=lambda: array("q"))
    probabilities: array[float] = field(default_factory=lambda: array("f"))
    geometry: array[float] = field(default_factory=lambda: array("d"))
    turned: array[int] = field(default_factory=lambda: array("b"))
    windows: list[FaceWindowScore] = field(default_factory=list)

    @property
    def geometries(self) -> NDArray[np.float64]:
        """The geometry of each face, float64 [n, columns]."""
        return np.array(self.geometry).reshape(-1, len(FACE_COLUMNS))

    def since(self, frame: int, time: int) -> _Person:
        """What rows need that show this frame or a later one, or begin at `time` (ticks) or later."""
        kept = np.flatnonzero(np.array(self.frames, np.int64) >= frame).tolist()
        n = len(self.frames)
        classes, columns = (len(values) // max(n, 1) for values in (self.probabilities, self.geometry))
        return _Person(
            array("q", (self.frames[k] for k in kept)),
            array("f", (v for k in kept for v in self.probabilities[k * classes : (k + 1) * classes])),
            array("d", (v for k in kept for v in self.geometry[k * columns : (k + 1) * columns])),
            array("b", (self.turned[k] for k in kept)),
            [window for window in self.windows if window.end > time],
        )

    @classmethod
    def joined(cls, parts: Sequence[_Person]) -> _Person:
        """Several persons who turned out to be one."""
        whole = cls()
        for part in parts:
            whole.frames += part.frames
            whole.probabilities += part.probabilities
            whole.geometry += part.geometry
            whole.turned += part.turned
            whole.windows += part.windows
        whole.windows.sort(key=lambda window: (window.start, window.end))
        return whole


@dataclass(frozen=True)
class _Shown:
    """Frames on screen in rows that were forgotten: the starts of the latest ones, and the index of the last one."""

    starts: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    frame: int = -2

    @property
    def any_frame(self) -> bool:
        return self.frame >= 0 or len(self.starts) > 1

    def followed_by(self, start: Ints, frames: Ints) -> _Shown:
        """The same with these rows."""
        first = np.flatnonzero(np.diff(frames, prepend=self.frame))
        return _Shown(np.concatenate([self.starts, start[first]]), int(frames[-1]) if len(frames) else self.frame)

    def latest(self) -> _Shown:
        return _Shown(self.starts[-_REMEMBERED:], self.frame)


class Collector:
    """Collects the output of a session into a `Prediction`; keeps numbers only, no images.

    A live session takes the rows before a time with `prediction(until=...)`, and then calls `forget`.

    A row takes the scores of single faces from its frame, the mean of the windows of faces or of audio over its start,
    and the scores of the sentence over its start. Scores of faces are valid where the person's face was found in the
    frame of the row, not turned too far, and that frame has not stood still for too long.

    Args:
        modalities: those that the session scores, of the kinds in `emofuse.models.fusion.MODALITIES`; several need a
            fusion.
        sentences: of the video, if its words are known.
        speakers: evidence of who speaks; without it the voice is shared among all in view.
    """

    def __init__(
        self,
        label_set: LabelSet,
        *,
        modalities: tuple[str, ...] = (FACE,),
        fusion: ModalityFusion | None = None,
        sentences: Sequence[SentenceScore] | None = None,
        speakers: SpeakerEvidence | None = None,
    ) -> None:
        self._label_set, self._modalities, self._fusion, self._sentences = label_set, modalities, fusion, sentences
        self._speakers = speakers or SpeakerEvidence()
        self._steps = array("q")  # start, end and frame of one step after the other
        self._persons: dict[int, _Person] = {}
        self._audio_windows: list[AudioWindowScore] = []
        self._shown = _Shown()

    def add(self, output: SessionOutput) -> None:
        """Take the output of a push or of the close."""
        for step in output.steps:
            self._steps.extend(step)
        for found in output.faces:
            person = self._persons.setdefault(found.person, _Person())
            person.frames.append(found.frame)
            if self._of(FACE):
                person.probabilities.extend(found.values.tolist())
            person.geometry.extend((*found.face.box.tolist(), found.face.score, *(found.pose or _NO_POSE)))
            person.turned.append(found.turned)
        for window in output.face_windows:
            self._persons.setdefault(window.person, _Person()).windows.append(window)
        self._audio_windows += output.audio_windows
        self._speakers.add(output.mouths, output.voices)

    @property
    def steps(self) -> Ints:
        """Start, end and frame of each step, int64 [n, 3]."""
        return np.array(self._steps, np.int64).reshape(-1, 3)

    def first_frames(self) -> dict[int, int]:
        """The index of the first frame in which each person's face was found, of those that are not forgotten."""
        return {number: min(person.frames) for number, person in self._persons.items() if person.frames}

    def forget(self, time: int) -> None:
        """Forget the steps that start before `time` (ticks), and what the rows of later steps do not need."""
        steps = self.steps
        n = int(np.searchsorted(steps[:, 0], time))
        if n:
            self._shown = self._shown.followed_by(steps[:n, 0], steps[:n, 2]).latest()
            self._steps = array("q", steps[n:].ravel().tolist())
        self._persons = {p: person.since(self._shown.frame, time) for p, person in self._persons.items()}
        self._persons = {p: person for p, person in self._persons.items() if person.frames or person.windows}
        self._audio_windows = [window for window in self._audio_windows if window.end > time]
        self._speakers.forget(time)

    @property
    def speakers_certain(self) -> int:
        """The time (ticks) before which it is certain who speaks."""
        return self._speakers.certain

    @property
    def faces(self) -> dict[int, PersonFaces]:
        """Where the faces of each person were found so far."""
        return {
            number: PersonFaces(np.array(person.frames, np.int64), float(person.geometries[:, 3].sum()))
            for number, person in self._persons.items()
            if person.frames
        }

    def prediction(
        self,
        file: str,
        system: str,
        metadata: Mapping[str, Any],
        *,
        size: tuple[int, int] | None = None,
        persons: Mapping[int, FilePerson] | None = None,
        until: int | None = None,
    ) -> Prediction:
        """Everything collected so far.

        Args:
            size: of the frames (width, height), for the places of the faces.
            persons: of the whole file by their number in it; those of the session are joined accordingly.
            until: only the steps that start before this time (ticks).
        """
        steps = self.steps
        start, end, frames = (steps if until is None else steps[: np.searchsorted(steps[:, 0], until)]).T
        timeline = Timeline(start, end)
        known = self._numbered() if persons is None else persons
        nobody = _Person()
        found = {p: _Person.joined([self._persons.get(n, nobody) for n in each.numbers]) for p, each in known.items()}
        frozen = _frozen(start, frames, self._shown)
        rows_found = {p: np.where(frozen, -1, _rows(person.frames, frames)) for p, person in found.items()}
        rows = {p: np.where(_turned(found[p])[r], -1, r) for p, r in rows_found.items()}
        modalities = {p: self._face_scores(found[p], timeline, r) for p, r in rows.items()}
        spoken = {m: self._voice_scores(m).onto(timeline) for m in self._of(VOICE)}
        words = None if self._sentences is None else SentenceRows.of(self._sentences, timeline)
        if words is not None:
            spoken[WORDS] = words.scores(timeline, self._label_set)
        # Also those who are left out of the table are in view, and may speak.
        seen = {n: _seen(person, frames, frozen) for n, person in self._persons.items() if person.frames}
        in_view = np.sum([np.zeros(len(timeline), np.int64), *seen.values()], axis=0)
        speech = dict[int, SpeechRows]()
        if spoken:
            if not modalities:
                has_video = self._shown.any_frame or np.any(frames >= 0)
                absent = [m for m in self._modalities if kind(m) not in SPOKEN] if has_video else []
                modalities[NO_PERSON] = {m: _invalid(m, timeline, self._label_set) for m in absent}
            modalities = {p: scores | spoken for p, scores in modalities.items()}
            numbers = {p: [n for n in each.numbers if n in seen] for p, each in known.items()}
            alone = {} if known else {NO_PERSON: SpeechRows.alone(len(timeline))}
            speech = self._speakers.rows(timeline, numbers, seen, in_view) | alone
            voiced = np.any([scores.valid for scores in spoken.values()], axis=0)
            speech = {p: each.where_voiced(voiced) for p, each in speech.items()}
        scores = {p: replace(self._fused(s, in_view, speech.get(p)), system=system) for p, s in modalities.items()}
        prediction = Prediction(file, timeline, frames.copy(), self._label_set, scores, metadata)
        prediction = replace(prediction, modalities=modalities, modality_names=self._modalities, frozen=frozen)
        prediction = replace(prediction, words=words)
        geometry = {p: _geometry(person, size) for p, person in found.items()} if size else {}
        faces = {p: FaceRows(values[rows_found[p]], _turned(found[p])[rows_found[p]]) for p, values in geometry.items()}
        return replace(
            prediction, faces=faces, speech=speech, details={p: _details(known[p], geometry.get(p)) for p in found}
        )

    def _numbered(self) -> dict[int, FilePerson]:
        """The persons as the session has numbered them."""
        return {number: FilePerson((number,)) for number in sorted(self.faces)}

    def _face_scores(self, person: _Person, timeline: Timeline, rows: Ints) -> dict[str, Scores]:
        """Scores of the modalities of faces."""
        scores, valid, labels, singles = {}, rows >= 0, self._label_set, self._of(FACE)
        values = np.array(person.probabilities, np.float32).reshape(-1, len(singles) or 1, len(labels))
        values = np.concatenate([values, np.zeros_like(values, shape=(1, *values.shape[1:]))])  # of rows without a face
        for n, modality in enumerate(singles):
            scores[modality] = Scores(values[rows, n], timeline, labels, valid, modality)
        for modality in self._of(WINDOWS):
            windows = [w for w in person.windows if w.modality == modality]
            spans = Timeline(*np.array([(w.start, w.end) for w in windows], np.int64).reshape(-1, 2).T)
            pooled = np.array([w.probabilities for w in windows], np.float32).reshape(len(windows), len(labels))
            spread = Scores(pooled, spans, labels, np.ones(len(windows), bool), modality).onto(timeline)
            scores[modality] = replace(spread, valid=spread.valid & valid)
        return scores

    def _voice_scores(self, modality: str) -> Scores:
        windows = [w for w in self._audio_windows if w.modality == modality]
        return audio_scores(windows, self._label_set, modality)

    def _of(self, wanted: str) -> list[str]:
        """The modalities of a kind."""
        return [m for m in self._modalities if kind(m) == wanted]

    def _fused(self, scores: Mapping[str, Scores], in_view: Ints, speech: SpeechRows | None) -> Scores:
        if self._fusion is None:
            (alone,) = scores.values()
            return alone
        timeline = next(iter(scores.values())).timeline
        missing = [m for m in self._fusion.modalities if m not in scores]
        absent = {m: _invalid(m, timeline, self._label_set) for m in missing}
        weight = None if speech is None else np.nan_to_num(speech.voice_weight)
        return self._fusion({**scores, **absent}, visible=in_view, voice_weight=weight)


def _frozen(start: Ints, frames: Ints, before: _Shown) -> Bools:
    """The rows whose frame has been on screen for longer than `_FROZEN_AFTER`, and three times as long as most.

    before: frames on screen in earlier rows.
    """
    if not len(start):
        return np.zeros(0, bool)
    shown = before.followed_by(start, frames).starts
    typical = int(np.median(np.diff(shown))) if len(shown) > 2 else 0
    held = start - shown[np.searchsorted(shown, start, side="right") - 1]
    return np.asarray((frames >= 0) & (held >= max(_FROZEN_AFTER, 3 * typical)))


def _seen(person: _Person, frames: Ints, frozen: Bools) -> Bools:
    """The rows in which a person's face is scored."""
    rows = _rows(person.frames, frames)
    return np.asarray((rows >= 0) & ~frozen & ~_turned(person)[rows])


def _rows(found: array[int], frames: Ints) -> Ints:
    """For each row, the number of the person's face in its frame, or -1."""
    indices = np.array(found, np.int64)
    if not len(indices):
        return np.full(len(frames), -1, np.int64)
    order = np.argsort(indices, kind="stable")
    face = order[np.searchsorted(indices[order], frames, side="right") - 1]
    return np.where(indices[face] == frames, face, -1)


def _turned(person: _Person) -> Bools:
    """Where the person's faces are turned too far; the last element answers for rows without the face."""
    return np.array([*person.turned, 0], bool)


def _geometry(person: _Person, size: tuple[int, int]) -> NDArray[np.float64]:
    """The geometry of the person's faces, and NaN as the last one, for rows without the face."""
    values = person.geometries / [*size, *size, *[1] * (len(FACE_COLUMNS) - 4)]
    return np.vstack([values, np.full(len(FACE_COLUMNS), np.nan)])


def _details(known: FilePerson, geometry: NDArray[np.float64] | None) -> PersonDetails:
    if geometry is None or len(geometry) < 2:
        return PersonDetails(name=known.name, confidence=known.confidence)
    x, y, width, height = np.nanmean(geometry[:, :4], axis=0).tolist()
    return PersonDetails((x + width / 2, y + height / 2), height, known.name, known.confidence)


def _invalid(modality: str, timeline: Timeline, label_set: LabelSet) -> Scores:
    values = np.zeros((len(timeline), len(label_set)), np.float32)
    return Scores(values, timeline, label_set, np.zeros(len(timeline), bool), modality)


def audio_scores(windows: Sequence[AudioWindowScore], label_set: LabelSet, system: str) -> Scores:
    """Scores of windows of audio, in the order of time; windows without a voice are not valid."""
    ordered = sorted(windows, key=lambda w: (w.start, w.end))
    values = np.zeros((len(ordered), len(label_set)), np.float32)
    for row, window in zip(values, ordered, strict=True):
        if window.probabilities is not None:
            row[:] = window.probabilities
    bounds = np.array([w[:2] for w in ordered], np.int64).reshape(-1, 2)
    valid = np.array([w.probabilities is not None for w in ordered], bool)
    return Scores(values, Timeline(bounds[:, 0], bounds[:, 1]), label_set, valid, system)
