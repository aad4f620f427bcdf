"""Training and scoring of all jobs of an experiment, on any executor and with equal files.

Finished trainings and scorings are skipped, so a run that was killed resumes.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from threadpoolctl import threadpool_limits

from emofuse.core.files import digest, write_json
from emofuse.core.parallel import Executor, Here, Task, run
from emofuse.datasets import DataSet, open_data
from emofuse.errors import OutputError
from emofuse.evaluation.score_tables import write_scores
from emofuse.evaluation.sources import Source, open_source
from emofuse.experiments.jobs import Job, Jobs, Setup
from emofuse.models import bundle as bundles
from emofuse.training import loop as fit
from emofuse.training.train import system_scores, train_system
from emofuse.training.training_run import TrainingRun

RECORD = "training.json"
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "onnxruntime", "av", "opencv-python-headless")

Bundles = Mapping[str, bundles.Bundle]


@dataclass(frozen=True)
class Monitor:
    """Callbacks of a run. report: gets messages. progress: gets the running steps and the fraction done."""

    report: Callable[[str], None] = lambda _: None
    progress: Callable[[str, float], None] = lambda _, __: None


# -- the folder -----------------------------------------------------------------------------------------------


def claim_folder(out: Path, data: DataSet, *, what: str, version: int) -> None:
    """Mark the folder as that of an experiment, or check that it is.

    Args:
        what: the experiment in words, such as "a table 1". version: of its format.
    Raises:
        OutputError: it cannot be written, or holds another experiment, version or data set, or files of other programs.
    """
    path = out / "format.json"
    own = {"what": what, "format": version, "data": data.name, "contents": content_digest(data)}
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if others := [file.name for file in out.glob("[!.]*")]:
            problem = f"holds {others[0]} and is not the folder of a run"
            raise OutputError(f"{out}: {problem}; give a new one with --out.") from None
        write_json(path, own)
        return
    except (OSError, ValueError):
        found = {}
    if found.get("what", what) != what:
        raise OutputError(f"{out}: holds {found['what']}, not {what}; choose another folder with --out.")
    if found.get("format") != version:
        raise OutputError(
            f"{out}: holds {what} of format {found.get('format')!r}, this emofuse writes {version}; choose another "
            "folder with --out."
        )
    if found | {"what": what} != own:
        raise OutputError(
            f"{out}: holds {what} of {found.get('data')}, whose clips or labels differ from those of "
            f"{data.name} now; choose another folder with --out."
        )


def content_digest(data: DataSet) -> str:
    """Identifies the clips of a data set by their names, file sizes and labels."""
    clips = []
    for clip in data.clips:
        file = clip.video or clip.audio
        size = file.stat().st_size if file is not None and file.exists() else None
        clips.append([clip.id, clip.split, clip.subject, size])
    labels = [data.annotation(c).labels.tolist() for split in ("train", "validation") for c in data.split(split)]
    return digest({"clips": clips, "labels": labels, "label_set": data.label_set.names})


def scored_splits(data: DataSet) -> list[str]:
    """The splits that are scored: validation, and test if the data set has it."""
    return [split for split in ("validation", "test") if any(clip.split == split for clip in data.clips)]


@lru_cache(maxsize=1)
def open_once(path: Path) -> DataSet:
    """The data set at a path; the last one stays open."""
    return open_data(path)


# -- all steps ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainingStep:
    """Trains a job in `folder`, starting from `start`."""

    name: str
    job: Job
    setup: Setup
    folder: Path
    start: Path | None


@dataclass(frozen=True)
class ScoringStep:
    """Scores a split of the data with a trained job and writes the table."""

    name: str
    jobs: Jobs
    split: str


Step = TrainingStep | ScoringStep


def run_jobs(
    jobs: Jobs,
    splits: Sequence[str],
    *,
    executor: Executor = Here(),  # noqa: B008 (frozen)
    monitor: Monitor = Monitor(),
) -> dict[str, bundles.Bundle]:
    """Train all jobs and score the splits with them, as far as not done yet; returns the bundles by name.

    The first error ends the run; other running steps are stopped, and resumed by the next run.

    Raises:
        EmofuseError: a training or scoring failed.
        OutputError: files written on another machine are not visible on this one.
    """
    tasks = _tasks(jobs, splits)
    total, running = len(jobs.by_name) * (1 + len(splits)), dict[str, None]()
    done = total - len(tasks)

    def show_progress() -> None:
        monitor.progress(", ".join(running) or "waiting", done / total)

    def started(task: Task[Step]) -> None:
        running[task.name] = None
        show_progress()

    work = partial(run_step, report=monitor.report) if isinstance(executor, Here) else run_step
    results = cast(Generator[Any, None, None], run(tasks, work, executor=executor, started=started))
    with closing(results):
        for result in results:
            running.pop(result.task.name, None)
            if result.error is not None:
                raise result.error
            if not isinstance(executor, Here):
                for line in result.value:
                    monitor.report(line)
            _check_visible(jobs, result.task.argument)
            done += 1
            show_progress()
    return {name: bundles.load(jobs.folder(name)) for name in jobs.by_name}


def _tasks(jobs: Jobs, splits: Sequence[str]) -> list[Task[Step]]:
    """The missing trainings and scorings. The scorings of a system run one after the other: they share a cache."""
    tasks, setup = list[Task[Step]](), jobs.setup
    for name, job in jobs.by_name.items():
        bundle, after = jobs.bundle(name), ""
        if bundle is None:
            start = jobs.folder(job.parent) if job.parent else job.weights
            waits = (f"{job.parent}: train",) if job.parent and jobs.bundle(job.parent) is None else ()
            after = f"{name}: train"
            tasks.append(Task(after, TrainingStep(name, job, setup, jobs.folder(name), start), waits))
        for split in splits:
            if bundle is not None and jobs.table(name, bundle.identity, split).exists():
                continue
            given = ScoringStep(name, jobs, split)
            tasks.append(Task(f"{name}: {split}", given, (after,) if after else ()))
            after = f"{name}: {split}"
    return tasks


def _check_visible(jobs: Jobs, step: Step) -> None:
    """Raise an OutputError if the files of a step are not visible on this machine."""
    bundle = jobs.bundle(step.name)
    path = jobs.folder(step.name)
    if bundle is not None and isinstance(step, ScoringStep):
        path = jobs.table(step.name, bundle.identity, step.split)
    if bundle is None or not path.exists():
        raise OutputError(f"{path}: was written on another machine; choose --out on a disk that all machines share.")


# -- one step ------------------------------------------------------------------------------------------------


def run_step(step: Step, report: Callable[[str], None] | None = None) -> tuple[str, ...]:
    """Train or score; returns the messages, unless `report` gets them at once."""
    lines: list[str] = []
    setup = step.setup if isinstance(step, TrainingStep) else step.jobs.setup
    with threadpool_limits(setup.threads):
        if isinstance(step, TrainingStep):
            _train(step, report or lines.append)
        else:
            _score(step)
    return tuple(lines)


def _train(step: TrainingStep, report: Callable[[str], None]) -> None:
    definition, name = step.job.definition, step.name
    began, before = time.monotonic(), sum(e["seconds"] for e in history(step.folder))
    report(f"{name}: training")
    callbacks = fit.Callbacks(
        epoch=lambda e: report(f"{name}: epoch {e.epoch + 1}, validation loss {e.validation_loss:.3f}"),
        note=lambda line: report(f"{name}: {line}"),
        events=False,
    )
    machine = fit.Machine(device=step.setup.device)
    run = TrainingRun(step.folder, step.start, step.setup.detector, machine, callbacks, report)
    train_system(definition, open_once(step.setup.data), run)
    write_json(step.folder / RECORD, {"seconds": round(before + time.monotonic() - began, 1)})


def _score(step: ScoringStep) -> None:
    job, folder, data = step.jobs.by_name[step.name], step.jobs.folder(step.name), open_once(step.jobs.setup.data)
    bundle = bundles.load(folder)
    run = TrainingRun(folder, detector=step.jobs.setup.detector)
    scores = system_scores(job.definition, bundle, data, run)
    path = step.jobs.table(step.name, bundle.identity, step.split)
    write_scores(path, {clip.id: scores(clip) for clip in data.split(step.split)})


def history(folder: Path) -> list[dict[str, float]]:
    """The metrics of each epoch of a training, counted from 0; empty if no network was trained."""
    path = folder / fit.HISTORY
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def training_seconds(folder: Path) -> float | None:
    """Duration of a training; of killed runs, up to their last epoch."""
    try:
        return float(json.loads((folder / RECORD).read_text("utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


# -- provenance ----------------------------------------------------------------------------------------------


def score_sources(jobs: Jobs, bundles: Bundles, split: str) -> dict[str, Source]:
    """The scores of a split by each system, by its name in the table."""
    tables = {name: jobs.table(name, bundle.identity, split) for name, bundle in bundles.items()}
    return {name: replace(open_source(path), system=name) for name, path in tables.items()}  # type: ignore[type-var]


def describe_system(jobs: Jobs, name: str, bundle: bundles.Bundle) -> dict[str, Any]:
    """A trained system as JSON values. Epochs are counted from 0."""
    definition, folder = jobs.by_name[name].definition, jobs.folder(name)
    wanted = ("train_loss", "validation_loss", "cpm")
    return {
        "replaced_by": definition.name if definition.name != name else None,
        "digest": bundle.identity,
        "definition": definition.to_json(),
        "bundle": str(folder.relative_to(jobs.setup.out)),
        "examples": bundle.card["examples"],
        "history": [{"epoch": int(e["epoch"]), **{k: e[k] for k in wanted}} for e in history(folder)],
        "seconds": training_seconds(folder),
    }


def machine() -> dict[str, Any]:
    """The software and machine, as JSON values."""
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "packages": {name: version(name) for name in PACKAGES},
    }
