"""`emofuse table1` and `emofuse sweep`: many systems trained, scored and compared by one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emofuse.cli.options import Address, AsJson, Detector, Executor, print_json

Data = Annotated[Path, typer.Option(help="Aff-Wild2 folder or manifest with a train and a validation part.")]
Out = Annotated[Path, typer.Option(help="Folder for all results; a killed run goes on there.")]
Scale = Annotated[str, typer.Option(help="tiny: small nets, few epochs; paper: the real ones.")]
Weights = Annotated[list[str] | None, typer.Option(help="A file of pretrained weights, by name.", metavar="NAME=FILE")]
FromScratch = Annotated[bool, typer.Option("--from-scratch", help="Do without weights that are missing.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Seed = Annotated[int, typer.Option(help="Of trainings, fusion searches and resampling.")]
Jobs = Annotated[int | None, typer.Option(help="Trainings and scorings at a time.", min=1)]
Threads = Annotated[int, typer.Option(help="Threads of each training; 0: as the scale has them.", min=0)]


def table1(
    data: Data,
    out: Out,
    rows: Annotated[list[str] | None, typer.Option(help="A row by name; all ten unless said.", metavar="NAME")] = None,
    scale: Scale = "tiny",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME.SETTING=VALUE, or NAME=OTHER: another system in its place.", metavar="..."),
    ] = None,
    weights: Weights = None,
    from_scratch: FromScratch = False,
    detector: Detector = "auto",
    device: Device = "auto",
    seed: Seed = 0,
    jobs: Jobs = None,
    executor: Executor = None,
    address: Address = None,
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """Train, score and fuse all systems of the paper's Table 1, and write the table and the submissions."""
    from emofuse.cli import train as training
    from emofuse.cli.executors import ExecutorOptions, choose_executor

    try:
        from emofuse.cli.table1 import run_and_show
        from emofuse.experiments.plan import Request
        from emofuse.experiments.trial import Trial
    except ImportError as error:
        raise training.not_installed(error) from None
    trial = Trial(data, out, scale, training.files(weights or []), from_scratch, detector, device, seed, threads)
    request = Request(trial, tuple(rows or ()), training.changes(set_ or []))
    chosen = choose_executor(executor, ExecutorOptions(jobs or 0, threads, address, gpus=int(device == "cuda")))
    result = run_and_show(request, executor=chosen, quiet=as_json)
    if as_json:
        print_json(result)


def sweep(
    system: Annotated[str, typer.Argument(help="A system of docs/commands.md.")],
    over: Annotated[
        list[str],
        typer.Option(help="Values to try of a setting; of several, all combinations.", metavar="NAME=VALUE,VALUE..."),
    ],
    data: Data,
    out: Out,
    scale: Scale = "tiny",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting for all variants.", metavar="NAME=VALUE")
    ] = None,
    weights: Weights = None,
    from_scratch: FromScratch = False,
    detector: Detector = "auto",
    device: Device = "auto",
    seed: Seed = 0,
    jobs: Jobs = None,
    executor: Executor = None,
    address: Address = None,
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """Train one system with some settings varied, and compare all variants in one table."""
    from emofuse.cli import train as training
    from emofuse.cli.executors import ExecutorOptions, choose_executor

    try:
        from emofuse.cli.sweep import run_and_show
        from emofuse.experiments.sweep import Request
        from emofuse.experiments.trial import Trial
    except ImportError as error:
        raise training.not_installed(error) from None
    values = training.changes(over, option="--over")
    trial = Trial(data, out, scale, training.files(weights or []), from_scratch, detector, device, seed, threads)
    tried = {name: tuple(v.strip() for v in text.split(",")) for name, text in values.items()}
    request = Request(system, tried, trial, training.changes(set_ or []))
    chosen = choose_executor(executor, ExecutorOptions(jobs or 0, threads, address, gpus=int(device == "cuda")))
    result = run_and_show(request, executor=chosen, quiet=as_json)
    if as_json:
        print_json(result)
