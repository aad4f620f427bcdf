"""The stages that every face passes: search and crop, track, score, smooth, window.

A stage takes values with `push` and returns those that are ready; `close` returns the rest. Each face carries the start
of its frame. `complete` is the time (ticks) before which every face has been pushed. Memory does not grow with the
length of the video, and results do not depend on how the frames were divided into pushes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from emofuse.core.align import functionals_of
from emofuse.core.smoothing import Triangle, smoothed
from emofuse.core.time import ticks
from emofuse.core.windows import Windows
from emofuse.errors import ShapeError
from emofuse.faces.crop import Crop
from emofuse.faces.cuts import Thumbnail, thumbnail
from emofuse.faces.detector import Detector, Face
from emofuse.faces.mouth import Mouths, MouthSampler
from emofuse.faces.placement import Placement
from emofuse.faces.pose import HeadPose, HeadPoses
from emofuse.faces.search import FaceSearch
from emofuse.faces.tracker import RECALL_SECONDS, TrackedFace, Tracker
from emofuse.inference.orientation import OrientationWatch
from emofuse.inference.sampling import Sampling
from emofuse.media.video import Frame
from emofuse.models.face import FaceOutputs
from emofuse.models.fusion import WINDOWS

if TYPE_CHECKING:
    from emofuse.inference.mouths import MouthSeconds
    from emofuse.inference.persons import PersonStage

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Head = Callable[[NDArray[Any]], Floats]


@dataclass(frozen=True)
class FrameTime:
    """A frame without its image, for a session that processes audio only."""

    index: int
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class DetectedFace:
    """A face with its crop, uint8 [size, size, 3]; `frame` is the index of its frame, `start` when that begins.

    pose: None if the detector finds no landmarks.
    mouths: the mouth in this frame and in those since the last detection; None where it is not followed.
    """

    frame: int
    start: int
    face: Face
    crop: Image
    pose: HeadPose | None = None
    mouths: Mouths | None = None

    @property
    def box(self) -> Floats:
        return self.face.box


@dataclass(frozen=True, eq=False)
class ScoredFace:
    """A face of one person with the output of the network.

    values: probabilities float32 [classes], those of several networks in a row, smoothed if the session smooths; an
        embedding if only windows are scored.
    embedding: float32 [features]; the same as `values` where the network has one output.
    identity: float32 [d], by which persons are distinguished; None if the network has none.
    pose, mouths: as those of `DetectedFace`.
    turned: whether the face is turned too far for its scores to hold; these are neither smoothed nor in any window.
    """

    frame: int
    start: int
    person: int
    face: Face
    values: Floats
    embedding: Floats
    identity: Floats | None = None
    pose: HeadPose | None = None
    turned: bool = False
    mouths: Mouths | None = None


class FaceWindowScore(NamedTuple):
    """Probabilities float32 [classes] of one person over a window of faces, [start, end) in ticks."""

    start: int
    end: int
    person: int
    probabilities: Floats
    modality: str = WINDOWS


class Scorer(Protocol):
    """Turns crops into probabilities or embeddings, or into several outputs (`FaceOutputs`)."""

    def __call__(self, crops: Image, /) -> NDArray[Any] | FaceOutputs:
        """Crops uint8 [n, size, size, 3] to one row each, [n, ...]."""
        ...


class FrameFaces(NamedTuple):
    """The faces of one frame, its width and height, and a grey thumbnail by which the tracker notices a cut."""

    start: int
    faces: list[DetectedFace]
    size: tuple[int, int]
    thumbnail: Thumbnail


class TrackedFaces(NamedTuple):
    """Faces of persons that wait to be scored, and the time (ticks) before which there will be no more."""

    faces: list[TrackedFace[DetectedFace]]
    complete: int


@dataclass(frozen=True)
class FaceStages:
    """What the face stages of any number of sessions share.

    crop: cuts a face out of an image.
    detector: finds faces in an upright image.
    scorer: turns crops into scores, such as the network of a bundle.
    max_yaw: degrees by which a face may be turned to the side; None for any.
    """

    crop: Crop
    detector: Detector
    scorer: Scorer
    max_yaw: float | None = None

    def detect(self, frame: Frame, search: FaceSearch, heads: HeadPoses) -> FrameFaces:
        """Find and crop the faces of the next frame of a video."""
        image = frame.rgb() if self.detector.colour else frame.luma()
        # What is RGB already is cropped from there, otherwise only the faces become RGB.
        source, grey = image if self.detector.colour else frame, thumbnail(image)
        faces = search.push(frame.start, image, grey)
        found = [
            DetectedFace(frame.index, frame.start, face, self.crop(source, face), pose)
            for face, pose in zip(faces, heads.push(frame.start, image, faces), strict=True)
        ]
        return FrameFaces(frame.start, found, frame.size, grey)

    def score(self, tracked: list[TrackedFace[DetectedFace]]) -> list[ScoredFace]:
        """Score the faces of all persons in one batch."""
        if not tracked:
            return []
        found = self.scorer(np.stack([t.face.crop for t in tracked]))
        outputs = found if isinstance(found, FaceOutputs) else FaceOutputs(found, found)
        identities = [None] * len(tracked) if outputs.identities is None else outputs.identities
        return [
            self._scored(*rows) for rows in zip(tracked, outputs.values, outputs.embeddings, identities, strict=True)
        ]

    def _scored(
        self, tracked: TrackedFace[DetectedFace], values: Floats, embedding: Floats, identity: Floats | None
    ) -> ScoredFace:
        found = tracked.face
        at = (found.frame, found.start, tracked.person, found.face)
        return ScoredFace(*at, values, embedding, identity, found.pose, self._is_turned(found), found.mouths)

    def _is_turned(self, found: DetectedFace) -> bool:
        return found.pose is not None and self.max_yaw is not None and abs(found.pose.yaw) > self.max_yaw

    def stream(
        self,
        sampling: Sampling,
        *,
        persons: PersonStage | None = None,
        smoother: ScoreSmoother | None = None,
        window_stages: Sequence[FaceWindowStage] = (),
        mouths: MouthSeconds | None = None,
    ) -> FaceStream:
        """The face stages of one video."""
        tracker = Tracker[DetectedFace](sampling.confirm_frames)
        stream = FaceStream(self, tracker, persons=persons, smoother=smoother, window_stages=window_stages)
        stream.mouths = mouths
        return stream


class FaceStream:
    """The face stages of one video. persons, smoother, window_stages: of this video alone, if the bundle uses them.

    persons: joins the tracks of the tracker; without it, each track is a person.
    canvas: width and height of the first frame, None before it. Boxes and landmarks of all faces are in its pixels,
        also where the size changes on the way.
    orientation: whether the faces are upright; None where that is not to be checked.
    latest: the faces of the last frame. unsmoothed: the faces that were scored last, whose `person` is their track.
    certain: the time (ticks) before which no face and no window will be returned any more.
    mouths: encodes the mouths of persons; None where it is not to be found out who speaks.
    """

    def __init__(
        self,
        stages: FaceStages,
        tracker: Tracker[DetectedFace],
        *,
        persons: PersonStage | None = None,
        smoother: ScoreSmoother | None = None,
        window_stages: Sequence[FaceWindowStage] = (),
    ) -> None:
        self._stages, self._tracker = stages, tracker
        self._search, self._heads = FaceSearch(stages.detector), HeadPoses(stages.detector)
        self.persons = persons
        self._smoother, self._window_stages = smoother, window_stages
        self.canvas: tuple[int, int] | None = None
        self.orientation: OrientationWatch | None = None
        self.latest: FrameFaces | None = None
        self.unsmoothed: list[ScoredFace] = []
        self.certain = 0
        self._passed = 0  # no frame that is pushed from now on starts before
        self.mouths: MouthSeconds | None = None
        self._sampler = MouthSampler()
        self._starts: deque[int] = deque(maxlen=tracker.lookahead_frames + 1)  # of the latest frames

    @property
    def lookahead_frames(self) -> int:
        """The number of frames after which it is certain which track a face belongs to, if any."""
        return self._tracker.lookahead_frames

    @property
    def lookahead(self) -> int:
        """Ticks of future faces that telling persons apart and smoothing need: a face is returned at most
        `lookahead_frames` after the first frame that starts this much later than its own, or at the close."""
        return sum(stage.lookahead for stage in (self.persons, self._smoother) if stage is not None)

    @property
    def windows_lookahead(self) -> int:
        """Ticks by which windows need faces from later than `lookahead`."""
        smoothing = 0 if self._smoother is None else self._smoother.lookahead
        return max([stage.lookahead - smoothing for stage in self._window_stages] + [0])

    def detect(self, frames: Iterable[Frame | FrameTime]) -> TrackedFaces:
        """Find the faces of the next frames and assign them to persons.

        `score` takes the results in the same order, and may do so in another thread.
        """
        tracked: list[TrackedFace[DetectedFace]] = []
        for frame in frames:
            if isinstance(frame, FrameTime):
                raise ShapeError(f"Session: frame {frame.index} has no image, but faces are to be scored; push frames.")
            if self.orientation is not None:
                self.orientation.push(frame)
            found = self._stages.detect(frame, self._search, self._heads)
            if self.mouths is not None:
                mouths = self._sampler.detected(frame, [each.face for each in found.faces])
                faces = [replace(face, mouths=each) for face, each in zip(found.faces, mouths, strict=True)]
                found = found._replace(faces=faces)
            self.latest = found = self._placed(found)
            self._starts.append(found.start)
            tracked += self._tracker.push(found.start, found.faces, thumbnail=found.thumbnail)
        return self._tracked(tracked)

    def follow(self, frame: Frame) -> None:
        """Take a frame between those whose faces are found, for the mouths of known faces."""
        self._sampler.between(frame)

    def score(self, tracked: TrackedFaces) -> tuple[list[ScoredFace], list[FaceWindowScore]]:
        """Score faces in one batch, join tracks to persons, smooth their scores and pool them into windows."""
        self.unsmoothed = scored = self._stages.score(tracked.faces)
        complete = tracked.complete
        if self.persons is not None:
            scored, complete = self.persons.push(scored, complete)
        return self._pooled(scored, complete)

    def push(self, frames: Iterable[Frame | FrameTime]) -> tuple[list[ScoredFace], list[FaceWindowScore]]:
        """Process the next frames."""
        return self.score(self.detect(frames))

    def advance(self, time: int) -> tuple[list[ScoredFace], list[FaceWindowScore]]:
        """Return what is complete if no frame that follows starts before `time` (ticks)."""
        if not self._starts or time - self._starts[-1] > ticks(RECALL_SECONDS):  # the tracker forgets all faces
            self._passed = max(time, self._passed)
        return self.score(self._tracked([]))

    def close(self, end: int) -> tuple[list[ScoredFace], list[FaceWindowScore]]:
        """Process what is left of a video that ends at `end` (ticks)."""
        faces, windows = self.score(self._tracked(self._tracker.close()))
        if self.persons is not None:
            more, more_windows = self._pooled(self.persons.close(), self._complete)
            faces, windows = faces + more, windows + more_windows
        if self._smoother is not None:
            faces += self._smoother.close()
        windows += [window for stage in self._window_stages for window in stage.close(end)]
        if self.mouths is not None:
            self.mouths.close()
        return faces, windows

    def _pooled(self, scored: list[ScoredFace], complete: int) -> tuple[list[ScoredFace], list[FaceWindowScore]]:
        if self.mouths is not None:
            self.mouths.push(scored, complete)
            scored = [replace(face, mouths=None) for face in scored]
        readable = [face for face in scored if not face.turned]
        windows = [window for stage in self._window_stages for window in stage.push(readable, complete)]
        smoothed_before = complete if self._smoother is None else max(complete - self._smoother.lookahead, 0)
        self.certain = min([smoothed_before, *(stage.certain for stage in self._window_stages)])
        if self._smoother is None:
            return scored, windows
        turned = [face for face in scored if face.turned]
        return turned + self._smoother.push(readable, complete), windows

    def _placed(self, found: FrameFaces) -> FrameFaces:
        """The faces of a frame in pixels of the canvas."""
        self.canvas = self.canvas or found.size
        if found.size == self.canvas:
            return found
        placement = Placement(found.size, self.canvas)
        faces = [replace(face, face=placement.face(face.face)) for face in found.faces]
        return found._replace(faces=faces, size=self.canvas, thumbnail=placement.thumbnail(found.thumbnail))

    def _tracked(self, faces: list[TrackedFace[DetectedFace]]) -> TrackedFaces:
        return TrackedFaces(faces, self._complete)

    @property
    def _complete(self) -> int:
        """The time (ticks) before which no track gets another face."""
        return max(self._starts[0] if len(self._starts) == self._starts.maxlen else 0, self._passed)


@dataclass
class _Faces:
    """Faces of one person in the order of time; the first `done` of them have been returned."""

    faces: list[ScoredFace] = field(default_factory=list)
    done: int = 0


class ScoreSmoother:
    """Smooths the scores of each person over time; a face waits for all faces within reach of the kernel."""

    def __init__(self, kernel: Triangle) -> None:
        self._kernel = kernel
        self._persons: dict[int, _Faces] = {}

    @property
    def lookahead(self) -> int:
        """Ticks by which a face waits for later ones."""
        return self._kernel.reach

    def push(self, faces: Iterable[ScoredFace], complete: int) -> list[ScoredFace]:
        """Take faces; return those that no face at or after `complete` can change, by frame and person."""
        for face in faces:
            self._persons.setdefault(face.person, _Faces()).faces.append(face)
        for person in self._persons.values():
            person.faces.sort(key=lambda face: face.start)  # a face that waited may be older than others
        return self._smoothed(complete)

    def close(self) -> list[ScoredFace]:
        """Return the faces that are left."""
        return self._smoothed(None)

    def _smoothed(self, complete: int | None) -> list[ScoredFace]:
        out = [face for person in self._persons.values() for face in self._take(person, complete)]
        self._persons = {number: person for number, person in self._persons.items() if person.faces}
        return sorted(out, key=lambda face: (face.start, face.person))

    def _take(self, person: _Faces, complete: int | None) -> list[ScoredFace]:
        """Smooth the faces of a person that have become complete, and forget those out of reach of the rest."""
        faces, reach, done = person.faces, self._kernel.reach, person.done
        times = np.array([face.start for face in faces], np.int64)

        def until(time: int | None) -> int:
            return len(faces) if time is None else int(np.searchsorted(times, time - reach, side="right"))

        out, ready = list[ScoredFace](), until(complete)
        if ready > done:
            rows = smoothed(np.stack([face.values for face in faces]), times, times[done:ready], self._kernel)
            out = [replace(face, values=row) for face, row in zip(faces[done:ready], rows, strict=True)]
            done = ready
        old = until(faces[done].start if done < len(faces) else complete)
        del faces[:old]
        person.done = done - old
        return out


class FaceWindowStage:
    """Scores windows of the embeddings of each person; only embeddings of open windows are kept.

    Args:
        head: features float [n, 2 * embedding] to probabilities float32 [n, classes].
        modality: name of the scores. columns: of the embeddings of faces that belong to this head.
    """

    def __init__(self, windows: Windows, head: Head, *, modality: str = WINDOWS, columns: slice = slice(None)) -> None:
        self._windows, self._head, self._modality, self._columns = windows, head, modality, columns
        self._next = 0  # index of the first window that is still open
        self._open: dict[int, list[tuple[int, Floats]]] = {}

    @property
    def certain(self) -> int:
        """The time (ticks) before which no window will be scored any more."""
        return self._next * self._windows.step

    @property
    def lookahead(self) -> int:
        """Ticks of future faces that a window needs."""
        return self._windows.width

    def push(self, faces: Iterable[ScoredFace], complete: int) -> list[FaceWindowScore]:
        """Take faces; score the windows that end at `complete` or before."""
        for face in faces:
            self._open.setdefault(face.person, []).append((face.start, face.embedding[self._columns]))
        scores = []
        while (start := self._next * self._windows.step) + self._windows.width <= complete:
            scores += self._score(start, start + self._windows.width)
        return scores

    def close(self, end: int) -> list[FaceWindowScore]:
        """Score the windows that are left of a video that ends at `end`; the last ones are cut there."""
        scores = []
        while (start := self._next * self._windows.step) < end:
            scores += self._score(start, min(start + self._windows.width, end))
        return scores

    def _score(self, start: int, end: int) -> list[FaceWindowScore]:
        inside = {p: [e for t, e in rows if start <= t < end] for p, rows in sorted(self._open.items())}
        features = {p: functionals_of(np.stack(rows)) for p, rows in inside.items() if rows}
        self._next += 1
        first = self._next * self._windows.step
        kept = {p: [(t, e) for t, e in rows if t >= first] for p, rows in self._open.items()}
        self._open = {p: rows for p, rows in kept.items() if rows}
        if not features:
            return []
        rows = self._head(np.stack(list(features.values())))
        return [
            FaceWindowScore(start, end, person, row, self._modality) for person, row in zip(features, rows, strict=True)
        ]
