"""The one path from frames and audio to scores: files, folders, webcams and tests all push into a `Session`.

A session keeps nothing beyond its lookahead, so its memory does not grow with the length of the video, and its results
do not depend on how the frames and the audio were divided into pushes.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from emofuse.core.prefetch import chunks, prefetch
from emofuse.errors import ShapeError
from emofuse.inference.audio_stages import AudioStream, AudioWindowScore
from emofuse.inference.face_stages import FaceStream, FaceWindowScore, FrameTime, ScoredFace, TrackedFaces
from emofuse.inference.mouths import MouthSecond
from emofuse.inference.sampling import LipFrames, Sampling
from emofuse.media.audio import AudioBlock
from emofuse.media.video import Frame
from emofuse.speech.active_speaker import VoiceChunk, VoiceChunks
from emofuse.systems import VOICE

_FRAMES_AT_ONCE = 4  # frames that are kept in memory together; twice as many are scored together
_PARTS_WITH_MOUTHS = 12  # of so many frames, which are scored together where most frames only show mouths


class Step(NamedTuple):
    """One row of every person's timeline: [start, end) in ticks, and the index of the frame on screen (-1: none)."""

    start: int
    end: int
    frame: int


@dataclass
class SessionOutput:
    """What a push completed: steps that ended, scores of faces, windows of faces and windows of audio, and what shows
    who speaks."""

    steps: list[Step] = field(default_factory=list)
    faces: list[ScoredFace] = field(default_factory=list)
    face_windows: list[FaceWindowScore] = field(default_factory=list)
    audio_windows: list[AudioWindowScore] = field(default_factory=list)
    mouths: list[MouthSecond] = field(default_factory=list)
    voices: list[VoiceChunk] = field(default_factory=list)


class _Detected(NamedTuple):
    """Frames whose faces were found: the steps that they complete, the start of the last one, and the faces."""

    steps: list[Step]
    reached: int
    tracked: TrackedFaces | None

    @classmethod
    def joined(cls, parts: Sequence[_Detected]) -> _Detected:
        steps = [step for part in parts for step in part.steps]
        tracked = [part.tracked for part in parts if part.tracked is not None]
        faces = [face for part in tracked for face in part.faces]
        return cls(steps, parts[-1].reached, TrackedFaces(faces, tracked[-1].complete) if tracked else None)


class _Shown(NamedTuple):
    """The frame on screen, and the number of the step in which it starts."""

    start: int
    frame: int
    step: int


