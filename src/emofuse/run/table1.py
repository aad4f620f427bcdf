"""All systems of Table 1 by one call: what the rows need is trained once, scored, fused, compared and submitted.

Everything is kept in one folder under the digests of what it depends on, so that a killed run goes on where it was.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from emofuse import __version__, fit
from emofuse.core.store import digest, write_json
from emofuse.data.dataset import DataSet, open_data
from emofuse.data.submission import EDITIONS
from emofuse.errors import BundleError, DataError, OutputError
from emofuse.fusion import save as save_fusion
from emofuse.run.audible import train_audible, voice_scores_of
from emofuse.run.evaluate import Settings
from emofuse.run.learning import Place
from emofuse.run.scores import open_source
from emofuse.run.submit import submit
from emofuse.run.table1_plan import Part, Plan, Request, plan
from emofuse.run.table1_rows import Compared, compare
from emofuse.run.tables import write_scores
from emofuse.run.visual import face_scores, train_visual
from emofuse.systems import bundle as bundles
from emofuse.systems.detectors import choose_detector
from emofuse.systems.engine import Engine
from emofuse.systems.paper import BASELINE_VALIDATION, TableRow
from emofuse.systems.spec import VoiceSystem

FORMAT = 1
PARTS = ("validation", "test")
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "onnxruntime", "av", "opencv-python-headless")


@dataclass(frozen=True)
class Watch:
    """What a run tells: lines for people, and how much of all its steps is done, 0 to 1."""

    say: Callable[[str], None] = lambda _: None
    progress: Callable[[str, float], None] = lambda _, __: None


def table1(request: Request, watch: Watch = Watch()) -> dict[str, Any]:
    """Train, score, fuse, compare and submit; table1.json in the folder holds what comes back.

    Raises:
        SettingsError: an unknown row, scale or setting, or pretrained weights are missing.
        DataError: the data set has no train or validation part, or nothing in it is labelled.
        OutputError: the folder cannot be written, or holds the result of another version or of other data.
    """
    began = time.monotonic()
    data = _opened(request.data)
    for part in ("train", "validation"):
        data.part(part)
    planned = plan(request, data)
    _claim(request, data)
    steps = [(name, part) for name in planned.parts for part in ("train", *_present(data))]
    for n, (name, part) in enumerate(steps):
        watch.progress(f"{name}: {part}", n / len(steps))
        if part == "train":
            trained(planned, name, watch)
        else:
            scored(planned, name, part)
    watch.progress("comparing", 1.0)
    compared = _compare(planned, data)
    for row, fitted in compared.fitted.items():
        save_fusion(request.out / "fusions" / f"{row}.safetensors", fitted)
    submissions, notes = _submit(planned, data, compared)
    result = _result(planned, data, compared, submissions, notes) | {"seconds": round(time.monotonic() - began, 1)}
    write_json(request.out / "table1.json", result)
    plain: dict[str, Any] = json.loads(json.dumps(result))  # as the file has it: lists, no tuples
    return plain


@lru_cache(maxsize=1)
def _opened(path: Path) -> DataSet:
    return open_data(path)


def _present(data: DataSet) -> list[str]:
    return [p for p in PARTS if any(clip.split == p for clip in data.clips)]


def _claim(request: Request, data: DataSet) -> None:
    """Say whose folder this is, or find that it is another's."""
    path, own = request.out / "format.json", {"format": FORMAT, "data": data.name, "contents": contents(data)}
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        write_json(path, own)
        return
    except (OSError, ValueError):
        found = {}
    if found.get("format") != FORMAT:
        raise OutputError(
            f"{request.out}: holds a table 1 of format {found.get('format')!r}, this emofuse writes {FORMAT}; choose "
            "another folder with --out."
        )
    if found != own:
        raise OutputError(
            f"{request.out}: holds a table 1 of {found.get('data')}, whose clips or labels are others than those of "
            f"{data.name} now; choose another folder with --out."
        )


def contents(data: DataSet) -> str:
    """Names the clips of a data set with their files' sizes and their labels."""
    clips = []
    for clip in data.clips:
        file = clip.video or clip.audio
        size = file.stat().st_size if file is not None and file.exists() else None
        clips.append([clip.id, clip.split, clip.subject, size])
    labels = [data.annotation(c).labels.tolist() for part in ("train", "validation") for c in data.part(part)]
    return digest({"clips": clips, "labels": labels, "label_set": data.label_set.names})


# -- one system -----------------------------------------------------------------------------------------------


