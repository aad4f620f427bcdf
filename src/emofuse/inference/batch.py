"""Predicting many files into a folder of tables: a bad file never stops the others, and finished files are skipped.

The outputs of a file are written first and its record last. A record holds the digest of everything that decides the
result (content of the file, bundle, detector, rate, version) and the SHA-256 of each output.
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from emofuse.core.files import (
    RECORDS,
    decoded,
    digest,
    file_digest,
    own_outputs,
    printable,
    remove_abandoned,
    write_bytes,
    write_json,
)
from emofuse.core.isolation import Limits, machine_bytes, run_isolated
from emofuse.core.parallel import Executor, Here, Processes, Result, Task, run
from emofuse.errors import EmofuseError, LostTaskError, MediaError, OutputError, SettingsError
from emofuse.export import WRITERS, ExportOptions, checked_formats
from emofuse.inference import summary
from emofuse.inference.prediction import Prediction
from emofuse.inference.predictor import Options, Predictor
from emofuse.inference.stems import claim_stems
from emofuse.media.container import check_readable

_STALL_SECONDS = 120.0  # without progress, and what reading the file at this rate takes
_SLOWEST_READ = 5e6
_MEMORY_FRACTION = 0.8  # of the machine's memory, for all processes together
_MEMORY_BYTES = (2 << 30, 8 << 30)  # the least and the most for a process


@dataclass(frozen=True)
class FileTask:
    """One file of a batch and where its results go; picklable, so that any process can predict it."""

    path: Path
    stem: str
    out: Path
    options: Options
    formats: tuple[str, ...] = ("csv",)
    plot: bool = False
    export: ExportOptions = field(default_factory=ExportOptions)

    @property
    def paths(self) -> dict[str, Path]:
        """The file of each format."""
        return {name: self.out / f"{self.stem}{WRITERS[name].extension}" for name in self.formats}

    @property
    def outputs(self) -> list[Path]:
        """All files of the result."""
        written = [path for name, main in self.paths.items() for path in WRITERS[name].paths(main)]
        return written + ([self.plot_path] if self.plot else [])

    @property
    def plot_path(self) -> Path:
        return self.out / f"{self.stem}.png"

    @property
    def traceback_path(self) -> Path:
        return self.out / f"{self.stem}.traceback.txt"

    @property
    def record(self) -> Path:
        return self.out / RECORDS / f"{self.stem}.json"

    def failed(self, error: str, **more: str) -> FileResult:
        """The result if the file cannot be predicted."""
        return FileResult(self, {"file": decoded(self.path), "status": "failed", "error": error, **more})


@dataclass(frozen=True)
class FileResult:
    """The result of one file. `entry` is its entry in the summary, the same in every run.

    lost: whether it failed for want of memory, or since its process died or stalled: another run may not.
    """

    task: FileTask
    entry: dict[str, Any]
    skipped: bool = False
    prediction: Prediction | None = None  # only of a single file that was predicted in this run
    notes: tuple[str, ...] = ()  # about the whole run
    lost: bool = False

    @property
    def error(self) -> str | None:
        return self.entry.get("error")


Draw = Callable[[Prediction, Path], None]


def predict_file(
    predictor: Predictor, task: FileTask, draw: Draw | None, progress: Callable[[float], None]
) -> FileResult:
    """Predict one file, unless a finished result exists. An error of the file becomes part of the result.

    An unexpected exception is an error of the file too; its traceback is written beside the results.

    Raises:
        OutputError: the results cannot be written, which concerns every file.
    """
    try:
        return _predict_file(predictor, task, draw, progress)
    except OutputError:
        raise
    except EmofuseError as error:
        return task.failed(str(error))
    except MemoryError:
        line = f"{printable(task.path)}: there is not enough memory for it; use a lower --jobs."
        return replace(task.failed(line), lost=True)
    except Exception as error:
        write_bytes(task.traceback_path, traceback.format_exc().encode("utf-8", "backslashreplace"))
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return task.failed(
            f"{printable(task.path)}: unexpected error ({reason}), a bug of emofuse. "
            f"Report it with {printable(task.traceback_path)} and, if you may, the file.",
            traceback=task.traceback_path.name,
        )


def _predict_file(
    predictor: Predictor, task: FileTask, draw: Draw | None, progress: Callable[[float], None]
) -> FileResult:
    name = decoded(task.path.name)
    written = {"formats": list(task.formats), "plot": task.plot, "export": asdict(task.export)}
    definition = {**predictor.identity, "file": name, **written}
    contents = {"content": _content_digest(task.path, lambda: progress(0.0))} | predictor.content_digests(task.path)
    key = digest(definition | contents)
    record = _read_record(task)
    if (entry := _done(task, key, record)) is not None:
        return FileResult(task, entry, skipped=True)
    with own_outputs(task.outputs, known=record["sha256"]):
        return _written(predictor, task, key, draw, progress)


def _written(
    predictor: Predictor, task: FileTask, key: str, draw: Draw | None, progress: Callable[[float], None]
) -> FileResult:
    """Predict a file and write its outputs, and its record last."""
    part = 0.5 if any(WRITERS[form].needs_video for form in task.formats) else 1.0  # of the time, for the prediction
    prediction = predictor.predict(task.path, progress=lambda fraction: progress(part * fraction))
    if not prediction.has_video:
        task = _without_video(task, prediction)
    for form, path in task.paths.items():
        prediction.export(path, form, task.export, progress=lambda fraction: progress(part + (1 - part) * fraction))
    if task.plot and draw is not None:
        draw(prediction, task.plot_path)
    names = [p.name for p in task.outputs]
    entry = {"file": decoded(task.path), "status": "done", **summary.describe(prediction), "outputs": names}
    write_json(task.record, {"digest": key, "entry": entry, "sha256": {p.name: file_digest(p) for p in task.outputs}})
    task.traceback_path.unlink(missing_ok=True)
    return FileResult(task, entry, prediction=prediction)


def _without_video(task: FileTask, prediction: Prediction) -> FileTask:
    """The task without the formats that need a video; each of them is a warning."""
    warnings = prediction.metadata["warnings"]
    warnings += [f"has no video, so there is no {name}" for name in task.formats if WRITERS[name].needs_video]
    return replace(task, formats=tuple(name for name in task.formats if not WRITERS[name].needs_video))


def _content_digest(path: Path, progress: Callable[[], None]) -> str:
    check_readable(path)
    try:
        return file_digest(path, progress=progress)
    except OSError as error:
        raise MediaError(
            f"{printable(path)}: cannot be read to its end ({error.strerror}); copy it to another disk."
        ) from None


def _read_record(task: FileTask) -> Mapping[str, Any]:
    """The record of the last finished run of a file; one without digest and outputs if there is none."""
    try:
        record = json.loads(task.record.read_text("utf-8"))
        return {"digest": str(record["digest"]), "sha256": dict(record["sha256"]), "entry": dict(record["entry"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"digest": "", "sha256": {}, "entry": {}}


def _done(task: FileTask, key: str, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The entry of an earlier run with the same digest, if its outputs have not changed since."""
    try:
        same = record["digest"] == key and all(
            file_digest(task.out / file) == expected for file, expected in record["sha256"].items()
        )
    except OSError:
        return None
    return {**record["entry"], "file": decoded(task.path)} if same else None


