from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emofuse.core.labels import AFFWILD2
from emofuse.errors import BundleError
from emofuse.models.bundle import load, write_bundle
from emofuse.models.words import LinearModel, WordsModality, WordsScorer
from emofuse.words.grams import NGrams
from support.spoken_words import train, words_modality


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> WordsModality:
    return words_modality(tmp_path_factory.mktemp("words"))


def emotions(words: WordsModality, *texts: str) -> list[str | None]:
    return AFFWILD2.decode(WordsScorer(words, classes=7)(texts).argmax(axis=1))


def test_sentences_get_the_emotion_of_their_words(words):
    texts = ["I am HAPPY!", "we are so sad", "You idiot.", "Wow, what a surprise"]
    assert emotions(words, *texts) == ["happiness", "sadness", "anger", "surprise"]


@pytest.mark.parametrize("text", ["", "   ", "12345", "\U0001f600", "\x00", "happy " * 10_000, "\u4f60\u597d"])
def test_any_text_has_probabilities_that_sum_to_one(words, text):
    assert WordsScorer(words, classes=7)([text]).sum() == pytest.approx(1)


def test_the_score_of_a_sentence_does_not_depend_on_others(words):
    scorer = WordsScorer(words, classes=7)
    alone = scorer(["I am so sad"])
    assert scorer(["wow", "I am so sad", "the table"])[1] == pytest.approx(alone[0], abs=1e-6)


def test_plain_words_speak_for_no_emotion(words):
    text = ["the meeting is at three"]
    scorer, open_ = (WordsScorer(replace(words, plain=plain), classes=7) for plain in (0.5, 0.0))
    raw, mixed = open_(text)[0], scorer(text)[0]
    assert mixed == pytest.approx((raw + raw[0]) / (raw + raw[0]).sum(), abs=1e-6)
    assert WordsScorer(replace(words, plain=1.0), classes=7)(text)[0] == pytest.approx(1 / 7)


def test_known_words_are_counted(words):
    assert WordsScorer(words, classes=7).known("I am glücklich, happy!") == (3, 4)


def test_coefficients_are_rounded_to_a_part_of_the_largest():
    model = LinearModel.rounded(np.float32([[1.27, 0], [-0.005, 5]]), np.float32([0, 0]), [])
    assert model.coefficients.tolist() == [[127, 0], [0, 127]] or model.coefficients.tolist() == [[127, 0], [-1, 127]]
    assert model.scales == pytest.approx([0.01, 5 / 127])


def test_a_bundle_of_words_alone_can_be_written_and_read(tmp_path):
    bundle = train(tmp_path)
    assert bundle.modalities == ("words",)
    assert load(tmp_path / "words").words == bundle.words
    assert write_bundle(tmp_path / "copy", bundle).identity == bundle.identity


def test_a_model_for_other_n_grams_is_refused(words):
    with pytest.raises(BundleError, match="its n-grams and labels need \\[8192, 7\\]"):
        WordsScorer(replace(words, grams=NGrams(bits=13)), classes=7)


def test_a_damaged_model_is_refused(words, tmp_path):
    (tmp_path / "words.safetensors").write_bytes(words.net.read_bytes()[:100])
    with pytest.raises(BundleError, match="get the bundle again"):
        WordsScorer(replace(words, net=tmp_path / "words.safetensors"), classes=7)
