"""What is seen in a synthetic video: its frames, one after another, and where each person's face is in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.faces.crop import similarity, warp
from emofuse.synthetic.actor import Liveliness, alive, ease, mouth_openings
from emofuse.synthetic.intensity import face_of, intensities
from emofuse.synthetic.plan import SIZE, Entry, Video
from emofuse.synthetic.render import Expression, FaceRenderer, Pose
from emofuse.synthetic.subjects import person, stage

Floats = NDArray[Any]
Image = NDArray[np.uint8]

CROP_SIZE = 112
# The usual template of 112x112 crops: eyes, nose and corners of the mouth, in pixels.
TEMPLATE = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655),
                     (70.7299, 92.2041)])  # fmt: skip
_UNIT = 70  # of the renderer's canvas; faces are 35 to 60 pixels wide at half their width
_WIDEST_YAW = 35.0  # degrees; what is turned further counts as no face
_TURN_SECONDS, _TURNED = 0.45, 115.0
_WALK, _WALK_YAW = 1.0, 24.0  # out of the picture, in parts of its width


@dataclass(frozen=True, eq=False)
class _Actor:
    """One person in front of the camera: movements [frames, fields of Expression] before speech and blinks."""

    entry: Entry
    renderer: FaceRenderer
    felt: Floats
    mouth: Floats
    life: Liveliness
    place: Pose

    def face(self, n: int, time: float) -> Expression:
        felt = Expression(*self.felt[n].tolist())
        return alive(felt, opening=float(self.mouth[n]), shut=self.life.shut(time))

    def pose(self, time: float) -> Pose:
        """The place is kept, the head sways; on the way out it turns, or the whole person leaves."""
        held = self.life.pose(time, self.place)
        held = replace(held, yaw=held.yaw + self.place.yaw)
        if self.entry.away is None:
            return held
        start, end, how = self.entry.away
        # Fully away from `start` to `end`; the turn before and after is seen.
        part = ease((time - start) / _TURN_SECONDS + 1) * ease((end - time) / _TURN_SECONDS + 1)
        side = self.entry.side or 1
        if how == "turned":
            return replace(held, yaw=(1 - part) * held.yaw + part * side * _TURNED)
        return replace(held, x=held.x + side * _WALK * part, yaw=(1 - ease(3 * part)) * held.yaw + part * _WALK_YAW)


def scenes(video: Video, voices: Sequence[NDArray[np.float32]], *, seed: int) -> Iterator[tuple[Image, list[Any]]]:
    """Frame by frame the picture, uint8 RGB, and for each entry the landmarks [5, 2], None where no face shows.

    voices: of each entry; their loudness opens the mouths.
    """
    actors = [_actor(video, k, voice, seed=seed) for k, voice in enumerate(voices)]
    for n in range(video.frames):
        time = (n + 0.5) / float(video.rate_hz)
        picture: Any = None
        marks: list[Any] = []
        for actor in actors:
            face, pose = actor.face(n, time), actor.pose(time)
            if picture is None:
                picture = actor.renderer.frame(face, pose)
            else:
                actor.renderer.onto(picture, face, pose)
            found = actor.renderer.landmarks(face, pose)
            marks.append(found if _visible(found, pose) else None)
        yield picture, marks


def aligned(picture: Image, landmarks: Floats) -> Image:
    """The face, uint8 [112, 112, 3], landmarks as near to TEMPLATE as turning, scaling and shifting brings them."""
    return warp(picture, similarity(landmarks, TEMPLATE), CROP_SIZE)


def _visible(landmarks: Floats, pose: Pose) -> bool:
    inside = bool((landmarks >= 0).all() and (landmarks <= np.array(SIZE)).all())
    return inside and abs(pose.yaw) <= _WIDEST_YAW


def _actor(video: Video, k: int, voice: NDArray[np.float32], *, seed: int) -> _Actor:
    entry = video.entries[k]
    who = person(entry.person, seed=seed)
    light, wall = stage(video.number, seed=seed)
    rng = np.random.default_rng([seed, 6, video.number, k])
    renderer = FaceRenderer(who.identity, light, size=SIZE, wall_colour=wall, seed=int(rng.integers(2**32)), unit=_UNIT)
    times = (np.arange(video.frames) + 0.5) / float(video.rate_hz)
    felt = who.rest + intensities(entry.segments, times, face_of, rng=rng) @ who.moves
    life = Liveliness.of(video.seconds, rng)
    return _Actor(entry, renderer, felt, mouth_openings(voice, video.frames), life, _place(entry.side, rng))


def _place(side: int, rng: np.random.Generator) -> Pose:
    scale = rng.uniform(0.72, 0.84) if side else rng.uniform(0.85, 1.2)
    return Pose(
        x=float(0.5 + 0.23 * side + rng.uniform(-0.02, 0.02) * (1 if side else 4)),
        y=float(rng.uniform(0.41, 0.46)),
        scale=float(scale),
        yaw=float(rng.uniform(-9, 9)),
    )