def plan(
    files: Sequence[Path],
    *,
    out: Path,
    options: Options,
    formats: Sequence[str] = ("csv",),
    plot: bool = False,
    export: ExportOptions | None = None,
) -> list[FileTask]:
    """One task per file, with a name that no other file has in this output folder.

    What killed runs left half written is removed.

    Raises:
        SettingsError: a format is unknown, none is given, an output would replace an input or the summary of another
            program, or one transcript is given for several files.
        OutputError: `out` cannot be written.
    """
    if options.words.file is not None and len(files) > 1:
        raise SettingsError(
            f"--transcript {printable(options.words.file)}: is for one video, but there are {len(files)}; put a "
            "transcript of the same name beside each and give --transcript auto."
        )
    known = checked_formats(formats, export)
    summary.check_own(out)
    write_json(out / RECORDS / "format.json", {"format": 1})  # fails here if the folder cannot be written
    for folder in (out, out / RECORDS):
        remove_abandoned(folder)
    stems = claim_stems(files, out / RECORDS)
    chosen = export or ExportOptions()
    tasks = [FileTask(f, s, out, options, known, plot, chosen) for f, s in zip(files, stems, strict=True)]
    given = {os.path.abspath(file) for file in files}
    replaced = [path for task in tasks for path in task.outputs if os.path.abspath(path) in given]
    if replaced:
        raise SettingsError(f"{printable(replaced[0])}: a result would replace this file; choose another --out folder.")
    return tasks


