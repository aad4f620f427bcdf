"""Faces of a clip and their embeddings as tracks; both are computed once and cached by digest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from emofuse.core.arrays import ArrayFormat
from emofuse.core.files import atomic, digest, file_digest, printable
from emofuse.core.time import Timeline
from emofuse.core.types import Clip, Track
from emofuse.datasets import DataSet
from emofuse.errors import DataError
from emofuse.faces.bordered import BorderedDetector
from emofuse.faces.crop import Crop
from emofuse.faces.detector import Detector
from emofuse.inference.face_stages import FaceStages
from emofuse.inference.sampling import Sampling
from emofuse.inference.session import Session, SessionOutput
from emofuse.media.photograph import is_photograph, open_frames
from emofuse.models.face import FaceScorer

_BATCH = 64
_FORMAT = ArrayFormat("cache of faces", 1, remedy="delete it", error=DataError)
_UNREADABLE = (OSError, ValueError, EOFError, KeyError, DataError)


@dataclass(frozen=True)
class LazyFaces:
    """Faces of a clip that are not read yet. identity: all that determines them, as JSON values; track: reads them."""

    identity: Callable[[], dict[str, Any]]
    track: Callable[[], Track]


@dataclass(frozen=True)
class FaceSource:
    """The faces of a data set's clips: its own images if it has any, else cropped from its videos.

    folder: cache of cropped faces, which are read from it on access.
    rate_hz: faces per second; None for every frame.
    """

    data: DataSet
    crop: Crop
    detector: Detector
    folder: Path
    rate_hz: Fraction | None = Fraction(5)

    def __call__(self, clip: Clip) -> Track:
        """Faces uint8 [n, side, side, 3] of a clip's person; rows without a face are not valid.

        Raises:
            DataError: the clip has no video.
            MediaError: its video cannot be read.
        """
        return self.find(clip).track()

    def find(self, clip: Clip) -> LazyFaces:
        """The same, not yet read or cropped."""
        rate = "every frame" if self.rate_hz is None else str(self.rate_hz)
        if (track := self.data.faces(clip)) is not None:
            rows = Sampling(self.rate_hz).wanted(track.timeline)
            chosen = track if rows is None or len(rows) == len(track.timeline) else _rows_of(track, rows)
            return LazyFaces(lambda: _images_identity(chosen) | {"rate_hz": rate}, lambda: chosen)
        if clip.video is None:
            raise DataError(f"{clip.id}: has no video, so there are no faces; leave it out of the list.")
        video = clip.video
        detector = BorderedDetector(self.detector) if is_photograph(video) else self.detector

        def identity() -> dict[str, Any]:
            by = {"crop": self.crop.to_json(), "detector": detector.identity}
            return by | {"video": _digest_of(video), "rate_hz": rate}

        return LazyFaces(identity, lambda: self._cropped(clip, detector, self.folder / digest(identity())))

    def _cropped(self, clip: Clip, detector: Detector, path: Path) -> Track:
        assert clip.video is not None
        faces, record = path.with_suffix(".npy"), path.with_suffix(".safetensors")
        cached = _cached_faces(faces, record, clip)
        if cached is None:
            sampling = Sampling(self.rate_hz)
            timeline, valid = crop_faces(clip.video, self.crop, detector, sampling=sampling, path=faces)
            # Written last: it marks the faces as complete.
            _FORMAT.write(record, _clock_arrays(timeline, valid))
            cached = _cached_faces(faces, record, clip)
            assert cached is not None
        return cached


def crop_faces(
    video: Path, crop: Crop, detector: Detector, *, sampling: Sampling, path: Path
) -> tuple[Timeline, NDArray[np.bool_]]:
    """Write the faces of the person who is in most frames of a video to an npy file, uint8 [frames, side, side, 3]; of
    several such persons, as in a photograph, the one with the largest face.

    The crops of all persons go to a temporary file first, so that memory does not grow with the length of the video.

    Returns:
        The timeline of the sampled frames, and whether the person is in each; rows without the person are black.
    Raises:
        MediaError: the video cannot be read.
        OutputError: the file cannot be written.
    """
    with atomic(path) as partial, TemporaryFile(dir=path.parent) as crops, partial.open("wb") as out:
        timeline, persons = _crop_all(video, crop, detector, sampling=sampling, crops=crops)
        main = max(persons.values(), key=lambda person: (len(person.numbers), person.size), default=_Person())
        numbers = main.numbers
        shape = (len(timeline), crop.size, crop.size, 3)
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
        size = int(np.prod(shape[1:]))
        for row in range(len(timeline)):
            if row in numbers:
                crops.seek(numbers[row] * size)
            out.write(crops.read(size) if row in numbers else bytes(size))
    return timeline, np.isin(np.arange(len(timeline)), list(numbers))


@dataclass
class _Person:
    """A person of a video: the number of the crop in each row, and the area of the largest face in pixels."""

    numbers: dict[int, int] = field(default_factory=dict)
    size: float = 0.0


def _crop_all(
    video: Path, crop: Crop, detector: Detector, *, sampling: Sampling, crops: IO[bytes]
) -> tuple[Timeline, dict[int, _Person]]:
    """Append all crops of a video to `crops`; returns the persons with the numbers of their crops."""
    stages = FaceStages(crop, detector, _Unscored())
    session = Session(sampling, faces=stages.stream(sampling))
    persons: dict[int, _Person] = {}
    numbers = count()

    with open_frames(video) as reader:
        wanted = sampling.wanted(reader.timeline)

        def keep(output: SessionOutput) -> None:
            for face in output.faces:
                crops.write(face.values.tobytes())
                row = face.frame if wanted is None else int(np.searchsorted(wanted, face.frame))
                person = persons.setdefault(face.person, _Person())
                person.numbers[row] = next(numbers)
                person.size = max(person.size, float(face.face.box[2:].prod()))

        timeline = reader.timeline if wanted is None else reader.timeline[wanted]
        for _, output in session.outputs(reader.frames(wanted)):
            keep(output)
        keep(session.close(reader.end))
    return timeline, persons


class _Unscored:
    """Takes the place of the scorer in a session, and returns the crops themselves."""

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return crops


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of the faces of clips, computed once and cached in `folder` under their digest.

    net: identifies the network, such as the SHA-256 of its file.
    """

    faces: FaceSource
    scorer: FaceScorer
    net: str
    folder: Path

    def __call__(self, clip: Clip) -> Track:
        """Embeddings float32 [n, features] of a clip; zeros where there is no face."""
        faces = self.faces.find(clip)
        path = self.folder / f"{digest({'net': self.net, 'faces': faces.identity()})}.safetensors"
        try:
            arrays, _ = _FORMAT.read(path)
            return Track(arrays["values"], *_clock(arrays), clip.id)
        except _UNREADABLE:
            pass  # missing or incomplete: computed again
        track = self._embedded(faces.track())
        _FORMAT.write(path, {"values": track.values, **_clock_arrays(track.timeline, track.valid)})
        return track

    def _embedded(self, faces: Track) -> Track:
        rows = np.flatnonzero(faces.valid)
        batches = [
            self.scorer(np.asarray(faces.values[rows[n : n + _BATCH]])) for n in range(0, max(len(rows), 1), _BATCH)
        ]
        values = np.zeros((len(faces.valid), batches[0].shape[1]), np.float32)
        values[rows] = np.concatenate(batches)
        return replace(faces, values=values)


