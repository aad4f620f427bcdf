"""Table 1 by one call: trains what its rows need once, scores, fuses, compares, and writes submissions.

Results are kept in one folder and named by digests of all that they depend on, so that a killed run resumes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from emofuse.core.files import write_json
from emofuse.core.parallel import Executor, Here
from emofuse.core.version import __version__
from emofuse.datasets import DataSet
from emofuse.errors import DataError
from emofuse.evaluation.evaluate import Settings
from emofuse.evaluation.submission import submit
from emofuse.evaluation.submission_formats import EDITIONS
from emofuse.experiments.comparison import Comparison, compare
from emofuse.experiments.plan import Plan, Table1Request, plan
from emofuse.experiments.provenance import Bundles, describe_system, machine, score_sources
from emofuse.experiments.runner import Monitor, claim_folder, open_once, run_jobs, scored_splits
from emofuse.fusion import save as save_fusion
from emofuse.systems.paper import BASELINE_VALIDATION, Table1Row

FORMAT = 3


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


def _row(row: Table1Row, figures: Mapping[str, Any]) -> dict[str, Any]:
    about = {"name": row.name, "paper_row": row.row, "systems": list(row.systems), "method": row.method}
    return about | dict(figures) | {"quoted": {"validation": row.quoted_validation, "test": row.quoted_test}}
