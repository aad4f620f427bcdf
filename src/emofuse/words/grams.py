"""Sentences as sparse rows: hashed n-grams of words, with negations and emoji, and of the letters of words.

Capitals, lengthened words and runs of punctuation are features of their own, since transcripts may lack them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emofuse.errors import SettingsError

MAX_LETTERS = 2_000  # of a sentence; what follows is left out
_TOKEN = re.compile(
    r"\[[a-z]+\]"  # placeholders of data sets, such as [NAME]
    r"|[:;=8][-'o]?[()\[\]dp/\\|]+|<3"  # emoticons
    r"|[^\W_]+(?:'[^\W_]+)*"
    r"|[!?]+|\.\.+|[^\w\s]"
)
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_LINK = re.compile(r"(?:https?://|www\.)\S+")
_CAPITALS = re.compile(r"(?<!\[)\b[A-Z]{3,}\b")
_LENGTHENED = re.compile(r"([^\W\d_])\1{2,}")
_NEGATION = re.compile(
    r"not|no|never|none|nobody|nothing|without|hardly|cannot|(?:ca|do|wo|is|was|are|did|does|ai)nt|.*n't"
)
_CLAUSE_END = re.compile(r"[.,;:!?]+|but")
_NEGATED_WORDS = 3  # after a negation


@dataclass(frozen=True)
class NGrams:
    """Which n-grams are hashed to how many columns.

    bits: binary logarithm of the number of columns. words: greatest number of words in an n-gram. letters: least and
    greatest number of letters.

    Raises:
        SettingsError: a number is out of range.
    """

    bits: int = 19
    words: int = 2
    letters: tuple[int, int] = (3, 5)

    def __post_init__(self) -> None:
        object.__setattr__(self, "letters", tuple(self.letters))
        least, most = self.letters
        if not 8 <= self.bits <= 24 or not 1 <= self.words <= 5 or not 1 <= least <= most <= 8:
            raise SettingsError(
                f"n-grams: bits {self.bits}, words {self.words}, letters {least} to {most}; give 8 to 24, 1 to 5, and "
                "1 to 8 in order."
            )

    def rows(self, texts: Sequence[str]) -> Any:
        """Sparse rows float32 [n, 2 ** bits] of sentences; those of words, and those of letters, have length 1."""
        from scipy.sparse import csr_array
        from sklearn.feature_extraction import FeatureHasher
        from sklearn.preprocessing import normalize

        hasher = FeatureHasher(2**self.bits, input_type="string", alternate_sign=False, dtype=np.float32)
        plain = [normalised(text) for text in texts]
        parts = []
        for grams in ([self._of_words(*p) for p in plain], [self._of_letters(p[0]) for p in plain]):
            found = hasher.transform(grams)
            found.data[:] = 1
            parts.append(normalize(found, copy=False))
        return csr_array(parts[0] + parts[1])

    def _of_words(self, text: str, marks: Sequence[str]) -> list[str]:
        tokens = ["^", *_negated(text), "$"]
        counts = range(1, self.words + 1)
        return [" ".join(tokens[n : n + k]) for k in counts for n in range(len(tokens) - k + 1)] + list(marks)

    def _of_letters(self, text: str) -> list[str]:
        least, most = self.letters
        padded = [f" {word} " for word in text.split()]
        return ["_" + w[n : n + k] for w in padded for k in range(least, most + 1) for n in range(len(w) - k + 1)]


def normalised(text: str) -> tuple[str, list[str]]:
    """A sentence in small letters without links and lengthened words, and marks of what that leaves out.

    >>> normalised("SOOO good!!!! \U0001f600")
    ('soo good!! \U0001f600', ['#capitals', '#lengthened'])
    """
    text = unicodedata.normalize("NFKC", text[: 2 * MAX_LETTERS]).replace("\u2019", "'")[:MAX_LETTERS]
    text = "".join(c for c in _LINK.sub(" ", text) if not (0xFE00 <= ord(c) <= 0xFE0F or 0x1F3FB <= ord(c) <= 0x1F3FF))
    marks = ["#capitals"] if _CAPITALS.search(text) else []
    text = text.lower()
    marks += ["#lengthened"] if _LENGTHENED.search(text) else []
    return re.sub(r"([!?])\1+", r"\1\1", _LENGTHENED.sub(r"\1\1", text)), marks


def words(text: str) -> list[str]:
    """The words of a sentence, as `normalised`.

    >>> words("I DON'T know 3 of them, [NAME].")
    ['i', "don't", 'know', 'of', 'them']
    """
    return _WORD.findall(re.sub(r"\[[a-z]+\]", " ", normalised(text)[0]))


def _negated(text: str) -> Iterator[str]:
    """The tokens of a sentence; those after a negation, up to the end of the clause, begin with "not_"."""
    left = 0
    for token in _TOKEN.findall(text):
        if _CLAUSE_END.fullmatch(token):
            left = 0
        yield f"not_{token}" if left and token[0].isalnum() else token
        left = _NEGATED_WORDS if _NEGATION.fullmatch(token) else max(left - 1, 0)
