"""Table 1 by one call: trains what its rows need once, scores, fuses, compares, and writes submissions.

Results are kept in one folder and named by digests of all that they depend on, so that a killed run resumes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from emofuse.core.files import write_json
from emofuse.core.parallel import Executor, Here
from emofuse.core.registry import nearest
from emofuse.core.settings import with_settings
from emofuse.core.version import __version__
from emofuse.datasets import DataSet
from emofuse.errors import DataError, SettingsError
from emofuse.evaluation.evaluate import Settings
from emofuse.evaluation.submission import submit
from emofuse.evaluation.submission_formats import EDITIONS
from emofuse.experiments.comparison import Comparison, compare
from emofuse.experiments.jobs import Job, Jobs, plan_jobs, without_pretrained
from emofuse.experiments.runner import (
    Bundles,
    Monitor,
    claim_folder,
    describe_system,
    machine,
    open_once,
    run_jobs,
    score_sources,
    scored_splits,
)
from emofuse.experiments.trial import Trial, at_scale, check_scale, scale_notes
from emofuse.fusion import save as save_fusion
from emofuse.systems import System, system
from emofuse.systems.paper import BASELINE_VALIDATION, TABLE1, Table1Row, table_row

FORMAT = 3


@dataclass(frozen=True)
class Table1Request:
    """A request for Table 1.

    rows: names of `systems.paper.TABLE1`; empty for all.
    changes: as given with `--set`: `NAME` to the system that replaces it, or `NAME.setting` to a value.
    """

    trial: Trial
    rows: tuple[str, ...] = ()
    changes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The rows and the jobs that they need."""

    request: Table1Request
    rows: tuple[Table1Row, ...]
    systems: Jobs
    notes: tuple[str, ...] = ()

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The jobs by name, those that others start from first."""
        return self.systems.by_name


def table1(request: Table1Request, monitor: Monitor = Monitor(), *, executor: Executor = Here()) -> dict[str, Any]:  # noqa: B008 (frozen)
    """Train, score, fuse, compare and submit; writes the returned values to table1.json in the folder.

    Args:
        executor: runs the trainings and scorings; the results are the same.
    Raises:
        SettingsError: an unknown row, scale or setting, or pretrained weights are missing.
        DataError: the data set has no train or validation split, or nothing in it is labelled.
        OutputError: the folder cannot be written, or holds the result of another version or of other data.
    """
    began = time.monotonic()
    data = open_once(request.trial.data)
    for split in ("train", "validation"):
        data.split(split)
    planned = plan(request, data)
    claim_folder(request.trial.out, data, what="a table 1", version=FORMAT)
    bundles = run_jobs(planned.systems, scored_splits(data), executor=executor, monitor=monitor)
    monitor.progress("comparing", 1.0)
    sources = score_sources(planned.systems, bundles, "validation")
    compared = compare(planned.rows, data, sources, Settings(seed=request.trial.seed))
    for row, fitted in compared.fitted.items():
        save_fusion(request.trial.out / "fusions" / f"{row}.safetensors", fitted)
    submissions, notes = _submit(planned, bundles, data, compared)
    result = _result(planned, bundles, data, compared) | {"seconds": round(time.monotonic() - began, 1)}
    for row in result["rows"]:
        row["submission"] = submissions.get(row["name"])
    result["notes"] += notes
    write_json(request.trial.out / "table1.json", result)
    plain: dict[str, Any] = json.loads(json.dumps(result))  # as in the file: lists instead of tuples
    return plain


def _submit(planned: Plan, bundles: Bundles, data: DataSet, compared: Comparison) -> tuple[dict[str, str], list[str]]:
    """Write a submission of each row, if the data has a test split; returns their folders and notes."""
    if "test" not in scored_splits(data):
        return {}, [f"{data.name} has no test split, so there are no submissions."]
    written, notes, all_sources = {}, list[str](), score_sources(planned.systems, bundles, "test")
    for row in planned.rows:
        sources = [all_sources[name] for name in row.systems]
        folder = planned.request.trial.out / "submissions" / row.name
        try:
            done = submit(data, sources, folder, edition=EDITIONS["2020"], fitted=compared.fitted.get(row.name))
        except DataError as error:
            notes.append(f"{row.name}: no submission: {error}")
            continue
        written[row.name] = str(folder.relative_to(planned.request.trial.out))
        notes += [f"{row.name}, submission: {note}" for note in done.notes]
    return written, notes


def _result(planned: Plan, bundles: Bundles, data: DataSet, compared: Comparison) -> dict[str, Any]:
    request = planned.request
    return {
        "format": FORMAT,
        "emofuse": __version__,
        "data": data.name,
        "split": "validation",
        "labels": list(data.label_set.names),
        **compared.about,
        "scale": request.trial.scale,
        "seed": request.trial.seed,
        "rows": [_row(row, compared.rows[row.name]) for row in planned.rows],
        "baseline_quoted": BASELINE_VALIDATION,
        "systems": {name: describe_system(planned.systems, name, bundles[name]) for name in planned.jobs},
        "notes": [*planned.notes, *compared.notes],
        "machine": machine(),
    }


def _row(row: Table1Row, measured: Mapping[str, Any]) -> dict[str, Any]:
    about = {"name": row.name, "paper_row": row.row, "systems": list(row.systems), "method": row.method}
    return about | dict(measured) | {"quoted": {"validation": row.quoted_validation, "test": row.quoted_test}}


# -- the plan --------------------------------------------------------------------------------------------------


def plan(request: Table1Request, data: DataSet) -> Plan:
    """The systems that the rows need as jobs, each once.

    Raises:
        SettingsError: an unknown row, scale or setting, or pretrained weights are missing (all are listed).
    """
    trial = request.trial
    check_scale(trial.scale)
    rows = tuple(table_row(name) for name in dict.fromkeys(request.rows)) or tuple(TABLE1.values())
    needed = [name for name in TABLE1 if any(name in row.systems for row in rows)]
    _check_changes(request.changes, needed)
    definitions = {name: _definition(name, request) for name in needed}
    systems = plan_jobs(trial.setup, definitions, trial.weights, scale=trial.scale)
    return Plan(request, rows, systems, (*scale_notes(trial.scale), *_notes(definitions)))


def _definition(name: str, request: Table1Request) -> System:
    definition = system(request.changes.get(name, name))
    if not (request.trial.scale == "tiny" and request.changes.get(name)):  # a replacement is taken as it is
        definition = at_scale(definition, request.trial.scale)
    own = {k.removeprefix(f"{name}."): v for k, v in request.changes.items() if k.startswith(f"{name}.")}
    changed = with_settings(definition, own | {"fit.seed": str(request.trial.seed)})
    return without_pretrained(changed) if request.trial.from_scratch else changed


def _check_changes(changes: Mapping[str, str], needed: list[str]) -> None:
    for key in changes:
        name = next((n for n in needed if key == n or key.startswith(f"{n}.")), None)
        if name is None:
            head = key.partition(".")[0]
            raise SettingsError(
                f"--set {key}: not a system of these rows{nearest(head, needed)}; choose {', '.join(needed)}. "
                "NAME=OTHER replaces a system."
            )


def _notes(definitions: Mapping[str, System]) -> Iterator[str]:
    for name, definition in definitions.items():
        if definition.name != name:
            yield f"{name}: replaced by {definition.name}."
        net = definition.net
        if net.scratch:
            yield f"{name}: from random weights instead of {net.weights}."
