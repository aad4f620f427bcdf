"""The result of one video: the scores of every person on one timeline, as a table, a moment, or a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emofuse.analysis.coverage import check_coverage
from emofuse.analysis.events import Event, read_events
from emofuse.analysis.statistics import Baseline, StatisticsSettings, describe
from emofuse.core.labels import AFFWILD2, LabelSet
from emofuse.core.statuses import FROZEN, NO_FACE, NO_FRAME, NO_PERSON, NO_VOICE, OK, TURNED, VOICE_ONLY
from emofuse.core.time import TICKS_PER_SECOND, Ints, Timeline, seconds, ticks
from emofuse.core.types import Bools, Scores
from emofuse.export import (
    WRITERS,
    ExportOptions,
    ResultTable,
    Segment,
    SegmentSettings,
    find_segments,
    writer_of,
)
from emofuse.inference.face_rows import FaceGeometry, FaceRows
from emofuse.inference.sentences import SentenceRows
from emofuse.inference.speakers import SpeechRows
from emofuse.models.fusion import SPOKEN
from emofuse.systems import VOICE, WORDS, kind

if TYPE_CHECKING:
    import pandas as pd

UNCERTAIN = "uncertain"  # takes the place of an emotion below the minimum confidence


@dataclass(frozen=True)
class Moment:
    """The prediction for one person at one time; `probabilities` is None where there are no scores.

    face: where it is and how it is turned; None where it was not found.
    speaking: probability that the person speaks; None where it is not known.
    voice_weight: the part of the voice that the scores use, 0 to 1; None where there is none.
    """

    person: int | None
    start: float
    end: float
    status: str
    emotion: str | None
    confidence: float | None
    probabilities: Mapping[str, float] | None
    face: FaceGeometry | None = None
    speaking: float | None = None
    voice_weight: float | None = None


@dataclass(frozen=True)
class PersonDetails:
    """What is known of a person besides the scores.

    centre, height: means of the centre (x, y) of the face where it was found, and of its height, as fractions of the
        frame size; None if that is unknown.
    name: in the photographs that were given, if the person is among them.
    confidence: that it is one person, 0 to 1, from the similarity of the faces; None if they cannot be compared.
    """

    centre: tuple[float, float] | None = None
    height: float | None = None
    name: str | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class Prediction:
    """Scores of every person of one video, all on the same timeline.

    frames: int64 [n], index of the decoded frame on screen at each row, -1 before the first and after the last.
    scores: by person, from 1; a row is valid where the person's face was found, or where the voice is scored instead.
        The voice of a video in which no person was found has the key `NO_PERSON`.
    metadata: the bundle, detector and other stages that were used, and warnings about the file.
    details: by person, if a face was found.
    modalities: by person (or `NO_PERSON`), then by modality of the bundle (face, face-windows, voice, words): the
        scores of each, on the same timeline.
    modality_names: of the modalities that the bundle has.
    min_confidence: a row below it has the emotion `uncertain`; its probabilities stay.
    per_modality: whether the table has columns of each modality. with_names: whether it has a column of names.
    frozen: bool [n], where the frame has stood still for too long for its scores to hold. Default: nowhere.
    faces: by person; where the face was in each row and how the head was turned.
    speech: by person; who speaks in each row. Empty if the bundle does not fuse faces with a voice.
    media: the file, if it is known where that is.
    words: the sentence of each row; None without a transcript, and then the table has no columns of words.

    >>> list(Prediction.empty("silent.mp4").table().columns)[:3]
    ['file', 'person', 'start']
    """

    file: str
    timeline: Timeline
    frames: Ints
    label_set: LabelSet
    scores: Mapping[int, Scores]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[int, PersonDetails] = field(default_factory=dict)
    modalities: Mapping[int, Mapping[str, Scores]] = field(default_factory=dict)
    modality_names: tuple[str, ...] = ()
    min_confidence: float = 0.0
    per_modality: bool = False
    frozen: Bools | None = None
    with_names: bool = False
    faces: Mapping[int, FaceRows] = field(default_factory=dict)
    speech: Mapping[int, SpeechRows] = field(default_factory=dict)
    media: Path | None = None
    words: SentenceRows | None = None

    @classmethod
    def empty(cls, file: str, *, metadata: Mapping[str, Any] | None = None) -> Prediction:
        """A prediction without any row, in Aff-Wild2 labels."""
        return cls(file, Timeline.empty(), np.empty(0, np.int64), AFFWILD2, {}, metadata or {})

    @property
    def persons(self) -> list[int]:
        """Persons in the order of their first appearance, from 1."""
        return sorted(p for p in self.scores if p != NO_PERSON)

    def name(self, person: int) -> str | None:
        """The name of a person in the photographs that were given, if it is among them."""
        return self.details[person].name if person in self.details else None

    @property
    def rows(self) -> int:
        """Number of rows of the table: one per person and step, or one per step where no person was found."""
        return len(self.timeline) * len(self._listed)

    @property
    def _listed(self) -> list[int]:
        """The keys of the rows of the table, in order."""
        return self.persons or [NO_PERSON]

    @property
    def voice(self) -> Scores | None:
        """The scores of the (first) voice alone; None if the bundle has no voice modality."""
        return self._shared(VOICE) or (None if self.words else self.scores.get(NO_PERSON))

    @property
    def word_scores(self) -> Scores | None:
        """The scores of the words alone; None without a transcript."""
        return self._shared(WORDS)

    def _shared(self, wanted: str) -> Scores | None:
        """The first scores of a kind, which are the same for all persons."""
        found = (s for scores in self.modalities.values() for name, s in scores.items() if kind(name) == wanted)
        return next(found, None)

    @property
    def is_photograph(self) -> bool:
        """Whether it is of a photograph, whose only row lasts an instant, from 0 to 0 seconds in tables."""
        return bool(self.metadata.get("photograph"))

    @property
    def duration_seconds(self) -> float:
        """The time from the first row to the last one."""
        return seconds(self.timeline.end[-1] - self.timeline.start[0]) if len(self.timeline) else 0.0

    @property
    def has_video(self) -> bool:
        """Whether it is the result of a video with frames, not of a photograph or an audio file."""
        return bool((self.frames >= 0).any()) and not self.metadata.get("photograph", False)

    @property
    def audio_only(self) -> bool:
        """Whether no face was searched for: the bundle scores the voice only, or the file has no video."""
        return NO_PERSON in self.scores and all(kind(m) in SPOKEN for m in self.modalities.get(NO_PERSON, {}))

    def face_found(self, person: int) -> Bools:
        """Where the person's face was found, also if it is turned too far, bool [n]."""
        return np.asarray(self._face_scored(person) | self._faces(person).turned)

    def _face_scored(self, person: int) -> Bools:
        faces = [s.valid for name, s in self.modalities.get(person, {}).items() if kind(name) not in SPOKEN]
        if faces:
            return np.asarray(np.any(faces, axis=0))
        return np.zeros(len(self.timeline), bool) if person == NO_PERSON else self._valid(person)

    def statuses(self, person: int) -> NDArray[np.str_]:
        """The status of each row of a person."""
        valid = self._valid(person)
        voices = [kind(m) in SPOKEN for m in self.modality_names]
        with_voice = any(voices) and not all(voices) and bool(self.modalities.get(person))
        scored = np.where(self._face_scored(person) | (not with_voice), OK, VOICE_ONLY)
        missing = np.where(self.frames >= 0, NO_FACE, NO_FRAME)
        if person in self.faces:
            missing = np.where(self.faces[person].turned, TURNED, missing)
        if self.frozen is not None:
            missing = np.where(self.frozen, FROZEN, missing)
        return np.where(valid, scored, np.full(len(valid), NO_VOICE) if self.audio_only else missing)

    def emotions(self, person: int) -> list[str | None]:
        """The most probable emotion of each row of a person, or `UNCERTAIN`; None where there are no scores."""
        scores = self.scores.get(person)
        if scores is None:
            return [None] * len(self.timeline)
        confidence = scores.probabilities().max(axis=1, initial=0).astype(np.float64)
        certain = np.round(confidence, 6) >= self.min_confidence  # rounded as in the table
        names = self.label_set.decode(scores.predictions())
        return [name if name is None or c else UNCERTAIN for name, c in zip(names, certain, strict=True)]

    def _faces(self, person: int) -> FaceRows:
        return self.faces[person] if person in self.faces else FaceRows.none(len(self.timeline))

    def _valid(self, person: int) -> Bools:
        scores = self.scores.get(person)
        return np.zeros(len(self.timeline), bool) if scores is None else scores.valid

    def at(self, time_seconds: float) -> list[Moment]:
        """The prediction for each person at a time in seconds; an empty list outside the video."""
        row = self.timeline.at(ticks(time_seconds))
        if row < 0:
            return []
        timeline, frames = self.timeline[row : row + 1], self.frames[row : row + 1]
        scores = {p: s.onto(timeline) for p, s in self.scores.items()}
        modalities = {p: {name: s.onto(timeline) for name, s in by.items()} for p, by in self.modalities.items()}
        frozen = None if self.frozen is None else self.frozen[row : row + 1]
        faces = {p: found[row : row + 1] for p, found in self.faces.items()}
        words = None if self.words is None else self.words[row : row + 1]
        speech = {p: found[row : row + 1] for p, found in self.speech.items()}
        moment = replace(self, timeline=timeline, frames=frames, scores=scores, modalities=modalities)
        moment = replace(moment, frozen=frozen, faces=faces, words=words, speech=speech)
        return [moment._moment(person) for person in sorted(scores)]

    def _moment(self, person: int) -> Moment:
        """The only row of a person."""
        start, end = seconds(self.timeline.start[0]), seconds(self.timeline.end[0])
        status, emotion, scores = str(self.statuses(person)[0]), self.emotions(person)[0], self.scores[person]
        speech = {n: None if np.isnan(v[0]) else float(v[0]) for n, v in self._speech(person).items()}
        moment = Moment(person or None, start, end, status, emotion, None, None, self._faces(person).at(0), **speech)
        if emotion is None:
            return moment
        probabilities = dict(zip(self.label_set.names, scores.probabilities()[0].tolist(), strict=True))
        return replace(moment, confidence=max(probabilities.values()), probabilities=probabilities)

    def segments(self, settings: SegmentSettings | None = None) -> list[Segment]:
        """The rows of each person, neighbours of the same status and emotion merged, in the order of persons and time.

        settings: minimal duration, hysteresis and merging. Default: every change of the table begins a segment.
        """
        return [s for rows in self.blocks() for s in find_segments(rows, self.label_set.names, settings)]

    def table(self) -> pd.DataFrame:
        """One row per person and step: file, person, start, end (seconds), frame, status, the classes, emotion,
        confidence, the fields of `FaceGeometry`, with a transcript the sentence and its status, and with `per_modality`
        the classes of each modality; with `with_names` the name after the person. Where no face was found or nobody
        spoke, the classes, emotion and confidence are missing values; so are the geometry where no face was found, and
        the person where none was."""
        import pandas as pd

        blocks = list(self.blocks())
        return pd.concat(blocks, ignore_index=True) if len(blocks) > 1 else blocks[0]

    def blocks(self) -> Iterator[pd.DataFrame]:
        """The table in pieces, one person at a time."""
        for person in self._listed:
            yield self._block(person)

    def _block(self, person: int) -> pd.DataFrame:
        import pandas as pd

        n, probabilities = len(self.timeline), self._rounded(self.scores.get(person))
        columns: dict[str, Any] = {
            "file": pd.Series([self.file] * n, dtype="str"),
            "person": pd.array([person or None] * n, dtype="Int64"),
            **({"name": pd.Series([self.name(person)] * n, dtype="str")} if self.with_names else {}),
            "start": np.round(self.timeline.start / TICKS_PER_SECOND, 6),
            "end": np.round(self.timeline.end / TICKS_PER_SECOND, 6),
            "frame": pd.Series(self.frames, dtype="Int64").where(self.frames >= 0),
            "status": pd.Series(self.statuses(person).tolist(), dtype="str"),
            **dict(zip(self.label_set.names, probabilities.T, strict=True)),
            "emotion": pd.Series(self.emotions(person), dtype="str"),
            "confidence": probabilities.max(axis=1) if n else np.empty(0),
            **self._faces(person).columns(),
            **self._speech(person),
        }
        if self.words is not None:
            columns |= {name: pd.Series(cells, dtype="str") for name, cells in self.words.columns().items()}
        for modality in self.modality_names if self.per_modality else ():
            names = [f"{modality.replace('-', '_')}_{name}" for name in self.label_set.names]
            values = self._rounded(self.modalities.get(person, {}).get(modality))
            columns |= dict(zip(names, values.T, strict=True))
        return pd.DataFrame(columns)

    def _speech(self, person: int) -> dict[str, NDArray[np.float64]]:
        """The columns of who speaks, if the bundle has both faces and a voice."""
        kinds = {kind(m) == VOICE for m in self.modality_names}
        if kinds != {True, False}:
            return {}
        return self.speech[person].columns() if person in self.speech else SpeechRows.none(len(self.timeline)).columns()

    def _rounded(self, scores: Scores | None) -> NDArray[np.float64]:
        """Probabilities float64 [n, classes] to six decimals, NaN where there are none."""
        if scores is None:
            return np.full((len(self.timeline), len(self.label_set)), np.nan)
        return np.where(scores.valid[:, None], np.round(scores.probabilities().astype(np.float64), 6), np.nan)

    def save(self, path: str | Path) -> Path:
        """Write the result in the format of the file name's extension, such as .csv, .parquet, .json, .eaf or .vtt.

        The file is written completely or not at all.

        Raises:
            SettingsError: no format has this extension.
            OutputError: the file cannot be written.
        """
        writer_of(Path(path)).write(self.result_table(), Path(path))
        return Path(path)

    def export(
        self,
        path: str | Path,
        format: str,
        options: ExportOptions | None = None,
        *,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Path:
        """Write the result in a format, under any name; some formats write further files beside it.

        Args:
            format: name of a format, such as "csv", "elan" or "annotated-video".
            options: settings of segments, the dialect of CSV, and whether faces are blurred.
            progress: called with the fraction that is written, by formats that take long.
        Raises:
            SettingsError: the format is unknown, or needs the video, which is not known.
            OutputError: a file cannot be written.
        """
        WRITERS[format].write(replace(self.result_table(options), progress=progress), Path(path))
        return Path(path)

    def result_table(self, options: ExportOptions | None = None) -> ResultTable:
        """The result as writers receive it."""
        given = options or ExportOptions()
        return ResultTable(self.file, self.label_set.names, self.metadata, self.blocks(), self.media, given)

    def report(self, path: str | Path, *, embed: bool = False) -> Path:
        """Write an HTML page with a player in step with the timeline of each person; it needs no network.

        Args:
            embed: put the media file into the page instead of linking it, up to 25 MB.
        Raises:
            SettingsError: the file is to be embedded, but is not known or too large.
            OutputError: the page cannot be written.
        """
        from emofuse.report.results import PageSettings, write_results_page

        return write_results_page([self._kept_table()], Path(path), PageSettings(embed))

    def _repr_html_(self) -> str:
        """For notebooks: the report, in a frame of its own."""
        from emofuse.report.results import results_page

        page = results_page([replace(self._kept_table(), media=None)], Path())
        return f'<iframe srcdoc="{escape(page)}" width="100%" height="640" style="border:0" title="emofuse"></iframe>'

    def _kept_table(self) -> ResultTable:
        """The result as a table whose blocks can be read again."""
        return replace(self.result_table(), blocks=list(self.blocks()))

    def stats(
        self,
        events: str | Path | Sequence[Event] = (),
        *,
        baseline: str | None = None,
        threshold: float = 0.5,
        segments: SegmentSettings | None = None,
    ) -> pd.DataFrame:
        """Statistics of each person, event and emotion, in the columns that docs/commands.md describes.

        Args:
            events: a file of events (CSV, ELAN, BORIS, WebVTT), or the events; default: the whole file.
            baseline: "START-END" in seconds, "first 10s" or "person-mean"; default: no changes are computed.
            threshold: probability for the fraction of time above it.
            segments: how rows become the segments that are counted.
        Raises:
            EmofuseError: one line with the problem and its remedy.
        """
        chosen = read_events(events) if isinstance(events, str | Path) else events
        compared = None if baseline is None else Baseline.parse(baseline)
        settings, table = StatisticsSettings(threshold, compared, segments or SegmentSettings()), self._kept_table()
        check_coverage([table], chosen, baseline=compared)
        return describe([table], chosen, settings)
