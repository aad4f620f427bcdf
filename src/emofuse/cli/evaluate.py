"""`emofuse evaluate` and `emofuse submit`: scores against annotations, and into the formats of the challenges."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emofuse.cli.options import AsJson, print_json

if TYPE_CHECKING:
    from emofuse.evaluation.evaluate import Evaluation

SCORES = typer.Argument(
    help="Tables of scores, folders of them (as predict writes), or submissions; NAME=PATH names a system.",
    metavar="SCORES...",
)
Data = Annotated[Path, typer.Option(help="Folder in the layout of Aff-Wild2, or a manifest (.csv).", metavar="DIR|CSV")]


def evaluate(
    scores: Annotated[list[str], SCORES],
    data: Data,
    split: Annotated[str, typer.Option(help="Part of the data: train, validation, test, or all.")] = "validation",
    fuse: Annotated[str, typer.Option(help="Also fuse all systems by these methods, parted by commas.")] = "",
    measure: Annotated[str, typer.Option(help="What fusion weights are chosen by.")] = "cpm",
    folds: Annotated[int, typer.Option(help="Parts for held-out figures of fusions.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the search and the resampling.")] = 0,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Leave out clips some system lacks.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write evaluation.json and the fitted fusions here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score systems against annotations, alone and fused, with intervals over videos."""
    from emofuse.datasets import open_data
    from emofuse.evaluation import evaluate as run
    from emofuse.evaluation.sources import open_source

    settings = run.Settings(
        split=None if split == "all" else split,
        measure=measure,
        fuse=tuple(name.strip() for name in fuse.split(",") if name.strip()),
        folds=folds,
        seed=seed,
        allow_missing=allow_missing,
    )
    result = run.evaluate(open_data(data), [open_source(s) for s in scores], settings)
    written = run.save_evaluation(result, out) if out is not None else []
    if as_json:
        print_json(result.to_json())
        return
    show(result)
    for path in written:
        print(f"wrote {path}")


def show(result: Evaluation) -> None:
    """The figures as tables for people, in percent."""
    from rich.console import Console
    from rich.table import Table

    from emofuse.metrics import f1_of

    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
    part = result.settings.split or "all parts"
    console.print(
        f"{result.data}, {part}: {result.clips} clips of {result.videos} videos, {result.frames} labelled frames"
    )
    table = Table(
        "system", "weights", "CPM %", "macro F1", "weighted F1", "accuracy", "UAR", "ECE", box=None, pad_edge=False
    )
    for row in result.rows:
        figures = [_with_interval(*(100 * v for v in (e.value, e.low, e.high))) for e in row.estimates.values()]
        error = f"{row.calibration_error:.3f}" if row.calibration_error == row.calibration_error else "-"
        table.add_row(row.system, row.fitted, *figures, error)
    console.print(table)
    console.print("\nF1 of each class, %")
    table = Table("system", "weights", *result.labels, box=None, pad_edge=False)
    for row in result.rows:
        table.add_row(row.system, row.fitted, *(f"{100 * v:.1f}" if v == v else "-" for v in f1_of(row.counts)))
    console.print(table)
    console.print(
        f"\nIn brackets: 95 % bootstrap over videos ({result.settings.resamples} resamples). In-sample weights were "
        "fitted on the frames they are scored on;\ncross-fitted ones on other videos and subjects: quote these."
        if result.fitted
        else f"\nIn brackets: 95 % bootstrap over videos ({result.settings.resamples} resamples)."
    )
    for note in result.notes:
        console.print(f"note: {note}", markup=False)


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{value:.1f} [{low:.1f}, {high:.1f}]" if low == low else f"{value:.1f}"


def submit(
    data: Data,
    edition: Annotated[str, typer.Option(help="Format of the challenge: 2020, 2022 or 2024.")],
    scores: Annotated[list[str] | None, SCORES] = None,
    out: Annotated[Path | None, typer.Option(help="Folder (2020, 2022) or file (2024) to write.")] = None,
    split: Annotated[str, typer.Option(help="Part of the data to submit.")] = "test",
    fusion: Annotated[
        Path | None, typer.Option(help="Fitted fusion of `emofuse evaluate --out`, for several systems.")
    ] = None,
    sample: Annotated[Path | None, typer.Option(help="The organisers' sample file, for its rows (2024).")] = None,
    check: Annotated[Path | None, typer.Option(help="Write nothing; check this submission.", metavar="PATH")] = None,
) -> None:
    """Write scores as a submission to a challenge, checked; or check one that is there."""
    from emofuse.core.registry import find
    from emofuse.datasets import open_data
    from emofuse.errors import SettingsError
    from emofuse.evaluation import submission as run
    from emofuse.evaluation.sources import open_source
    from emofuse.evaluation.submission_formats import EDITIONS, read_sample
    from emofuse.fusion.saved import load

    kind, rows = find(edition, EDITIONS, "--edition"), read_sample(sample) if sample else None
    if check is not None:
        checked = run.check(open_data(data), check, edition=kind, split=split, sample=rows)
        for line in (*checked.errors, *(f"note: {n}" for n in checked.notes)):
            print(line)
        print(f"{check}: {'invalid' if checked.errors else 'valid'} for the {kind.name} edition")
        if checked.errors:
            raise typer.Exit(2)
        return
    if out is None or not scores:
        raise SettingsError("submit: give scores and --out to write a submission, or --check to check one.")
    fitted = load(fusion) if fusion else None
    sources = [open_source(s) for s in scores]
    done = run.submit(open_data(data), sources, out, edition=kind, split=split, fitted=fitted, sample=rows)
    print(
        f"{out}: {done.entries} entries, {done.frames} frames, {done.filled} of them filled; "
        f"valid for the {kind.name} edition"
    )
    for note in done.notes:
        print(f"note: {note}")
