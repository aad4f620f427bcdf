"""The result of one video: every person's scores on one timeline, as a table, a moment, or a file."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.names import nearest
from emofuse.core.store import atomic, write_bytes
from emofuse.core.time import TICKS_PER_SECOND, Ints, Timeline, seconds, ticks
from emofuse.core.types import Scores
from emofuse.errors import SettingsError
from emofuse.run.listen import VoiceScore
from emofuse.run.session import Output
from emofuse.run.windows import WindowScore

if TYPE_CHECKING:
    import pandas as pd

OK, NO_FACE, NO_PICTURE, NO_VOICE = "ok", "no_face", "no_picture", "no_voice"
EVERYBODY = 0  # whose scores those of a voice are: it is not known which of the persons seen is heard


@dataclass(frozen=True)
class Moment:
    """What is shown by one person at one time; `probabilities` is None where the face was not found."""

    person: int | None
    start: float
    end: float
    status: str
    emotion: str | None
    confidence: float | None
    probabilities: Mapping[str, float] | None


class Segment(NamedTuple):
    """A run of rows in which one person shows one emotion; confidence is its mean over them. Times in seconds."""

    person: int | None
    start: float
    end: float
    status: str
    emotion: str | None
    confidence: float | None


@dataclass(frozen=True)
class Prediction:
    """Scores of every person of one video, all on the same timeline.

    frames: int64 [n], number of the decoded frame on screen at each row, -1 before the first.
    scores: by person, from 1; a row is valid where the person's face was found. What a system says that only listens
        stands under `EVERYBODY`; a row is valid where somebody spoke around it.
    about: what was used (bundle, detector) and what was noticed on the way.
    centres: by person; mean centre (x, y) of the face where it was found, in parts of the picture.

    >>> sorted(Prediction.empty("silent.mp4").table().columns)[:3]
    ['anger', 'confidence', 'disgust']
    """

    file: str
    timeline: Timeline
    frames: Ints
    label_set: LabelSet
    scores: Mapping[int, Scores]
    about: Mapping[str, Any] = field(default_factory=dict)
    centres: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def empty(cls, file: str) -> Prediction:
        """A prediction without any row, in Aff-Wild2 labels."""
        from emofuse.core.labels import AFFWILD2

        return cls(file, Timeline.empty(), np.empty(0, np.int64), AFFWILD2, {})

    @property
    def persons(self) -> list[int]:
        """Persons in the order of their first appearance, from 1."""
        return sorted(p for p in self.scores if p != EVERYBODY)

    @property
    def rows(self) -> int:
        """Rows of the table: one for each person and step, one for each step where no person is told apart."""
        return len(self.timeline) * len(self._rows_of())

    def at(self, time_seconds: float) -> list[Moment]:
        """What each person shows at a time in seconds; an empty list outside the video."""
        row = self.timeline.at(ticks(time_seconds))
        if row < 0:
            return []
        start, end = seconds(self.timeline.start[row]), seconds(self.timeline.end[row])
        return [self._moment(person, row, start, end) for person in sorted(self.scores)]

    def _moment(self, person: int, row: int, start: float, end: float) -> Moment:
        scores = self.scores[person]
        if not scores.valid[row]:
            return Moment(person or None, start, end, self._lacking()[row], None, None, None)
        p = scores.probabilities()[row]
        shares = dict(zip(self.label_set.names, p.tolist(), strict=True))
        best = max(shares, key=shares.__getitem__)
        return Moment(person or None, start, end, OK, best, shares[best], shares)

    def _rows_of(self) -> Sequence[int]:
        """Whose rows the table has, in order: every person's, or everybody's where none is told apart."""
        return self.persons or [EVERYBODY]

    def _lacking(self) -> NDArray[np.str_]:
        """The status of each row if it is not valid."""
        if EVERYBODY in self.scores:
            return np.full(len(self.timeline), NO_VOICE)
        return np.where(self.frames >= 0, NO_FACE, NO_PICTURE)

    def segments(self) -> list[Segment]:
        """Each person's rows with neighbours of the same status and emotion drawn together."""
        return [s for person in self._rows_of() for s in self._segments(person)]

    def _segments(self, person: int) -> Iterator[Segment]:
        n = len(self.timeline)
        if n == 0:
            return
        scores, lacking = self.scores.get(person), self._lacking()
        best = scores.best() if scores else np.full(n, -1)
        confidence = scores.probabilities().max(axis=1) if scores else np.zeros(n)
        state = np.where(best >= 0, best, np.where(lacking == NO_PICTURE, -2, -1))
        firsts = np.flatnonzero(np.diff(state, prepend=state[0] - 1))
        for first, last in zip(firsts, [*firsts[1:], n], strict=True):
            start, end = seconds(self.timeline.start[first]), seconds(self.timeline.end[last - 1])
            if state[first] >= 0:
                emotion = self.label_set.names[state[first]]
                yield Segment(person or None, start, end, OK, emotion, float(confidence[first:last].mean()))
            else:
                yield Segment(person or None, start, end, str(lacking[first]), None, None)

    def table(self) -> pd.DataFrame:
        """One row per person and step: file, person, start, end (seconds), frame, status, the classes, emotion,
        confidence. Where a face was not found or nobody spoke, the classes, emotion and confidence are missing values;
        so is the person where none is told apart."""
        import pandas as pd

        blocks = list(self._blocks())
        return pd.concat(blocks, ignore_index=True) if len(blocks) > 1 else blocks[0]

    def _blocks(self) -> Iterator[pd.DataFrame]:
        """The table, a person at a time."""
        for person in self._rows_of():
            yield self._block(person)

    def _block(self, person: int) -> pd.DataFrame:
        import pandas as pd

        n, names = len(self.timeline), self.label_set.names
        scores = self.scores.get(person)
        valid = scores.valid if scores else np.zeros(n, bool)
        shares = scores.probabilities() if scores else np.zeros((n, len(names)), np.float32)
        shares = np.where(valid[:, None], np.round(shares.astype(np.float64), 6), np.nan)
        best = scores.best() if scores else np.full(n, -1)
        columns: dict[str, Any] = {
            "file": pd.Series([self.file] * n, dtype="str"),
            "person": pd.array([person or None] * n, dtype="Int64"),
            "start": _rounded(self.timeline.start),
            "end": _rounded(self.timeline.end),
            "frame": pd.Series(self.frames, dtype="Int64").where(self.frames >= 0),
            "status": pd.Series(np.where(valid, OK, self._lacking()).tolist(), dtype="str"),
            **{name: shares[:, k] for k, name in enumerate(names)},
            "emotion": pd.Series(self.label_set.decode(best), dtype="str"),
            "confidence": shares.max(axis=1) if n else np.empty(0),
        }
        return pd.DataFrame(columns)

    def save(self, path: str | Path) -> Path:
        """Write the table as .csv, .parquet or .json, by the name's ending, whole or not at all.

        Raises:
            SettingsError: another ending.
            OutputError: the file cannot be written.
        """
        path = Path(path)
        form = path.suffix.removeprefix(".")
        if form not in FORMATS:
            raise SettingsError(
                f"{path}: cannot write {path.suffix or 'a file without ending'}{nearest(form, FORMATS)}; "
                f"name it {', '.join('.' + f for f in FORMATS)}."
            )
        FORMATS[form](self, path)
        return path