@dataclass(frozen=True, eq=False)
class _StoredFaces:
    """Faces in an npy file that is open only while rows are read: data sets have more clips than a process files."""

    path: Path
    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        return np.array(np.load(self.path, mmap_mode="r")[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)


def _rows_of(track: Track, rows: NDArray[np.int64]) -> Track:
    values = replace(track.values, paths=[track.values.paths[r] for r in rows])  # type: ignore[type-var, attr-defined]
    return replace(track, values=values, timeline=track.timeline[rows], valid=track.valid[rows])


def _images_identity(track: Track) -> dict[str, Any]:
    paths = track.values.paths  # type: ignore[attr-defined]
    files = [None if p is None else (p.name, p.stat().st_size) for p in paths]
    times = {"start": track.timeline.start.tolist(), "end": track.timeline.end.tolist()}
    return {"images": digest({"files": files}), "times": digest(times)}


def _digest_of(video: Path) -> str:
    try:
        state = video.stat()
        return _file_digest(video, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise DataError(f"{printable(video)}: cannot be read ({error.strerror}); run emofuse data check.") from None


@cache
def _file_digest(path: Path, size: int, changed_ns: int) -> str:
    del size, changed_ns  # part of the key of the cache, so that a changed file is read again
    return file_digest(path)


def _cached_faces(faces: Path, record: Path, clip: Clip) -> Track | None:
    try:
        timeline, valid = _clock(_FORMAT.read(record)[0])
        values = _StoredFaces(faces, np.load(faces, mmap_mode="r").shape)
        return Track(values, timeline, valid, clip.id) if len(values) == len(timeline) else None  # type: ignore[arg-type]
    except _UNREADABLE:
        return None  # missing or incomplete


def _clock(arrays: Mapping[str, NDArray[Any]]) -> tuple[Timeline, NDArray[np.bool_]]:
    return Timeline(arrays["start"], arrays["end"]), arrays["valid"]


def _clock_arrays(timeline: Timeline, valid: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    return {"valid": valid, "start": timeline.start, "end": timeline.end}
