"""Stories of who is who, told to the tracker frame by frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.time import ticks
from emofuse.errors import SettingsError, ShapeError
from emofuse.faces.detector import Face
from emofuse.faces.tracker import TrackedFace, Tracker, TrackerSettings

DARK, BRIGHT = np.full((18, 32), 40, np.uint8), np.full((18, 32), 190, np.uint8)


def face(x, y=100.0, size=80.0):
    """A face whose centre is at (x, y)."""
    return Face(np.float32([x - size / 2, y - size / 2, size, size]), 0.9)


def told(story, *, rate=5.0, shots=None):
    """Pushes lists of faces at a rate; gives all TrackedFace and checks that none came too late."""
    tracker, seen = Tracker(), []
    for n, faces in enumerate(story):
        thumbnail = None if shots is None else shots[n]
        new = tracker.push(ticks(n / rate), list(faces), thumbnail=thumbnail)
        assert all(n - tracker.lookahead_frames <= s.frame_index <= n for s in new)
        seen += new
    return seen + tracker.close()


def persons(seen):
    """frame -> {person: x of the centre}"""
    found = {}
    for s in seen:
        assert s.person not in found.setdefault(s.frame_index, {})
        found[s.frame_index][s.person] = float(s.face.box[0] + s.face.box[2] / 2)
    return found


def ids(seen):
    return sorted({s.person for s in seen})


@pytest.mark.parametrize("rate", [5.0, 30.0])
def test_one_person_in_all_frames_is_person_1(rate):
    seen = told([[face(200 + n)] for n in range(40)], rate=rate)
    assert [(s.frame_index, s.person) for s in seen] == [(n, 1) for n in range(40)]


def test_held_back_frames_come_when_the_person_is_confirmed():
    tracker = Tracker()
    counts = [len(tracker.push(ticks(n / 5), [face(200)])) for n in range(4)]
    assert counts == [0, 0, 3, 1]


@pytest.mark.parametrize("rate", [5.0, 30.0])
@pytest.mark.parametrize(("away", "expected"), [(1.5, [1]), (3.0, [1, 2])])
def test_who_returns_within_two_seconds_is_the_same_person(rate, away, expected):
    here, gone = round(2 * rate), round(away * rate)
    seen = told([[face(200)]] * here + [[]] * gone + [[face(240)]] * here, rate=rate)
    assert ids(seen) == expected
    assert len(seen) == 2 * here


def test_who_appears_elsewhere_is_somebody_else():
    assert ids(told([[face(200)]] * 5 + [[face(600)]] * 5)) == [1, 2]


def test_a_false_alarm_of_one_frame_never_appears():
    story = [[face(200)] for _ in range(20)]
    story[9] = [face(200), face(700)]
    seen = told(story)
    assert ids(seen) == [1]
    assert len(seen) == 20


def test_a_false_alarm_now_and_then_never_appears():
    story = [[face(200), face(700)] if n % 3 == 0 else [face(200)] for n in range(30)]
    assert ids(told(story)) == [1]


def test_a_face_missed_now_and_then_is_confirmed_with_all_its_frames():
    seen = told([[face(200)], [], [face(200)], [], [], [face(200)]])
    assert [s.frame_index for s in seen] == [0, 2, 5]


@pytest.mark.parametrize("rate", [5.0, 30.0])
@pytest.mark.parametrize("hidden", [0.0, 60.0])
def test_two_who_cross_keep_their_numbers(rate, hidden):
    """They pass in 4 s; while the centres are closer than `hidden`, only one face is seen."""
    story = []
    for n in range(round(4 * rate) + 1):
        left, right = face(100 + 150 * n / rate, 100), face(700 - 150 * n / rate, 110)
        close = abs(float(left.box[0] - right.box[0])) < hidden
        story.append([left] if close else [right, left])
    found = persons(told(story, rate=rate))
    assert found[0][1] == pytest.approx(100)
    assert found[0][2] == pytest.approx(700)
    last = found[len(story) - 1]
    assert last[1] == pytest.approx(700)
    assert last[2] == pytest.approx(100)


def test_a_fast_face_is_followed_at_five_frames_a_second():
    assert ids(told([[face(100 + 50 * n)] for n in range(12)])) == [1]


def test_a_face_of_quite_another_size_is_somebody_else():
    assert ids(told([[face(200, size=60)]] * 5 + [[face(200, size=150)]] * 5)) == [1, 2]


def test_at_a_cut_the_person_in_the_same_place_is_somebody_else():
    seen = told([[face(200)]] * 5 + [[face(205)]] * 5, shots=[DARK] * 5 + [BRIGHT] * 5)
    assert [s.person for s in seen] == [1] * 5 + [2] * 5


def test_without_thumbnails_there_is_no_cut():
    assert ids(told([[face(200)]] * 5 + [[face(205)]] * 5)) == [1]


def test_shot_and_reverse_shot_give_each_their_number_back():
    shots = ([DARK] * 5 + [BRIGHT] * 5) * 3
    story = ([[face(200)]] * 5 + [[face(220)]] * 5) * 3
    assert [s.person for s in told(story, shots=shots)] == ([1] * 5 + [2] * 5) * 3


def test_after_a_cut_and_back_the_place_must_match_closely():
    story = [[face(200)]] * 5 + [[]] * 3 + [[face(270)]] * 5  # near enough, were there no cut
    assert ids(told(story)) == [1]
    assert ids(told(story, shots=[DARK] * 5 + [BRIGHT] * 3 + [DARK] * 5)) == [1, 2]


def test_a_flash_of_one_frame_does_not_end_a_person():
    shots = [DARK] * 20
    shots[10] = BRIGHT
    seen = told([[face(200)]] * 20, shots=shots)
    assert ids(seen) == [1]
    assert len(seen) == 19


@pytest.mark.parametrize("frames", [1, 2])
def test_a_video_shorter_than_confirmation_shows_its_faces(frames):
    seen = told([[face(500), face(100)]] * frames)
    assert persons(seen) == {n: {1: 100.0, 2: 500.0} for n in range(frames)}


def test_a_face_only_in_the_last_two_frames_of_a_long_video_is_a_false_alarm():
    assert told([[]] * 8 + [[face(200)]] * 2) == []


def test_persons_are_numbered_by_confirmation_then_appearance_then_place():
    story = [[face(900)], [face(600), face(900)], [face(600), face(300)]]
    story += [[face(600), face(900), face(300)]] * 4  # 900 and 600 are confirmed together, 300 a frame later
    assert persons(told(story))[6] == {1: 900.0, 2: 600.0, 3: 300.0}


def test_memory_does_not_grow():
    tracker = Tracker()
    for n in range(500):
        tracker.push(ticks(n / 5), [face(100 + 1000 * (n // 3)), face(7 * n * n % 5000)])
        assert len(tracker._traces) <= 2 * 11  # two faces in each of the frames of the last two seconds


story_of_places = st.lists(st.lists(st.integers(0, 12), max_size=3, unique=True), min_size=1, max_size=25)


@given(story_of_places, st.sampled_from([5.0, 30.0]))
@settings(max_examples=100, deadline=None)
def test_each_face_comes_at_most_once_and_numbers_have_no_gaps(story, rate):
    faces = [[face(60.0 * x) for x in row] for row in story]
    seen = told(faces, rate=rate)
    assert len({id(s.face) for s in seen}) == len(seen)
    assert all(any(s.face is f for f in faces[s.frame_index]) for s in seen)
    assert ids(seen) == list(range(1, len(ids(seen)) + 1))
    persons(seen)


def test_frames_out_of_order_are_refused():
    tracker = Tracker()
    tracker.push(ticks(1), [])
    with pytest.raises(ShapeError, match="push frames in their order"):
        tracker.push(ticks(1), [])


def test_thumbnails_of_two_sizes_are_refused():
    tracker = Tracker()
    tracker.push(0, [], thumbnail=DARK)
    with pytest.raises(ShapeError, match="bring all to one size"):
        tracker.push(1, [], thumbnail=DARK[:9])


def test_settings_without_sense_are_refused():
    with pytest.raises(SettingsError, match="confirm_frames is 0"):
        TrackerSettings(confirm_frames=0)
    with pytest.raises(SettingsError, match="recall_seconds is -1"):
        TrackerSettings(recall_seconds=-1)


def test_what_is_seen_can_be_told_apart():
    one = face(1)
    assert TrackedFace(0, 1, one) == TrackedFace(0, 1, one) != TrackedFace(0, 2, one)