def _rounded(time: Ints) -> NDArray[np.float64]:
    return np.round(time / TICKS_PER_SECOND, 6)


def _csv(prediction: Prediction, path: Path) -> None:
    with atomic(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        for n, block in enumerate(prediction._blocks()):
            block.to_csv(file, index=False, header=n == 0, lineterminator="\n")


def _parquet(prediction: Prediction, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    blocks = prediction._blocks()
    first = pa.Table.from_pandas(next(blocks), preserve_index=False)
    with atomic(path) as partial, pq.ParquetWriter(partial, first.schema) as writer:
        writer.write_table(first)
        for block in blocks:
            writer.write_table(pa.Table.from_pandas(block, schema=first.schema, preserve_index=False))


def _json(prediction: Prediction, path: Path) -> None:
    rows = [row for block in prediction._blocks() for row in json.loads(block.to_json(orient="records"))]
    content = {"file": prediction.file, **prediction.about, "labels": prediction.label_set.names, "rows": rows}
    write_bytes(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


FORMATS: dict[str, Callable[[Prediction, Path], None]] = {"csv": _csv, "parquet": _parquet, "json": _json}


class Collector:
    """Gathers what a session gives into a `Prediction`; only rows and found faces are kept, no pictures.

    windowed: the session judges windows of faces; a row then takes the mean of the windows over its start, and is valid
    where the person's face was found in its picture.
    faces: the session judges faces; else it listens, and a row takes the mean of the windows of sound over its start.
    """

    def __init__(self, label_set: LabelSet, *, windowed: bool = False, faces: bool = True) -> None:
        self._label_set, self._windowed, self._faces = label_set, windowed, faces
        self._heard: list[VoiceScore] = []
        self._windows: dict[int, list[WindowScore]] = {}
        self._steps = array("q")  # start, end, frame, picture of one step after the other
        self._found: dict[int, tuple[array[int], array[float]]] = {}
        self._places: dict[int, NDArray[np.float64]] = {}  # sum of the centres of each person's faces, in pixels

    def add(self, output: Output) -> None:
        """Take the output of a push or of the close."""
        for step in output.steps:
            self._steps.extend(step)
        for o in output.observations:
            pictures, shares = self._found.setdefault(o.person, (array("q"), array("f")))
            pictures.append(o.picture)
            if not self._windowed:
                shares.extend(o.values.tolist())
            centre = o.face.box[:2].astype(np.float64) + o.face.box[2:] / 2
            self._places[o.person] = self._places.get(o.person, 0) + centre
        for window in output.windows:
            self._windows.setdefault(window.person, []).append(window)
        self._heard += output.heard

    def prediction(
        self, file: str, system: str, about: Mapping[str, Any], *, size: tuple[int, int] | None = None
    ) -> Prediction:
        """Everything gathered so far; with the size of the picture (width, height) also where the faces were."""
        start, end, frames, pictures = np.array(self._steps, np.int64).reshape(-1, 4).T
        timeline = Timeline(start, end)
        scores = {p: self._scores(p, timeline, pictures, system) for p in self._found}
        if not self._faces:
            scores[EVERYBODY] = voice_scores(self._heard, self._label_set, system).onto(timeline)
        centres = {p: self._centre(p, size) for p in self._found} if size else {}
        return Prediction(file, timeline, frames.copy(), self._label_set, scores, about, centres)

    def _centre(self, person: int, size: tuple[int, int]) -> tuple[float, float]:
        x, y = self._places[person] / len(self._found[person][0]) / size
        return float(x), float(y)

    def _scores(self, person: int, timeline: Timeline, pictures: Ints, system: str) -> Scores:
        found, shares = self._found[person]
        at = np.array(found, np.int64)
        # Row of each picture among this person's, or -1; one more place at the end answers for picture -1.
        row_of = np.full(max(int(pictures.max(initial=-1)), int(at.max())) + 2, -1, np.int64)
        row_of[at] = np.arange(len(at))
        rows = row_of[pictures]
        if self._windowed:
            return self._spread(person, timeline, rows >= 0, system)
        values = np.array(shares, np.float32).reshape(len(at), len(self._label_set))
        return Scores(values[rows], timeline, self._label_set, rows >= 0, system)

    def _spread(self, person: int, timeline: Timeline, found: NDArray[np.bool_], system: str) -> Scores:
        judged = self._windows.get(person, [])
        windows = Timeline(np.array([w.start for w in judged], np.int64), np.array([w.end for w in judged], np.int64))
        values = np.array([w.probabilities for w in judged], np.float32).reshape(len(judged), len(self._label_set))
        scores = Scores(values, windows, self._label_set, np.ones(len(judged), bool), system).onto(timeline)
        return replace(scores, valid=scores.valid & found)


def voice_scores(heard: Sequence[VoiceScore], label_set: LabelSet, system: str) -> Scores:
    """What a listener gave, as scores in the order of their time; windows without a voice are not valid."""
    ordered = sorted(heard, key=lambda h: (h.start, h.end))
    values = np.zeros((len(ordered), len(label_set)), np.float32)
    for row, h in zip(values, ordered, strict=True):
        if h.probabilities is not None:
            row[:] = h.probabilities
    bounds = np.array([h[:2] for h in ordered], np.int64).reshape(-1, 2)
    valid = np.array([h.probabilities is not None for h in ordered], bool)
    return Scores(values, Timeline(bounds[:, 0], bounds[:, 1]), label_set, valid, system)
