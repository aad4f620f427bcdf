"""The result of one video: every person's scores on one timeline, as a table, a moment, or a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.registry import nearest
from emofuse.core.time import Ints, Timeline, seconds, ticks
from emofuse.core.types import Bools, Scores
from emofuse.errors import SettingsError
from emofuse.export.tables import FORMATS, block
from emofuse.models.fusion import VOICE

if TYPE_CHECKING:
    import pandas as pd

OK, VOICE_ONLY = SCORED = ("ok", "voice_only")  # the second: no face, by a bundle that looks and listens
NO_FACE, NO_FRAME, NO_VOICE = "no_face", "no_frame", "no_voice"
UNCERTAIN = "uncertain"  # in the place of an emotion that is not sure enough
NO_PERSON = 0  # whose scores those of a voice are: it is not known which of the persons seen is heard


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
    scores: by person, from 1; a row is valid where the person's face was found, or where a voice is judged in its
        place. What is heard where no person is told apart stands under `NO_PERSON`; a row is valid where somebody
        spoke around it.
    metadata: the bundle, detector and other stages that were used, and warnings about the file.
    centres: by person; mean centre (x, y) of the face where it was found, in parts of the picture.
    modalities: by person, then by modality of the bundle (face, face-windows, voice): the scores of each, on the same
        timeline; those of `NO_PERSON` where no person is told apart.
    modality_names: of the modalities that the bundle has.
    min_confidence: a row below it has the emotion `uncertain`; its probabilities stay.
    per_modality: whether the table has columns of each modality.

    >>> sorted(Prediction.empty("silent.mp4").table().columns)[:3]
    ['anger', 'confidence', 'disgust']
    """

    file: str
    timeline: Timeline
    frames: Ints
    label_set: LabelSet
    scores: Mapping[int, Scores]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    centres: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    modalities: Mapping[int, Mapping[str, Scores]] = field(default_factory=dict)
    modality_names: tuple[str, ...] = ()
    min_confidence: float = 0.0
    per_modality: bool = False

    @classmethod
    def empty(cls, file: str, *, metadata: Mapping[str, Any] | None = None) -> Prediction:
        """A prediction without any row, in Aff-Wild2 labels."""
        from emofuse.core.labels import AFFWILD2

        return cls(file, Timeline.empty(), np.empty(0, np.int64), AFFWILD2, {}, metadata or {})

    @property
    def persons(self) -> list[int]:
        """Persons in the order of their first appearance, from 1."""
        return sorted(p for p in self.scores if p != NO_PERSON)

    @property
    def rows(self) -> int:
        """Rows of the table: one for each person and step, one for each step where no person is told apart."""
        return len(self.timeline) * len(self.shown)

    @property
    def shown(self) -> list[int]:
        """Whose rows the table has, in order: every person's, or everybody's where none is told apart."""
        return self.persons or [NO_PERSON]

    @property
    def voice(self) -> Scores | None:
        """What the voice says by itself; None where nothing listens."""
        for said in self.modalities.values():
            if VOICE in said:
                return said[VOICE]
        return self.scores.get(NO_PERSON)

    @property
    def audio_only(self) -> bool:
        """Whether no faces were looked for: the bundle only listens, or there was sound alone."""
        return NO_PERSON in self.scores and not set(self.modalities.get(NO_PERSON, {})) - {VOICE}

    def face_found(self, person: int) -> Bools:
        """Where the person's face was found, bool [n]."""
        seen = [s.valid for name, s in self.modalities.get(person, {}).items() if name != VOICE]
        if seen:
            return np.asarray(np.any(seen, axis=0))
        return np.zeros(len(self.timeline), bool) if person == NO_PERSON else self._valid(person)

    def statuses(self, person: int) -> NDArray[np.str_]:
        """The status of each row of a person."""
        valid, alone = self._valid(person), VOICE in self.modalities.get(person, {}) and len(self.modality_names) > 1
        there = np.where(self.face_found(person), OK, VOICE_ONLY) if alone else np.full(len(valid), OK)
        return np.where(valid, there, self._lacking())

    def emotions(self, person: int) -> list[str | None]:
        """The most probable emotion of each row of a person, or `UNCERTAIN`; None where there is none."""
        scores = self.scores.get(person)
        if scores is None:
            return [None] * len(self.timeline)
        confidence = scores.probabilities().max(axis=1, initial=0).astype(np.float64)
        sure = np.round(confidence, 6) >= self.min_confidence  # rounded as in the table
        words = self.label_set.decode(scores.best())
        return [word if word is None or s else UNCERTAIN for word, s in zip(words, sure, strict=True)]

    def _valid(self, person: int) -> Bools:
        scores = self.scores.get(person)
        return np.zeros(len(self.timeline), bool) if scores is None else scores.valid

    def _lacking(self) -> NDArray[np.str_]:
        """The status of each row if it is not valid."""
        if self.audio_only:
            return np.full(len(self.timeline), NO_VOICE)
        return np.where(self.frames >= 0, NO_FACE, NO_FRAME)

    def at(self, time_seconds: float) -> list[Moment]:
        """What each person shows at a time in seconds; an empty list outside the video."""
        row = self.timeline.at(ticks(time_seconds))
        if row < 0:
            return []
        return [self._only(row)._moment(person) for person in sorted(self.scores)]

    def _only(self, row: int) -> Prediction:
        """One row of it."""
        part = slice(row, row + 1)

        def cut(s: Scores) -> Scores:
            return Scores(s.values[part], s.timeline[part], s.label_set, s.valid[part], s.system)

        scores = {p: cut(s) for p, s in self.scores.items()}
        modalities = {p: {name: cut(s) for name, s in said.items()} for p, said in self.modalities.items()}
        return replace(
            self, timeline=self.timeline[part], frames=self.frames[part], scores=scores, modalities=modalities
        )

    def _moment(self, person: int) -> Moment:
        start, end = seconds(self.timeline.start[0]), seconds(self.timeline.end[0])
        status, emotion, scores = str(self.statuses(person)[0]), self.emotions(person)[0], self.scores[person]
        if emotion is None:
            return Moment(person or None, start, end, status, None, None, None)
        shares = dict(zip(self.label_set.names, scores.probabilities()[0].tolist(), strict=True))
        return Moment(person or None, start, end, status, emotion, max(shares.values()), shares)

    def segments(self) -> list[Segment]:
        """Each person's rows with neighbours of the same status and emotion drawn together."""
        return [s for person in self.shown for s in self._segments(person)]

    def _segments(self, person: int) -> Iterator[Segment]:
        n, scores = len(self.timeline), self.scores.get(person)
        confidence = scores.probabilities().max(axis=1, initial=0) if scores else np.zeros(n)
        states, first = list(zip(self.statuses(person).tolist(), self.emotions(person), strict=True)), 0
        for (status, emotion), run in groupby(states):
            last = first + len(list(run))
            start, end = seconds(self.timeline.start[first]), seconds(self.timeline.end[last - 1])
            sure = None if emotion is None else float(confidence[first:last].mean())
            yield Segment(person or None, start, end, status, emotion, sure)
            first = last

    def table(self) -> pd.DataFrame:
        """One row per person and step: file, person, start, end (seconds), frame, status, the classes, emotion,
        confidence, and if asked for the classes of each modality. Where no face was found or nobody spoke, the
        classes, emotion and confidence are missing values; so is the person where none was found."""
        import pandas as pd

        blocks = list(self.blocks())
        return pd.concat(blocks, ignore_index=True) if len(blocks) > 1 else blocks[0]

    def blocks(self) -> Iterator[pd.DataFrame]:
        """The table, a person at a time."""
        for person in self.shown:
            yield block(self, person)

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
