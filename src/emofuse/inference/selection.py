"""Which part of a file is processed: from when to when, and which of several tracks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emofuse.core.files import printable
from emofuse.core.time import Ints, Timeline, seconds, ticks
from emofuse.datasets.records import seconds_of
from emofuse.errors import MediaError, SettingsError
from emofuse.inference.session import SessionOutput, Step
from emofuse.media.audio import AudioBlock
from emofuse.media.audio_clock import sample_time
from emofuse.media.container import MediaFile, TrackInfo


@dataclass(frozen=True)
class Selection:
    """A part of a file. start, end: ticks, clip time; end is None for the end of the file.

    video_track, audio_track: number of a track among those of its kind, from 1, or its language; None to choose it.
    """

    start: int = 0
    end: int | None = None
    video_track: str | None = None
    audio_track: str | None = None

    @classmethod
    def parse(
        cls,
        start: float | str | None = None,
        end: float | str | None = None,
        video_track: int | str | None = None,
        audio_track: int | str | None = None,
    ) -> Selection:
        """A selection as users give it: times in seconds, mm:ss or hh:mm:ss.

        Raises:
            SettingsError: a time is none, or the end is not after the start.

        >>> Selection.parse("1:30", "100").seconds
        {'start': 90.0, 'end': 100.0}
        """
        first, last = _time(start, "--start") or 0, _time(end, "--end")
        if last is not None and last <= first:
            raise SettingsError(f"--end {end}: is not after the start ({seconds(first):g} s); give a later time.")
        tracks = (None if track is None else str(track) for track in (video_track, audio_track))
        return cls(first, last, *tracks)

    @property
    def seconds(self) -> dict[str, float]:
        """The times that were given, in seconds, for the metadata."""
        end = {} if self.end is None else {"end": seconds(self.end)}
        return ({"start": seconds(self.start)} if self.start else {}) | end

    def until(self, end: int) -> int:
        """The end of the part in a file that ends at `end`, in ticks."""
        return end if self.end is None else min(end, self.end)

    def frames(self, timeline: Timeline, wanted: Ints | None) -> Ints | None:
        """The wanted frames of the part, from the one on screen at its start on; None for all frames."""
        if self == Selection(video_track=self.video_track, audio_track=self.audio_track):
            return wanted
        numbers = np.arange(len(timeline)) if wanted is None else wanted
        return numbers[timeline[numbers].during(self.start, self.end)]

    def output(self, output: SessionOutput) -> SessionOutput:
        """The output of a session on the clock of the file: rows at the ends of the part are cut, and windows of audio
        are moved to where they were in the file."""
        windows = [w._replace(start=w.start + self.start, end=w.end + self.start) for w in output.audio_windows]
        return replace(output, steps=self._steps(output.steps), audio_windows=windows)

    def _steps(self, steps: Sequence[Step]) -> list[Step]:
        end = math.inf if self.end is None else self.end
        return [
            Step(max(step.start, self.start), int(min(step.end, end)), step.frame)
            for step in steps
            if step.end > self.start and step.start < end
        ]

    def audio(self, block: AudioBlock) -> AudioBlock | None:
        """What a block holds of the part, on a clock that begins with the part; None if that is nothing."""
        rate = block.rate_hz
        first = round(block.start * rate / ticks(1))
        last = first + len(block.samples)
        stop = last if self.end is None else min(last, _samples(self.end, rate))
        origin = _samples(self.start, rate)
        start = max(first, origin)
        if start >= stop:
            return None
        return AudioBlock(block.samples[start - first : stop - first], sample_time(start - origin, rate), rate)

    def video_stream(self, file: MediaFile) -> int | None:
        """The index of the stream of the video track that was given; None to choose it.

        Raises:
            MediaError: the file has no such track.
        """
        return _stream(file, "video", self.video_track)

    def audio_stream(self, file: MediaFile) -> int | None:
        """The index of the stream of the audio track that was given; None to choose it.

        Raises:
            MediaError: the file has no such track.
        """
        return _stream(file, "audio", self.audio_track)


def listed_tracks(file: MediaFile, taken: Sequence[int | None]) -> list[dict[str, Any]]:
    """The tracks of a file for the metadata, with those that were taken (indices of streams)."""
    return [
        {
            "kind": t.kind,
            "track": t.number,
            "stream": t.stream,
            "language": t.language,
            "codec": t.codec,
            "taken": t.stream in taken,
        }
        for t in file.tracks
    ]


def _time(given: float | str | None, option: str) -> int | None:
    if given is None:
        return None
    found = seconds_of(str(given))
    if found is None:
        raise SettingsError(f"{option} {given}: is not a time; give seconds, mm:ss or hh:mm:ss.")
    return ticks(found)


def _samples(time: int, rate_hz: int) -> int:
    """The number of the first sample at or after a time in ticks."""
    return -(-time * rate_hz // ticks(1))


def _stream(file: MediaFile, kind: str, given: str | None) -> int | None:
    if given is None:
        return None
    tracks = [track for track in file.tracks if track.kind == kind]
    fitting = [t for t in tracks if given.lower() in (str(t.number), (t.language or "").lower())]
    found = next((t for t in fitting if t.decodable), None)
    if found is None:
        reason = "is in a format that cannot be decoded here" if fitting else "there is none"
        known = ", ".join(map(_described, tracks)) or f"no {kind} track"
        raise MediaError(f"{printable(file.path)}: --{kind}-track {given}: {reason}; the file has {known}.")
    return found.stream


def _described(track: TrackInfo) -> str:
    return f"{track.number} ({', '.join(filter(None, (track.language, track.codec)))})"
