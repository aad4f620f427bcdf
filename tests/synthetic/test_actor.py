"""Movements of the synthetic subject, and the landmarks of the renderer."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emofuse.faces.default import DefaultDetector
from emofuse.faces.yunet import YuNet
from emofuse.media.images import luma_of
from emofuse.synthetic.actor import IdleMotion, animate, ease, mouth_openings
from emofuse.synthetic.render import EXPRESSIONS, Expression, FaceRenderer, Identity, Pose

SIZE = (480, 270)
MOTION = IdleMotion.random(20.0, np.random.default_rng(0))
POSES = [Pose(), Pose(x=0.4, scale=0.8, roll=7), Pose(x=0.6, scale=1.15, yaw=-14), Pose(nod_x=0.05, nod_y=0.06, yaw=12)]


@pytest.fixture(scope="module")
def renderer():
    return FaceRenderer(size=SIZE, unit=70)


def changed(renderer, one, other, pose):
    """Positions (x, y) of the pixels that differ clearly between two expressions."""
    images = [renderer.frame(face, pose).astype(int) for face in (one, other)]
    rows, columns = np.nonzero(np.abs(images[0] - images[1]).max(axis=2) > 40)
    return np.stack([columns + 0.5, rows + 0.5], axis=1)


def test_ease_is_monotonic_from_zero_to_one():
    values = [ease(progress) for progress in np.linspace(-0.5, 1.5, 41)]
    assert values == sorted(values)
    assert (values[0], values[-1]) == (0, 1)


def test_blinks_are_short_and_some_seconds_apart():
    times = np.arange(0, 20, 0.01)
    shut = np.array([MOTION.blink(time) for time in times]) > 0.5
    starts = np.flatnonzero(np.diff(shut.astype(int)) == 1)
    assert 4 <= len(starts) <= 9
    assert np.diff(times[starts]).min() > 2
    assert shut.sum() * 0.01 / len(starts) < 0.15


def test_the_head_sways_smoothly_around_the_position_of_the_body():
    body = Pose(x=0.3, y=0.4, scale=0.9)
    poses = [MOTION.pose(time, body) for time in np.arange(0, 10, 1 / 30)]
    assert {(pose.x, pose.y, pose.scale) for pose in poses} == {(0.3, 0.4, 0.9)}
    yaw, roll = np.array([pose.yaw for pose in poses]), np.array([pose.roll for pose in poses])
    assert 2 < np.abs(yaw).max() <= 4
    assert max(np.abs(np.diff(yaw)).max(), np.abs(np.diff(roll)).max()) < 0.5


def test_speech_opens_the_mouth_less_if_it_is_already_open():
    calm, amazed = EXPRESSIONS["neutral"], EXPRESSIONS["surprise"]
    for face in (calm, amazed):
        assert animate(face, mouth=0.0, blink=0.0) == face
    gains = [animate(face, mouth=1.0, blink=0.0).mouth_open - face.mouth_open for face in (calm, amazed)]
    assert gains[0] > 2 * gains[1] > 0


def test_the_mouth_follows_the_loudness_of_the_audio():
    audio = np.zeros(48_000, np.float32)
    audio[24_000:] = 0.5 * np.sin(np.arange(24_000) / 10)
    opened = mouth_openings(audio, 10)
    assert opened.shape == (10,)
    assert opened[:4].max() == 0
    assert opened[6:9] == pytest.approx(np.ones(3), abs=0.05)


@pytest.mark.parametrize("pose", POSES)
def test_landmarks_of_the_eyes_are_on_the_rendered_eyes(renderer, pose):
    marks = renderer.landmarks(Expression(), pose)
    lids = changed(renderer, Expression(), Expression(lid_upper=-1.0), pose)
    middle = (marks[0, 0] + marks[1, 0]) / 2
    for mark, lid in ((marks[0], lids[lids[:, 0] < middle]), (marks[1], lids[lids[:, 0] > middle])):
        assert len(lid) > 30
        assert np.abs((lid.min(axis=0) + lid.max(axis=0)) / 2 - mark).max() < 2.5


@pytest.mark.parametrize("pose", POSES)
def test_landmarks_of_the_mouth_are_at_its_corners(renderer, pose):
    wide = Expression(mouth_open=0.35)
    marks = renderer.landmarks(wide, pose)
    red = changed(renderer, wide, Expression(mouth_open=0.7), pose)
    assert red[:, 0].min() == pytest.approx(marks[3, 0], abs=5)
    assert red[:, 0].max() == pytest.approx(marks[4, 0], abs=5)
    assert marks[3, 1] < red[:, 1].mean() + 2


def test_landmarks_agree_with_those_of_yunet(renderer):
    root = Path(os.environ.get("EMOFUSE_WEIGHTS") or Path(__file__).parents[3] / "shared" / "weights")
    weights = root / "yunet_n_640_640.onnx"
    if not weights.is_file():
        pytest.skip(f"no {weights}; set EMOFUSE_WEIGHTS")
    detector = YuNet(weights)
    for pose in POSES:
        for face in EXPRESSIONS.values():
            found = detector(renderer.frame(face, pose))[0].landmarks
            eyes = np.linalg.norm(found[1] - found[0])
            assert np.abs(found - renderer.landmarks(face, pose)).max() < 0.3 * eyes


def test_a_smaller_canvas_renders_nearly_the_same_frame():
    fine, coarse = (FaceRenderer(size=SIZE, unit=unit).frame(EXPRESSIONS["happiness"], Pose()) for unit in (140, 70))
    assert np.abs(fine.astype(int) - coarse.astype(int)).mean() < 2


def test_a_second_subject_changes_only_its_side_of_the_frame(renderer):
    alone = renderer.frame(Expression(), Pose(x=0.27, scale=0.75))
    both = alone.copy()
    other = FaceRenderer(Identity(skin=(112, 74, 54), hair=(24, 20, 20)), size=SIZE, unit=70)
    other.onto(both, EXPRESSIONS["fear"], Pose(x=0.75, scale=0.75))
    different = np.flatnonzero((alone != both).any(axis=(0, 2)))
    assert different.min() > 0.5 * SIZE[0]
    assert len(DefaultDetector()(luma_of(both))) == 2


def test_no_face_is_found_when_the_head_is_turned_away(renderer):
    detector = DefaultDetector()
    for yaw in (-150, -115, -90, 90, 115, 150, 180):
        assert detector(luma_of(renderer.frame(Expression(), Pose(yaw=yaw)))) == []


def test_the_back_of_the_head_has_the_colour_of_the_hair(renderer):
    turned = renderer.frame(Expression(), Pose(yaw=180))
    x, y = int(0.5 * SIZE[0]), int(0.43 * SIZE[1])
    assert np.abs(turned[y, x].astype(int) - renderer.identity.hair).max() < 40


def test_the_wall_has_the_requested_colour():
    for strong, colour in enumerate(((200, 100, 100), (100, 200, 100))):
        frame = FaceRenderer(size=SIZE, unit=70, wall_colour=colour).frame(Expression(), Pose())
        corner = frame[10:40, 10:40].mean(axis=(0, 1))
        assert corner[strong] > 1.5 * corner[1 - strong]


def test_a_full_turn_has_the_yaw_of_the_body():
    turned = MOTION.pose(3.0, replace(Pose(), yaw=24.0), turn=1.0)
    assert turned.yaw == 24.0