def predict_files(
    tasks: Sequence[FileTask],
    *,
    executor: Executor,
    draw: Draw | None,
    progress: Callable[[FileTask, float], None],
    note: Callable[[str], None],
    isolate: bool = False,
) -> Iterator[FileResult]:
    """Yield results in the order in which files are finished; the files are the same wherever they are predicted.

    A file whose process or machine is lost is a failed file.

    Args:
        draw: draws the plot of a prediction; a function of a module, so that it can be sent to processes.
        progress: called with a file and the fraction of it that is done.
        note: called with what a user should know about the whole run.
        isolate: predict in processes of their own, with limits on memory and on time without progress.
    Raises:
        EmofuseError: an option is wrong, or the results cannot be written.
    """
    queue, notes = [Task(printable(t.path), t) for t in tasks], set[str]()
    results: Iterator[Result[FileTask, FileResult]]
    if isolate or (isinstance(executor, Processes) and len(tasks) > 1):
        threads = executor.threads if isinstance(executor, Processes) else tasks[0].options.engine.threads
        jobs = min(executor.jobs or 1, len(tasks))
        function = partial(_predict_in_worker, draw=draw, threads=threads, keep=len(tasks) == 1)
        limits = _limits(jobs) if isolate else None
        results = map(
            _with_remedy,
            run_isolated(
                queue,
                function,
                jobs=jobs,
                threads=threads,
                limits=limits,
                progress=lambda task, fraction: progress(task.argument, fraction),
            ),
        )
    elif isinstance(executor, Here | Processes):
        predictor = Predictor(tasks[0].options)

        def predict_here(task: FileTask) -> FileResult:
            result = predict_file(predictor, task, draw, partial(progress, task))
            return replace(result, notes=predictor.notes)

        results = run(queue, predict_here, started=lambda task: progress(task.argument, 0.0))
    else:
        on_ray = partial(_predict_in_worker, progress=lambda _: None, draw=draw, threads=executor.threads)
        results = run(queue, on_ray, executor=executor, started=lambda task: progress(task.argument, 0.0))
    for result in results:
        progress(result.task.argument, 1.0)
        checked = _checked(result)
        for line in checked.notes:
            if line not in notes:
                notes.add(line)
                note(line)
        yield checked


def predict_each(
    tasks: Iterable[FileTask],
    *,
    executor: Processes,
    progress: Callable[[FileTask, float], None],
    cancelled: Callable[[FileTask], bool],
    then: Callable[[FileTask], None],
) -> Iterator[FileResult]:
    """Predict files one after another, as an iterator produces them, in one process that keeps its bundle.

    Args:
        executor: how many such iterators share this machine, with which threads.
        cancelled: asked twice per second whether a file is no longer wanted, which then fails.
        then: called in that process with a file that is done; a function of a module.
    Raises:
        EmofuseError: an option is wrong, or the results cannot be written.
    """
    queue = (Task(printable(task.path), task) for task in tasks)
    results = run_isolated(
        queue,
        partial(_predict_and, threads=executor.threads, then=then),
        threads=executor.threads,
        limits=replace(_limits(executor.jobs), cancelled=cancelled),
        progress=lambda task, fraction: progress(task.argument, fraction),
    )
    yield from map(_checked, map(_with_remedy, results))


def _predict_and(
    task: FileTask, progress: Callable[[float], None], threads: int, then: Callable[[FileTask], None]
) -> FileResult:
    result = _predict_in_worker(task, progress, None, threads)
    if result.error is None:
        then(task)
    return result


def _limits(jobs: int) -> Limits:
    return Limits(_stall_seconds, worker_bytes(jobs))


def worker_bytes(jobs: int) -> int:
    """The most memory for each of `jobs` processes that read files of others."""
    least, most = _MEMORY_BYTES
    return min(max(int(_MEMORY_FRACTION * machine_bytes() / jobs), least), most)


def _stall_seconds(task: FileTask) -> float:
    try:
        return _STALL_SECONDS + task.path.stat().st_size / _SLOWEST_READ
    except OSError:
        return _STALL_SECONDS


def _with_remedy(result: Result[FileTask, FileResult]) -> Result[FileTask, FileResult]:
    if not isinstance(result.error, LostTaskError):
        return result
    remedy = "convert it, e.g. with ffmpeg, and try again; if players can play it, report it as a bug of emofuse."
    return replace(result, error=LostTaskError(f"{result.error}. It is probably damaged: {remedy}"))


def _checked(result: Result[FileTask, FileResult]) -> FileResult:
    task, value = result.task.argument, result.value
    if isinstance(result.error, LostTaskError):
        for folder in (task.out, task.record.parent):
            remove_abandoned(folder)
        return replace(task.failed(str(result.error)), lost=True)
    if value is None:
        assert result.error is not None
        raise result.error
    missing = [name for name in value.entry.get("outputs", ()) if not (task.out / name).is_file()]
    if missing:
        place = task.out / missing[0]
        raise OutputError(f"{place}: was written, but on another machine; choose --out on a disk that all share.")
    return value


_predictors: dict[Options, Predictor] = {}  # of a worker process, which predicts many files; the last one only


def _predict_in_worker(
    task: FileTask, progress: Callable[[float], None], draw: Draw | None, threads: int, keep: bool = False
) -> FileResult:
    options = replace(task.options, engine=replace(task.options.engine, threads=threads))
    if options not in _predictors:
        _predictors.clear()
    predictor = _predictors.get(options) or _predictors.setdefault(options, Predictor(options))
    result = replace(predict_file(predictor, task, draw, progress), notes=predictor.notes)
    return result if keep else replace(result, prediction=None)


def write_summary(results: Sequence[FileResult], left_out: Mapping[str, int] | None = None) -> Mapping[str, Any]:
    """Write the results of a run into `summary.json`, and return its content without the results of other runs."""
    out = results[0].task.out
    return summary.write_summary(out, out / RECORDS, [r.entry for r in results], left_out)