def trained(planned: Plan, name: str, watch: Watch = Watch()) -> bundles.Bundle:
    """The bundle of a part of the plan, trained if it is not there yet; what it starts from is trained first."""
    part, request = planned.parts[name], planned.request
    folder = planned.folder(name)
    try:
        return bundles.load(folder)
    except BundleError:
        pass  # not there, or not whole: training goes on from what is there
    start = part.weights
    if part.parent is not None:
        trained(planned, part.parent, watch)
        start = planned.folder(part.parent)
    watch.say(f"{name}: training")
    place = Place(folder, start, fit.Machine(device=request.device), _fit_watch(name, watch), watch.say)
    data = _opened(request.data)
    if isinstance(part.definition, VoiceSystem):
        bundle = train_audible(part.definition, data, place)
    else:
        bundle = train_visual(part.definition, data, place, detector=_detector(request))
    assert bundle is not None  # torchrun is not used here
    return bundle


def scored(planned: Plan, name: str, split: str) -> Path:
    """The table of what a part of the plan says of a part of the data, made if it is not there yet."""
    bundle, request, part = trained(planned, name), planned.request, planned.parts[name]
    path = request.out / "scores" / f"{name}-{bundle.identity[:12]}" / f"{split}.parquet"
    if path.exists():
        return path
    data, folder = _opened(request.data), planned.folder(name)
    if isinstance(part.definition, VoiceSystem):
        say = voice_scores_of(part.definition, bundle, data, folder)
    else:
        say = face_scores(part.definition, bundle, data, folder, detector=_detector(request))
    write_scores(path, {clip.id: say(clip) for clip in data.part(split)})
    return path


def _detector(request: Request) -> Any:
    return choose_detector(request.detector, Engine())


def _fit_watch(name: str, watch: Watch) -> fit.Watch:
    def told(epoch: fit.Epoch) -> None:
        watch.say(f"{name}: epoch {epoch.epoch + 1}, validation loss {epoch.validation_loss:.3f}")

    return fit.Watch(epoch=told, note=lambda line: watch.say(f"{name}: {line}"), events=False)


# -- all of them ----------------------------------------------------------------------------------------------


def _compare(planned: Plan, data: DataSet) -> Compared:
    sources = {n: replace(open_source(scored(planned, n, "validation")), system=n) for n in planned.parts}  # type: ignore[type-var]
    return compare(planned.rows, data, sources, Settings(seed=planned.request.seed))


def _submit(planned: Plan, data: DataSet, compared: Compared) -> tuple[dict[str, str], list[str]]:
    """A submission of each row for the test part, where there is one."""
    if "test" not in _present(data):
        return {}, [f"{data.name} has no test part, so there are no submissions."]
    written, notes = {}, list[str]()
    for row in planned.rows:
        sources = [replace(open_source(scored(planned, n, "test")), system=n) for n in row.parts]  # type: ignore[type-var]
        folder = planned.request.out / "submissions" / row.name
        try:
            done = submit(data, sources, folder, edition=EDITIONS["2020"], fitted=compared.fitted.get(row.name))
        except DataError as error:
            notes.append(f"{row.name}: no submission: {error}")
            continue
        written[row.name] = str(folder.relative_to(planned.request.out))
        notes += [f"{row.name}, submission: {note}" for note in done.notes]
    return written, notes


def _result(
    planned: Plan, data: DataSet, compared: Compared, submissions: Mapping[str, str], notes: list[str]
) -> dict[str, Any]:
    request = planned.request
    rows = [_row(row, compared.rows[row.name]) | {"submission": submissions.get(row.name)} for row in planned.rows]
    return {
        "format": FORMAT,
        "emofuse": __version__,
        "data": data.name,
        "split": "validation",
        "labels": list(data.label_set.names),
        **compared.about,
        "scale": request.scale,
        "seed": request.seed,
        "rows": rows,
        "baseline_quoted": BASELINE_VALIDATION,
        "systems": {name: _system(planned, name, part) for name, part in planned.parts.items()},
        "notes": [*planned.notes, *compared.notes, *notes],
        "machine": {
            "platform": platform.platform(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "packages": {name: version(name) for name in PACKAGES},
        },
    }


def _row(row: TableRow, figures: Mapping[str, Any]) -> dict[str, Any]:
    about = {"name": row.name, "row": row.row, "parts": list(row.parts), "method": row.method}
    return about | dict(figures) | {"quoted": {"validation": row.quoted_validation, "test": row.quoted_test}}


def _system(planned: Plan, name: str, part: Part) -> dict[str, Any]:
    bundle, folder = trained(planned, name), planned.folder(name)
    return {
        "stands_in": part.definition.name if part.definition.name != name else None,
        "digest": bundle.identity,
        "definition": part.definition.to_json(),
        "bundle": str(folder.relative_to(planned.request.out)),
        "examples": bundle.card["examples"],
        "history": _history(folder / fit.HISTORY),
    }


def _history(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        wanted = ("train_loss", "validation_loss", "cpm")
        return [{"epoch": int(row["epoch"]), **{k: float(row[k]) for k in wanted}} for row in csv.DictReader(file)]
