"""The frames of a synthetic video, one after another, and the face landmarks of each subject in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse.faces.crop import similarity, warp
from emofuse.synthetic.actor import IdleMotion, animate, ease, mouth_openings
from emofuse.synthetic.corpus.intensity import face_of, intensities
from emofuse.synthetic.corpus.plan import SIZE, PlannedEntry, PlannedVideo
from emofuse.synthetic.corpus.subjects import lighting, subject
from emofuse.synthetic.render import Expression, FaceRenderer, Pose

Floats = NDArray[Any]
Image = NDArray[np.uint8]

CROP_SIZE = 112
# The common template of 112x112 crops: eyes, nose and corners of the mouth, in pixels.
TEMPLATE = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655),
                     (70.7299, 92.2041)])  # fmt: skip
_UNIT = 70  # of the renderer's canvas; faces are 35 to 60 pixels wide at half their width
_WIDEST_YAW = 35.0  # degrees, beyond which there is no face image
_TURN_SECONDS, _TURNED = 0.45, 115.0
_WALK, _WALK_YAW = 1.0, 24.0  # distance out of the frame, in frame widths, and degrees


@dataclass(frozen=True, eq=False)
class _Actor:
    """One subject in front of the camera. expressions: [frames, fields of Expression], before speech and blinks."""

    entry: PlannedEntry
    renderer: FaceRenderer
    expressions: Floats
    mouth: Floats
    motion: IdleMotion
    body: Pose

    def face(self, n: int, time: float) -> Expression:
        face = Expression(*self.expressions[n].tolist())
        return animate(face, mouth=float(self.mouth[n]), blink=self.motion.blink(time))

    def pose(self, time: float) -> Pose:
        """The swaying head at the position of the body; while away it is turned, or the subject leaves the frame."""
        pose = self.motion.pose(time, self.body)
        pose = replace(pose, yaw=pose.yaw + self.body.yaw)
        if self.entry.away is None:
            return pose
        start, end, how = self.entry.away
        # Fully away from `start` to `end`; the turn before and after is visible.
        progress = ease((time - start) / _TURN_SECONDS + 1) * ease((end - time) / _TURN_SECONDS + 1)
        side = self.entry.side or 1
        if how == "turned":
            return replace(pose, yaw=(1 - progress) * pose.yaw + progress * side * _TURNED)
        return replace(
            pose, x=pose.x + side * _WALK * progress, yaw=(1 - ease(3 * progress)) * pose.yaw + progress * _WALK_YAW
        )


def render_frames(
    video: PlannedVideo, voices: Sequence[NDArray[np.float32]], *, seed: int
) -> Iterator[tuple[Image, list[Any]]]:
    """The frames, uint8 RGB, each with the landmarks [5, 2] of every entry, None where its face is not visible.

    voices: of each entry; their loudness opens the mouths.
    """
    actors = [_actor(video, k, voice, seed=seed) for k, voice in enumerate(voices)]
    for n in range(video.frames):
        time = (n + 0.5) / float(video.rate_hz)
        frame: Any = None
        landmarks: list[Any] = []
        for actor in actors:
            face, pose = actor.face(n, time), actor.pose(time)
            if frame is None:
                frame = actor.renderer.frame(face, pose)
            else:
                actor.renderer.onto(frame, face, pose)
            found = actor.renderer.landmarks(face, pose)
            landmarks.append(found if _visible(found, pose) else None)
        yield frame, landmarks


def aligned(frame: Image, landmarks: Floats) -> Image:
    """The face crop, uint8 [112, 112, 3], aligned to TEMPLATE by a similarity transform."""
    return warp(frame, similarity(landmarks, TEMPLATE), CROP_SIZE)


def _visible(landmarks: Floats, pose: Pose) -> bool:
    inside = bool((landmarks >= 0).all() and (landmarks <= np.array(SIZE)).all())
    return inside and abs(pose.yaw) <= _WIDEST_YAW


def _actor(video: PlannedVideo, k: int, voice: NDArray[np.float32], *, seed: int) -> _Actor:
    entry = video.entries[k]
    who = subject(entry.subject, seed=seed)
    light, wall = lighting(video.number, seed=seed)
    rng = np.random.default_rng([seed, 6, video.number, k])
    renderer = FaceRenderer(who.identity, light, size=SIZE, wall_colour=wall, seed=int(rng.integers(2**32)), unit=_UNIT)
    times = (np.arange(video.frames) + 0.5) / float(video.rate_hz)
    expressions = who.rest + intensities(entry.segments, times, face_of, rng=rng) @ who.expressions
    motion, mouth = IdleMotion.random(video.seconds, rng), mouth_openings(voice, video.frames)
    return _Actor(entry, renderer, expressions, mouth, motion, _position(entry.side, rng))


def _position(side: int, rng: np.random.Generator) -> Pose:
    scale = rng.uniform(0.72, 0.84) if side else rng.uniform(0.85, 1.2)
    return Pose(
        x=float(0.5 + 0.23 * side + rng.uniform(-0.02, 0.02) * (1 if side else 4)),
        y=float(rng.uniform(0.41, 0.46)),
        scale=float(scale),
        yaw=float(rng.uniform(-9, 9)),
    )
