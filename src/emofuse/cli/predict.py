"""What `emofuse predict` shows while it runs and when it is done."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from emofuse.core.parallel import Executor
from emofuse.core.time import TICKS_PER_SECOND
from emofuse.inference.batch import FileResult, FileTask, predict_files, write_summary
from emofuse.inference.prediction import OK, Prediction
from emofuse.report.timeline import draw_timeline, used_for

_SEGMENTS_SHOWN = 24


def run_and_show(tasks: Sequence[FileTask], *, executor: Executor, quiet: bool) -> list[FileResult]:
    """Predict files with a progress bar on standard error, then print the results on standard output."""
    console, errors = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)
    results: dict[Path, FileResult] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    notes: list[str] = []
    with Progress(*columns, console=errors, transient=True, disable=not sys.stderr.isatty()) as bar:
        row = bar.add_task("predicting", total=len(tasks))
        done = 0

        def progress(task: FileTask, fraction: float) -> None:
            bar.update(row, completed=done + fraction, description=task.path.name)

        for result in predict_files(tasks, executor=executor, draw=draw_timeline, progress=progress, note=notes.append):
            done += 1
            bar.update(row, completed=done)
            # Of a batch only the figures are kept, or memory would grow with the number of files.
            results[result.task.path] = result if len(tasks) == 1 else replace(result, prediction=None)
            if result.error and len(tasks) > 1:
                errors.print(f"failed: {escape(result.error)}")
    ordered = [results[task.path] for task in tasks]
    summary = write_summary(ordered)
    if quiet:
        print(summary.read_text("utf-8"), end="")
        return ordered
    for note in notes:
        errors.print(f"note: {escape(note)}")
    _show(ordered, console, errors)
    return ordered


def _show(results: Sequence[FileResult], console: Console, errors: Console) -> None:
    if len(results) == 1:
        _show_one(results[0], console, errors)
        return
    failed = [o for o in results if o.error]
    skipped = sum(o.skipped for o in results)
    made = len(results) - len(failed) - skipped
    out = results[0].task.out
    if made == 0 and skipped == len(results):
        console.print(f"All {skipped} files were done already; nothing to do. Results: {out}")
    else:
        already = f", {skipped} done already" if skipped else ""
        console.print(f"{made} of {len(results)} files predicted{already}, {len(failed)} failed. Results: {out}")
    for result in results:
        for warning in result.entry.get("warnings", []):
            console.print(f"warning: {escape(result.entry['file'])}: {escape(warning)}")
    if failed:
        errors.print("These files failed:")
        for result in failed:
            errors.print(f"  {escape(result.error or '')}")


def _show_one(result: FileResult, console: Console, errors: Console) -> None:
    if result.error:
        errors.print(f"emofuse: {escape(result.error)}")
        return
    entry, task = result.entry, result.task
    if result.skipped:
        console.print(f"{escape(entry['file'])} was done already; nothing to do.")
    if result.prediction is not None:
        _show_segments(result.prediction, console)
    for warning in entry["warnings"]:
        console.print(f"warning: {escape(warning)}")
    console.print(f"table  {escape(str(task.table))}")
    if task.plot:
        console.print(f"plot   {escape(str(task.plot_path))}")


def _show_segments(prediction: Prediction, console: Console) -> None:
    """The timeline as runs of one emotion: who, when, what, how sure."""
    seconds = prediction.timeline.end[-1] / TICKS_PER_SECOND if len(prediction.timeline) else 0
    people = "1 person" if len(prediction.persons) == 1 else f"{len(prediction.persons)} persons"
    by = [f"{people}, faces by {used['face']}"] if "face" in (used := used_for(prediction)) else []
    by += [f"{'voice' if by else 'the voice'} by {used['voice']}"] if "voice" in used else []
    console.print(f"{escape(prediction.file)}: {seconds:.1f} s, {', '.join(by)}")
    table = Table("person", "from", "to", "shows", "confidence", box=None, pad_edge=False)
    segments = prediction.segments()
    for s in segments[:_SEGMENTS_SHOWN]:
        note = "" if s.status == OK else f"[dim]{s.status.replace('_', ' ')}[/dim]"
        shows = " ".join(filter(None, (s.emotion, note)))
        sure = "" if s.confidence is None else f"{s.confidence:.2f}"
        table.add_row("-" if s.person is None else str(s.person), f"{s.start:.1f} s", f"{s.end:.1f} s", shows, sure)
    console.print(table)
    if len(segments) > _SEGMENTS_SHOWN:
        console.print(f"... and {len(segments) - _SEGMENTS_SHOWN} more; all rows are in the table.")
