from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from emofuse.core.time import ticks
from emofuse.words import Cue, Transcript, Word


def cue(start: float, end: float, text: str, speaker: str | None = None) -> Cue:
    return Cue(ticks(start), ticks(end), text, speaker)


def sentences(*cues: Cue) -> list[str]:
    return [s.text for s in Transcript.of(cues, "x.srt").sentences]


def test_cues_are_joined_up_to_the_end_of_a_sentence():
    assert sentences(cue(0, 1, "I do not"), cue(1, 2, "like it. Do"), cue(2, 3, "you?")) == [
        "I do not like it.",
        "Do you?",
    ]


def test_a_title_does_not_end_a_sentence():
    assert sentences(cue(0, 1, "Ask Dr. Who about it.")) == ["Ask Dr. Who about it."]


def test_a_change_of_the_speaker_ends_a_sentence():
    assert sentences(cue(0, 1, "well", "Anna"), cue(1, 2, "yes", "Ben")) == ["well", "yes"]


def test_a_pause_ends_a_sentence():
    assert sentences(cue(0, 1, "well"), cue(2, 3, "yes"), cue(4.6, 5, "no")) == ["well yes", "no"]


def test_text_without_full_stops_is_divided_at_the_ends_of_cues():
    cues = [cue(n, n + 1, "one two three four five six seven eight nine ten") for n in range(6)]
    assert [len(text.split()) for text in sentences(*cues)] == [30, 30]


def test_words_without_times_are_spread_over_their_cue_by_their_letters():
    (first, second) = Transcript.of([Cue(0, 100, "Hi. Hello there.")], "x.srt").sentences
    assert (first.start, first.end, second.start, second.end) == (0, 21, 21, 100)


def test_the_times_of_words_decide_where_a_sentence_begins():
    words = (Word(0, 10, "Hi."), Word(80, 100, "There."))
    first, second = Transcript.of([Cue(0, 100, "Hi. There.", None, words)], "x.json").sentences
    assert (first.start, first.end, second.start, second.end) == (0, 10, 80, 100)


def test_of_overlapping_cues_the_later_one_counts_with_a_warning():
    transcript = Transcript.of([cue(0, 4, "a long story"), cue(1, 2, "no")], "x.srt")
    assert [(c.start, c.end, c.text) for c in transcript.cues] == [
        (0, ticks(1), "a long story"),
        (ticks(1), ticks(2), "no"),
    ]
    assert transcript.warnings == ("1 of 2 cues overlap the one before; the later one counts",)


def test_cues_with_the_same_start_are_joined():
    transcript = Transcript.of([cue(0, 2, "hello"), cue(0, 3, "there")], "x.srt")
    assert [(c.end, c.text) for c in transcript.cues] == [(ticks(3), "hello there")]


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(1, 30), st.sampled_from(["Oh.", "what is", "no? yes!", "a"])),
        max_size=12,
    )
)
def test_sentences_are_in_order_never_overlap_and_lose_no_word(rows):
    cues = [Cue(start, start + length, text) for start, length, text in rows]
    found = Transcript.of(cues, "x.srt").sentences
    assert all(a.start <= a.end <= b.start for a, b in pairwise(found))
    words = sorted(word for s in found for word in s.text.split())
    assert words == sorted(word for c in cues for word in c.text.split())
