"""A session of frames and audio that arrive live: the rows of `predict` as they become certain, and the faces now.

A row is final once every face in its frame and every window of audio over it is known, as at the end of a file; then
it is emitted, once, and forgotten, so memory does not grow. Three things are known only at the end of a file:

- which persons turn out to be one. Persons keep the number they were given first, and have rows from their first face
  on; before the first person, rows have no person.
- how long frames are on screen usually, which decides what is frozen. The latest frames decide instead.
- whether more audio comes. Rows wait for audio only after the first block, and not for long (`PATIENCE`).

Who speaks is found out if frames arrive at 12 per second or more; otherwise all in view share the voice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from emofuse.core.statuses import OK, TURNED, VOICE_ONLY
from emofuse.core.time import Timeline, seconds, ticks
from emofuse.core.types import Scores
from emofuse.errors import ShapeError
from emofuse.inference.audio_stages import AudioWindowScore
from emofuse.inference.face_stages import FaceWindowScore, ScoredFace
from emofuse.inference.prediction import UNCERTAIN
from emofuse.inference.predictor import Predictor
from emofuse.inference.renumbering import FilePerson
from emofuse.inference.sampling import Sampling
from emofuse.inference.session import SessionOutput
from emofuse.inference.speakers import REACH
from emofuse.media.audio import AudioBlock
from emofuse.media.contiguous import ContiguousAudio
from emofuse.media.video import Frame
from emofuse.models.fusion import WINDOWS
from emofuse.systems import FACE, VOICE, kind

if TYPE_CHECKING:
    import pandas as pd

PATIENCE = ticks(10)  # audio may be this late; what has not arrived by then is taken for silence
_LONGEST_GAP = ticks(24 * 3600)  # a time further ahead is an error of who pushes, and would take all memory
WAITING = "waiting"  # status of a face whose track is not confirmed yet
_LATEST = ticks(5)  # scores of windows that ended earlier are not those of now
_FEW, _AT_ONCE = 4, ticks(1)  # rows of more persons are emitted a second at a time, which takes less time in all


@dataclass(frozen=True)
class LiveFace:
    """A face in the frame that was pushed last, for an overlay.

    person, name: None until it is decided whose face it is.
    box: x, y, width, height, as fractions of the frame.
    probabilities: fused with the latest voice, not smoothed over time; None without scores, as are emotion and
        confidence.
    status: that of a row with such a face, or `WAITING`.
    """

    person: int | None
    name: str | None
    box: tuple[float, float, float, float]
    probabilities: dict[str, float] | None
    emotion: str | None
    confidence: float | None
    status: str


@dataclass(frozen=True)
class LiveUpdate:
    """What a push of a frame or of audio, or the close, resulted in.

    faces: of the frame just pushed; empty if it was not processed, and after audio.
    time: start of that frame, or of the latest one, in ticks.
    rows: final rows that became certain, in the columns of the table of `predict`; None if there are none.
    voice: the latest probabilities of the voice; None if nobody speaks.
    """

    faces: list[LiveFace]
    time: int
    rows: pd.DataFrame | None
    voice: dict[str, float] | None

    def as_json(self) -> dict[str, Any]:
        """The same in JSON values: time in seconds, rows as a list of objects."""
        return {
            "faces": [asdict(face) for face in self.faces],
            "time": seconds(self.time),
            "rows": records(self.rows),
            "voice": self.voice,
        }


def records(rows: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Rows of a table as JSON objects; missing values are None."""
    return [] if rows is None else json.loads(rows.to_json(orient="records"))


