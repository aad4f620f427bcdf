"""`summary.json`: what is known of each file whose results are in a folder, over all runs that write there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emofuse.core.files import locked, printable, write_json
from emofuse.core.statuses import OTHER_LANGUAGE, VOICE_ONLY
from emofuse.core.time import Timeline, seconds
from emofuse.core.types import Bools, Scores
from emofuse.core.version import __version__
from emofuse.errors import SettingsError
from emofuse.export.reader import SUMMARY
from emofuse.inference.prediction import PersonDetails, Prediction


def describe(prediction: Prediction) -> dict[str, Any]:
    """The entry of a prediction in the summary, without file, status and outputs."""
    steps, voice = len(prediction.timeline), prediction.voice
    persons = []
    for p in prediction.persons:
        details, found = prediction.details.get(p, PersonDetails()), prediction.face_found(p)
        entry: dict[str, Any] = {"person": p} | ({"name": details.name} if prediction.with_names else {})
        entry |= {"face_fraction": _fraction(found), "face_seconds": _seconds(prediction.timeline, found)}
        if prediction.metadata.get("max_yaw") is not None:
            entry["turned_fraction"] = _fraction(prediction.faces[p].turned)
        if voice is not None:
            entry["voice_only_fraction"] = _fraction(prediction.statuses(p) == VOICE_ONLY)
        entry["face_centre"] = None if details.centre is None else [round(c, 4) for c in details.centre]
        entry["face_height"] = None if details.height is None else round(details.height, 4)
        if p in prediction.faces:
            entry["mean_face"] = prediction.faces[p].mean()
        if details.confidence is not None:
            entry["one_person_confidence"] = round(details.confidence, 4)
        persons.append(entry | {"mean_probabilities": _mean_probabilities(prediction.scores[p])})
    entries: dict[str, Any] = {
        "duration_seconds": round(prediction.duration_seconds, 6),
        "steps": steps,
        "rows": prediction.rows,
        "persons": persons,
    }
    if voice is not None:
        entries["voice"] = {"fraction": _fraction(voice.valid), "mean_probabilities": _mean_probabilities(voice)}
    if (words := prediction.word_scores) is not None and prediction.words is not None:
        statuses = Counter(sentence.status for sentence in prediction.words.sentences)
        entries["words"] = {"fraction": _fraction(words.valid), "mean_probabilities": _mean_probabilities(words)}
        entries["words"] |= {"sentences": statuses.total(), OTHER_LANGUAGE: statuses[OTHER_LANGUAGE]}
    metadata = dict(prediction.metadata)
    chosen = {"person_choice": metadata.pop("persons")} if "persons" in metadata else {}  # the persons are a list here
    return {**entries, **metadata, **chosen}


def _fraction(rows: Bools) -> float:
    """The fraction of rows that are true."""
    return round(float(rows.mean()), 4) if len(rows) else 0.0


def _seconds(timeline: Timeline, rows: Bools) -> float:
    """How long the rows that are true last."""
    return round(seconds((timeline.end - timeline.start)[rows].sum()), 6)


def _mean_probabilities(scores: Scores) -> dict[str, float] | None:
    """Mean probabilities over the valid rows."""
    if not scores.valid.any():
        return None
    mean = scores.probabilities()[scores.valid].mean(axis=0)
    return {n: round(float(v), 4) for n, v in zip(scores.label_set.names, mean, strict=True)}


def check_own(out: Path) -> None:
    """Check that `summary.json` in a folder is that of emofuse, or not there.

    Raises:
        SettingsError: it is that of another program.
    """
    path = out / SUMMARY
    if not path.is_file():
        return
    try:
        own = "emofuse" in json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        own = False
    if not own:
        raise SettingsError(
            f"{printable(path)}: is there already, was not written by emofuse, and is not replaced; "
            "choose another folder with --out."
        )


def write_summary(
    out: Path, records: Path, entries: Sequence[Mapping[str, Any]], left_out: Mapping[str, int] | None = None
) -> Mapping[str, Any]:
    """Write the entries of a run, in order, and those of other runs whose results are still there; returns the former.

    There are no times in it, so that runs can be compared. Of several runs that end at once, each waits for the other.

    Args:
        records: folder for the lock.
        left_out: how many paths below folders were left out, by reason.
    """
    path = out / SUMMARY
    with locked(records / "summary.lock"):
        try:
            earlier = json.loads(path.read_text("utf-8"))["files"]
            others = [entry for entry in earlier if _still_holds(entry, entries, out)]
        except (OSError, ValueError, KeyError, TypeError):
            others = []
        write_json(path, _summary([*entries, *sorted(others, key=lambda entry: str(entry["file"]))], left_out))
    return _summary(entries, left_out)


def _summary(entries: Sequence[Mapping[str, Any]], left_out: Mapping[str, int] | None) -> dict[str, Any]:
    failed = sum(entry["status"] == "failed" for entry in entries)
    photographs = sum(entry.get("photograph", False) for entry in entries)
    more: dict[str, Any] = {"photographs": photographs} if photographs else {}
    more |= {"left_out": dict(left_out)} if left_out else {}
    return {"emofuse": __version__, "done": len(entries) - failed, "failed": failed, **more, "files": list(entries)}


def _still_holds(entry: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], out: Path) -> bool:
    """Whether an earlier entry is about another file than those of this run, with results that are still there."""
    if entry["file"] in {e["file"] for e in entries}:
        return False
    outputs = set(entry.get("outputs", ()))
    if outputs & {name for e in entries for name in e.get("outputs", ())}:
        return False
    return all((out / name).is_file() for name in outputs) if outputs else Path(entry["file"]).exists()
