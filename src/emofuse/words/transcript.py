"""What is said in a video: cues with their times, joined and split into sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from emofuse.core.time import ticks

_SENTENCE_END = re.compile(r"[.?!\u2026\u3002\uff01\uff1f][\"')\]\u201d\u2019]*$")
_ABBREVIATIONS = frozenset({"mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "vs.", "e.g.", "i.e."})
_PAUSE = ticks(1.5)  # silence that ends a sentence
_LONG = 30  # words after which the end of a cue ends a sentence that has no full stop


class Word(NamedTuple):
    """A word with its start and end in ticks."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Cue:
    """Something that is said from `start` to `end`, in ticks.

    speaker: the name that the transcript gives; None for none. words: with their own times, if these are known.
    """

    start: int
    end: int
    text: str
    speaker: str | None = None
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Transcript:
    """Cues in the order of time, none of which overlap.

    source: the name of the file, or of the model that transcribed.
    language: as the source states it, such as "en"; None if it does not.
    warnings: what a user should know about it, in one line each.
    """

    cues: tuple[Cue, ...]
    source: str
    language: str | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, cues: Sequence[Cue], source: str, *, language: str | None = None, warnings: Sequence[str] = ()
    ) -> Transcript:
        """A transcript of cues in any order. Where two overlap, the one that begins later counts from there on."""
        ordered = sorted(cues, key=lambda cue: (cue.start, cue.end))
        kept, overlapping = list[Cue](), 0
        for cue in ordered:
            if kept and cue.start < kept[-1].end:
                overlapping += 1
                before = kept.pop()
                if cue.start > before.start:
                    kept.append(_until(before, cue.start))
                else:
                    cue = replace(cue, text=f"{before.text} {cue.text}", words=())
            kept.append(cue)
        note = [f"{overlapping} of {len(ordered)} cues overlap the one before; the later one counts"]
        return cls(tuple(kept), source, language, (*warnings, *(note if overlapping else [])))

    @property
    def sentences(self) -> list[Cue]:
        """The cues joined and split at the ends of sentences, speakers and long pauses.

        >>> cues = [Cue(0, 10, "I am"), Cue(10, 40, "glad. So am I!")]
        >>> [(s.start, s.end, s.text) for s in Transcript.of(cues, "talk.srt").sentences]
        [(0, 23, 'I am glad.'), (23, 40, 'So am I!')]
        """
        return list(_sentences(self.cues))


class _Spoken(NamedTuple):
    """A word with the speaker, and whether it is the last one of its cue."""

    word: Word
    speaker: str | None
    last: bool


def _until(cue: Cue, end: int) -> Cue:
    words = tuple(word._replace(end=min(word.end, end)) for word in cue.words if word.start < end)
    return replace(cue, end=min(cue.end, end), words=words)


def _sentences(cues: Sequence[Cue]) -> Iterator[Cue]:
    pending: list[_Spoken] = []
    for spoken in (each for cue in cues for each in _spoken(cue)):
        before = pending[-1] if pending else None
        if before and (before.speaker != spoken.speaker or spoken.word.start - before.word.end >= _PAUSE):
            yield _joined(pending)
            pending = []
        pending.append(spoken)
        text = spoken.word.text
        full_stop = _SENTENCE_END.search(text) is not None and text.lower() not in _ABBREVIATIONS
        if full_stop or (spoken.last and len(pending) >= _LONG):
            yield _joined(pending)
            pending = []
    if pending:
        yield _joined(pending)


def _joined(spoken: Sequence[_Spoken]) -> Cue:
    words = tuple(each.word for each in spoken)
    return Cue(words[0].start, words[-1].end, " ".join(w.text for w in words), spoken[0].speaker, words)


def _spoken(cue: Cue) -> Iterator[_Spoken]:
    words = cue.words or tuple(_interpolated(cue))
    for n, word in enumerate(words):
        yield _Spoken(word, cue.speaker, n == len(words) - 1)


def _interpolated(cue: Cue) -> Iterator[Word]:
    """The words of a cue, whose duration is divided by their letters."""
    texts = cue.text.split()
    letters, passed = sum(map(len, texts)), 0
    for text in texts:
        start = cue.start + (cue.end - cue.start) * passed // letters
        passed += len(text)
        yield Word(start, cue.start + (cue.end - cue.start) * passed // letters, text)
