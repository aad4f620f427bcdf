"""What the page of results shows, as JSON values: the page's script draws it."""

from __future__ import annotations

import base64
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from emofuse.analysis.person_rows import PersonRows, distinct_names, person_rows, valence_classes
from emofuse.analysis.turns import SPEAKING, find_turns
from emofuse.core.colour import COLOURS
from emofuse.core.files import decoded
from emofuse.core.statuses import OK, TURNED
from emofuse.export import ResultTable, Segment, SegmentSettings, find_segments
from emofuse.export.segments import find_sentences
from emofuse.media.container import AUDIO_SUFFIXES
from emofuse.media.images import IMAGE_SUFFIXES
from emofuse.models.bundle import bundled, load
from emofuse.report.results.pictures import Pictures, PictureSource, Still

if TYPE_CHECKING:
    import pandas as pd

Bytes = NDArray[np.uint8]
_LEVELS, _MISSING = 250, 255  # probabilities and positions are bytes
_BYTES = 5_000_000  # of all rows together, before base64
_LONGEST_SEGMENTS, _FEW_FILES = 10, 10
_SMALL_FACE, _WIDE_YAW, _UNSURE = 0.08, 25.0, 0.5
_DARK = 50  # mean luma of a picture
_BOX = ("x", "y", "width", "height")


@dataclass(frozen=True)
class PageSettings:
    """What a page of results contains.

    embed: the media files are part of the page. segments: how rows become the segments that are listed.
    media_url: from where a page of one file loads the media file, if a server has it; default: from where it is.
    pictures: those of the page, if they were cut before; default: cut from the media files.
    """

    embed: bool = False
    segments: SegmentSettings = field(default_factory=lambda: SegmentSettings(merge_seconds=0.4))
    media_url: str | None = None
    pictures: PictureSource | None = None


