"""Tracks joined to persons by identities: unit vectors of a few numbers stand for faces."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.time import ticks
from emofuse.faces.detector import Face
from emofuse.faces.pose import HeadPose
from emofuse.inference.face_stages import ScoredFace
from emofuse.inference.persons import HOLD_SECONDS, VIEWS, PersonStage, face_weight
from emofuse.inference.sampling import Sampling

THRESHOLD, FIVE = 0.5, Sampling(Fraction(5))
ANNA, BEN, CLEO = np.eye(8, dtype=np.float32)[:3]
NOISE = np.eye(8, dtype=np.float32)[3:]


def face(step: int, track: int, identity: np.ndarray, *, height: float = 80, turned: bool = False) -> ScoredFace:
    """A face at a step of 0.2 s."""
    found = Face(np.array([10, 10, height, height], np.float32), 0.9)
    row = np.zeros(2, np.float32)
    # No two faces of a person are equal: their cosine is 0.74 to 1.
    noisy = identity + 0.6 * NOISE[step % len(NOISE)]
    return ScoredFace(step, ticks(step) // 5, track, found, row, row, noisy * 3, HeadPose(70.0 * turned, 0.0, 0.0))


def numbers(faces: Sequence[ScoredFace], stage: PersonStage | None = None) -> list[tuple[int, int]]:
    """Step and person of each face, all pushed step by step."""
    stage = stage or PersonStage(THRESHOLD, FIVE)
    found = []
    for step in sorted({f.frame for f in faces}):
        ready, _ = stage.push([f for f in faces if f.frame == step], ticks(step + 1) // 5)
        found += ready
    found += stage.close()
    return sorted((f.frame, f.person) for f in found)


def track(steps: range, number: int, identity: np.ndarray, **more: object) -> list[ScoredFace]:
    return [face(step, number, identity, **more) for step in steps]


def test_a_person_who_returns_keeps_the_number_after_any_gap():
    faces = track(range(5), 1, ANNA) + track(range(10, 15), 2, BEN) + track(range(900, 905), 3, ANNA)
    assert [p for _, p in numbers(faces)] == [1] * 5 + [2] * 5 + [1] * 5


def test_two_tracks_that_swap_their_faces_do_not_swap_the_persons():
    before = track(range(6), 1, ANNA) + track(range(6), 2, BEN)
    after = track(range(6, 12), 1, BEN) + track(range(6, 12), 2, ANNA)
    found = numbers(before + after)
    assert found == [(step, person) for step in range(12) for person in (1, 2)]
    stage, persons = PersonStage(THRESHOLD, FIVE), {}
    for f in before + after:
        persons |= {(g.frame, g.identity.argmax()): g.person for g in stage.push([f], f.start)[0]}
    persons |= {(g.frame, g.identity.argmax()): g.person for g in stage.close()}
    assert {who: {p for (_, w), p in persons.items() if w == who} for who in (0, 1)} == {0: {1}, 1: {2}}


def test_another_person_in_the_same_place_after_a_cut_that_was_not_noticed_is_new():
    assert [p for _, p in numbers(track(range(6), 1, ANNA) + track(range(6, 12), 1, BEN))] == [1] * 6 + [2] * 6


def test_two_faces_in_one_frame_are_never_one_person():
    twins = track(range(6), 1, ANNA) + track(range(6), 2, ANNA)
    assert numbers(twins) == [(step, person) for step in range(6) for person in (1, 2)]


def test_a_face_that_turns_slowly_stays_the_same_person():
    angles = np.linspace(0, np.pi / 2, 30)
    faces = [face(n, 1, np.cos(a) * ANNA + np.sin(a) * BEN) for n, a in enumerate(angles)]
    assert {p for _, p in numbers(faces)} == {1}


@pytest.mark.parametrize("poor", [{"height": 14.0}, {"turned": True}])
def test_faces_that_cannot_be_compared_stay_with_their_track(poor):
    faces = track(range(6), 1, ANNA) + track(range(6, 12), 1, BEN, **poor) + track(range(12, 18), 1, ANNA)
    assert {p for _, p in numbers(faces)} == {1}


def test_a_track_of_poor_faces_becomes_the_person_whom_its_better_faces_show():
    faces = track(range(5), 1, ANNA) + track(range(20, 30), 2, BEN, height=14.0) + track(range(30, 40), 2, ANNA)
    stage = PersonStage(THRESHOLD, FIVE)
    assert [p for _, p in numbers(faces, stage)] == [1] * 5 + [2] * 10 + [1] * 10
    first, second = stage.identities
    assert np.array_equal(first.mean, second.mean)  # so the end of a file joins them


def test_names_are_given_to_the_people_of_photographs():
    stage = PersonStage(THRESHOLD, FIVE, known={"Ben": BEN[None], "Cleo": CLEO[None]})
    assert [p for _, p in numbers(track(range(4), 1, ANNA) + track(range(9, 14), 2, BEN), stage)] == [1] * 4 + [2] * 5
    assert {each.number: each.name for each in stage.identities} == {1: None, 2: "Ben", None: "Cleo"}


def test_no_face_waits_longer_than_promised():
    stage = PersonStage(THRESHOLD, FIVE)
    faces, complete = stage.push([face(0, 1, ANNA)], ticks(1) // 5)
    assert (faces, complete) == ([], 0)
    faces, complete = stage.push([], ticks(HOLD_SECONDS))
    assert [f.person for f in faces] == [1]
    assert complete == ticks(HOLD_SECONDS)


def test_at_a_low_rate_a_track_is_decided_by_as_many_faces():
    """One face every second, of which the first one cannot decide."""
    stage = PersonStage(THRESHOLD, Sampling(Fraction(1)))
    stage.push(track(range(0, 15, 5), 1, ANNA), ticks(3))
    odd = [face(50, 2, BEN), face(55, 2, ANNA), face(60, 2, ANNA)]
    assert [f.person for f in stage.push(odd, ticks(13))[0]] == [1, 1, 1]


def test_memory_grows_with_persons_only():
    stage = PersonStage(THRESHOLD, FIVE)
    for n in range(300):
        stage.push(track(range(20 * n, 20 * n + 4), n, ANNA), ticks(20 * n + 4) // 5)
    assert len(stage._tracks) < 3
    assert len(stage.identities) == 1
    assert stage._gallery._means.shape[1] == VIEWS


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=40), st.integers(0, 2**16))
def test_results_do_not_depend_on_how_the_faces_were_divided(chunks, seed):
    rng = np.random.default_rng(seed)
    people = rng.permutation([ANNA, BEN, CLEO, ANNA, BEN])
    faces = [
        face(step, 10 * (step // 7) + k, people[(step // 5 + k) % 5], height=float(rng.choice([14, 80])))
        for step in range(40)
        for k in range(2)
        if rng.random() > 0.2
    ]
    stage, found, n = PersonStage(THRESHOLD, FIVE), [], 0
    for size in [*chunks, len(faces)]:
        part, n = faces[n : n + size], n + size
        found += stage.push(part, min((f.start for f in faces[n:]), default=ticks(8)))[0]
    found += stage.close()
    assert sorted((f.frame, f.person) for f in found) == numbers(faces)


@pytest.mark.parametrize(
    ("box", "score", "weight"),
    [((80, 80), 0.9, 1.0), ((36, 36), 0.9, 0.5), ((80, 80), 0.6, 0.5), ((10, 10), 0.9, 0.0), ((80, 80), 0.4, 0.0)],
)
def test_small_and_uncertain_faces_count_less(box, score, weight):
    assert face_weight(Face(np.array([0, 0, *box], np.float32), score)) == pytest.approx(weight)
