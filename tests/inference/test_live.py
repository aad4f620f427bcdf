"""Live sessions against `predict` of the same file: squares that are more or less light, with tones; and real clips."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.core.time import seconds, ticks
from emofuse.errors import ShapeError
from emofuse.inference.known_people import read_known_people
from emofuse.inference.live import PATIENCE, WAITING, LiveSession, LiveUpdate
from emofuse.inference.predictor import Options, Predictor
from emofuse.media.audio import AudioBlock, AudioReader
from emofuse.media.audio_clock import sample_time
from emofuse.media.container import MediaFile
from emofuse.media.video import Frame, VideoReader
from support import identity_bundles
from support.fused_bundles import RATE, image_of, predictor, write_bundle, write_video
from support.speech_bundles import tone

NAMES = list(AFFWILD2.names)
THREE = {"face": 0.4, "face-windows": 0.3, "voice": 0.3}


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("three"), THREE)


@pytest.fixture(scope="module")
def meeting(tmp_path_factory) -> Path:
    """24 s: nobody, then one person, then two, then the second alone, then nobody; a voice with a pause."""
    levels = [(0, 0)] * 10 + [(120 + n % 90, 0) for n in range(30)] + [(150, 90 + n) for n in range(40)]
    levels += [(0, 200)] * 25 + [(0, 0)] * 15
    voice = tone(2, 24.0, 0, rate=44_100)
    voice[9 * 44_100 : 15 * 44_100] = 0
    return write_video(tmp_path_factory.mktemp("meeting") / "meeting.mkv", levels, voice)


def pieces(path: Path, rate: int, rng: random.Random) -> Iterator[AudioBlock]:
    with AudioReader(path, rate_hz=rate) as reader:
        for block in reader.blocks(1.0):
            done = 0
            while done < len(block.samples):
                size = rng.randint(1, rate)
                start = block.start + sample_time(done, rate)
                yield AudioBlock(block.samples[done : done + size], start, rate)
                done += size


def updates(session: LiveSession, path: Path, *, rate: int, seed: int = 0, end: int | None = None) -> list[LiveUpdate]:
    """Push a file in random pieces; audio and frames are up to a second apart."""
    rng = random.Random(seed)
    found, audio = [], pieces(path, rate, rng) if MediaFile(path).has_audio else iter(())
    block = next(audio, None)
    with VideoReader(path) as video:
        for frame in video.frames():
            until = frame.start + ticks(rng.uniform(-1, 1))
            while block is not None and block.start < until:
                found.append(session.push_audio(block))
                block = next(audio, None)
            found.append(session.push_frame(frame))
        found += [session.push_audio(block) for block in [block, *audio] if block is not None]
        found.append(session.close(video.end if end is None else end))
    return found


def rows_of(found: list[LiveUpdate]) -> pd.DataFrame:
    return pd.concat([update.rows for update in found if update.rows is not None], ignore_index=True)


def assert_rows_of_predict(live: pd.DataFrame, whole: pd.DataFrame) -> None:
    """Rows of persons equal those of `predict` from the person's first face on; before the first person there is one
    row for each step."""
    whole = whole.sort_values(["start", "person"], kind="stable").reset_index(drop=True)
    assert list(live.columns) == list(whole.columns)
    assert (live.dtypes == whole.dtypes).all()
    first = whole[whole.x.notna()].groupby("person").start.min()
    expected = whole[whole.start >= whole.person.map(first)].reset_index(drop=True)
    found = live[live.person.notna()].reset_index(drop=True)
    texts = ["file", "status", "emotion"]
    assert found[texts].equals(expected[texts])
    numbers = [name for name in whole.columns if name not in texts]
    difference = found[numbers].to_numpy(float, na_value=np.nan) - expected[numbers].to_numpy(float, na_value=np.nan)
    assert (found[numbers].isna().to_numpy() == expected[numbers].isna().to_numpy()).all()
    assert np.nanmax(np.abs(difference)) < 2e-4
    nobody = live[live.person.isna()].reset_index(drop=True)
    before = whole[(whole.person == 1) & (whole.start < first.min())].reset_index(drop=True)
    pd.testing.assert_frame_equal(nobody.drop(columns="person"), before.drop(columns="person"), atol=2e-4)


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_random_pushes_are_those_of_predict(three, meeting, seed):
    shared = predictor(three)
    found = updates(LiveSession(shared, meeting.name), meeting, rate=RATE, seed=seed)
    assert_rows_of_predict(rows_of(found), shared.predict(meeting).table())


def test_rows_come_once_in_the_order_of_time_then_person_and_most_before_the_close(three, meeting):
    found = updates(LiveSession(predictor(three)), meeting, rate=RATE)
    rows = rows_of(found)
    keys = list(zip(rows.start, rows.person.fillna(0), strict=True))
    assert keys == sorted(set(keys))
    assert len(found[-1].rows) < len(rows) / 3


def test_rows_are_no_later_than_the_stated_lateness(three, meeting):
    session = LiveSession(predictor(three))
    newest = [0]

    def push(frame: Frame, sound: np.ndarray) -> LiveUpdate:
        start = int(frame.start)
        newest.append(start)
        session.push_audio(AudioBlock(sound, start, RATE))
        return session.push_frame(frame)

    with VideoReader(meeting) as video, AudioReader(meeting, rate_hz=RATE) as audio:
        sounds = [block.samples for block in audio.blocks(0.2)]
        late = []
        for frame, sound in zip(video.frames(), sounds, strict=False):
            update = push(frame, sound)
            if update.rows is not None:
                late.append(frame.start - ticks(update.rows.start.min()))
    assert 0 < max(late) <= session.lateness


def test_with_every_frame_each_frame_has_a_row(three, meeting):
    shared = predictor(three, rate_hz=None)
    found = updates(LiveSession(shared, meeting.name), meeting, rate=RATE)
    assert_rows_of_predict(rows_of(found), shared.predict(meeting).table())


def test_a_bundle_with_identities_has_the_rows_of_predict(tmp_path):
    red, pink = identity_bundles.RED, identity_bundles.PINK
    parts = [
        (2, (red, None)),
        (2, (red, pink)),
        (3, (None, None)),
        (2, (pink, None)),
        (2, (pink, red)),
        (4, (None,) * 2),
    ]
    path = identity_bundles.write_video(tmp_path / "two.mkv", *parts)
    shared = predictor(identity_bundles.write_bundle(tmp_path / "bundle"))
    found = updates(LiveSession(shared, path.name), path, rate=16_000)
    assert_rows_of_predict(rows_of(found), shared.predict(path).table())


def test_names_of_photographs_are_in_the_rows_and_on_the_faces(tmp_path):
    red, pink = identity_bundles.RED, identity_bundles.PINK
    bundle = identity_bundles.write_bundle(tmp_path / "bundle")
    path = identity_bundles.write_video(tmp_path / "two.mkv", (3, (red, None)), (3, (red, pink)))
    plain = predictor(bundle)
    photograph = identity_bundles.write_photograph(tmp_path / "people" / "Anna.png", pink)
    plain.known_people = read_known_people(photograph.parent, plain._face_stages(plain.detector))
    found = updates(LiveSession(plain, path.name), path, rate=16_000)
    rows = rows_of(found)
    assert rows[rows.person == 2].name.unique().tolist() == ["Anna"]
    assert rows[rows.person == 1].name.isna().all()
    assert [face.name for face in found[-2].faces] == [None, "Anna"]


def frames_of(levels: list[tuple[int, ...]], *, start: float = 0.0) -> list[Frame]:
    step = ticks(0.2)
    first = ticks(start)
    return [
        Frame.from_rgb(image_of(*row), index=n + round(start * 5), start=first + n * step, end=first + (n + 1) * step)
        for n, row in enumerate(levels)
    ]


def voice(begin: float, end: float) -> AudioBlock:
    samples = tone(2, end - begin, 0)
    return AudioBlock(samples, ticks(begin), RATE)


def test_without_any_audio_rows_do_not_wait_for_it(three):
    session = LiveSession(predictor(three))
    found = [session.push_frame(frame) for frame in frames_of([(150, 0)] * 60)]
    assert len(rows_of(found)) > 30
    assert set(rows_of(found).status) == {"ok"}
    assert session.warnings == []


def test_audio_that_stays_behind_is_waited_for_and_then_not_any_more(three):
    session = LiveSession(predictor(three))
    session.push_audio(voice(0, 4))
    found = [session.push_frame(frame) for frame in frames_of([(150, 0)] * 60)]
    reached = rows_of(found).end.max()
    assert reached <= 4
    assert session.warnings == []
    found += [session.push_frame(frame) for frame in frames_of([(150, 0)] * 60, start=12)]
    assert rows_of(found).end.max() > reached + seconds(PATIENCE) / 2
    assert session.warnings == ["audio was late by more than 10 s, and taken for silence"]


def test_audio_that_begins_late_does_not_stop_the_session(three, monkeypatch):
    session, filled = LiveSession(predictor(three)), []
    for part in (1, 2):
        for frame in frames_of([(150, 0)] * 5, start=600 * part):
            session.push_frame(frame)
    block = voice(1201, 1203)
    monkeypatch.setattr(session, "_add", filled.append)
    session.push_audio(block)
    scored = [window for output in filled for window in output.audio_windows]
    assert len(scored) < 15
    assert scored[-1].probabilities is not None


def test_times_that_are_far_ahead_are_refused(three):
    session = LiveSession(predictor(three))
    (frame,) = frames_of([(150, 0)], start=90_000)
    with pytest.raises(ShapeError, match="90000 s is more than a day after 0 s"):
        session.push_frame(frame)
    with pytest.raises(ShapeError, match="more than a day"):
        session.push_audio(voice(90_000, 90_001))


def test_audio_after_a_gap_is_scored_where_it_was_spoken(three):
    session = LiveSession(predictor(three, per_modality=True))
    blocks = [voice(0, 6), voice(14, 20)]
    found = []
    for frame in frames_of([(150, 0)] * 100):
        while blocks and blocks[0].start <= frame.start:
            found.append(session.push_audio(blocks.pop(0)))
        found.append(session.push_frame(frame))
    rows = rows_of([*found, session.close(ticks(20))])
    spoken = rows.voice_anger.notna().to_numpy()
    middle = rows.start.to_numpy() + 0.1
    assert not spoken[(middle > 8) & (middle < 12)].any()
    assert spoken[(middle > 1) & (middle < 5)].all()
    assert spoken[(middle > 16) & (middle < 19)].all()


def test_audio_of_another_rate_is_resampled(three):
    found = []
    for rate in (RATE, 2 * RATE):
        session = LiveSession(predictor(three))
        sound = AudioBlock(tone(2, 12.0, 0, rate=rate), 0, rate)
        session.push_audio(sound)
        updates = [session.push_frame(frame) for frame in frames_of([(150, 0)] * 60)]
        found.append(rows_of([*updates, session.close(ticks(12))]))
    assert (found[0].status == found[1].status).all()
    assert found[1][NAMES].to_numpy() == pytest.approx(found[0][NAMES].to_numpy(), abs=0.1)


def test_audio_alone_has_rows_without_a_person(three):
    session = LiveSession(predictor(three))
    found = [session.push_audio(voice(n, n + 1)) for n in range(30)]
    assert len(rows_of(found)) > 40
    rows = rows_of([*found, session.close(ticks(30))])
    assert len(rows) == 150
    assert rows.person.isna().all()
    assert rows.frame.isna().all()
    assert rows.confidence.notna().any()


def test_where_frames_stay_away_rows_go_on_with_the_frame_on_screen(three):
    session = LiveSession(predictor(three))
    found = [session.push_frame(frame) for frame in frames_of([(150, 0)] * 20)]
    found += [session.push_audio(voice(n, n + 1)) for n in range(40)]
    found += [session.push_frame(frame) for frame in frames_of([(150, 0)] * 10, start=41)]
    rows = rows_of([*found, session.close(ticks(43))])
    assert rows.start.is_monotonic_increasing
    rows = rows[rows.person == 1].reset_index(drop=True)  # the second one came after the tracks had ended
    assert len(rows) == 43 * 5
    by_second = rows.status.groupby(rows.start.astype(int)).first()
    assert by_second[[1, 7, 20]].tolist() == ["ok", "ok", "voice_only"]
    assert found[-1].faces[0].person == 2


@pytest.mark.parametrize("frames", [600, pytest.param(6000, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_session(three, frames):
    session = LiveSession(predictor(three))
    sound = tone(2, 0.2, 0)

    def kept(first: int, last: int) -> int:
        for n in range(first, last):
            (frame,) = frames_of([(100 + n % 100, 90 if n % 50 < 30 else 0)], start=n / 5)
            session.push_audio(AudioBlock(sound, frame.start, RATE))
            session.push_frame(frame)
        return _numbers(session)

    early = kept(0, 300)
    assert kept(300, frames) <= 1.1 * early


def _numbers(thing: object, seen: set[int] | None = None) -> int:
    """How many numbers and objects a session keeps, without the predictor and its networks."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, Predictor | type) or callable(thing):
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray | pd.DataFrame):
        return int(thing.size)
    inner: list[object] = []
    if isinstance(thing, dict):
        inner = [*thing.keys(), *thing.values()]
    elif hasattr(thing, "__iter__") and hasattr(thing, "__len__") and not isinstance(thing, str | bytes):
        inner = list(thing)
    inner += list(vars(thing).values()) if hasattr(thing, "__dict__") else []
    return 1 + sum(_numbers(value, seen) for value in inner)


