"""Sequences of faces, pushed to the tracker frame by frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.time import ticks
from emofuse.errors import SettingsError, ShapeError
from emofuse.faces.detector import Face
from emofuse.faces.tracker import TrackedFace, Tracker

DARK, BRIGHT = np.full((18, 32), 40, np.uint8), np.full((18, 32), 190, np.uint8)


def face(x, y=100.0, size=80.0):
    """A face whose centre is at (x, y)."""
    return Face(np.float32([x - size / 2, y - size / 2, size, size]), 0.9)


def tracked(sequence, *, rate=5.0, shots=None):
    """All tracked faces of a sequence at a rate; none may be older than the lookahead."""
    tracker, found = Tracker(), []
    for n, faces in enumerate(sequence):
        thumbnail = None if shots is None else shots[n]
        new = tracker.push(ticks(n / rate), list(faces), thumbnail=thumbnail)
        assert all(n - tracker.lookahead_frames <= s.frame_index <= n for s in new)
        found += new
    return found + tracker.close()


def persons(found):
    """frame -> {person: x of the centre}"""
    centres = {}
    for s in found:
        assert s.person not in centres.setdefault(s.frame_index, {})
        centres[s.frame_index][s.person] = float(s.face.box[0] + s.face.box[2] / 2)
    return centres


def numbers(found):
    return sorted({s.person for s in found})


@pytest.mark.parametrize("rate", [5.0, 30.0])
def test_a_face_in_all_frames_is_person_1(rate):
    found = tracked([[face(200 + n)] for n in range(40)], rate=rate)
    assert [(s.frame_index, s.person) for s in found] == [(n, 1) for n in range(40)]


def test_faces_that_were_held_back_are_returned_when_the_person_is_confirmed():
    tracker = Tracker()
    counts = [len(tracker.push(ticks(n / 5), [face(200)])) for n in range(4)]
    assert counts == [0, 0, 3, 1]


@pytest.mark.parametrize("rate", [5.0, 30.0])
@pytest.mark.parametrize(("absence", "expected"), [(1.5, [1]), (3.0, [1, 2])])
def test_a_person_who_returns_within_two_seconds_keeps_the_number(rate, absence, expected):
    present, absent = round(2 * rate), round(absence * rate)
    found = tracked([[face(200)]] * present + [[]] * absent + [[face(240)]] * present, rate=rate)
    assert numbers(found) == expected
    assert len(found) == 2 * present


def test_a_face_at_another_position_is_another_person():
    assert numbers(tracked([[face(200)]] * 5 + [[face(600)]] * 5)) == [1, 2]


def test_a_false_positive_in_one_frame_is_never_returned():
    sequence = [[face(200)] for _ in range(20)]
    sequence[9] = [face(200), face(700)]
    found = tracked(sequence)
    assert numbers(found) == [1]
    assert len(found) == 20


def test_a_false_positive_in_every_third_frame_is_never_returned():
    sequence = [[face(200), face(700)] if n % 3 == 0 else [face(200)] for n in range(30)]
    assert numbers(tracked(sequence)) == [1]


def test_a_face_that_is_missed_in_some_frames_is_confirmed_with_all_others():
    found = tracked([[face(200)], [], [face(200)], [], [], [face(200)]])
    assert [s.frame_index for s in found] == [0, 2, 5]


@pytest.mark.parametrize("rate", [5.0, 30.0])
@pytest.mark.parametrize("hidden", [0.0, 60.0])
def test_two_persons_who_cross_keep_their_numbers(rate, hidden):
    """They pass in 4 s; while the centres are closer than `hidden`, only one face is detected."""
    sequence = []
    for n in range(round(4 * rate) + 1):
        left, right = face(100 + 150 * n / rate, 100), face(700 - 150 * n / rate, 110)
        close = abs(float(left.box[0] - right.box[0])) < hidden
        sequence.append([left] if close else [right, left])
    found = persons(tracked(sequence, rate=rate))
    assert found[0][1] == pytest.approx(100)
    assert found[0][2] == pytest.approx(700)
    last = found[len(sequence) - 1]
    assert last[1] == pytest.approx(700)
    assert last[2] == pytest.approx(100)


def test_a_fast_face_is_followed_at_five_frames_a_second():
    assert numbers(tracked([[face(100 + 50 * n)] for n in range(12)])) == [1]


def test_a_face_of_a_very_different_size_is_another_person():
    assert numbers(tracked([[face(200, size=60)]] * 5 + [[face(200, size=150)]] * 5)) == [1, 2]


def test_after_a_cut_a_face_at_the_same_position_is_another_person():
    found = tracked([[face(200)]] * 5 + [[face(205)]] * 5, shots=[DARK] * 5 + [BRIGHT] * 5)
    assert [s.person for s in found] == [1] * 5 + [2] * 5


def test_without_thumbnails_no_cut_is_detected():
    assert numbers(tracked([[face(200)]] * 5 + [[face(205)]] * 5)) == [1]


def test_persons_of_alternating_shots_keep_their_numbers():
    shots = ([DARK] * 5 + [BRIGHT] * 5) * 3
    sequence = ([[face(200)]] * 5 + [[face(220)]] * 5) * 3
    assert [s.person for s in tracked(sequence, shots=shots)] == ([1] * 5 + [2] * 5) * 3


def test_when_a_shot_comes_back_the_position_must_match_closely():
    sequence = [[face(200)]] * 5 + [[]] * 3 + [[face(270)]] * 5  # close enough if there were no cut
    assert numbers(tracked(sequence)) == [1]
    assert numbers(tracked(sequence, shots=[DARK] * 5 + [BRIGHT] * 3 + [DARK] * 5)) == [1, 2]


def test_a_flash_of_one_frame_does_not_end_a_track():
    shots = [DARK] * 20
    shots[10] = BRIGHT
    found = tracked([[face(200)]] * 20, shots=shots)
    assert numbers(found) == [1]
    assert len(found) == 19


@pytest.mark.parametrize("frames", [1, 2])
def test_a_video_shorter_than_the_confirmation_returns_its_faces(frames):
    found = tracked([[face(500), face(100)]] * frames)
    assert persons(found) == {n: {1: 100.0, 2: 500.0} for n in range(frames)}


def test_a_face_only_in_the_last_two_frames_of_a_long_video_is_not_returned():
    assert tracked([[]] * 8 + [[face(200)]] * 2) == []


def test_persons_are_numbered_by_confirmation_then_first_frame_then_position():
    sequence = [[face(900)], [face(600), face(900)], [face(600), face(300)]]
    sequence += [[face(600), face(900), face(300)]] * 4  # 900 and 600 are confirmed together, 300 a frame later
    assert persons(tracked(sequence))[6] == {1: 900.0, 2: 600.0, 3: 300.0}


def test_the_number_of_tracks_does_not_grow_with_time():
    tracker = Tracker()
    for n in range(500):
        tracker.push(ticks(n / 5), [face(100 + 1000 * (n // 3)), face(7 * n * n % 5000)])
        assert len(tracker._tracks) <= 2 * 16  # two faces in each of the frames of the last three seconds


positions_per_frame = st.lists(st.lists(st.integers(0, 12), max_size=3, unique=True), min_size=1, max_size=25)


@given(positions_per_frame, st.sampled_from([5.0, 30.0]))
@settings(max_examples=100, deadline=None)
def test_each_face_is_returned_at_most_once_and_numbers_have_no_gaps(sequence, rate):
    faces = [[face(60.0 * x) for x in row] for row in sequence]
    found = tracked(faces, rate=rate)
    assert len({id(s.face) for s in found}) == len(found)
    assert all(any(s.face is f for f in faces[s.frame_index]) for s in found)
    assert numbers(found) == list(range(1, len(numbers(found)) + 1))
    persons(found)


def test_frames_out_of_order_are_refused():
    tracker = Tracker()
    tracker.push(ticks(1), [])
    with pytest.raises(ShapeError, match="push frames in the order of their time"):
        tracker.push(ticks(1), [])


def test_a_confirmation_by_no_frame_is_refused():
    with pytest.raises(SettingsError, match="confirm_frames is 0"):
        Tracker(0)


def test_tracked_faces_are_equal_if_all_fields_are():
    one = face(1)
    assert TrackedFace(0, 1, one) == TrackedFace(0, 1, one) != TrackedFace(0, 2, one)
