"""Transcripts of other programs: WebVTT and SRT subtitles, the JSON files of Whisper, and TextGrids of Praat."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from emofuse.core.encodings import LATIN_1, encoding_of
from emofuse.core.files import printable
from emofuse.core.time import ticks
from emofuse.errors import DataError
from emofuse.words.subtitles import SUBTITLE_SUFFIXES, subtitle_cues
from emofuse.words.transcript import Cue, Transcript, Word

SUFFIXES = (*SUBTITLE_SUFFIXES, ".json", ".TextGrid")
_REMEDY = "give WebVTT or SRT subtitles, a .json of Whisper with segments, or a .TextGrid of Praat"
_LONGEST = 1e7  # seconds; more is a mistake
_NOT_SPOKEN = re.compile(
    r"\[[^\]]*\]|[\u266a\u266b\u266c]|^\s*\([^)]*\)\s*$|^\s*-\s+"
)  # [music], (laughs), - of a dialogue
_EMOTION = re.compile(r"(?:(?:person \d+[^:]*|voice): )?[a-z]+ [01]\.\d\d")  # as emofuse writes subtitles
_SOUNDS = re.compile(r"phon|syll|segment|\bmau\b", re.IGNORECASE)  # names of tiers without words
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<![\w\[.])(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w\]])')


def read_transcript(path: Path) -> Transcript:
    """The transcript in a file.

    Raises:
        DataError: it cannot be read, is not a transcript, says nothing, or a cue ends before it starts.
    """
    reader = {suffix.lower(): read for suffix, read in _READERS.items()}.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{printable(path)}: is not a transcript; {_REMEDY}.")
    try:
        if not path.stat().st_size:
            raise DataError(f"{printable(path)}: is empty; {_REMEDY}.")
        latin = encoding_of(path, remedy="save it as UTF-8") == LATIN_1
        found = reader(path)
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror}); {_REMEDY}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{printable(path)}: is cut off or damaged; save it as UTF-8.") from None
    cues = [cue for each in found.cues if (cue := _spoken(each)) is not None]
    if not cues:
        raise DataError(f"{printable(path)}: holds no words; {_REMEDY}.")
    if found.emotions or all(_EMOTION.fullmatch(cue.text) for cue in cues):
        raise DataError(f"{printable(path)}: holds emotions, as emofuse writes them, not what is said; {_REMEDY}.")
    notes = [f"{printable(path.name)} is not UTF-8 and was read as Latin-1"] if latin else []
    return Transcript.of(cues, path.name, language=found.language, warnings=notes)


def transcript_beside(media: Path) -> Path | None:
    """The transcript of the same name beside a video; None if there is none.

    JSON files without segments are not transcripts.
    """
    for suffix in SUFFIXES:
        path = media.with_suffix(suffix)
        if path.is_file() and (suffix != ".json" or _has_segments(path)):
            return path
    return None


class _Found(NamedTuple):
    """emotions: whether emofuse wrote the file."""

    cues: list[Cue]
    language: str | None = None
    emotions: bool = False


def _has_segments(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding_of(path)))
    except (OSError, ValueError, RecursionError, DataError):
        return False
    return isinstance(content, dict) and isinstance(content.get("segments"), list)


def _spoken(cue: Cue) -> Cue | None:
    """The cue without what is not speech; None if nothing is left."""
    text = " ".join(_NOT_SPOKEN.sub(" ", cue.text).split())
    words = cue.words if text == cue.text else ()
    return Cue(cue.start, cue.end, text, cue.speaker, words) if text and cue.end > cue.start else None


def _cue(path: Path, place: str, start: float, end: float, text: str, speaker: str | None = None) -> Cue:
    """
    Raises:
        DataError: a time is none, or the end is before the start.
    """
    if not all(math.isfinite(time) and 0 <= time <= _LONGEST for time in (start, end)):
        raise DataError(f"{printable(path)}: {place}: {start:g} to {end:g} s are not times; correct them.")
    if end < start:
        raise DataError(f"{printable(path)}: {place}: ends at {end:g} s, before its start at {start:g} s; correct it.")
    return Cue(ticks(round(start, 6)), ticks(round(end, 6)), text, speaker)


def _subtitles(path: Path) -> _Found:
    return _Found(
        [
            _cue(path, f"line {c.line}", _clock(c.start), _clock(c.end), c.text, c.speaker)
            for c in subtitle_cues(path, remedy=_REMEDY)
        ]
    )


def _clock(text: str) -> float:
    """Seconds of hh:mm:ss.mmm or mm:ss,mmm; NaN if minutes or seconds are above 59."""
    *hours, minutes, rest = text.replace(",", ".").split(":")
    if int(minutes) > 59 or float(rest) >= 60:
        return math.nan
    return int(hours[0] if hours else 0) * 3600 + int(minutes) * 60 + float(rest)


def _whisper(path: Path) -> _Found:
    try:
        content = json.loads(path.read_text(encoding_of(path)))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{printable(path)}: is not JSON ({error}); {_REMEDY}.") from None
    segments = content.get("segments") if isinstance(content, dict) else content
    if not isinstance(segments, list):
        raise DataError(f"{printable(path)}: has no segments; {_REMEDY}.")
    cues = []
    for number, segment in enumerate(segments, start=1):
        try:
            start, end, text = float(segment["start"]), float(segment["end"]), " ".join(segment["text"].split())
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            found = f"{printable(path)}: segment {number}: lacks a start, an end or a text ({error!r})"
            raise DataError(f"{found}; {_REMEDY}.") from None
        speaker = segment.get("speaker")
        cue = _cue(path, f"segment {number}", start, end, text, None if speaker is None else str(speaker))
        cues.append(replace(cue, words=_timed(segment, cue)))
    language = content.get("language") if isinstance(content, dict) else None
    return _Found(cues, language if isinstance(language, str) else None)


def _timed(segment: Mapping[str, Any], cue: Cue) -> tuple[Word, ...]:
    """The words of a segment of Whisper, if all of them have times within it; otherwise none."""
    try:
        words = [
            Word(ticks(round(float(w["start"]), 6)), ticks(round(float(w["end"]), 6)), str(w["word"]).strip())
            for w in segment["words"]
        ]
    except (KeyError, TypeError, ValueError, OverflowError):
        return ()
    words = [word for word in words if word.text]
    times = [time for word in words for time in word[:2]]
    return tuple(words) if words and times == sorted(times) and times[0] >= cue.start and times[-1] <= cue.end else ()


def _textgrid(path: Path) -> _Found:
    text = path.read_text(encoding_of(path))
    if "ooTextFile" not in text[:100] or "TextGrid" not in text[:200]:
        raise DataError(f"{printable(path)}: is not a TextGrid of Praat; {_REMEDY}.")
    try:
        tiers = list(_interval_tiers(text))
    except (StopIteration, ValueError, TypeError, RuntimeError):
        raise DataError(f"{printable(path)}: is a damaged TextGrid; save it again in Praat.") from None
    spoken = [tier for tier in tiers if not _SOUNDS.search(tier[0])]
    cues = [
        _cue(path, f"tier {name!r}, interval {n}", start, end, " ".join(label.split()), name if spoken[1:] else None)
        for name, intervals in spoken
        for n, (start, end, label) in enumerate(intervals, start=1)
        if label.strip()
    ]
    return _Found(cues, emotions=any(name == "emofuse" for name, _ in tiers))


def _interval_tiers(text: str) -> Iterator[tuple[str, list[tuple[float, float, str]]]]:
    """The name and the intervals of each tier of intervals, in the long and in the short form of the format."""
    tokens = (m[1].replace('""', '"') if m[2] is None else float(m[2]) for m in _TOKEN.finditer(text))
    next_of: Callable[[type], Any] = partial(_next, tokens)
    for _ in range(2):  # ooTextFile, TextGrid
        next_of(str)
    for _ in range(2):  # the start and end of the whole
        next_of(float)
    for _ in range(int(next_of(float))):
        points = next_of(str) != "IntervalTier"
        name = next_of(str)
        _, _, count = (next_of(float) for _ in range(3))
        rows = [(next_of(float), 0.0 if points else next_of(float), next_of(str)) for _ in range(int(count))]
        if not points:
            yield name, rows


def _next(tokens: Iterator[str | float], kind: type) -> Any:
    token = next(tokens, None)
    if not isinstance(token, kind):
        raise ValueError("another token")
    return token


_READERS: Mapping[str, Callable[[Path], _Found]] = {
    ".srt": _subtitles,
    ".vtt": _subtitles,
    ".json": _whisper,
    ".TextGrid": _textgrid,
}
TRANSCRIPT_SUFFIXES = frozenset(suffix.lower() for suffix in _READERS)
