"""Mouths of persons, second by second."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.core.time import TICKS_PER_SECOND, ticks
from emofuse.faces.detector import Face
from emofuse.faces.mouth import SIZE, Mouths
from emofuse.inference.face_stages import ScoredFace
from emofuse.inference.mouths import MouthSecond, MouthSeconds, resampled
from emofuse.speech.active_speaker import FRAME, FRAMES, ActiveSpeakerNetworks


@pytest.fixture(scope="module")
def networks() -> ActiveSpeakerNetworks:
    return ActiveSpeakerNetworks()


def scored(person: int, times: list[float], seed: int = 0) -> ScoredFace:
    """A face with mouths at these times (seconds), which depend on the time alone."""
    crops = np.stack([np.random.default_rng([seed, round(1000 * t)]).integers(0, 255, (SIZE, SIZE)) for t in times])
    mouths = Mouths(np.array([ticks(t) for t in times]), crops.astype(np.uint8))
    face = Face(np.array([0, 0, 40, 40], np.float32), 0.9)
    return ScoredFace(0, int(mouths.times[-1]), person, face, *[np.zeros(2, np.float32)] * 2, mouths=mouths)


def faces(person: int, seconds: float, *, rate: int = 30, start: float = 0.0) -> list[ScoredFace]:
    """Five faces per second, with the mouths since the one before."""
    times = [n / rate for n in range(round(start * rate), round(seconds * rate))]
    groups: dict[int, list[float]] = {}
    for time in times:
        groups.setdefault(-int(-time * 5 // 1), []).append(time)
    return [scored(person, group) for group in groups.values()]


def encoded(
    networks: ActiveSpeakerNetworks, given: list[ScoredFace], pushes: int = 1, **more: int
) -> list[MouthSecond]:
    stage, found = MouthSeconds(networks, **more), []
    for part in np.array_split(np.arange(len(given)), pushes):
        chosen = [given[n] for n in part]
        stage.push(chosen, max((f.start for f in chosen), default=0))
        found += stage.take()
    stage.close()
    return found + stage.take()


def test_there_is_a_result_for_every_second_with_the_persons_who_have_a_mouth_in_it(networks):
    given = faces(1, 3.5) + faces(2, 3.5, start=2.0)
    found = encoded(networks, sorted(given, key=lambda face: face.start))
    assert [second.number for second in found] == [0, 1, 2, 3]
    assert [list(second.persons) for second in found] == [[1], [1], [1, 2], [1, 2]]
    assert found[1].persons[1].valid.all()
    assert found[3].persons[1].valid.tolist() == [True] * 13 + [False] * 12


def test_seconds_without_any_face_are_empty(networks):
    stage = MouthSeconds(networks)
    stage.push([], ticks(5))
    assert [(second.number, second.persons) for second in stage.take()] == [(0, {}), (1, {}), (2, {}), (3, {})]


@pytest.mark.parametrize("pushes", [2, 7, 17])
def test_seconds_do_not_depend_on_the_pushes(networks, pushes):
    given = faces(1, 3.4)
    for one, other in zip(encoded(networks, given), encoded(networks, given, pushes), strict=True):
        assert np.array_equal(one.persons[1].outputs, other.persons[1].outputs)
        assert np.array_equal(one.persons[1].valid, other.persons[1].valid)


@pytest.mark.parametrize(("rate", "followed"), [(30, True), (15, True), (12, True), (10, False), (5, False)])
def test_mouths_are_followed_at_12_frames_per_second_and_more(networks, rate, followed):
    valid = encoded(networks, faces(1, 3, rate=rate))[1].persons[1].valid
    assert valid.all() if followed else not valid.any()


def test_seconds_begin_with_the_part_that_is_processed(networks):
    given = [f for f in faces(1, 4) if f.start >= ticks(0.5)]
    found = encoded(networks, given, origin=ticks(0.5))
    assert len(found) == 4
    assert found[0].persons[1].valid[2:].all()


def test_resampled_crops_are_means_of_their_neighbours():
    times = np.array([0, 2, 4], np.int64) * FRAME
    crops = np.stack([np.full((SIZE, SIZE), level, np.uint8) for level in (0, 100, 200)])
    images, valid = resampled(times, crops, np.array([-3, 0, 1, 3, 4, 6], np.int64) * FRAME)
    assert images[:, 0, 0].tolist() == [0, 0, 50, 150, 200, 200]
    assert valid.tolist() == [False, True, True, True, True, False]


def test_one_crop_alone_shows_no_motion():
    images, valid = resampled(np.array([0]), np.ones((1, SIZE, SIZE), np.uint8), np.arange(FRAMES) * FRAME)
    assert images.shape == (FRAMES, SIZE, SIZE)
    assert not valid.any()
    assert FRAMES * FRAME == TICKS_PER_SECOND
