"""Clips of one talking head each: the mouth at the rate of the video, and the voice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emofuse.core.time import TICKS_PER_SECOND
from emofuse.datasets import open_data
from emofuse.errors import DataError
from emofuse.faces.cuts import thumbnail
from emofuse.faces.default import DefaultDetector
from emofuse.faces.mouth import Mouths, MouthSampler
from emofuse.faces.search import FaceSearch
from emofuse.inference.sampling import Sampling
from emofuse.media.audio import AudioReader
from emofuse.media.video import VideoReader
from emofuse.speech.active_speaker import RATE_HZ

Floats = NDArray[np.float32]
_SEARCHED = Sampling(Fraction(5))


@dataclass(frozen=True, eq=False)
class TalkingClip:
    """times: float64 [n], seconds; crops: uint8 [n, size, size] of the mouth then; samples: float32 at 16 kHz."""

    name: str
    speaker: str
    times: NDArray[np.float64]
    crops: NDArray[np.uint8]
    samples: Floats

    @property
    def seconds(self) -> float:
        """Duration of what has both mouth and voice."""
        return min(float(self.times[-1]) + 0.04, len(self.samples) / RATE_HZ)


def read_clips(data: Path) -> list[TalkingClip]:
    """The clips of a data set whose speakers are known.

    Raises:
        DataError: the data set cannot be read, a clip has no speaker, or none shows a mouth and has audio.
    """
    found = []
    for clip in open_data(data).split(None):
        if clip.subject is None:
            raise DataError(f"{data}: {clip.id} has no speaker; give a table with a column speaker.")
        if clip.video is None or (mouths := followed(Path(clip.video))) is None:
            continue
        with AudioReader(Path(clip.audio or clip.video), rate_hz=RATE_HZ) as audio:
            samples = np.concatenate([np.zeros(0, np.float32), *(block.samples for block in audio.blocks())])
        if len(samples):
            times = mouths.times / TICKS_PER_SECOND
            found.append(TalkingClip(clip.id, clip.subject, times, mouths.crops, samples))
    if not found:
        raise DataError(f"{data}: no clip shows a mouth and has audio; give clips of talking heads.")
    return found


def followed(path: Path) -> Mouths | None:
    """The mouth of the largest face of a video in all its frames; None if no face is found."""
    search, sampler, parts = FaceSearch(DefaultDetector()), MouthSampler(), list[Mouths]()
    with VideoReader(path, threads=1) as video:
        searched = _SEARCHED.wanted(video.timeline)
        wanted = set([] if searched is None else searched.tolist())
        for frame in video.frames():
            if frame.index not in wanted:
                sampler.between(frame)
                continue
            luma = frame.luma()
            faces = search.push(frame.start, luma, thumbnail(luma))
            mouths = sampler.detected(frame, faces)
            if faces and (mouth := mouths[int(np.argmax([face.box[3] for face in faces]))]) is not None:
                parts.append(mouth)
    return joined(parts) if parts else None


def joined(parts: Sequence[Mouths]) -> Mouths:
    """Mouths of successive intervals."""
    return Mouths(np.concatenate([p.times for p in parts]), np.concatenate([p.crops for p in parts]))