class LiveSession:
    """Frames and audio as they arrive; the same rows as `predict` gives, as they become certain, in bounded memory.

    Frames come in the order of time, and so does audio; of each other they may come in any order. Rows are emitted in
    the order of time, then of persons. Persons who were seen before keep getting rows.

    name: of the source, in the column `file`.
    """

    def __init__(self, predictor: Predictor, name: str = "live") -> None:
        self._predictor, self._name = predictor, name
        self._session, self._collector = predictor.session(), predictor.collector()
        self._audio = {modality: ContiguousAudio(rate) for modality, rate in self._session.audio_rates.items()}
        self._persons: dict[int, FilePerson] = {}  # those who have rows
        self._time = 0  # start of the latest frame, or how far the session was advanced
        self._frames_end: int | None = None
        self._has_audio = False
        self._late = False
        self._voices: dict[str, AudioWindowScore] = {}  # the latest of each modality
        self._windows: dict[tuple[int, str], FaceWindowScore] = {}  # the latest of each person and modality

    @property
    def sampling(self) -> Sampling:
        """Which frames are processed."""
        return self._predictor.sampling

    @property
    def follows_mouths(self) -> bool:
        """Whether frames between those that are processed are used, to find out who speaks."""
        return self._session.follows_mouths

    @property
    def lateness(self) -> int:
        """Ticks by which final rows lag behind the newest frame, at most, while the audio keeps up with the frames;
        if it falls behind, rows wait up to `PATIENCE` longer."""
        spoken = [self._session.audio_lookahead(modality) for modality in self._waited_for]
        return max([self._faces_lateness, *spoken, *([self._speakers_lateness] if spoken else [])])

    @property
    def warnings(self) -> list[str]:
        """What a user should know about the session so far."""
        orientation = self._session.faces.orientation if self._session.faces is not None else None
        lines = [] if orientation is None or orientation.warning is None else [orientation.warning]
        if self._late:
            lines.append(f"audio was late by more than {seconds(PATIENCE):g} s, and taken for silence")
        return lines

    @property
    def empty_rows(self) -> pd.DataFrame:
        """A table without rows, with the columns of those that follow."""
        return self._emitted(-1)

    def wants(self, start: int) -> bool:
        """Whether a frame that starts at `start` (ticks) will be processed."""
        return self._session.wants(start)

    def uses(self, start: int) -> bool:
        """Whether a frame will be processed or shows who speaks; others can be left out."""
        return self._session.uses(start)

    def push_frame(self, frame: Frame) -> LiveUpdate:
        """Process the next frame, if it is wanted.

        Raises:
            ShapeError: it does not start after the one before it, or more than a day later, or the session is closed.
        """
        self._refuse_far(frame.start)
        wanted = self._session.wants(frame.start)
        self._add(self._session.push_frames([frame]))
        self._time, self._frames_end = max(self._time, frame.start), frame.end
        self._fill_silence()
        return LiveUpdate(self._latest_faces() if wanted else [], frame.start, self._final_rows(), self._voice())

    def push_audio(self, block: AudioBlock) -> LiveUpdate:
        """Process the next block of audio, of any rate; a bundle without a voice ignores it.

        Gaps are filled with silence, and what overlaps the block before is left out. Where audio arrives and no frame
        does, the session goes on after `PATIENCE`.

        Raises:
            ShapeError: it begins more than a day after the latest frame, or the session is closed.
        """
        self._refuse_far(block.start)
        self._has_audio = True
        for modality, audio in self._audio.items():
            for piece in audio.push(block):
                self._add(self._session.push_audio(piece, modality))
        if block.end - PATIENCE > self._time:
            return self.advance(block.end - PATIENCE)
        return self._update()

    def advance(self, time: int) -> LiveUpdate:
        """Complete the rows before `time` (ticks): no frame will be pushed for them."""
        self._refuse_far(time)
        self._time = max(self._time, time)
        self._add(self._session.advance(time))
        self._fill_silence()
        return self._update()

    def close(self, end: int, *, frames_end: int | None = None) -> LiveUpdate:
        """End the session at `end` (ticks); the last rows.

        frames_end: where the last frame ends, if frames that are not wanted were not pushed.
        """
        for modality, audio in self._audio.items():
            for piece in audio.close():
                self._add(self._session.push_audio(piece, modality))
        frames_end = self._frames_end if frames_end is None else frames_end
        self._add(self._session.close(end, frames_end=None if frames_end is None else min(frames_end, end)))
        return LiveUpdate([], self._time, self._rows_before(None), None)

    def _refuse_far(self, time: int) -> None:
        if time > self._time + _LONGEST_GAP:
            raise ShapeError(
                f"LiveSession: {seconds(time):.0f} s is more than a day after {seconds(self._time):.0f} s; "
                "count times from the start of the session."
            )

    def _fill_silence(self) -> None:
        """Take audio for silence that should have arrived long ago."""
        known = self._time - PATIENCE
        for modality, audio in self._audio.items():
            self._late |= self._has_audio and audio.reached < known
            for piece in audio.fill(known):
                self._add(self._session.push_audio(piece, modality))

    def _update(self) -> LiveUpdate:
        return LiveUpdate([], self._time, self._final_rows(), self._voice())

    def _add(self, output: SessionOutput) -> None:
        self._collector.add(output)
        self._voices |= {window.modality: window for window in output.audio_windows}
        if output.face_windows:
            latest = self._windows | {(window.person, window.modality): window for window in output.face_windows}
            self._windows = {key: window for key, window in latest.items() if window.end >= self._time - _LATEST}

    @property
    def _waited_for(self) -> list[str]:
        """The modalities of audio for which rows wait."""
        return list(self._audio) if self._has_audio else []

    @property
    def _faces_lateness(self) -> int:
        faces, sampling = self._session.faces, self._predictor.sampling
        step = ticks(1 / 25) if sampling.rate_hz is None else sampling.bound(1)
        if faces is None:
            return step
        together = _AT_ONCE if len(self._persons) > _FEW else 0
        return faces.lookahead + faces.windows_lookahead + (faces.lookahead_frames + 2) * step + together

    @property
    def _speakers_lateness(self) -> int:
        """Ticks after a row until it is certain who speaks, if frames and audio keep up."""
        faces = self._session.faces
        if faces is None or faces.mouths is None:
            return 0
        return self._faces_lateness + faces.mouths.lookahead + REACH

    def _final_rows(self) -> pd.DataFrame | None:
        """The rows that have become certain."""
        steps = self._collector.steps
        if not len(steps):
            return None
        certain = np.ones(len(steps), bool)
        if self._session.faces is not None:
            certain &= steps[:, 1] <= self._session.faces.certain
        for modality in self._waited_for:
            certain &= steps[:, 0] < self._session.audio_certain(modality)
        if self._waited_for and self._session.follows_mouths:
            given_up = self._time - self._speakers_lateness - PATIENCE
            certain &= steps[:, 1] <= max(self._collector.speakers_certain, given_up)
        count = len(steps) if certain.all() else int(np.argmin(certain))
        if not count or (len(self._persons) > _FEW and steps[count - 1, 1] - steps[0, 0] < _AT_ONCE):
            return None
        return self._rows_before(int(steps[count - 1, 0]) + 1)

    def _rows_before(self, until: int | None) -> pd.DataFrame | None:
        """The rows of the steps that start before `until` (ticks; None: of all), which are then forgotten."""
        import pandas as pd

        parts = [self._emitted(end) for end in self._ends(until)]
        return pd.concat(parts, ignore_index=True) if parts else None

    def _ends(self, until: int | None) -> Iterator[int]:
        """Times at which parts of the steps end, in each of which the persons who have rows are the same."""
        steps = self._collector.steps
        last = until if until is not None else int(steps[-1, 0]) + 1 if len(steps) else 0
        steps = steps[steps[:, 0] < last]
        found = {p: frame for p, frame in self._collector.first_frames().items() if p not in self._persons}
        names = self._names() if found else {}
        for start, frame in steps[np.diff(steps[:, 2], prepend=-2) != 0][:, [0, 2]].tolist():
            if new := sorted(p for p, first in found.items() if first <= frame):
                if start > self._collector.steps[0, 0]:
                    yield start
                self._persons |= {p: FilePerson((p,), names.get(p)) for p in new}
                found = {p: first for p, first in found.items() if p not in self._persons}
        if len(steps):
            yield last

    def _names(self) -> Mapping[int, str | None]:
        stage = self._session.faces.persons if self._session.faces is not None else None
        return {} if stage is None else {p.number: p.name for p in stage.identities if p.number is not None}

    def _emitted(self, until: int) -> pd.DataFrame:
        options, bundle = self._predictor.options, self._predictor.bundle
        size = self._session.faces.canvas if self._session.faces is not None else None
        persons = dict(sorted(self._persons.items()))
        prediction = self._collector.prediction(self._name, bundle.name, {}, size=size, persons=persons, until=until)
        self._collector.forget(until)
        with_names = self._predictor.known_people is not None
        shown = replace(
            prediction,
            min_confidence=options.min_confidence,
            per_modality=options.per_modality,
            with_names=with_names,
        )
        table = shown.table()
        return table.sort_values(["start", "person"], kind="stable") if len(persons) > 1 else table

    def _voice(self) -> dict[str, float] | None:
        voice = next((self._current_voice(m) for m in self._voices), None)
        return None if voice is None else self._named(voice)

    def _current_voice(self, modality: str) -> np.ndarray | None:
        window = self._voices.get(modality)
        return window.probabilities if window is not None and window.end >= self._time - _LATEST else None

    def _named(self, values: np.ndarray) -> dict[str, float]:
        probabilities = values.astype(np.float64) / max(float(values.sum()), 1e-9)
        return dict(zip(self._predictor.bundle.label_set.names, np.round(probabilities, 6).tolist(), strict=True))

    def _latest_faces(self) -> list[LiveFace]:
        """The faces of the latest frame with their scores."""
        stream = self._session.faces
        if stream is None or stream.latest is None or not stream.latest.faces:
            return []
        found, (width, height) = stream.latest.faces, stream.latest.size
        scored = {id(face.face): face for face in stream.unsmoothed}
        faces = [scored.get(id(each.face)) for each in found]
        persons = [None if face is None else self._person(face) for face in faces]
        fused = self._fused(faces, [None if person is None else person[0] for person in persons])
        result = []
        for each, face, person, row, valid in zip(found, faces, persons, fused.values, fused.valid, strict=True):
            x, y, w, h = (each.face.box / [width, height, width, height]).tolist()
            number, name = person or (None, None)
            probabilities = self._named(row) if valid and face is not None else None
            confidence = None if probabilities is None else max(probabilities.values())
            emotion = None if probabilities is None else max(probabilities, key=lambda label: probabilities[label])
            if confidence is not None and confidence < self._predictor.options.min_confidence:
                emotion = UNCERTAIN
            status = _status(face, scored=probabilities is not None)
            result.append(LiveFace(number, name, (x, y, w, h), probabilities, emotion, confidence, status))
        return result

    def _person(self, face: ScoredFace) -> tuple[int, str | None] | None:
        """The person of a face whose `person` is its track."""
        stream = self._session.faces
        assert stream is not None
        return (face.person, None) if stream.persons is None else stream.persons.person_of(face.person)

    def _fused(self, faces: list[ScoredFace | None], persons: list[int | None]) -> Scores:
        """Scores of faces of one frame, as those of a row: one row for each face."""
        bundle, n = self._predictor.bundle, len(faces)
        labels, modalities = bundle.label_set, bundle.modalities
        moments = Timeline(np.full(n, self._time, np.int64), np.full(n, self._time + 1, np.int64))
        readable = [face is not None and not face.turned for face in faces]
        singles = [m for m in modalities if kind(m) == FACE]
        scores = {}
        for modality in modalities:
            rows: list[np.ndarray | None]
            if modality in singles:
                column = singles.index(modality) * len(labels)
                rows = [None if face is None else face.values[column : column + len(labels)] for face in faces]
            elif kind(modality) == WINDOWS:
                rows = [self._current_window(person, modality) for person in persons]
            else:
                rows = [self._current_voice(modality)] * n if kind(modality) == VOICE else [None] * n
            usable = [True] * n if kind(modality) == VOICE else readable
            valid = np.array([row is not None and use for row, use in zip(rows, usable, strict=True)], bool)
            empty = np.zeros(len(labels), np.float32)
            values = np.stack([empty if row is None else row for row in rows])
            scores[modality] = Scores(values, moments, labels, valid, modality)
        if bundle.fusion is None:
            return next(iter(scores.values()))
        return bundle.fusion(scores, visible=np.full(n, sum(readable)))

    def _current_window(self, person: int | None, modality: str) -> np.ndarray | None:
        window = None if person is None else self._windows.get((person, modality))
        return window.probabilities if window is not None and window.end >= self._time - _LATEST else None


def _status(face: ScoredFace | None, *, scored: bool) -> str:
    if face is None or not (scored or face.turned):
        return WAITING
    if face.turned:
        return VOICE_ONLY if scored else TURNED
    return OK
