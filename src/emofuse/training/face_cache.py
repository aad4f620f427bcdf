"""Faces of a clip, and embeddings of them, as tracks; both are made once and kept by digest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
from emofuse.core.prefetch import chunks, prefetch
from emofuse.core.time import Timeline
from emofuse.core.types import Clip, Track
from emofuse.datasets import DataSet
from emofuse.errors import DataError
from emofuse.faces.crop import Crop
from emofuse.inference.face_stages import FRAMES_AT_ONCE, FaceStages
from emofuse.inference.sampling import Sampling
from emofuse.inference.session import Session, SessionOutput
from emofuse.media.video import VideoReader
from emofuse.models.detectors import ChosenDetector
from emofuse.models.face import FaceScorer

_KEPT_TOGETHER = 64
_FORMAT = ArrayFormat("cache of faces", 1, remedy="delete it", error=DataError)
_NOT_WHOLE = (OSError, ValueError, EOFError, KeyError, DataError)


@dataclass(frozen=True)
class Found:
    """Faces of a clip that are not read yet. identity: all that decides them, as JSON values; track: reads them."""

    identity: Callable[[], dict[str, Any]]
    track: Callable[[], Track]


@dataclass(frozen=True)
class FaceSource:
    """Where the faces of a data set's clips come from: its own images if it has any, else cut from its videos.

    folder: where faces that were cut are kept, to be read from there as they are needed.
    rate_hz: faces a second; None for every frame.
    """

    data: DataSet
    crop: Crop
    detector: ChosenDetector
    folder: Path
    rate_hz: Fraction | None = Fraction(5)

    def __call__(self, clip: Clip) -> Track:
        """Faces uint8 [n, side, side, 3] of a clip's person; a moment without a face is not valid.

        Raises:
            DataError: the clip has no picture.
            MediaError: its video cannot be read.
        """
        return self.find(clip).track()

    def find(self, clip: Clip) -> Found:
        """The same, not yet read or cut."""
        rate = "every frame" if self.rate_hz is None else str(self.rate_hz)
        if (track := self.data.faces(clip)) is not None:
            rows = Sampling(self.rate_hz).wanted(track.timeline)
            chosen = track if rows is None or len(rows) == len(track.timeline) else _rows_of(track, rows)
            return Found(lambda: _of_images(chosen) | {"rate_hz": rate}, lambda: chosen)
        if clip.video is None:
            raise DataError(f"{clip.id}: has no picture, so there are no faces; leave it out of the list.")
        video = clip.video

        def identity() -> dict[str, Any]:
            by = {"crop": self.crop.to_json(), "detector": self.detector.identity}
            return by | {"video": _content(video), "rate_hz": rate}

        return Found(identity, lambda: self._cut(clip, video, self.folder / digest(identity())))

    def _cut(self, clip: Clip, video: Path, path: Path) -> Track:
        faces, record = path.with_suffix(".npy"), path.with_suffix(".safetensors")
        kept = _kept_faces(faces, record, clip)
        if kept is None:
            sampling = Sampling(self.rate_hz)
            timeline, valid = cut_faces(video, self.crop, self.detector, sampling=sampling, path=faces)
            # Last, since it says that the faces are whole.
            _FORMAT.write(record, _clock_arrays(timeline, valid))
            kept = _kept_faces(faces, record, clip)
            assert kept is not None
        return kept


def cut_faces(
    video: Path, crop: Crop, detector: ChosenDetector, *, sampling: Sampling, path: Path
) -> tuple[Timeline, NDArray[np.bool_]]:
    """Write the faces of the person that a video shows most often to an npy file, uint8 [pictures, side, side, 3].

    Crops wait in a file until it is known whose they are, so that memory does not grow with the length of the video.

    Returns:
        The time of each picture that was looked at, and whether the person is in it; rows without are black.
    Raises:
        MediaError: the video cannot be read.
        OutputError: the file cannot be written.
    """
    with atomic(path) as partial, TemporaryFile(dir=path.parent) as crops, partial.open("wb") as out:
        timeline, found = _seen(video, crop, detector, sampling=sampling, crops=crops)
        place = max(found.values(), key=len, default={})
        shape = (len(timeline), crop.size, crop.size, 3)
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
        one = int(np.prod(shape[1:]))
        for picture in range(len(timeline)):
            if picture in place:
                crops.seek(place[picture] * one)
            out.write(crops.read(one) if picture in place else bytes(one))
    return timeline, np.isin(np.arange(len(timeline)), list(place))


def _seen(
    video: Path, crop: Crop, detector: ChosenDetector, *, sampling: Sampling, crops: IO[bytes]
) -> tuple[Timeline, dict[int, dict[int, int]]]:
    """All crops of a video, one after the other into `crops`; their numbers by person and picture."""
    stages = FaceStages(crop, detector.detector, _Crops(), detector.parallel_map)
    session = Session(sampling, faces=stages.stream(sampling))
    found: dict[int, dict[int, int]] = {}
    numbers = count()

    with VideoReader(video) as reader:
        wanted = sampling.wanted(reader.timeline)

        def keep(output: SessionOutput) -> None:
            for seen in output.faces:
                crops.write(seen.values.tobytes())
                row = seen.frame if wanted is None else int(np.searchsorted(wanted, seen.frame))
                found.setdefault(seen.person, {})[row] = next(numbers)

        timeline = reader.timeline if wanted is None else reader.timeline[wanted]
        for chunk in prefetch(chunks(reader.frames(wanted), FRAMES_AT_ONCE)):
            keep(session.push_frames(chunk))
        keep(session.close(reader.end))
    return timeline, found


class _Crops:
    """Faces as they are, where a session wants a net."""

    batch = 16

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return crops


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of the faces of clips, each computed once and kept in `folder` under its digest.

    net: what tells this net from every other, such as the SHA-256 of its file.
    """

    faces: FaceSource
    scorer: FaceScorer
    net: str
    folder: Path

    def __call__(self, clip: Clip) -> Track:
        """Embeddings float32 [n, features] of a clip; zeros where there is no face."""
        found = self.faces.find(clip)
        path = self.folder / f"{digest({'net': self.net, 'faces': found.identity()})}.safetensors"
        try:
            kept, _ = _FORMAT.read(path)
            return Track(kept["values"], *_clock(kept), clip.id)
        except _NOT_WHOLE:
            pass  # not there, or not whole: it is made anew
        track = self._embedded(found.track())
        _FORMAT.write(path, {"values": track.values, **_clock_arrays(track.timeline, track.valid)})
        return track

    def _embedded(self, faces: Track) -> Track:
        rows = np.flatnonzero(faces.valid)
        parts = [
            self.scorer(np.asarray(faces.values[rows[n : n + _KEPT_TOGETHER]]))
            for n in range(0, max(len(rows), 1), _KEPT_TOGETHER)
        ]
        values = np.zeros((len(faces.valid), parts[0].shape[1]), np.float32)
        values[rows] = np.concatenate(parts)
        return replace(faces, values=values)


