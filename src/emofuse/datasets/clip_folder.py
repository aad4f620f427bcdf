"""Folders of recordings as clip lists: labels, subjects and splits from the names of files and folders.

A label is the name of a folder (`happy/x.mp4`, `train/anna/happy/x.mp4`), or part of a file name as RAVDESS, CREMA-D,
TESS, SAVEE and EMO-DB have it. A subject is part of such a file name, or a folder such as `Actor_01`; a split is a
folder such as `train`.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from emofuse.core.labels import RAVDESS, UNLABELLED, LabelSet
from emofuse.datasets.clip_rows import LEFT_OUT, SPLIT_NAMES, LabelSegment, ListedClip, clip_ids
from emofuse.datasets.problems import Level, Problem
from emofuse.datasets.tables import UNLABELLED_NAMES, label_index, label_indices
from emofuse.media.container import AUDIO_SUFFIXES, VIDEO_SUFFIXES

RECORDING_SUFFIXES = VIDEO_SUFFIXES | AUDIO_SUFFIXES
_DEPTH = 4  # levels of folders that are searched
_HELD_OUT = 5  # each fifth subject is validated on where the names give no split
_SUBJECT_FOLDER = re.compile(r"(?:actor|subject|subj|sub|speaker|person|participant|p|s)[-_ ]?(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class NameScheme:
    """How a data set names its files.

    pattern: of the stem, with the groups `label` and perhaps `subject`. labels: class names by label code.
    """

    pattern: re.Pattern[str]
    labels: Mapping[str, str]


NAME_SCHEMES: Mapping[str, NameScheme] = MappingProxyType(
    {
        "RAVDESS": NameScheme(
            re.compile(r"\d\d-\d\d-(?P<label>\d\d)-\d\d-\d\d-\d\d-(?P<subject>\d\d)"),
            {f"{number:02}": name for number, name in enumerate(RAVDESS.names, start=1)},
        ),
        "CREMA-D": NameScheme(
            re.compile(r"(?P<subject>\d{4})_[A-Z]{3}_(?P<label>[A-Z]{3})_[A-Z]{1,2}", re.IGNORECASE),
            {name: name for name in ("ang", "dis", "fea", "hap", "neu", "sad")},
        ),
        "TESS": NameScheme(
            re.compile(r"(?P<subject>OAF?|YAF)_\w+_(?P<label>[a-z]+)", re.IGNORECASE),
            {name: name for name in ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad")},
        ),
        "SAVEE": NameScheme(
            re.compile(r"(?:(?P<subject>DC|JE|JK|KL)_)?(?P<label>a|d|f|h|n|sa|su)\d\d", re.IGNORECASE),
            dict(
                zip(
                    ("a", "d", "f", "h", "n", "sa", "su"),
                    ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"),
                    strict=True,
                )
            ),
        ),
        "EMO-DB": NameScheme(
            re.compile(r"(?P<subject>\d\d)[a-z]\d\d(?P<label>[WLEAFTN])[a-z]?", re.IGNORECASE),
            dict(
                zip(
                    "wleaftn",
                    ("anger", "boredom", "disgust", "fear", "happiness", "sadness", "neutral"),
                    strict=True,
                )
            ),
        ),
    }
)


def is_clip_folder(folder: Path, label_set: LabelSet, suffixes: Set[str] = RECORDING_SUFFIXES) -> bool:
    """Whether a folder has a file with one of the suffixes and a label in its name or in that of its folder."""
    indices = label_indices(label_set)
    return any(_labels(Path(path), indices) for path in _files(folder, suffixes))


def clips_in_folder(folder: Path, label_set: LabelSet, suffixes: Set[str] = RECORDING_SUFFIXES) -> list[ListedClip]:
    """The files with one of the suffixes in and below a folder as clips, in order of their paths."""
    paths, indices = sorted(_files(folder, suffixes)), label_indices(label_set)
    ids = clip_ids(paths)
    return [_clip(folder, path, ids[path], indices) for path in paths]


def _files(folder: Path, suffixes: Set[str]) -> Iterator[str]:
    """The files with one of the suffixes in and below a folder, as relative paths with `/`."""
    for parent, folders, files in os.walk(folder):
        inside = Path(parent).relative_to(folder)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and len(inside.parts) < _DEPTH)
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield (inside / name).as_posix()


def _labels(path: Path, indices: Mapping[str, int]) -> dict[str, int]:
    """The class indices by where they were found: folders that are classes, and the file name."""
    found = {}
    for name in path.parts[:-1]:
        index = None if name.casefold() in UNLABELLED_NAMES else label_index(name, indices)
        if index is not None:
            found[f"folder {name}"] = index
    for corpus, scheme in NAME_SCHEMES.items():
        if match := scheme.pattern.fullmatch(path.stem):
            label = scheme.labels.get(match["label"].lower())
            if label is not None:
                found[f"{corpus} name {path.stem}"] = indices.get(label, UNLABELLED)
                break
    return found


def _subject(path: Path) -> str | None:
    for scheme in NAME_SCHEMES.values():
        match = scheme.pattern.fullmatch(path.stem)
        if match and match["subject"] and match["label"].lower() in scheme.labels:
            return match["subject"].upper()
    matches = (_SUBJECT_FOLDER.fullmatch(name) for name in reversed(path.parts[:-1]))
    return next((match[1] for match in matches if match), None)


def _clip(folder: Path, name: str, id_: str, indices: Mapping[str, int]) -> ListedClip:
    path = Path(name)
    labels, problems = _labels(path, indices), list[Problem]()
    if len(set(labels.values())) > 1:
        first, *others = labels
        other = next(place for place in others if labels[place] != labels[first])
        found = f"{first} and {other} are different classes"
        problems.append(Problem(Level.ERROR, "unknown-label", id_, folder / name, None, found, LEFT_OUT))
    splits = [split for part in path.parts[:-1] if (split := SPLIT_NAMES.get(part.casefold()))]
    segment = LabelSegment(None, next(iter(labels.values()), UNLABELLED))
    return ListedClip(id_, name, None, splits[0] if splits else None, _subject(path), (segment,), tuple(problems))


def with_splits(folder: Path, clips: Sequence[ListedClip], *, instead: str) -> tuple[list[ListedClip], list[Problem]]:
    """The clips with assumed splits, and a problem that says so; unchanged if one has a split, or there are too few.

    Each fifth subject is the validation split, or each fifth clip of a class where a subject is not known.

    Args:
        instead: what to do to choose the splits oneself, for the problem.
    """
    if any(clip.split for clip in clips):
        return list(clips), []
    subjects = sorted({clip.subject for clip in clips if clip.subject})
    if len(subjects) > 1 and all(clip.subject for clip in clips):
        chosen = set(subjects[_HELD_OUT - 1 :: _HELD_OUT] or subjects[-1:])
        held_out = {clip.id for clip in clips if clip.subject in chosen}
        level, found = Level.NOTE, f"the validation split is {len(chosen)} of {len(subjects)} subjects"
        found += f" ({', '.join(sorted(chosen)[:5])}{', ...' if len(chosen) > 5 else ''})"
    else:
        by_class: defaultdict[int, list[str]] = defaultdict(list)
        for clip in clips:
            by_class[clip.segments[0].label].append(clip.id)
        members = (ids[_HELD_OUT - 1 :: _HELD_OUT] or ids[1:][-1:] for ids in by_class.values())
        held_out = {id_ for ids in members for id_ in ids}
        level, found = Level.WARNING, f"the validation split is {len(held_out)} of {len(clips)} clips"
        found += ", and as subjects are unknown, people may be in both splits"
    if not held_out:
        return list(clips), []
    found = f"no split is given: {found}, the train split the others"
    consequence = f"to choose yourself, {instead}"
    problem = Problem(level, "assumed-split", folder.name or str(folder), folder, None, found, consequence)
    return [replace(c, split="validation" if c.id in held_out else "train") for c in clips], [problem]
