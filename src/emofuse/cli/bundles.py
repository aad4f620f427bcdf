"""`emofuse bundles`, `emofuse fuse` and `emofuse quantise`: what can predict, and bundles made from bundles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emofuse.cli.options import (
    Address,
    AsJson,
    Detector,
    Executor,
    Folds,
    Jobs,
    Measure,
    Seed,
    Split,
    executor_of,
    names,
    split_of,
    training_missing,
)
from emofuse.cli.output import print_error, print_text, progress_bar, show

if TYPE_CHECKING:
    from emofuse.models.bundle import Bundle

app = typer.Typer()


@app.command(epilog="Example: emofuse bundles   |   emofuse bundles runs/both --json")
def bundles(
    folders: Annotated[
        list[str] | None, typer.Argument(help="Also these bundles, by folder.", metavar="DIR...")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the bundles that can predict, with their training data, licence and metrics."""
    from emofuse.models.bundle import bundled, load

    show_bundles([load(name) for name in (*bundled(), *(folders or ()))], as_json=as_json)


def show_bundles(listed: Sequence[Bundle], *, as_json: bool) -> None:
    """Print what bundles are."""
    from emofuse.report.bundles import text

    show(
        lambda: text(listed),
        lambda: {b.name: {"version": b.version, "labels": b.label_set.names, "card": dict(b.card)} for b in listed},
        as_json=as_json,
    )


@app.command(
    epilog="Example: emofuse fuse runs/face runs/voice --data clips.csv --out runs/both   |   "
    "emofuse fuse default --data clips.csv --split all --out runs/mine"
)
def fuse(
    bundles: Annotated[
        list[str],
        typer.Argument(help="Bundles by name or folder, for faces, for the voice, and for words.", metavar="BUNDLE..."),
    ],
    data: Annotated[Path, typer.Option(help="Labelled clips that the bundles were not trained on.")],
    out: Annotated[Path, typer.Option(help="Folder for the fused bundle; a killed run resumes there.")],
    method: Annotated[str, typer.Option(help="Fusion method: log-pool, mcwf, swf, mean, ...")] = "log-pool",
    split: Split = "validation",
    smooth: Annotated[float, typer.Option(help="Seconds to either side over which face scores are smoothed.")] = 1.5,
    half: Annotated[bool, typer.Option("--half", help="Store weights in half precision, at half the size.")] = False,
    name: Annotated[str, typer.Option(help="Name of the fused bundle.")] = "fused",
    version: Annotated[str, typer.Option(help="Version of the bundle; default: derived from its content.")] = "",
    licence: Annotated[str, typer.Option(help="Licence for the bundle's card; default: those of its bundles.")] = "",
    measure: Measure = "cpm",
    folds: Folds = 5,
    seed: Seed = 0,
    detector: Detector = "default",
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="Also fit on clips that a bundle was trained on.")
    ] = False,
    jobs: Jobs = None,
    executor: Executor = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Fuse bundles for faces, for the voice and for words, and report accuracy on held-out subjects."""
    from emofuse.errors import SettingsError
    from emofuse.evaluation.evaluate import Settings, save_evaluation
    from emofuse.experiments.fuse_bundles import FuseRequest
    from emofuse.experiments.fuse_bundles import fuse as fuse_bundles
    from emofuse.report.evaluation import text

    if not 0 <= smooth <= 60:
        raise SettingsError(f"--smooth {smooth:g}: give seconds from 0 to 60.")
    settings = Settings(split=split_of(split), measure=measure, fuse=(method,), folds=folds, seed=seed, rows=True)
    request = FuseRequest(
        tuple(bundles), data, out, settings, name, version, smooth, half, licence, detector, allow_seen
    )
    with progress_bar("predicting", count=True) as bar:
        bundle, result = fuse_bundles(
            request,
            executor=executor_of(executor, jobs=jobs, address=address),
            note=lambda line: bar.note(f"note: {line}"),
            progress=bar.update_file,
        )
    save_evaluation(result, out)
    show(lambda: text(result.to_json()), result.to_json, as_json=as_json)
    if not as_json:
        print_text(
            f"bundle {bundle.name} {bundle.version} written to {out}; use it with: emofuse predict FILE --bundle {out}"
        )


@app.command(epilog="Example: emofuse quantise runs/voice --data speech.csv --out runs/voice-int8")
def quantise(
    bundle: Annotated[
        str,
        typer.Argument(help="A bundle for single faces, the voice, or both, by name or folder.", metavar="BUNDLE"),
    ],
    data: Annotated[Path, typer.Option(help="The data it was trained on: clips, or FER-2013.")],
    out: Annotated[Path, typer.Option(help="Folder for the int8 bundle.")],
    max_accuracy_drop: Annotated[
        float, typer.Option(help="Largest acceptable drop in accuracy, in percentage points.", min=0, max=100)
    ] = 0.3,
    keep: Annotated[str, typer.Option(help="Layers to keep in float32, separated by commas.")] = "first,last",
    ranges: Annotated[int, typer.Option(help="Number of examples to measure activation ranges on.", min=1)] = 512,
    detector: Detector = "default",
    as_json: AsJson = False,
) -> None:
    """Quantise a network of a bundle to int8, unless its accuracy drops too much."""
    try:
        from emofuse.experiments.quantise_bundle import QuantiseRequest, summary
        from emofuse.experiments.quantise_bundle import quantise as quantise_bundle
    except ImportError as error:
        raise training_missing(error) from None
    request = QuantiseRequest(bundle, data, out, max_accuracy_drop, ranges, names(keep), detector)
    with progress_bar("quantising"):
        written, cost = quantise_bundle(request, report=print_error)
    show(lambda: summary(written, cost, out), cost.to_json, as_json=as_json)