def _rows_of(track: Track, rows: NDArray[np.int64]) -> Track:
    values = replace(track.values, paths=[track.values.paths[r] for r in rows])  # type: ignore[type-var, attr-defined]
    return replace(track, values=values, timeline=track.timeline[rows], valid=track.valid[rows])


def _of_images(track: Track) -> dict[str, Any]:
    paths = track.values.paths  # type: ignore[attr-defined]
    files = [None if p is None else (p.name, p.stat().st_size) for p in paths]
    times = {"start": track.timeline.start.tolist(), "end": track.timeline.end.tolist()}
    return {"images": digest({"files": files}), "times": digest(times)}


def _content(video: Path) -> str:
    try:
        state = video.stat()
        return _file_digest(video, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise DataError(f"{printable(video)}: cannot be read ({error.strerror}); run emofuse data check.") from None


@cache
def _file_digest(path: Path, size: int, changed_ns: int) -> str:
    del size, changed_ns  # they tell the cache that the file is another now
    return file_digest(path)


def _kept_faces(faces: Path, record: Path, clip: Clip) -> Track | None:
    try:
        timeline, valid = _clock(_FORMAT.read(record)[0])
        values = np.load(faces, mmap_mode="r")
        return Track(values, timeline, valid, clip.id) if len(values) == len(timeline) else None
    except _NOT_WHOLE:
        return None  # not there, or not whole


def _clock(kept: Mapping[str, NDArray[Any]]) -> tuple[Timeline, NDArray[np.bool_]]:
    return Timeline(kept["start"], kept["end"]), kept["valid"]


def _clock_arrays(timeline: Timeline, valid: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    return {"valid": valid, "start": timeline.start, "end": timeline.end}
