"""`emofuse table1` and `emofuse sweep`: many systems trained, scored and compared by one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emofuse.cli.options import (
    Address,
    AsJson,
    Data,
    Detector,
    Device,
    Executor,
    Jobs,
    Seed,
    Settings,
    executor_of,
    pairs,
    training_missing,
)
from emofuse.cli.output import progress_bar, show

if TYPE_CHECKING:
    from emofuse.experiments.runner import Monitor

app = typer.Typer()

Out = Annotated[Path, typer.Option(help="Folder for all results; a killed run resumes there.")]
Scale = Annotated[str, typer.Option(help="tiny: small networks, few epochs; paper: as in the paper.")]
Weights = Annotated[
    list[str] | None, typer.Option(help="File of pretrained weights, by name; repeatable.", metavar="NAME=FILE")
]
FromScratch = Annotated[
    bool, typer.Option("--from-scratch", help="Train from random weights if pretrained ones are missing.")
]
Threads = Annotated[int, typer.Option(help="Threads per job; 0: the number that the scale sets.", min=0)]


@app.command(
    epilog="Example: emofuse table1 --data aw --out runs/table1   |   "
    "emofuse table1 --data aw --out runs/table1 --rows vggface2 --rows mcwf-best"
)
def table1(
    data: Data,
    out: Out,
    rows: Annotated[
        list[str] | None, typer.Option(help="Row to include, repeatable; default: all ten.", metavar="NAME")
    ] = None,
    scale: Scale = "tiny",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change a setting (NAME.SETTING=VALUE), or replace a system (NAME=OTHER).", metavar="..."
        ),
    ] = None,
    weights: Weights = None,
    from_scratch: FromScratch = False,
    detector: Detector = "default",
    device: Device = "auto",
    seed: Seed = 0,
    jobs: Jobs = None,
    executor: Executor = None,
    address: Address = None,
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """Train, score and fuse all systems of the paper's Table 1, and write the table and the submissions."""
    try:
        from emofuse.experiments.table1 import Table1Request
        from emofuse.experiments.table1 import table1 as run
        from emofuse.experiments.trial import Trial
    except ImportError as error:
        raise training_missing(error) from None
    from emofuse.report.table1 import text, write

    trial = Trial(data, out, scale, _files(weights), from_scratch, detector, device, seed, threads)
    request = Table1Request(trial, tuple(rows or ()), pairs(set_))
    chosen = executor_of(executor, jobs=jobs, threads=threads, address=address, device=device)
    with _watch("table 1", quiet=as_json) as monitor:
        result = run(request, monitor, executor=chosen)
    written = [out / "table1.json", *write(result, out)]
    show(lambda: text(result), lambda: result, as_json=as_json, written=written)


@app.command(
    epilog="Example: emofuse sweep cnn1d-lstm --over window=2,4,6,8,10,12 --data aw --out runs/windows   |   "
    "emofuse sweep vggface2-svm --over kernel=poly,rbf --over C=1,3 --data aw --out runs/svm"
)
def sweep(
    system: Annotated[str, typer.Argument(help="A system of `emofuse systems`.")],
    over: Annotated[
        list[str],
        typer.Option(help="Values of a setting to try; repeatable, for all combinations.", metavar="NAME=VALUE,..."),
    ],
    data: Data,
    out: Out,
    scale: Scale = "tiny",
    set_: Settings = None,
    weights: Weights = None,
    from_scratch: FromScratch = False,
    detector: Detector = "default",
    device: Device = "auto",
    seed: Seed = 0,
    jobs: Jobs = None,
    executor: Executor = None,
    address: Address = None,
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """Train one system with varied settings, and compare all variants in one table."""
    try:
        from emofuse.experiments.sweep import SweepRequest
        from emofuse.experiments.sweep import sweep as run
        from emofuse.experiments.trial import Trial
    except ImportError as error:
        raise training_missing(error) from None
    from emofuse.report.sweep import text, write

    trial = Trial(data, out, scale, _files(weights), from_scratch, detector, device, seed, threads)
    values = {n: tuple(v.strip() for v in words.split(",")) for n, words in pairs(over, option="--over").items()}
    chosen = executor_of(executor, jobs=jobs, threads=threads, address=address, device=device)
    with _watch("sweep", quiet=as_json) as monitor:
        result = run(SweepRequest(system, values, trial, pairs(set_)), monitor, executor=chosen)
    written = [out / "sweep.json", *write(result, out)]
    show(lambda: text(result), lambda: result, as_json=as_json, written=written)


def _files(weights: list[str] | None) -> dict[str, Path]:
    return {name: Path(file) for name, file in pairs(weights, option="--weights").items()}


@contextmanager
def _watch(name: str, *, quiet: bool) -> Iterator[Monitor]:
    """Monitor that show the progress of an experiment in one bar, and its messages unless `quiet`."""
    from emofuse.experiments.runner import Monitor

    with progress_bar(name) as bar:
        yield Monitor(
            report=(lambda _: None) if quiet else bar.note,
            progress=lambda what, done: bar.update(what, done, 1.0),
        )
