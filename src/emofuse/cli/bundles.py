"""`emofuse fuse` and `emofuse quantise`: bundles made of bundles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from emofuse.cli.options import Address, AsJson, Detector, Executor, print_json


def fuse(
    bundles: Annotated[
        list[str],
        typer.Argument(
            help="Bundles by name or folder: one that looks at faces, one that listens.", metavar="BUNDLE..."
        ),
    ],
    data: Annotated[Path, typer.Option(help="Clips with labels, not those that the bundles were trained on.")],
    out: Annotated[Path, typer.Option(help="Folder for the fused bundle; a killed run goes on there.")],
    method: Annotated[str, typer.Option(help="How to fuse: log-pool, mcwf, swf, mean, ...")] = "log-pool",
    split: Annotated[str, typer.Option(help="Part of the data: train, validation, test, or all.")] = "validation",
    smooth: Annotated[float, typer.Option(help="Seconds by which single faces are smoothed to either side.")] = 1.5,
    half: Annotated[bool, typer.Option("--half", help="Keep weights in half precision: half the size.")] = False,
    name: Annotated[str, typer.Option(help="Name of the fused bundle.")] = "fused",
    version: Annotated[str, typer.Option(help="Its version; one of its content unless said.")] = "",
    licence: Annotated[str, typer.Option(help="Terms, for its card; those of its parts unless said.")] = "",
    measure: Annotated[str, typer.Option(help="What swf and mcwf choose weights by.")] = "cpm",
    folds: Annotated[int, typer.Option(help="Parts for held-out figures; people are kept together.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the search and the resampling.")] = 0,
    detector: Detector = "auto",
    jobs: Annotated[int | None, typer.Option(help="Files at a time.", min=1)] = None,
    executor: Executor = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Fuse trained bundles into one that looks and listens, and say what that is worth on people not fitted on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from emofuse.cli.evaluate import show
    from emofuse.cli.executors import ExecutorOptions, choose_executor
    from emofuse.errors import SettingsError
    from emofuse.evaluation import evaluate as run
    from emofuse.experiments.fuse_bundles import Request
    from emofuse.experiments.fuse_bundles import fuse as fuse_bundles

    if not 0 <= smooth <= 60:
        raise SettingsError(f"--smooth {smooth:g}: give seconds from 0 to 60.")
    part = None if split == "all" else split
    settings = run.Settings(split=part, measure=measure, fuse=(method,), folds=folds, seed=seed, rows=True)
    request = Request(tuple(bundles), data, out, settings, name, version, smooth, half, licence, detector)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    with Progress(*columns, console=errors, transient=True, disable=not sys.stderr.isatty()) as bar:
        task, done = bar.add_task("predicting", total=None), set[Path]()

        def step(path: Path, share: float, files: int) -> None:
            done.update([path] if share >= 1 else [])
            bar.update(task, completed=len(done), total=files, description=path.name)

        bundle, result = fuse_bundles(
            request,
            executor=choose_executor(executor, ExecutorOptions(jobs or 0, 0, address)),
            note=lambda line: errors.print(f"note: {line}"),
            progress=step,
        )
    run.save_evaluation(result, out)
    if as_json:
        print_json(result.to_json())
        return
    show(result)
    print(f"bundle {bundle.name} {bundle.version} written to {out}; use it with: emofuse predict FILE --bundle {out}")


def quantise(
    bundle: Annotated[
        str, typer.Argument(help="A bundle by name or folder that judges single faces or voices.", metavar="BUNDLE")
    ],
    data: Annotated[Path, typer.Option(help="What it was trained on: clips, or FER-2013.")],
    out: Annotated[Path, typer.Option(help="Folder for the bundle in int8.")],
    most_loss: Annotated[float, typer.Option(help="Accuracy that may be lost, in percent.", min=0, max=100)] = 0.3,
    keep: Annotated[str, typer.Option(help="Layers that stay in float32, parted by commas.")] = "first,last",
    ranges: Annotated[int, typer.Option(help="Examples that ranges are taken from.", min=1)] = 512,
    detector: Detector = "auto",
    as_json: AsJson = False,
) -> None:
    """Write a bundle with its net in int8, if that costs next to no accuracy."""
    from emofuse.cli import train as training

    try:
        from emofuse.experiments.quantise_bundle import Request
        from emofuse.experiments.quantise_bundle import quantise as quantise_bundle
    except ImportError as error:
        raise training.not_installed(error) from None
    kept = tuple(name.strip() for name in keep.split(",") if name.strip())
    request = Request(bundle, data, out, most_loss / 100, ranges, kept, detector)
    written, cost = quantise_bundle(request, say=lambda line: print(line, file=sys.stderr))
    if as_json:
        print_json(cost.to_json() | {"bytes": [cost.before, cost.after]})
        return
    change = cost.change
    print(
        f"float32: accuracy {cost.accuracy:.2%}, {cost.before / 1e6:.1f} MB\n"
        f"int8:    accuracy {cost.accuracy + change.value:.2%}, {cost.after / 1e6:.1f} MB; change {change.value:+.2%} "
        f"[{change.low:+.2%}, {change.high:+.2%}] on {cost.examples} examples\n"
        f"bundle {written.name} written to {out}; use it with: emofuse predict FILE --bundle {out}"
    )
