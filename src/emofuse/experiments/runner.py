"""Training and scoring the systems of a table here, in processes or on a Ray cluster, with the same files as outcome.

What is done already is not done again, so a run that was killed goes on where it was.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

from threadpoolctl import threadpool_limits

from emofuse.core.files import digest, write_json
from emofuse.core.parallel import Executor, Here, Task, run
from emofuse.datasets import DataSet, open_data
from emofuse.errors import OutputError
from emofuse.evaluation.score_tables import write_scores
from emofuse.experiments.jobs import Part, Parts, Site
from emofuse.models import bundle as bundles
from emofuse.models.detectors import ChosenDetector, choose_detector
from emofuse.runtime import Engine
from emofuse.systems import VOICE
from emofuse.training import loop as fit
from emofuse.training.train import system_scores, train_system
from emofuse.training.training_run import TrainingRun

RECORD = "training.json"


@dataclass(frozen=True)
class Watch:
    """What a run tells: lines for people, and how much of all its steps is done, 0 to 1."""

    say: Callable[[str], None] = lambda _: None
    progress: Callable[[str, float], None] = lambda _, __: None


# -- the folder -----------------------------------------------------------------------------------------------


def claim(out: Path, data: DataSet, *, what: str, version: int) -> None:
    """Say whose folder this is, or find that it is another's.

    Args:
        what: is made there, in words, "a table 1"; version: of its form.
    Raises:
        OutputError: it cannot be written, or holds something else, or that of another version or of other data.
    """
    path = out / "format.json"
    own = {"what": what, "format": version, "data": data.name, "contents": contents(data)}
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
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
            f"{out}: holds {what} of {found.get('data')}, whose clips or labels are others than those of "
            f"{data.name} now; choose another folder with --out."
        )


def contents(data: DataSet) -> str:
    """Names the clips of a data set with their files' sizes and their labels."""
    clips = []
    for clip in data.clips:
        file = clip.video or clip.audio
        size = file.stat().st_size if file is not None and file.exists() else None
        clips.append([clip.id, clip.split, clip.subject, size])
    labels = [data.annotation(c).labels.tolist() for part in ("train", "validation") for c in data.split(part)]
    return digest({"clips": clips, "labels": labels, "label_set": data.label_set.names})


def present(data: DataSet) -> list[str]:
    """The parts of a data set that are scored: validation, and test if it is there."""
    return [part for part in ("validation", "test") if any(clip.split == part for clip in data.clips)]


@lru_cache(maxsize=1)
def opened(path: Path) -> DataSet:
    """The data set at a path, opened once."""
    return open_data(path)


# -- all of it ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """A part to be trained in `folder`, from `start`."""

    name: str
    part: Part
    site: Site
    folder: Path
    start: Path | None


@dataclass(frozen=True)
class Scoring:
    """A part of the data to be scored by what was trained in `folder`; the table goes to where `parts` has it."""

    name: str
    parts: Parts
    split: str


Job = Training | Scoring


def make(
    parts: Parts,
    splits: Sequence[str],
    *,
    executor: Executor = Here(),  # noqa: B008 (frozen)
    watch: Watch = Watch(),
) -> dict[str, bundles.Bundle]:
    """Train all parts and score some parts of the data, whatever of it is not there yet; the bundles by name.

    The first error ends the run: what else is at work is stopped, and taken up again by the next run.

    Raises:
        EmofuseError: that of the training or scoring that failed.
        OutputError: what was made on another machine is not to be seen here.
    """
    tasks = _tasks(parts, splits)
    if tasks:  # to look for a detector may take a while, and nothing to do needs none
        parts = replace(parts, site=_settled(parts))
        tasks = _tasks(parts, splits)
    total, running = len(parts.by_name) * (1 + len(splits)), dict[str, None]()
    done = total - len(tasks)

    def tell() -> None:
        watch.progress(", ".join(running) or "waiting", done / total)

    def started(task: Task[Job]) -> None:
        running[task.name] = None
        tell()

    work = partial(perform, say=watch.say) if isinstance(executor, Here) else perform
    results = cast(Generator[Any, None, None], run(tasks, work, executor=executor, started=started))
    with closing(results):
        for result in results:
            running.pop(result.task.name, None)
            if result.error is not None:
                raise result.error
            if not isinstance(executor, Here):
                for line in result.value:
                    watch.say(line)
            _check_here(parts, result.task.argument)
            done += 1
            tell()
    return {name: bundles.load(parts.folder(name)) for name in parts.by_name}