class Session:
    """Takes the frames and the audio of one video, each in the order of time, and returns scores as they are complete.

    Args:
        faces: the face stages of this video; None for a session that processes audio only, whose frames need no image.
        audio: the audio stages of this video by modality; empty for a session that processes faces only.
        voices: of the audio of the first modality, if it is to be found out who speaks; `faces` then follows mouths.
    """

    def __init__(
        self,
        sampling: Sampling,
        *,
        faces: FaceStream | None = None,
        audio: Mapping[str, AudioStream] = MappingProxyType({}),
        voices: VoiceChunks | None = None,
    ) -> None:
        self._sampling, self.faces, self._audio, self._voices = sampling, faces, audio, voices
        self._shown: _Shown | None = None
        self._lips = LipFrames()
        self._closed = False

    def wants(self, start: int) -> bool:
        """Whether a frame that starts at `start` (ticks) will be processed; others need no image."""
        if self._sampling.rate_hz is None or self._shown is None:
            return True
        return self._sampling.step_of(start) > self._shown.step

    def uses(self, start: int) -> bool:
        """Whether the image of a frame that starts at `start` (ticks) is used: it is wanted, or shows who speaks."""
        return self.wants(start) or (self.follows_mouths and self._lips.shows(start))

    def push_frames(self, frames: Iterable[Frame | FrameTime]) -> SessionOutput:
        """Process the next frames, without those that are not wanted.

        Raises:
            ShapeError: a frame does not start after the one before it, or the session is closed.
        """
        self._refuse_if_closed()
        output = SessionOutput()
        for chunk in chunks(iter(frames), _FRAMES_AT_ONCE):
            scored = self._scored(self._detected(chunk))
            output.steps += scored.steps
            output.faces += scored.faces
            output.face_windows += scored.face_windows
            output.mouths += scored.mouths
        return output

    def outputs(self, frames: Iterator[Frame]) -> Generator[tuple[int, SessionOutput], None, None]:
        """The same, in parts as frames are processed, each with the start of its last frame (ticks).

        Frames are produced, their faces found, and these scored, in three threads that hand over a few at a time.

        Raises:
            ShapeError: as `push_frames`; other exceptions are those of the frames.
        """
        self._refuse_if_closed()
        detected = map(self._detected, prefetch(chunks(frames, _FRAMES_AT_ONCE)))
        for parts in prefetch(chunks(detected, _PARTS_WITH_MOUTHS if self.follows_mouths else 2)):
            yield parts[-1].reached, self._scored(_Detected.joined(parts))

    def push_audio(self, block: AudioBlock, modality: str = VOICE) -> SessionOutput:
        """Process the next block of audio for a modality; a session without its stages ignores it.

        Raises:
            ShapeError: the block does not begin where the one before it ended, has another rate than the stages, or
                the session is closed.
        """
        if modality not in self._audio:
            return SessionOutput()
        windows = self._audio[modality].push(block)
        first = self._voices is not None and modality == next(iter(self._audio))
        voices = self._voices.push(block) if first and self._voices is not None else []
        return SessionOutput(audio_windows=[w._replace(modality=modality) for w in windows], voices=voices)

    def advance(self, time: int) -> SessionOutput:
        """Complete the steps before `time` (ticks), which show the frame on screen: no frame is pushed for them.

        Frames that start before the end of the step at `time` are not wanted any more.
        """
        self._refuse_if_closed()
        output = SessionOutput()
        if self._sampling.rate_hz is not None:
            step, shown = self._sampling.step_of(time), self._shown or _Shown(-1, -1, 0)
            if step > shown.step:
                output.steps = self._steps_until(step)
                self._shown = shown._replace(step=step)
        if self.faces is not None:
            output.faces, output.face_windows = self.faces.advance(time)
            output.mouths = [] if self.faces.mouths is None else self.faces.mouths.take()
        return output

    @property
    def audio_rates(self) -> dict[str, int]:
        """Sample rates of the audio (Hz), by modality."""
        return {modality: stream.rate_hz for modality, stream in self._audio.items()}

    def audio_certain(self, modality: str) -> int:
        """The time (ticks) before which no score of a modality of audio begins that is returned later."""
        return self._audio[modality].certain

    def audio_lookahead(self, modality: str) -> int:
        """Ticks of audio after a moment until its scores are certain."""
        return self._audio[modality].lookahead

    def close(self, end: int, *, frames_end: int | None = None) -> SessionOutput:
        """End the session at `end` (ticks): the last steps, and all scores that were not complete yet.

        frames_end: where the last frame ends (ticks), if that is earlier; steps that start later show no frame.
        """
        self._closed = True
        output, frames_end = SessionOutput(), end if frames_end is None else frames_end
        if self._sampling.rate_hz is not None and end > 0:
            steps = self._steps_until(self._sampling.step_of(end - 1) + 1, cut=end)
            output.steps = [step if step.start < frames_end else step._replace(frame=-1) for step in steps]
        if self.faces is not None:
            output.faces, output.face_windows = self.faces.close(frames_end)
            output.mouths = [] if self.faces.mouths is None else self.faces.mouths.take()
        output.voices = [] if self._voices is None else self._voices.close()
        output.audio_windows = [
            window._replace(modality=modality) for modality, stream in self._audio.items() for window in stream.close()
        ]
        return output

    @property
    def follows_mouths(self) -> bool:
        """Whether frames between those that are processed are used, to find out who speaks."""
        return self.faces is not None and self.faces.mouths is not None

    def ignore_speakers(self) -> None:
        """Do not find out who speaks; called before anything is pushed."""
        self._voices = None
        if self.faces is not None:
            self.faces.mouths = None

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ShapeError("Session: frames pushed after close(); open a new session for a new video.")

    def _detected(self, frames: Iterable[Frame | FrameTime]) -> _Detected:
        steps: list[Step] = []
        wanted = self._wanted(frames, steps)  # frames between the wanted ones pass on the way
        tracked = None
        if self.faces is not None:
            tracked = self.faces.detect(wanted)
        deque(wanted, 0)  # without faces, only the steps are needed
        return _Detected(steps, self._shown.start if self._shown else 0, tracked)

    def _scored(self, detected: _Detected) -> SessionOutput:
        output = SessionOutput(detected.steps)
        if self.faces is not None and detected.tracked is not None:
            output.faces, output.face_windows = self.faces.score(detected.tracked)
            output.mouths = [] if self.faces.mouths is None else self.faces.mouths.take()
        return output

    def _wanted(self, frames: Iterable[Frame | FrameTime], steps: list[Step]) -> Iterator[Frame | FrameTime]:
        """The frames that are processed; adds the steps that they complete."""
        for frame in frames:
            if self._shown is not None and frame.start <= self._shown.start:
                raise ShapeError(
                    f"Session: frame {frame.index} starts at {frame.start}, not after the frame before it "
                    f"({self._shown.start}); push frames in the order of their time."
                )
            shows_lips = self._lips(frame.start)
            if not self.wants(frame.start):
                if shows_lips and self.faces is not None and isinstance(frame, Frame):
                    self.faces.follow(frame)
                continue
            if self._sampling.rate_hz is None:
                steps.append(Step(frame.start, frame.end, frame.index))
                step = 0
            else:
                step = self._sampling.step_of(frame.start)
                steps += self._steps_until(step)
            self._shown = _Shown(frame.start, frame.index, step)
            yield frame

    def _steps_until(self, step: int, *, cut: int | None = None) -> list[Step]:
        """The steps before number `step`, which show the frame on screen; the last one may be cut short."""
        first, frame = (self._shown.step, self._shown.frame) if self._shown else (0, -1)
        bounds = [self._sampling.bound(k) for k in range(first, step + 1)]
        if cut is not None:
            bounds[-1] = min(bounds[-1], cut)
        return [Step(start, end, frame) for start, end in itertools.pairwise(bounds)]
