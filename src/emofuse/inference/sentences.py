"""The words of a video: its sentences with their scores, and the sentence of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.core.labels import LabelSet
from emofuse.core.statuses import OK, OTHER_LANGUAGE
from emofuse.core.time import Ints, Timeline
from emofuse.core.types import Scores
from emofuse.models.words import WordsScorer
from emofuse.systems import WORDS
from emofuse.words import Transcript

_PRIOR_WORDS = 5  # of the whole transcript, which count with those of a sentence when its language is checked


class SentenceScore(NamedTuple):
    """A sentence from `start` to `end` ticks.

    status: `OK` or `OTHER_LANGUAGE`, whose probabilities are None. speaker: as the transcript names who says it.
    """

    start: int
    end: int
    text: str
    status: str
    probabilities: NDArray[np.float32] | None
    speaker: str | None = None


@dataclass(frozen=True, eq=False)
class SentenceRows:
    """The sentence of each row of a timeline.

    rows: int64 [n], numbers of the sentences over the starts of the rows, -1 where there is none.
    """

    sentences: tuple[SentenceScore, ...]
    rows: Ints

    @classmethod
    def of(cls, sentences: Sequence[SentenceScore], timeline: Timeline) -> SentenceRows:
        """The rows of a timeline; the sentences are in the order of time and do not overlap."""
        starts, ends = np.array([s[:2] for s in sentences], np.int64).reshape(-1, 2).T
        found = np.searchsorted(starts, timeline.start, side="right") - 1
        inside = found >= 0
        inside[inside] = timeline.start[inside] < ends[found[inside]]
        return cls(tuple(sentences), np.where(inside, found, -1))

    def __getitem__(self, rows: slice) -> SentenceRows:
        return replace(self, rows=self.rows[rows])

    @property
    def any_scored(self) -> bool:
        """Whether a row has the scores of a sentence."""
        return any(self.sentences[n].status == OK for n in np.unique(self.rows[self.rows >= 0]))

    def scores(self, timeline: Timeline, label_set: LabelSet) -> Scores:
        """The scores of the rows; they are valid where a sentence is scored."""
        values = np.zeros((len(self.sentences) + 1, len(label_set)), np.float32)  # the last one for rows without any
        valid = np.zeros(len(values), bool)
        for n, sentence in enumerate(self.sentences):
            if sentence.probabilities is not None:
                values[n], valid[n] = sentence.probabilities, True
        return Scores(values[self.rows], timeline, label_set, valid[self.rows], WORDS)

    def columns(self) -> dict[str, list[str | None]]:
        """The columns of a table: the text and the status of each row, and the speaker if the transcript names any."""
        columns = {"words": "text", "words_status": "status"}
        if any(sentence.speaker for sentence in self.sentences):
            columns["words_speaker"] = "speaker"
        return {
            name: [getattr(self.sentences[n], field) if n >= 0 else None for n in self.rows]
            for name, field in columns.items()
        }


def score_sentences(transcript: Transcript, scorer: WordsScorer) -> list[SentenceScore]:
    """The sentences of a transcript with their scores.

    A sentence is in another language if the transcript states one, or if too few of its words are known. The whole
    transcript counts like a few words more, so that a short sentence with a name is not taken for one.
    """
    sentences = transcript.sentences
    foreign = _foreign(transcript, [s.text for s in sentences], scorer)
    scored = [s.text for s, other in zip(sentences, foreign, strict=True) if not other]
    probabilities = iter(scorer(scored) if scored else ())
    return [
        SentenceScore(s.start, s.end, s.text, OTHER_LANGUAGE, None, s.speaker)
        if other
        else SentenceScore(s.start, s.end, s.text, OK, next(probabilities), s.speaker)
        for s, other in zip(sentences, foreign, strict=True)
    ]


def _foreign(transcript: Transcript, texts: Sequence[str], scorer: WordsScorer) -> list[bool]:
    stated, own = transcript.language, scorer.modality.language
    if stated is not None and not stated.lower().startswith(own):
        return [True] * len(texts)
    counts = [scorer.known(text) for text in texts]
    total = sum(count for _, count in counts)
    overall = sum(known for known, _ in counts) / total if total else 1.0
    shares = [(known + overall * _PRIOR_WORDS) / (count + _PRIOR_WORDS) for known, count in counts]
    return [share < scorer.modality.known_share for share in shares]
