from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.errors import SettingsError
from emofuse.words.grams import MAX_LETTERS, NGrams, normalised, words

GRAMS = NGrams(bits=14)


def same(a: str, b: str) -> bool:
    one, other = GRAMS.rows([a, b])
    return bool(abs(one - other).sum() < 1e-6)


def test_small_letters_apostrophes_and_links_make_no_difference():
    assert same("I don't know", "i don\u2019t know https://example.org/a?b=c")


def test_capitals_are_a_feature():
    assert normalised("STOP it")[1] == ["#capitals"]
    assert normalised("[NAME] is OK")[1] == []


def test_lengthened_words_are_shortened_and_marked():
    assert normalised("Noooo!!!!") == ("noo!!", ["#lengthened"])


def test_words_after_a_negation_differ_up_to_the_end_of_the_clause():
    assert not same("I am not happy", "I am happy not")
    plain, negated = GRAMS.rows(["happy", "not happy"])
    assert plain.nnz
    assert not same("not today, happy", "not today happy")
    assert negated.nnz


def test_the_skin_colour_of_an_emoji_makes_no_difference():
    assert same("\U0001f44d\U0001f3fd", "\U0001f44d\ufe0f")


def test_placeholders_numbers_and_emoji_are_no_words():
    assert words("[NAME] has 3 \U0001f600 isn't it") == ["has", "isn't", "it"]


def test_rows_of_text_have_length_one_for_words_and_letters():
    rows = GRAMS.rows(["some words here", ""])
    assert rows.shape == (2, 2**14)
    assert rows.dtype == np.float32
    assert 1 < np.sqrt(rows[[0]].power(2).sum()) <= 2


def test_very_long_text_is_cut():
    assert same("a b " * MAX_LETTERS, "a b " * (MAX_LETTERS // 4 + 10))


@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_any_text_has_finite_rows_that_do_not_depend_on_others(texts):
    rows = GRAMS.rows(texts)
    assert np.isfinite(rows.data).all()
    assert abs(rows[[0]] - GRAMS.rows(texts[:1])).sum() == 0


@pytest.mark.parametrize("wrong", [{"bits": 3}, {"words": 0}, {"letters": (4, 3)}])
def test_n_grams_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError, match="n-grams: bits"):
        NGrams(**wrong)