def _settled(parts: Parts) -> Site:
    """With the detector by its name, which `auto` might stand for another of on another machine."""
    site = parts.site
    if site.detector != "auto" or all(p.definition.modality == VOICE for p in parts.by_name.values()):
        return site
    return replace(site, detector=_detector("auto").identity.partition(":")[0])


def _tasks(parts: Parts, splits: Sequence[str]) -> list[Task[Job]]:
    """The missing trainings and scorings. The scorings of a system run one after the other: they share a cache."""
    tasks, site = list[Task[Job]](), parts.site
    for name, part in parts.by_name.items():
        bundle, after = parts.bundle(name), ""
        if bundle is None:
            start = parts.folder(part.parent) if part.parent else part.weights
            waits = (f"{part.parent}: train",) if part.parent and parts.bundle(part.parent) is None else ()
            after = f"{name}: train"
            tasks.append(Task(after, Training(name, part, site, parts.folder(name), start), waits))
        for split in splits:
            if bundle is not None and parts.table(name, bundle.identity, split).exists():
                continue
            given = Scoring(name, parts, split)
            tasks.append(Task(f"{name}: {split}", given, (after,) if after else ()))
            after = f"{name}: {split}"
    return tasks


def _check_here(parts: Parts, job: Job) -> None:
    """Refuse what was written elsewhere and is not to be seen from here."""
    bundle = parts.bundle(job.name)
    path = parts.folder(job.name)
    if bundle is not None and isinstance(job, Scoring):
        path = parts.table(job.name, bundle.identity, job.split)
    if bundle is None or not path.exists():
        raise OutputError(f"{path}: was written, but on another machine; choose --out on a disk that all share.")


# -- one of it ------------------------------------------------------------------------------------------------


def perform(job: Job, say: Callable[[str], None] | None = None) -> tuple[str, ...]:
    """Train or score; gives the lines that were told, unless somebody is told them at once."""
    lines: list[str] = []
    site = job.site if isinstance(job, Training) else job.parts.site
    with threadpool_limits(site.threads):
        if isinstance(job, Training):
            _train(job, say or lines.append)
        else:
            _score(job)
    return tuple(lines)


def _train(job: Training, say: Callable[[str], None]) -> None:
    definition, name = job.part.definition, job.name
    began, before = time.monotonic(), sum(e["seconds"] for e in history(job.folder))
    say(f"{name}: training")
    watch = fit.Callbacks(
        epoch=lambda e: say(f"{name}: epoch {e.epoch + 1}, validation loss {e.validation_loss:.3f}"),
        note=lambda line: say(f"{name}: {line}"),
        events=False,
    )
    machine = fit.Machine(device=job.site.device)
    run = TrainingRun(job.folder, job.start, job.site.detector, machine, watch, say)
    train_system(definition, opened(job.site.data), run)
    write_json(job.folder / RECORD, {"seconds": round(before + time.monotonic() - began, 1)})


def _score(job: Scoring) -> None:
    part, folder, data = job.parts.by_name[job.name], job.parts.folder(job.name), opened(job.parts.site.data)
    bundle = bundles.load(folder)
    run = TrainingRun(folder, detector=job.parts.site.detector)
    scores = system_scores(part.definition, bundle, data, run)
    path = job.parts.table(job.name, bundle.identity, job.split)
    write_scores(path, {clip.id: scores(clip) for clip in data.split(job.split)})


def _detector(name: str) -> ChosenDetector:
    return choose_detector(name, Engine())


def history(folder: Path) -> list[dict[str, float]]:
    """The figures of each epoch of a training, counted from 0; none where no net was trained."""
    path = folder / fit.HISTORY
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def training_seconds(folder: Path) -> float | None:
    """How long a training took, those parts of it that were killed less what came after their last epoch."""
    try:
        return float(json.loads((folder / RECORD).read_text("utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