def test_faces_of_the_frame_have_a_person_once_their_track_is_confirmed(three):
    session = LiveSession(predictor(three))
    found = [session.push_frame(frame).faces for frame in frames_of([(150, 200)] * 5)]
    assert [[face.person for face in faces] for faces in found] == [[None, None]] * 2 + [[1, 2]] * 3
    assert [face.status for face in found[0]] == [WAITING] * 2
    assert found[0][0].probabilities is None
    assert found[4][0].box == pytest.approx((16 / 128, 24 / 96, 32 / 128, 32 / 96))
    assert sum(found[4][0].probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert found[4][0].emotion == max(found[4][0].probabilities, key=found[4][0].probabilities.get)


def test_the_latest_voice_is_fused_with_the_faces_of_now_until_it_is_old(three):
    session = LiveSession(predictor(three))
    frames = frames_of([(150, 0)] * 80)
    for frame in frames[:15]:
        silent = session.push_frame(frame)
    session.push_audio(voice(0, 3.2))
    spoken = session.push_frame(frames[15])
    assert silent.voice is None
    assert sum(spoken.voice.values()) == pytest.approx(1, abs=1e-5)
    assert spoken.faces[0].probabilities != silent.faces[0].probabilities
    for frame in frames[16:]:
        later = session.push_frame(frame)
    assert later.voice is None


def test_frames_that_are_not_wanted_have_no_faces(three):
    session = LiveSession(predictor(three))
    (first,) = frames_of([(150, 0)])
    assert len(session.push_frame(first).faces) == 1
    assert not session.wants(ticks(0.1))
    between = Frame.from_rgb(image_of(150, 0), index=1, start=ticks(0.1), end=ticks(0.2))
    assert session.push_frame(between).faces == []


def test_an_update_is_plain_json(three):
    session = LiveSession(predictor(three))
    found = [session.push_frame(frame) for frame in frames_of([(150, 0)] * 40)]
    plain = [json.loads(json.dumps(update.as_json(), allow_nan=False)) for update in found]
    assert plain[5]["time"] == 1.0
    assert [face["person"] for face in plain[5]["faces"]] == [1]
    rows = [row for update in plain for row in update["rows"]]
    assert rows[0]["status"] == "ok"
    assert rows[0]["person"] == 1


def test_the_synthetic_sample_has_the_rows_of_predict(talk):
    shared = Predictor(Options())
    found = updates(LiveSession(shared, talk.name), talk, rate=16_000)
    assert_rows_of_predict(rows_of(found), shared.predict(talk).table())


def test_real_clips_have_the_rows_of_predict(clips):
    shared = Predictor(Options(per_modality=True))
    for path in sorted(clips.glob("*.mp4"))[::60]:
        found = updates(LiveSession(shared, path.name), path, rate=16_000)
        assert_rows_of_predict(rows_of(found), shared.predict(path).table())
