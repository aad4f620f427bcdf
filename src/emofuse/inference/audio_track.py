"""Which of several audio tracks is scored: the default one, unless another one holds much more speech."""

from __future__ import annotations

from typing import NamedTuple

from emofuse.core.time import seconds, ticks
from emofuse.errors import MediaError
from emofuse.media.audio import AudioReader
from emofuse.media.container import MediaFile
from emofuse.speech import SpeechDetector

_BLOCK_SECONDS = 10.0
_SEARCHED = ticks(300)  # of each track, at most
_ENOUGH = ticks(10)  # of speech: a track with so much is not read further
_PREFERENCE = 2  # the default track is left only for one with this many times its speech


class AudioTrack(NamedTuple):
    """A chosen audio track.

    stream: index of its stream; None for the only one. note: the choice in words, "" if there was none.
    """

    stream: int | None = None
    note: str = ""


def choose_track(file: MediaFile, detector: SpeechDetector, rate_hz: int) -> AudioTrack:
    """The track of a file with the voice: the one that players would play, unless another one has twice its speech."""
    tracks = file.audio_tracks
    if len(tracks) < 2:
        return AudioTrack()
    speech = {track: _speech(file, track, detector, rate_hz) for track in tracks[:1]}
    if speech[tracks[0]] < _ENOUGH:
        speech |= {track: _speech(file, track, detector, rate_hz) for track in tracks[1:]}
    best = max(speech, key=lambda track: speech[track])  # of equal ones the first, which is the default
    if speech[best] < _PREFERENCE * speech[tracks[0]]:
        best = tracks[0]
    place = sorted(tracks).index(best) + 1
    note = f"has {len(tracks)} audio tracks: track {place} is scored, "
    if best == tracks[0]:
        return AudioTrack(best, f"{note}the default one")
    compared = f"{seconds(speech[best]):.1f} s of speech, the default one {seconds(speech[tracks[0]]):.1f} s"
    return AudioTrack(best, f"{note}which has {compared}")


def _speech(file: MediaFile, track: int, detector: SpeechDetector, rate_hz: int) -> int:
    """Ticks of speech in the first minutes of a track."""
    stream, found = detector.stream(rate_hz), 0
    try:
        with AudioReader(file, rate_hz=rate_hz, track=track) as audio:
            for block in audio.blocks(_BLOCK_SECONDS):
                found += sum(segment.end - segment.start for segment in stream.push(block) if segment.active)
                if block.end >= _SEARCHED or found >= _ENOUGH:
                    return found
    except MediaError:  # a track that cannot be read has no speech
        return found
    return found + sum(segment.end - segment.start for segment in stream.close() if segment.active)
