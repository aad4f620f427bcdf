"""Persons of a whole file: joined by all their faces, and chosen with `--persons`."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.errors import SettingsError
from emofuse.inference.persons import PersonIdentity
from emofuse.inference.renumbering import PersonChoice, PersonFaces, file_persons

E = np.eye(3, dtype=np.float32)


def seen(first: int, last: int, height: float = 100.0) -> PersonFaces:
    return PersonFaces(np.arange(first, last), height * (last - first))


def towards(cosine: float) -> np.ndarray:
    """A unit vector with this cosine to the first axis."""
    return np.array([cosine, np.sqrt(1 - cosine**2), 0], np.float32)


def joined(faces, identities, choice="auto", threshold=0.5):
    found = file_persons(faces, identities, threshold=threshold, choice=PersonChoice.parse(choice))
    return [person.numbers for person in found]


def test_persons_who_turn_out_to_be_one_are_joined_and_keep_their_order():
    faces = {1: seen(0, 9), 2: seen(10, 19), 3: seen(20, 29)}
    identities = [PersonIdentity(n, v, 5.0) for n, v in ((1, E[0]), (2, E[2]), (3, towards(0.6)))]
    assert joined(faces, identities) == [(1, 3), (2,)]
    assert joined(faces, identities, threshold=0.7) == [(1,), (2,), (3,)]


def test_the_mean_over_all_faces_counts():
    """The cosine of 3 with the many faces of 1 is 0.6, with the few of 2 it is 0; with both it is 0.6 * 9 / 10."""
    faces = {1: seen(0, 9), 2: seen(10, 19), 3: seen(20, 29)}
    same = [PersonIdentity(1, E[0], 9.0, "Anna"), PersonIdentity(2, E[2], 1.0), PersonIdentity(3, towards(0.6), 5.0)]
    assert joined(faces, same, threshold=0.55) == [(1, 3), (2,)]


def test_persons_in_one_frame_are_never_joined():
    faces = {1: seen(0, 9), 2: seen(8, 19)}
    identities = [PersonIdentity(1, E[0], 5.0), PersonIdentity(2, E[0], 5.0)]
    for choice in ("auto", "2"):
        assert joined(faces, identities, choice) == [(1,), (2,)]
    assert joined(faces, identities, "1") == [(2,)]  # seen for longer


def test_a_number_of_persons_joins_the_most_similar_ones():
    faces = {1: seen(0, 9), 2: seen(10, 19), 3: seen(20, 29)}
    identities = [PersonIdentity(n, v, 5.0) for n, v in ((1, E[0]), (2, E[2]), (3, towards(0.4)))]
    assert joined(faces, identities) == [(1,), (2,), (3,)]
    assert joined(faces, identities, "2") == [(1, 3), (2,)]


def test_persons_who_are_clearly_different_are_left_out_to_reach_a_number():
    faces = {1: seen(0, 9), 2: seen(10, 12)}
    identities = [PersonIdentity(1, E[0], 5.0), PersonIdentity(2, -E[1], 5.0)]
    assert joined(faces, identities, "1") == [(1,)]


def test_faces_that_cannot_be_compared_are_joined_to_reach_a_number():
    faces = {1: seen(0, 9), 2: seen(10, 12)}
    identities = [PersonIdentity(1, E[0], 5.0), PersonIdentity(2, np.zeros(3, np.float32), 0.0)]
    assert joined(faces, identities) == [(1,), (2,)]
    assert joined(faces, identities, "1") == [(1, 2)]


def test_the_largest_face_counts_over_all_its_frames():
    faces = {1: seen(0, 40, 50.0), 2: seen(10, 40, 90.0), 3: seen(50, 52, 300.0)}
    identities = [PersonIdentity(n, E[n - 1], 5.0) for n in (1, 2, 3)]
    assert joined(faces, identities, "largest") == [(2,)]
    assert joined(faces, identities, "1") == [(1,)]


def test_without_identities_persons_are_tracks_and_the_longest_are_kept():
    faces = {1: seen(0, 2), 2: seen(10, 30), 3: seen(40, 50)}
    assert joined(faces, [], threshold=None) == [(1,), (2,), (3,)]
    assert joined(faces, [], "2", threshold=None) == [(2,), (3,)]


def test_a_photograph_names_a_person_whose_first_faces_did_not_match_it():
    faces = {1: seen(0, 9), 2: seen(20, 29)}
    identities = [PersonIdentity(None, E[0], 1.0, "Anna"), PersonIdentity(None, E[2], 1.0, "Cleo")]
    identities += [PersonIdentity(1, towards(0.7), 5.0), PersonIdentity(2, -E[1], 5.0)]
    found = file_persons(faces, identities, threshold=0.5, choice=PersonChoice())
    assert [(p.numbers, p.name) for p in found] == [((1,), "Anna"), ((2,), None)]


def test_a_photograph_must_be_more_similar_than_another_face_of_the_video():
    """Threshold 0.5, for photographs 0.6."""
    for cosine, name in ((0.55, None), (0.65, "Anna")):
        identities = [PersonIdentity(1, E[0], 5.0), PersonIdentity(None, towards(cosine), 1.0, "Anna")]
        (person,) = file_persons({1: seen(0, 9)}, identities, threshold=0.5, choice=PersonChoice())
        assert person.name == name


def test_two_names_are_never_one_person():
    faces = {1: seen(0, 9), 2: seen(20, 29)}
    identities = [PersonIdentity(1, E[0], 5.0, "Anna"), PersonIdentity(2, E[0], 5.0, "Anne")]
    assert joined(faces, identities) == [(1,), (2,)]


def test_the_confidence_is_one_half_at_the_threshold_and_higher_for_similar_faces():
    def confidence(mean: float) -> float | None:
        identity = PersonIdentity(1, E[0] * np.sqrt(np.float32(mean)), 5.0)
        return file_persons({1: seen(0, 9)}, [identity], threshold=0.5, choice=PersonChoice())[0].confidence

    assert confidence(0.5) == pytest.approx(0.5)
    assert confidence(0.8) > 0.95
    assert confidence(0.3) < 0.1
    assert file_persons({1: seen(0, 9)}, [], threshold=None, choice=PersonChoice())[0].confidence is None


@pytest.mark.parametrize("word", ["0", "-1", "two", "", "1.5"])
def test_a_wrong_choice_of_persons_names_the_right_ones(word):
    with pytest.raises(SettingsError, match="give auto, largest, or the number of persons, from 1"):
        PersonChoice.parse(word)


@pytest.mark.parametrize("word", ["auto", "largest", "3"])
def test_a_choice_of_persons_is_written_as_it_was_given(word):
    assert str(PersonChoice.parse(word)) == word
