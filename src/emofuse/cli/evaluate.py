"""`emofuse evaluate` and `emofuse submit`: scores against annotations, and in the formats of the challenges."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emofuse.cli.options import AsJson, Data, Folds, Measure, Seed, Split, names, split_of
from emofuse.cli.output import progress_bar, show

app = typer.Typer()

SCORES = typer.Argument(
    help="Tables of scores, folders of them (as written by predict), or submissions; NAME=PATH names a system.",
    metavar="SCORES...",
)


@app.command(
    epilog="Example: emofuse evaluate results face=face.parquet --data affwild2 --fuse swf,mcwf   |   "
    "emofuse evaluate submission --data affwild2"
)
def evaluate(
    scores: Annotated[list[str], SCORES],
    data: Data,
    split: Split = "validation",
    fuse: Annotated[str, typer.Option(help="Also fuse all systems with these methods, separated by commas.")] = "",
    measure: Measure = "cpm",
    folds: Folds = 5,
    seed: Seed = 0,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out clips that some system has no scores for.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder to write evaluation.json and the fitted fusions to.")] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate systems against annotations, alone and fused, with confidence intervals over videos."""
    from emofuse.datasets import open_data
    from emofuse.evaluation import evaluate as evaluation
    from emofuse.evaluation.sources import open_source
    from emofuse.report.evaluation import text

    settings = evaluation.Settings(
        split=split_of(split), measure=measure, fuse=names(fuse), folds=folds, seed=seed, allow_missing=allow_missing
    )
    with progress_bar("evaluating"):
        result = evaluation.evaluate(open_data(data, still_images=True), [open_source(s) for s in scores], settings)
    written = evaluation.save_evaluation(result, out) if out is not None else []
    show(lambda: text(result.to_json()), result.to_json, as_json=as_json, written=written)


@app.command(
    epilog="Example: emofuse submit results --data affwild2 --edition 2020 --out submission   |   "
    "emofuse submit --check submission --data affwild2 --edition 2020"
)
def submit(
    data: Data,
    edition: Annotated[str, typer.Option(help="Format of the challenge: 2020, 2022 or 2024.")],
    scores: Annotated[list[str] | None, SCORES] = None,
    out: Annotated[Path | None, typer.Option(help="Folder (2020, 2022) or file (2024) to write.")] = None,
    split: Annotated[str, typer.Option(help="Split of the data to submit.")] = "test",
    fusion: Annotated[
        Path | None, typer.Option(help="Fitted fusion from `emofuse evaluate --out`, for several systems.")
    ] = None,
    sample: Annotated[Path | None, typer.Option(help="The organisers' sample file, for its rows (2024).")] = None,
    check: Annotated[
        Path | None, typer.Option(help="Write nothing; check this submission instead.", metavar="PATH")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write scores as a submission to a challenge and check it; or check an existing one."""
    from emofuse.core.registry import find
    from emofuse.datasets import open_data
    from emofuse.errors import SettingsError
    from emofuse.evaluation import submission
    from emofuse.evaluation.sources import open_source
    from emofuse.evaluation.submission_formats import EDITIONS, read_sample
    from emofuse.fusion.saved import load

    kind, rows = find(edition, EDITIONS, "--edition"), read_sample(sample) if sample else None
    if check is not None:
        checked = submission.check(open_data(data), check, edition=kind, split=split, sample=rows)
        result = f"{check}: {'invalid' if checked.errors else 'valid'} for the {kind.name} edition"
        show(
            lambda: "\n".join([*checked.errors, *(f"note: {n}" for n in checked.notes), result]),
            lambda: {"valid": not checked.errors, "errors": list(checked.errors), "notes": list(checked.notes)},
            as_json=as_json,
        )
        if checked.errors:
            raise typer.Exit(2)
        return
    if out is None or not scores:
        raise SettingsError("submit: give scores and --out to write a submission, or --check to check one.")
    fitted = load(fusion) if fusion else None
    with progress_bar("submitting"):
        sources = [open_source(s) for s in scores]
        done = submission.submit(open_data(data), sources, out, edition=kind, split=split, fitted=fitted, sample=rows)
    result = f"{out}: {done.entries} entries, {done.frames} frames, {done.filled} of them filled; valid for the "
    show(
        lambda: "\n".join([f"{result}{kind.name} edition", *(f"note: {note}" for note in done.notes)]),
        lambda: {"path": str(out), "entries": done.entries, "frames": done.frames, "filled": done.filled,
                 "notes": list(done.notes)},
        as_json=as_json,
    )  # fmt: skip
