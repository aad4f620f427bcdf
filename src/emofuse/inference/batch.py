"""Predicting many files into a folder of tables: a bad file never stops the others, and finished files are skipped.

The outputs of a file are written first and its record last. A record holds the digest of everything that decides the
result (content of the file, bundle, detector, rate, version) and the SHA-256 of each output.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from emofuse.core.files import digest, file_digest, write_json
from emofuse.core.parallel import Executor, Here, Processes, Result, Task, run
from emofuse.core.registry import find
from emofuse.core.time import seconds
from emofuse.core.types import Bools, Scores
from emofuse.core.version import __version__
from emofuse.errors import EmofuseError, LostTaskError, MediaError, OutputError
from emofuse.export import WRITERS
from emofuse.inference.prediction import VOICE_ONLY, Prediction
from emofuse.inference.predictor import Options, Predictor
from emofuse.media.container import AUDIO_SUFFIXES, check_readable

SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts"}
    | {".ts", ".wmv", ".flv", ".3gp", ".ogv", ".mxf", ".vob", ".gif"}
)
RECORDS = ".emofuse"


@dataclass(frozen=True)
class FileTask:
    """One file of a batch and where its results go; picklable, so that any process can predict it."""

    path: Path
    stem: str
    out: Path
    options: Options
    format: str = "csv"
    plot: bool = False

    @property
    def table(self) -> Path:
        return self.out / f"{self.stem}.{self.format}"

    @property
    def plot_path(self) -> Path:
        return self.out / f"{self.stem}.png"

    @property
    def record(self) -> Path:
        return self.out / RECORDS / f"{self.stem}.json"


@dataclass(frozen=True)
class FileResult:
    """The result of one file. `entry` is its entry in the summary, the same in every run."""

    task: FileTask
    entry: dict[str, Any]
    skipped: bool = False
    prediction: Prediction | None = None  # only if this process predicted the file in this run

    @property
    def error(self) -> str | None:
        return self.entry.get("error")


Draw = Callable[[Prediction, Path], None]


def predict_file(
    predictor: Predictor, task: FileTask, draw: Draw | None, progress: Callable[[float], None]
) -> FileResult:
    """Predict one file, unless a finished result exists. An error of the file becomes part of the result.

    Raises:
        OutputError: the results cannot be written, which concerns every file.
    """
    definition = {**predictor.identity, "file": task.path.name, "format": task.format, "plot": task.plot}
    try:
        name = digest(definition | {"content": _content_digest(task.path)})
        if (entry := _done(task, name)) is not None:
            return FileResult(task, entry, skipped=True)
        prediction = predictor.predict(task.path, progress=progress)
    except OutputError:
        raise
    except EmofuseError as error:
        return FileResult(task, {"file": str(task.path), "status": "failed", "error": str(error)})
    outputs = [prediction.save(task.table)]
    if task.plot and draw is not None:
        draw(prediction, task.plot_path)
        outputs.append(task.plot_path)
    entry = {"file": str(task.path), "status": "done", **_summary(prediction), "outputs": [p.name for p in outputs]}
    write_json(task.record, {"digest": name, "entry": entry, "sha256": {p.name: file_digest(p) for p in outputs}})
    return FileResult(task, entry, prediction=prediction)


def _content_digest(path: Path) -> str:
    check_readable(path)
    try:
        return file_digest(path)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read to its end ({error.strerror}); copy it to another disk.") from None


def _done(task: FileTask, name: str) -> dict[str, Any] | None:
    """The entry of an earlier run with the same digest, if its outputs have not changed since."""
    try:
        record = json.loads(task.record.read_text("utf-8"))
        same = record["digest"] == name and all(
            file_digest(task.out / file) == expected for file, expected in record["sha256"].items()
        )
        return {**record["entry"], "file": str(task.path)} if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _summary(prediction: Prediction) -> dict[str, Any]:
    steps, voice = len(prediction.timeline), prediction.voice
    persons = []
    for p in prediction.persons:
        entry: dict[str, Any] = {"person": p, "face_fraction": _fraction(prediction.face_found(p))}
        if voice is not None:
            entry["voice_only_fraction"] = _fraction(prediction.statuses(p) == VOICE_ONLY)
        entry["face_centre"] = [round(c, 4) for c in prediction.centres[p]]
        persons.append(entry | {"mean_probabilities": _mean_probabilities(prediction.scores[p])})
    entries: dict[str, Any] = {
        "duration_seconds": round(seconds(prediction.timeline.end[-1]), 6) if steps else 0.0,
        "steps": steps,
        "rows": prediction.rows,
        "persons": persons,
    }
    if voice is not None:
        entries["voice"] = {"fraction": _fraction(voice.valid), "mean_probabilities": _mean_probabilities(voice)}
    return {**entries, **prediction.metadata}


def _fraction(rows: Bools) -> float:
    """The fraction of rows that are true."""
    return round(float(rows.mean()), 4) if len(rows) else 0.0


def _mean_probabilities(scores: Scores) -> dict[str, float] | None:
    """Mean probabilities over the valid rows."""
    if not scores.valid.any():
        return None
    mean = scores.probabilities()[scores.valid].mean(axis=0)
    return {n: round(float(v), 4) for n, v in zip(scores.label_set.names, mean, strict=True)}


def find_files(paths: Iterable[str | Path], *, audio: bool = False) -> list[Path]:
    """The named files, the video files in and below named folders, and the matches of globs; each once, in order.

    Args:
        audio: include audio files in folders.

    A named file is kept even if it is missing or has another extension, so that its error is reported.

    Raises:
        MediaError: a folder or glob holds no video, or a path is empty.
    """
    found: dict[Path, None] = {}
    suffixes = SUFFIXES | AUDIO_SUFFIXES if audio else SUFFIXES
    for given in paths:
        if not str(given):  # from an unset variable; Path("") would be the current folder
            raise MediaError("an empty path was given; give a file, a folder or a glob.")
        path = Path(given)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if _has(p.relative_to(path), suffixes) and p.is_file())
        elif not path.exists() and any(c in str(given) for c in "*?["):
            base = Path(path.anchor) if path.is_absolute() else Path()
            inside = sorted(p for p in base.glob(str(path.relative_to(path.anchor))) if p.is_file())
        else:
            inside = [path]
        if not inside:
            raise MediaError(
                f"{given}: no {'recording' if audio else 'video'} found; looked for {' '.join(sorted(suffixes))}."
            )
        found |= dict.fromkeys(inside)
    return list(found)


def _has(path: Path, suffixes: frozenset[str]) -> bool:
    return path.suffix.lower() in suffixes and not any(part.startswith(".") for part in path.parts)


def plan(files: Sequence[Path], *, out: Path, options: Options, format: str, plot: bool) -> list[FileTask]:
    """One task per file with a unique name: the stem, or more of the path where stems repeat.

    Raises:
        SettingsError: the format is unknown.
        OutputError: `out` cannot be written.
    """
    find(format, WRITERS, "--format")
    write_json(out / RECORDS / "format.json", {"format": 1})  # fails here if the folder cannot be written
    stems = _stems(files)
    return [FileTask(f, s, out, options, format, plot) for f, s in zip(files, stems, strict=True)]


def _stems(files: Sequence[Path]) -> list[str]:
    """The stem of each file; files with equal stems get longer names, in the end a number."""
    names = [
        (f.stem, f.name, "__".join((*f.parts[-2:-1], f.name)), f"{n:04d}-{f.name}") for n, f in enumerate(files, 1)
    ]
    level = [0] * len(files)
    while True:
        stems = [choice[k] for choice, k in zip(names, level, strict=True)]
        count = Counter(s.lower() for s in stems)  # some file systems ignore case
        shared = [n for n, s in enumerate(stems) if count[s.lower()] > 1 and level[n] < 3]
        if not shared:
            return stems
        for n in shared:
            level[n] += 1


def predict_files(
    tasks: Sequence[FileTask],
    *,
    executor: Executor,
    draw: Draw | None,
    progress: Callable[[FileTask, float], None],
    note: Callable[[str], None],
) -> Iterator[FileResult]:
    """Yield results in the order in which files are finished; the files are the same wherever they are predicted.

    A file whose machine of a Ray cluster is lost again and again is a failed file; here, a killed process ends the run.

    Args:
        draw: draws the plot of a prediction; a function of a module, so that it can be sent to processes.
        progress: called with a file and the fraction of it that is done.
        note: called with what a user should know about the whole run.
    Raises:
        EmofuseError: an option is wrong, or the results cannot be written.
    """
    predictor = Predictor(tasks[0].options)
    for chosen in (predictor.detector, predictor.audio_stages):
        if chosen is not None and chosen.note:
            note(chosen.note)

    def predict_here(task: FileTask) -> FileResult:
        return predict_file(predictor, task, draw, partial(progress, task))

    function: Callable[[FileTask], FileResult] = predict_here
    if isinstance(executor, Processes) and len(tasks) == 1:
        executor = Here()
    if not isinstance(executor, Here):
        function = partial(_predict_in_worker, draw=draw, threads=executor.threads)
    queue = [Task(str(t.path), t) for t in tasks]
    for result in run(queue, function, executor=executor, started=lambda task: progress(task.argument, 0.0)):
        progress(result.task.argument, 1.0)
        yield _checked(result)


def _checked(result: Result[FileTask, FileResult]) -> FileResult:
    task, value = result.task.argument, result.value
    if isinstance(result.error, LostTaskError):
        return FileResult(task, {"file": str(task.path), "status": "failed", "error": str(result.error)})
    if value is None:
        assert result.error is not None
        raise result.error
    if value.error is None and not task.table.is_file():
        raise OutputError(f"{task.table}: was written, but on another machine; choose --out on a disk that all share.")
    return value


_predictors: dict[Options, Predictor] = {}  # of a worker process, which predicts many files


def _predict_in_worker(task: FileTask, draw: Draw | None, threads: int) -> FileResult:
    options = replace(task.options, engine=replace(task.options.engine, threads=threads))
    predictor = _predictors.get(options) or _predictors.setdefault(options, Predictor(options))
    return replace(predict_file(predictor, task, draw, lambda _: None), prediction=None)


def write_summary(results: Sequence[FileResult]) -> Path:
    """Write `summary.json`: the entry of each file in order, without times, so that runs can be compared."""
    path = results[0].task.out / "summary.json"
    failed, entries = sum(r.error is not None for r in results), [r.entry for r in results]
    write_json(path, {"emofuse": __version__, "done": len(results) - failed, "failed": failed, "files": entries})
    return path
