"""The one path from pictures and sound to scores: files, folders, webcams and tests all push into a `Session`.

A session keeps no past beyond its lookahead, so its memory does not grow with the length of the video,
and its answer does not depend on how the frames and the sound were cut into pushes.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from emofuse.errors import ShapeError
from emofuse.faces.crop import Crop
from emofuse.faces.detector import Detector, Face
from emofuse.faces.tracker import TrackedFace, Tracker, TrackerSettings
from emofuse.inference.face_windows import FaceWindowScore, Windower
from emofuse.inference.sampling import Sampling
from emofuse.inference.score_smoother import Smoother
from emofuse.inference.voice_windows import AudioWindowScore, Listener
from emofuse.media.audio import AudioBlock
from emofuse.media.video import Frame
from emofuse.models.face import Judged
from emofuse.runtime import Map

AT_ONCE = 8  # pictures of a push that threads share and whose faces share a batch; as many wait


class Scorer(Protocol):
    """What a face is turned into; `batch` faces at a time are worth waiting for.

    Where both single faces and windows of them are judged, it gives `Judged`: probabilities and embeddings at once.
    """

    @property
    def batch(self) -> int: ...

    def __call__(self, crops: NDArray[np.uint8], /) -> NDArray[Any] | Judged:
        """Crops uint8 [n, size, size, 3] to a row each, [n, ...]."""
        ...


class Step(NamedTuple):
    """One row of every person's timeline: [start, end) in ticks, judged by picture number `picture`."""

    start: int
    end: int
    frame: int  # number of the decoded frame on screen
    picture: int  # number of the picture looked at, -1 before the first one


class ScoredFace(NamedTuple):
    """A face that was found in picture number `picture`, and what the net says about it.

    values: probabilities float32 [classes], smoothed if the session does so; an embedding where only windows are
        judged.
    """

    picture: int
    person: int
    values: NDArray[np.float32]
    face: Face


@dataclass
class Output:
    """What became known by a push: rows that ended, faces whose person is settled, windows that were judged."""

    steps: list[Step] = field(default_factory=list)
    faces: list[ScoredFace] = field(default_factory=list)
    face_windows: list[FaceWindowScore] = field(default_factory=list)
    audio_windows: list[AudioWindowScore] = field(default_factory=list)


@dataclass(frozen=True)
class Timed:
    """A frame without its picture, for a session that only listens."""

    index: int
    start: int
    end: int


class _Look(NamedTuple):
    start: int
    frame: int
    step: int


class _Picture(NamedTuple):
    """What is kept of a picture: its faces, each with what was cut out, and a thumbnail."""

    faces: list[tuple[Face, NDArray[np.uint8]]]
    thumbnail: NDArray[np.uint8]


@dataclass(frozen=True)
class FaceStages:
    """How faces are judged; may serve any number of sessions.

    crop: cuts a face out of a picture.
    detector: finds faces in an upright RGB picture.
    scorer: crops to probabilities or embeddings, such as the bundle's net.
    spread: how the pictures of a push are shared out: `map` looks at one after the other.
    """

    crop: Crop
    detector: Detector
    scorer: Scorer
    spread: Map = map

    def look(self, frame: Frame | Timed) -> _Picture:
        """Find the faces of a frame and cut them out.

        Raises:
            ShapeError: the frame has no picture.
        """
        if isinstance(frame, Timed):
            raise ShapeError(f"Session: frame {frame.index} has no picture, but faces are to be judged; push frames.")
        image = frame.rgb()
        return _Picture([(face, self.crop(image, face)) for face in self.detector(image)], _thumbnail(image))


