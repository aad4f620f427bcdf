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

from emofuse.core.parallel.jobs import Where
from emofuse.core.time import TICKS_PER_SECOND
from emofuse.inference.batch import Job, Outcome, run_jobs, write_summary
from emofuse.inference.prediction import OK, Prediction
from emofuse.report.timeline import draw_timeline, used_for

_SEGMENTS_SHOWN = 24


def run_and_show(jobs: Sequence[Job], *, on: Where, quiet: bool) -> list[Outcome]:
    """Run the jobs with a progress bar on standard error, then print what came out on standard output."""
    console, errors = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)
    outcomes: dict[Path, Outcome] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    notes: list[str] = []
    with Progress(*columns, console=errors, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("predicting", total=len(jobs))
        done = 0

        def progress(job: Job, part: float) -> None:
            bar.update(task, completed=done + part, description=job.path.name)

        for outcome in run_jobs(jobs, on=on, draw=draw_timeline, progress=progress, note=notes.append):
            done += 1
            bar.update(task, completed=done)
            # Of a batch only the figures are kept, or memory would grow with the number of files.
            outcomes[outcome.job.path] = outcome if len(jobs) == 1 else replace(outcome, prediction=None)
            if outcome.error and len(jobs) > 1:
                errors.print(f"failed: {escape(outcome.error)}")
    ordered = [outcomes[job.path] for job in jobs]
    summary = write_summary(ordered)
    if quiet:
        print(summary.read_text("utf-8"), end="")
        return ordered
    for note in notes:
        errors.print(f"note: {escape(note)}")
    _show(ordered, console, errors)
    return ordered


def _show(outcomes: Sequence[Outcome], console: Console, errors: Console) -> None:
    if len(outcomes) == 1:
        _show_one(outcomes[0], console, errors)
        return
    failed = [o for o in outcomes if o.error]
    skipped = sum(o.skipped for o in outcomes)
    made = len(outcomes) - len(failed) - skipped
    out = outcomes[0].job.out
    if made == 0 and skipped == len(outcomes):
        console.print(f"All {skipped} files were done already; nothing to do. Results: {out}")
    else:
        already = f", {skipped} done already" if skipped else ""
        console.print(f"{made} of {len(outcomes)} files predicted{already}, {len(failed)} failed. Results: {out}")
    for outcome in outcomes:
        for warning in outcome.entry.get("warnings", []):
            console.print(f"warning: {escape(outcome.entry['file'])}: {escape(warning)}")
    if failed:
        errors.print("These files failed:")
        for outcome in failed:
            errors.print(f"  {escape(outcome.error or '')}")


def _show_one(outcome: Outcome, console: Console, errors: Console) -> None:
    if outcome.error:
        errors.print(f"emofuse: {escape(outcome.error)}")
        return
    entry, job = outcome.entry, outcome.job
    if outcome.skipped:
        console.print(f"{escape(entry['file'])} was done already; nothing to do.")
    if outcome.prediction is not None:
        _show_segments(outcome.prediction, console)
    for warning in entry["warnings"]:
        console.print(f"warning: {escape(warning)}")
    console.print(f"table  {escape(str(job.table))}")
    if job.plot:
        console.print(f"plot   {escape(str(job.picture))}")


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