def page_content(results: Sequence[ResultTable], folder: Path, settings: PageSettings) -> dict[str, Any]:
    """The content of the page.

    Args:
        folder: of the page, from which media files are linked.
    """
    listed = [list(person_rows([result])) for result in results]
    weight = sum(len(p.start) * (len(p.labels) + 1 + 4) for persons in listed for p in persons)
    reduction = max(1, -(-weight // _BYTES))  # rows that are averaged
    page = _Page(folder, settings, reduction, settings.pictures or Pictures(few=len(results) <= _FEW_FILES))
    files = [
        {"name": name, **_file(result, persons, page)}
        for name, result, persons in zip(distinct_names(results), results, listed, strict=True)
    ]
    return {"levels": _LEVELS, "missing": _MISSING, "reduction": reduction, "files": files}


@dataclass(frozen=True)
class _Page:
    """What the files of a page have in common. reduction: number of rows of which a row of the page is the mean."""

    folder: Path
    settings: PageSettings
    reduction: int
    pictures: PictureSource


def _file(result: ResultTable, persons: Sequence[PersonRows], page: _Page) -> dict[str, Any]:
    """One file of the page."""
    kind = _kind(result.file)
    statuses = list(dict.fromkeys(status for p in persons for status in p.table["status"].unique()))
    with page.pictures.of(result.media, len(persons)) as still:
        shown = [_person(p, statuses, page, still) for p in persons]
    for person in shown if kind == "audio" else ():
        person["quality"]["face"] = None
    warnings = [str(warning) for warning in result.metadata.get("warnings", ())]
    return {
        "path": None if result.media is None or page.settings.media_url else decoded(result.media),
        "media": _media_url(result.media, page.folder, page.settings),
        "kind": kind,
        "turned": bool(result.metadata.get("rotate")) or any("turned" in warning for warning in warnings),
        "start": min((float(p.start[0]) for p in persons if len(p.start)), default=0.0),
        "duration": max((p["end"] for p in shown), default=0.0),
        "labels": list(result.labels),
        "colours": [COLOURS[n % len(COLOURS)] for n in range(len(result.labels))],
        "statuses": statuses,
        "valence": valence_classes(result.labels),
        "persons": shown,
        "sentences": [s._asdict() for s in find_sentences(persons[0].table)] if persons else [],
        "warnings": warnings,
        "facts": _facts(result.metadata, page.settings.segments),
    }


def _kind(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "audio" if suffix in AUDIO_SUFFIXES else "video"


def _media_url(media: Path | None, folder: Path, settings: PageSettings) -> str | None:
    if media is None:
        return None
    if settings.media_url is not None:
        return settings.media_url
    if settings.embed:
        kinds = {"image": "image/jpeg", "audio": "audio/mpeg", "video": "video/mp4"}
        return f"data:{kinds[_kind(media.name)]};base64,{base64.b64encode(media.read_bytes()).decode()}"
    try:
        relative = os.path.relpath(media, folder)
    except ValueError:  # on another drive
        return media.absolute().as_uri()
    return quote(relative.replace(os.sep, "/").encode("utf-8", "surrogateescape"))


def _facts(metadata: Mapping[str, Any], segments: SegmentSettings) -> list[tuple[str, str]]:
    names = (
        "bundle",
        "detector",
        "separation",
        "voice_activity",
        "transcript",
        "modalities",
        "rotate",
        "min_confidence",
        "max_yaw",
    )
    known = [(name.replace("_", " "), metadata[name]) for name in names if metadata.get(name) is not None]
    shown = [(name, ", ".join(map(str, v)) if isinstance(v, list) else str(v)) for name, v in known]
    return [*shown, *_card_facts(str(metadata.get("bundle", ""))), ("segments", str(segments))]


def _card_facts(bundle: str) -> list[tuple[str, str]]:
    """What the card of a bundle of the package says about it; nothing of other bundles."""
    name, _, version = bundle.partition(" ")
    if name not in bundled() or (card := load(name)).version != version:
        return []
    names = {"data": "trained on", "licence": "licence of the bundle"}
    return [(shown, str(card.card[key])) for key, shown in names.items() if key in card.card]


def _person(person: PersonRows, statuses: list[str], page: _Page, still: Still) -> dict[str, Any]:
    """One person of a file."""
    segments = find_segments(person.table, person.labels, page.settings.segments)
    seconds = _durations(person)
    found = [s for s in segments if s.emotion is not None]
    longest = sorted(found, key=lambda s: s.start - s.end)[:_LONGEST_SEGMENTS]
    boxes = _boxes(person.table)
    picture = still(person, boxes, None)
    times: dict[str, float] = {}
    for s in found:
        # A photograph has no duration.
        times[str(s.emotion)] = times.get(str(s.emotion), 0) + ((s.end - s.start) or 1)
    return {
        "person": person.person,
        "name": person.name,
        "still": picture and picture.url,
        "end": float(person.end.max(initial=0.0)),
        **_rows(person, statuses, boxes, page.reduction),
        "modalities": {name: _encoded(values, page.reduction) for name, values in _modalities(person)},
        "times": dict(sorted(times.items(), key=lambda item: -item[1])),
        "means": _means(person, seconds),
        "segments": [
            {"start": s.start, "end": s.end, "emotion": s.emotion, "status": s.status,
             "confidence": s.confidence, "still": (of_segment := still(person, boxes, s)) and of_segment.url}
            for s in longest
        ],
        "transitions": _transitions(found),
        "turns": find_turns(person),
        "quality": _quality(person, seconds, boxes) | {"dark": picture and picture.luma < _DARK},
    }  # fmt: skip


def _durations(person: PersonRows) -> NDArray[np.float64]:
    """What each row counts for: its duration, or 1 if no row has any."""
    seconds = person.end - person.start
    return seconds if seconds.any() else np.ones_like(seconds)


def _means(person: PersonRows, seconds: NDArray[np.float64]) -> dict[str, float]:
    weight = seconds[person.scored]
    if not weight.sum():
        return {}
    means = weight @ person.values[person.scored] / weight.sum()
    return {name: round(float(v), 4) for name, v in zip(person.measures, means, strict=True)}


def _boxes(table: pd.DataFrame) -> NDArray[np.float64]:
    """The box of the face in each row, float64 [n, 4], NaN where there is none."""
    if not set(_BOX) <= set(table.columns):
        return np.full((len(table), 4), np.nan)
    return table[list(_BOX)].to_numpy(np.float64, na_value=np.nan)


def _speaking(table: pd.DataFrame) -> NDArray[np.float64]:
    """The probability that the person speaks in each row, float64 [n, 1], NaN where it is not known."""
    return table[[SPEAKING]].to_numpy(np.float64, na_value=np.nan)


def _modalities(person: PersonRows) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """The probabilities of each modality whose columns the table has."""
    columns = set(person.table.columns)
    first = person.labels[0]
    for column in person.table.columns:
        prefix = column.removesuffix(f"_{first}")
        if prefix != column and column not in person.labels and {f"{prefix}_{n}" for n in person.labels} <= columns:
            yield prefix, person.table[[f"{prefix}_{n}" for n in person.labels]].to_numpy(np.float64, na_value=np.nan)


def _rows(person: PersonRows, statuses: list[str], boxes: NDArray[np.float64], reduction: int) -> dict[str, Any]:
    """The rows as bytes in base64; a reduced row has the mean of its rows, and the status and box of the first."""
    start = person.start[::reduction]
    step = (person.end[0] - person.start[0]) * reduction if len(start) else 0.0
    constant = step > 0 and np.abs(start - step * np.arange(len(start))).max(initial=0) < 1e-3
    codes = np.array([statuses.index(status) for status in person.table["status"][::reduction]], np.uint8)
    found = np.asarray(~np.isnan(boxes[::reduction]).any(axis=1))
    placed = np.clip(np.nan_to_num(boxes[::reduction]), 0, 1)
    return {
        "n": len(start),
        "step": round(float(step), 6) if constant else None,
        "starts": None if constant else _base64(np.round(start * 1000).astype("<u4").view(np.uint8)),
        "values": _encoded(person.values[:, : len(person.labels)], reduction),
        "status": _base64(codes),
        "speaking": _encoded(_speaking(person.table), reduction) if SPEAKING in person.table.columns else None,
        "boxes": _base64(np.where(found[:, None], np.round(placed * _LEVELS), _MISSING).astype(np.uint8))
        if found.any()
        else None,
    }


def _encoded(values: NDArray[np.float64], reduction: int) -> str:
    """Probabilities [n, classes] as bytes, averaged over rows with scores."""
    if reduction > 1:
        padding = -len(values) % reduction
        padded = np.pad(values, ((0, padding), (0, 0)), constant_values=np.nan)
        parts = padded.reshape(-1, reduction, values.shape[1])
        known = ~np.isnan(parts)
        values = np.nan_to_num(parts).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    levels = np.round(np.clip(values, 0, 1) * _LEVELS)
    return _base64(np.nan_to_num(levels, nan=_MISSING).astype(np.uint8))


def _base64(values: Bytes) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _transitions(segments: Sequence[Segment]) -> list[tuple[str, str, int]]:
    """How often an emotion follows another one."""
    pairs = Counter((str(a.emotion), str(b.emotion)) for a, b in pairwise(segments) if a.emotion != b.emotion)
    return [(*pair, n) for pair, n in pairs.most_common()]


def _quality(person: PersonRows, seconds: NDArray[np.float64], boxes: NDArray[np.float64]) -> dict[str, float | None]:
    """Fractions of the person's time: with a face, turned and so on; None where it is not known."""
    table, total = person.table, float(seconds.sum()) or 1.0
    status = table["status"].to_numpy()

    def fraction(rows: Any, of: float = total) -> float | None:
        return round(float(seconds[np.asarray(rows, bool)].sum()) / of, 4) if of else None

    has_box = np.asarray(~np.isnan(boxes).any(axis=1))
    face = np.asarray(has_box if has_box.any() else status == OK)
    with_face, scored = float(seconds[face].sum()), float(seconds[person.scored].sum())
    yaw = table["yaw"].to_numpy(np.float64, na_value=np.nan) if "yaw" in table else np.full(len(table), np.nan)
    confidence = table["confidence"].to_numpy(np.float64, na_value=np.nan)
    known = person.scored
    return {
        "face": fraction(face),
        "scored": fraction(known),
        "turned": fraction(status == TURNED),
        "wide": fraction(np.abs(yaw) > _WIDE_YAW, with_face) if not np.isnan(yaw).all() else None,
        "small": fraction(has_box & (boxes[:, 3] < _SMALL_FACE), with_face) if has_box.any() else None,
        "confidence": round(float(seconds[known] @ confidence[known]) / scored, 4) if scored else None,
        "unsure": fraction(np.asarray(known & (confidence < _UNSURE)), scored),
    }