class Session:
    """Takes frames and sound, each in the order of its time, and gives steps, observations and judged windows as they
    are settled.

    Args:
        vision: None for a session that only listens; its frames need no picture.
        windower: judges windows of embeddings, if the system does so; one for each session.
        smoother: smooths what is said of single faces, if the system does so; one for each session.
        listener: judges windows of sound, if the system does so; one for each session.
    """

    def __init__(
        self,
        vision: FaceStages | None,
        *,
        sampling: Sampling,
        windower: Windower | None = None,
        smoother: Smoother[ScoredFace] | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._vision = vision
        self._sampling = sampling
        self._tracker = Tracker(TrackerSettings(confirm_frames=sampling.confirm_pictures))
        self._windower = windower
        self._smoother = smoother
        self._listener = listener
        self._crops: deque[list[tuple[Face, NDArray[np.uint8]]]] = deque()
        self._starts: deque[int] = deque()  # of the pictures in `_crops`
        self._unscored: list[tuple[TrackedFace, int, NDArray[np.uint8]]] = []
        self._pictures = self._looked = 0  # shown, and of these looked at
        self._on_screen: _Look | None = None
        self._closed = False

    @property
    def lookahead_pictures(self) -> int:
        """How many pictures later, at most, it is settled which person a face is."""
        return self._tracker.lookahead_frames

    @property
    def lookahead(self) -> int:
        """Ticks of the future that an observation needs besides: it is given `lookahead_pictures` after the first
        picture that starts so much later than its own, or at the close."""
        return self._smoother.lookahead if self._smoother is not None else 0

    def wants(self, start: int) -> bool:
        """Whether a frame that starts at `start` (ticks) will be looked at; others need no picture."""
        if self._sampling.rate_hz is None or self._on_screen is None:
            return True
        return self._sampling.step_of(start) > self._on_screen.step

    def push_frames(self, frames: Iterable[Frame | Timed]) -> Output:
        """Take the next frames; those that are not wanted are passed over.

        Raises:
            ShapeError: a frame does not start after the one before it, or the session is closed.
        """
        if self._closed:
            raise ShapeError("Session: frames pushed after close(); open a new session for a new video.")
        output, waiting = Output(), list[Frame | Timed]()
        for frame in frames:
            if self._on_screen is not None and frame.start <= self._on_screen.start:
                raise ShapeError(
                    f"Session: frame {frame.index} starts at {frame.start}, not after the frame before it "
                    f"({self._on_screen.start}); push frames in the order of their time."
                )
            if not self.wants(frame.start):
                continue
            output.steps += self._show(frame)
            if self._vision is None:
                continue
            waiting.append(frame)
            if len(waiting) == AT_ONCE:
                self._look(waiting, self._vision, output)
                waiting.clear()
        if self._vision is not None:
            self._look(waiting, self._vision, output)
        self._judge(output)
        return output

    def push_audio(self, sound: AudioBlock) -> Output:
        """Take the next block of sound; a session that does not listen passes it over.

        Raises:
            ShapeError: the block does not begin where the one before it ended, has another rate than the listener, or
                the session is closed.
        """
        return Output() if self._listener is None else Output(audio_windows=self._listener.push(sound))

    def close(self, end: int) -> Output:
        """End the session at `end` (ticks): the last steps, and what was still waiting."""
        self._closed = True
        self._settle(self._tracker.close())
        output = Output(faces=self._observe())
        if self._smoother is not None:
            output.faces = _smooth(self._smoother, None)
        if self._sampling.rate_hz is not None and end > 0:
            output.steps = self._steps_until(self._sampling.step_of(end - 1) + 1, cut=end)
        if self._windower is not None:
            output.face_windows = self._windower.close(end)
        if self._listener is not None:
            output.audio_windows = self._listener.close()
        return output

    def _show(self, frame: Frame | Timed) -> list[Step]:
        """Put `frame` on screen; the rows that are settled by that."""
        if self._sampling.rate_hz is None:
            settled, step = [Step(frame.start, frame.end, frame.index, self._pictures)], 0
        else:
            step = self._sampling.step_of(frame.start)
            settled = self._steps_until(step)
        self._pictures += 1
        self._on_screen = _Look(frame.start, frame.index, step)
        return settled

    def _steps_until(self, step: int, *, cut: int | None = None) -> list[Step]:
        """Rows of the steps before number `step`, which show the picture on screen; the last may be cut short."""
        first, frame = (self._on_screen.step, self._on_screen.frame) if self._on_screen else (0, -1)
        bounds = [self._sampling.bound(k) for k in range(first, step + 1)]
        if cut is not None:
            bounds[-1] = min(bounds[-1], cut)
        return [Step(start, end, frame, self._pictures - 1) for start, end in itertools.pairwise(bounds)]

    def _look(self, frames: Sequence[Frame | Timed], vision: FaceStages, output: Output) -> None:
        """Find the faces of frames, and judge them as they come; which person each is may be settled only later."""
        for frame, picture in zip(frames, vision.spread(vision.look, frames), strict=True):
            self._crops.append(picture.faces)
            self._starts.append(frame.start)
            self._looked += 1
            if len(self._crops) > self.lookahead_pictures + 1:
                self._crops.popleft()
                self._starts.popleft()
            faces = [face for face, _ in picture.faces]
            self._settle(self._tracker.push(frame.start, faces, thumbnail=picture.thumbnail))
            if len(self._unscored) >= vision.scorer.batch:
                self._judge(output)

    def _settle(self, seen: list[TrackedFace]) -> None:
        first = self._looked - len(self._crops)
        for s in seen:
            crop = next(crop for face, crop in self._crops[s.frame_index - first] if face is s.face)
            self._unscored.append((s, self._starts[s.frame_index - first], crop))

    def _judge(self, output: Output) -> None:
        """Score what is settled, and give what no later picture can change any more."""
        found = self._observe()
        settled = len(self._starts) > self.lookahead_pictures
        if self._smoother is None:
            output.faces += found
        elif settled:
            output.faces += _smooth(self._smoother, self._starts[0])
        if self._windower is not None and settled:
            output.face_windows += self._windower.settle(self._starts[0])

    def _observe(self) -> list[ScoredFace]:
        """Score what is settled, the faces of all persons in one batch; nothing is given that is smoothed first."""
        if self._vision is None or not self._unscored:
            return []
        said = self._vision.scorer(np.stack([crop for _, _, crop in self._unscored]))
        values, embeddings = said if isinstance(said, Judged) else (said, said)
        settled, self._unscored = self._unscored, []
        if self._windower is not None:
            for (s, start, _), row in zip(settled, embeddings, strict=True):
                self._windower.add(s.person, start, row)
        found = [
            ScoredFace(s.frame_index, s.person, row, s.face) for (s, _, _), row in zip(settled, values, strict=True)
        ]
        if self._smoother is None:
            return found
        for (s, start, _), observation in zip(settled, found, strict=True):
            self._smoother.add(s.person, start, observation.values, observation)
        return []


def _smooth(smoother: Smoother[ScoredFace], until: int | None) -> list[ScoredFace]:
    """What is settled, in the order of pictures, then persons."""
    settled = [observation._replace(values=row) for observation, row in smoother.settle(until)]
    return sorted(settled, key=lambda o: (o.picture, o.person))


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey picture of 18 x 32 points of `image`, enough to notice a cut."""
    height, width = image.shape[:2]
    rows, columns = (np.arange(18) * height // 18), (np.arange(32) * width // 32)
    grey: NDArray[np.uint8] = image[rows[:, None], columns].mean(axis=2).astype(np.uint8)
    return grey
