"""Who speaks, from given evidence: mouths and voices whose outputs agree or not."""

from __future__ import annotations

import numpy as np
import pytest

from emofuse.core.time import Timeline, ticks
from emofuse.inference.mouths import Mouth, MouthSecond
from emofuse.inference.speakers import SpeakerEvidence, SpeechRows, posterior
from emofuse.speech.active_speaker import FRAMES, WIDTH, VoiceChunk

RATE = 5


def voice(number: int, speech: float = 1.0) -> VoiceChunk:
    return VoiceChunk(number, np.full((FRAMES, WIDTH), 1 / WIDTH, np.float32), np.full(FRAMES, speech, np.float32))


def mouth(agreement: float, valid: bool = True) -> Mouth:
    return Mouth(np.full((FRAMES, WIDTH), agreement, np.float32), np.full(FRAMES, valid))


def evidence(*agreements: dict[int, float], speech: list[float] | None = None, valid: bool = True) -> SpeakerEvidence:
    """One second for each dict of the agreement of persons."""
    found = SpeakerEvidence(scale=1.0, bias=0.0)
    seconds = [MouthSecond(n, {p: mouth(a, valid) for p, a in persons.items()}) for n, persons in enumerate(agreements)]
    voices = [voice(n, level) for n, level in enumerate(speech or [1.0] * len(agreements))]
    found.add(seconds, voices)
    return found


def rows(
    found: SpeakerEvidence, seconds: int, persons: tuple[int, ...] = (1, 2), **left_out: int
) -> dict[int, SpeechRows]:
    timeline = Timeline.steps(RATE, end=ticks(seconds))
    seen = {p: np.ones(len(timeline), bool) for p in (*persons, *left_out.values())}
    in_view = np.full(len(timeline), len(seen))
    return found.rows(timeline, {p: (p,) for p in persons}, seen, in_view)


def test_the_one_whose_mouth_agrees_with_the_voice_gets_it():
    found = rows(evidence(*[{1: 4.0, 2: -4.0}] * 4), 4)
    assert found[1].speaking.min() > 0.95
    assert found[2].speaking.max() < 0.2
    assert found[1].voice_weight.min() > 0.9
    assert found[2].voice_weight.max() < 0.1


def test_the_voice_follows_the_turns():
    found = rows(evidence(*[{1: 4.0, 2: -4.0}] * 4, *[{1: -4.0, 2: 4.0}] * 4), 8)
    assert (found[1].speaking[:15] > 0.9).all()
    assert (found[2].speaking[25:] > 0.9).all()
    assert abs(found[1].voice_weight[19] - found[2].voice_weight[20]) < 0.2


def test_where_nobody_in_view_agrees_the_voice_is_nobodys():
    found = rows(evidence(*[{1: -5.0, 2: -5.0}] * 4), 4)
    for person in (1, 2):
        assert found[person].speaking.max() < 0.1
        assert found[person].voice_weight.max() < 0.1


def test_one_person_in_view_probably_speaks_but_need_not():
    unknown, against = (rows(evidence(*[{1: a}] * 4), 4, (1,))[1] for a in (0.0, -5.0))
    assert unknown.speaking == pytest.approx(0.9, abs=0.01)
    assert against.speaking.max() < 0.2


def test_of_two_who_speak_each_gets_half():
    found = rows(evidence(*[{1: 5.0, 2: 5.0}] * 4), 4)
    assert found[1].voice_weight == pytest.approx(0.5, abs=0.02)
    assert found[1].speaking.min() > 0.8


def test_who_is_left_out_of_the_table_may_speak_as_well():
    found = rows(evidence(*[{1: -4.0, 2: 4.0}] * 4), 4, (1,), other=2)
    assert list(found) == [1]
    assert found[1].voice_weight.max() < 0.1


def test_where_there_is_no_speech_nobody_speaks():
    found = rows(evidence(*[{1: 4.0, 2: -4.0}] * 6, speech=[1, 1, 0, 0, 0, 0]), 6)
    assert (found[1].speaking[10:] == 0).all()
    assert found[1].voice_weight[12] > 0.9  # windows of the voice reach into the pause
    assert found[1].voice_weight[25] == 0.5  # of a voice that cannot be attributed


@pytest.mark.parametrize("found", [SpeakerEvidence(), evidence(*[{1: 5.0, 2: -5.0}] * 4, valid=False)])
def test_without_evidence_the_voice_is_shared(found):
    for each in rows(found, 4).values():
        assert np.isnan(each.speaking).all()
        assert (each.voice_weight == 0.5).all()


def test_a_person_who_is_not_in_view_has_no_part_while_others_are_and_all_of_it_alone():
    found, timeline = evidence(*[{1: 4.0}] * 2, {}, {}), Timeline.steps(RATE, end=ticks(4))
    seen = {1: np.arange(20) < 10, 2: np.zeros(20, bool)}
    each = found.rows(timeline, {1: (1,), 2: (2,)}, seen, seen[1].astype(int))
    assert np.isnan(each[2].voice_weight[:10]).all()
    assert (each[2].voice_weight[10:] == 1).all()
    assert np.isnan(each[2].speaking).all()


def test_persons_who_turn_out_to_be_one_have_the_evidence_of_both():
    found = evidence(*[{1: 4.0, 3: -4.0}] * 3, *[{2: 4.0, 3: -4.0}] * 3)
    timeline = Timeline.steps(RATE, end=ticks(6))
    seen = {1: np.arange(30) < 15, 2: np.arange(30) >= 15, 3: np.ones(30, bool)}
    each = found.rows(timeline, {1: (1, 2), 2: (3,)}, seen, np.full(30, 2))
    assert each[1].speaking.min() > 0.9


def test_mouths_and_voices_may_come_in_any_order_and_in_parts():
    whole, parts = evidence(*[{1: 2.0, 2: -1.0}] * 5), SpeakerEvidence(scale=1.0, bias=0.0)
    seconds = [MouthSecond(n, {1: mouth(2.0), 2: mouth(-1.0)}) for n in range(5)]
    parts.add(seconds[:3], [])
    parts.add([], [voice(n) for n in range(4)])
    parts.add(seconds[3:], [voice(4)])
    for person in (1, 2):
        assert np.array_equal(rows(whole, 5)[person].speaking, rows(parts, 5)[person].speaking)


def test_what_is_forgotten_changes_no_later_row():
    given = [{1: 3.0 * (-1) ** n, 2: -2.0} for n in range(12)]
    whole, part = evidence(*given), evidence(*given)
    part.forget(ticks(8))
    assert part.certain == whole.certain < ticks(12)
    for person in (1, 2):
        assert np.array_equal(rows(whole, 12)[person].speaking[40:], rows(part, 12)[person].speaking[40:])
        assert np.array_equal(rows(whole, 12)[person].voice_weight[40:], rows(part, 12)[person].voice_weight[40:])


def test_a_stream_that_ended_does_not_let_the_other_one_pile_up():
    found = SpeakerEvidence()
    for n in range(500):
        found.add([MouthSecond(n, {1: mouth(1.0)})], [])
    assert len(found._mouths) < 100


@pytest.mark.parametrize("persons", [1, 2, 5])
def test_parts_of_the_voice_never_sum_to_more_than_one(persons):
    ratios = np.random.default_rng(0).uniform(-5, 5, (persons, 200))
    in_view = np.random.default_rng(1).random((persons, 200)) < 0.8
    speaks, part = posterior(ratios, in_view)
    assert ((speaks >= part - 1e-12) & (speaks <= 1) & (part >= 0)).all()
    assert (part.sum(axis=0) < 1).all()
    assert (speaks[~in_view] == 0).all()
