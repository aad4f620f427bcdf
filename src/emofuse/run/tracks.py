"""Faces of a clip, and embeddings of them, as tracks; embeddings are computed once and kept by digest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from emofuse.core.store import array_bytes, digest, file_digest, write_bytes
from emofuse.core.time import Timeline
from emofuse.core.types import Clip, Track
from emofuse.data.dataset import DataSet
from emofuse.errors import DataError
from emofuse.media.faces.crop import Crop
from emofuse.media.video import VideoReader
from emofuse.run.session import Sampling, Session
from emofuse.systems.bundle import FaceScorer
from emofuse.systems.detectors import Chosen

_KEPT_TOGETHER = 64


class WithFaces(Protocol):
    """A data set that brings its own faces."""

    def faces(self, clip: Clip) -> Track: ...


@dataclass(frozen=True)
class FaceSource:
    """Where the faces of a data set's clips come from: its own images if it has any, else cut from its videos.

    rate_hz: faces a second; None for every frame.
    """

    data: DataSet
    crop: Crop
    detector: Chosen
    rate_hz: Fraction | None = Fraction(5)

    @property
    def own(self) -> bool:
        """Whether the data set brings its own faces."""
        return callable(getattr(self.data, "faces", None))

    def __call__(self, clip: Clip) -> Track:
        """Faces uint8 [n, side, side, 3] of a clip's person; a moment without a face is not valid.

        Raises:
            DataError: the clip has no picture.
            MediaError: its video cannot be read.
        """
        if self.own:
            track: Track = self.data.faces(clip)  # type: ignore[attr-defined]
            rows = Sampling(self.rate_hz).wanted(track.timeline)
            return track if rows is None else _rows_of(track, rows)
        if clip.video is None:
            raise DataError(f"{clip.id}: has no picture, so there are no faces; leave it out of the list.")
        return cut_faces(clip.video, self.crop, self.detector, sampling=Sampling(self.rate_hz), clip=clip.id)

    def identity(self, clip: Clip) -> dict[str, Any]:
        """All that decides the faces of a clip, as JSON values."""
        rate = "every frame" if self.rate_hz is None else str(self.rate_hz)
        content = file_digest(clip.video) if clip.video is not None else ""
        if self.own:
            track: Track = self.data.faces(clip)  # type: ignore[attr-defined]
            files = [None if p is None else (p.name, p.stat().st_size) for p in track.values.paths]  # type: ignore[attr-defined]
            return {"images": digest({"files": files}), "video": content, "rate_hz": rate}
        return {"crop": self.crop.to_json(), "detector": self.detector.identity, "video": content, "rate_hz": rate}


class _Crops:
    """Faces as they are, where a session wants a net."""

    batch = 16

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return crops


def cut_faces(video: Path, crop: Crop, detector: Chosen, *, sampling: Sampling, clip: str) -> Track:
    """The faces of the person that a video shows most often, at every picture that is looked at.

    Raises:
        MediaError: the video cannot be read.
    """
    session = Session(crop, detector.detector, _Crops(), sampling=sampling)
    found: dict[int, dict[int, NDArray[Any]]] = {}
    with VideoReader(video) as reader:
        wanted = sampling.wanted(reader.timeline)
        timeline = reader.timeline if wanted is None else reader.timeline[wanted]
        outputs = (session.push([frame]) for frame in reader.frames(wanted))
        for output in (*outputs, session.close(reader.end)):
            for seen in output.observations:
                found.setdefault(seen.person, {})[seen.picture] = seen.values
    pictures = max(found.values(), key=len, default={})
    side = getattr(crop, "size", 1)
    faces, valid = np.zeros((len(timeline), side, side, 3), np.uint8), np.zeros(len(timeline), bool)
    for picture, face in pictures.items():
        faces[picture], valid[picture] = face, True
    return Track(faces, timeline, valid, clip)


def _rows_of(track: Track, rows: NDArray[np.int64]) -> Track:
    values = replace(track.values, paths=[track.values.paths[r] for r in rows])  # type: ignore[type-var, attr-defined]
    return replace(track, values=values, timeline=track.timeline[rows], valid=track.valid[rows])


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
        path = self.folder / f"{digest({'net': self.net, 'faces': self.faces.identity(clip)})}.safetensors"
        try:
            kept = load_file(path)
            timeline = Timeline(kept["start"], kept["end"])
            return Track(kept["values"], timeline, kept["valid"].astype(bool), clip.id)
        except (OSError, SafetensorError, KeyError):
            pass  # not there, or not whole: it is made anew
        track = self._embedded(self.faces(clip))
        arrays = {"values": track.values, "valid": track.valid.astype(np.uint8)}
        arrays |= {"start": track.timeline.start, "end": track.timeline.end}
        write_bytes(path, array_bytes(arrays))
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
