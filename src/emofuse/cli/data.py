"""`emofuse data`: what is wrong with a data set, a made corpus, and a clip to try with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emofuse.cli.options import AsJson, print_json

if TYPE_CHECKING:
    from emofuse.datasets import DataReport

app = typer.Typer(help="Data: check what you have, or make some to try with.", no_args_is_help=True)


@app.command(epilog="Example: emofuse data check affwild2   |   emofuse data check clips.csv --json")
def check(
    path: Annotated[
        Path, typer.Argument(help="Folder in the layout of Aff-Wild2, or a manifest (.csv).", metavar="DIR|CSV")
    ],
    as_json: AsJson = False,
) -> None:
    """Read a data set once and list all that is wrong with it, and what that means for a result."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from emofuse.datasets import check_data, open_data
    from emofuse.datasets.problems import Level

    data = open_data(path)
    columns = (TextColumn("checking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("checking", total=len(data.clips))
        found = check_data(data, on_clip=lambda _: bar.advance(task))
    if as_json:
        print_json(found.as_dict())
    else:
        show(found)
    if found.count(Level.ERROR):
        raise typer.Exit(2)


def show(found: DataReport) -> None:
    """Figures of each part as a table, then the problems, the gravest first."""
    from rich.console import Console
    from rich.table import Table

    from emofuse.datasets.problems import Level

    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
    table = Table(
        "split", "clips", "files", "subjects", "minutes", "frames", "labelled", "faces", box=None, pad_edge=False
    )
    shares = Table("split", *found.label_set.names, box=None, pad_edge=False)
    for split in found.splits:
        name = split.split or "(none)"
        sizes = (split.clips, split.recordings, "?" if split.subjects is None else split.subjects)
        table.add_row(
            name, *map(str, sizes), f"{split.seconds / 60:.1f}", str(split.frames), _percent(split.labelled_fraction),
            _percent(split.face_fraction),
        )  # fmt: skip
        shares.add_row(name, *(_percent(split.class_fractions.get(n)) for n in found.label_set.names))
    console.print(f"{found.name}: {found.path}", markup=False)
    console.print(table)
    console.print("\nShare of each class among the labels")
    console.print(shares)
    for level in Level:
        problems = [p for p in found.problems if p.level is level]
        if problems:
            console.print(f"\n{len(problems)} {level.value}{'s' * (len(problems) > 1)}")
        for problem in problems:
            console.print(f"  {problem.item} ({problem.code}): {problem}", markup=False)
    if not found.problems:
        console.print("\nNothing is wrong.")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


@app.command(epilog="Example: emofuse data make aw --videos 12 --seconds 20 --seed 1")
def make(
    path: Annotated[Path, typer.Argument(help="The folder to write.", metavar="DIR")],
    videos: Annotated[int, typer.Option(help="How many videos, at least 3; from 12 on every wart occurs.")] = 12,
    seconds: Annotated[float, typer.Option(help="Length of each.")] = 20.0,
    seed: Annotated[
        int, typer.Option(help="Other people, voices and emotions; the same seed gives the same bytes.")
    ] = 0,
    easy: Annotated[
        bool,
        typer.Option("--easy", help="Emotions equally often, nothing behind the voices, at most 15 frames a second."),
    ] = False,
    jobs: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
) -> None:
    """Make a corpus of drawn, talking people in the layout of Aff-Wild2 (2020), labels, gaps and warts included.

    A run that was killed goes on where it stopped.
    """
    from emofuse.synthetic import make_corpus

    def tell(line: str) -> None:
        print(line, file=sys.stderr)

    corpus = make_corpus(path, videos=videos, seconds=seconds, seed=seed, easy=easy, processes=jobs, progress=tell)
    done = (
        f"{corpus.written} of {len(corpus.videos)} videos made"
        if corpus.written
        else "was there already; nothing to do"
    )
    print(f"{path}: {done}, {len(corpus.entries)} entries. Look at it: emofuse data check {path}")


@app.command(epilog="Example: emofuse data sample sample.mp4")
def sample(
    path: Annotated[Path, typer.Argument(help="The video to write (.mp4).")],
    seconds: Annotated[float, typer.Option(help="Length.", min=6.0, max=600.0)] = 12.0,
    seed: Annotated[int, typer.Option(help="Other movements and another voice.")] = 0,
) -> None:
    """Make a short video of a drawn, talking face that shows one emotion after the other."""
    from emofuse.synthetic.sample import make_sample

    shown = make_sample(path, seconds=seconds, seed=seed)
    print(f"{path}: " + ", ".join(f"{emotion} {start:.1f}-{end:.1f} s" for start, end, emotion in shown))
