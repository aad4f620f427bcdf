"""`emofuse data`: check a data set, generate a synthetic one, or make a sample video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emofuse.cli.options import AsJson
from emofuse.cli.output import print_error, progress_bar, show
from emofuse.core.settings import MAX_SEED

app = typer.Typer(help="Check data, or generate synthetic data to try with.", no_args_is_help=True)


@app.command(epilog="Example: emofuse data check affwild2   |   emofuse data check clips.csv --json")
def check(
    path: Annotated[
        Path,
        typer.Argument(
            help="Folder in the layout of Aff-Wild2, a clip list, or a folder of clips or photographs.",
            metavar="DIR|CSV",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Check a data set: list its statistics and all problems, and what they mean for results."""
    from emofuse.datasets import check_data, open_data
    from emofuse.datasets.problems import Level
    from emofuse.report.data_check import text

    data, done = open_data(path, still_images=True), 0
    with progress_bar("checking", count=True) as bar:

        def on_clip(_: object) -> None:
            nonlocal done
            done += 1
            bar.update("checking", done, len(data.clips))

        found = check_data(data, on_clip=on_clip)
    show(lambda: text(found), found.as_dict, as_json=as_json)
    if found.count(Level.ERROR):
        raise typer.Exit(2)


@app.command(epilog="Example: emofuse data make aw --videos 12 --seconds 20 --seed 1")
def make(
    path: Annotated[Path, typer.Argument(help="The folder to write.", metavar="DIR")],
    videos: Annotated[
        int, typer.Option(help="Number of videos, at least 3; from 12 on they have every data-quality problem.")
    ] = 12,
    seconds: Annotated[float, typer.Option(help="Length of each video in seconds.")] = 20.0,
    seed: Annotated[
        int,
        typer.Option(help="Seed of subjects, voices and emotions; equal seeds write equal bytes.", min=0, max=MAX_SEED),
    ] = 0,
    easy: Annotated[
        bool,
        typer.Option("--easy", help="Balance the emotions, leave out background audio, and limit videos to 15 Hz."),
    ] = False,
    jobs: Annotated[int, typer.Option(help="Number of processes.", min=1)] = 2,
    as_json: AsJson = False,
) -> None:
    """Generate a synthetic corpus in the layout of Aff-Wild2 (2020), with labels and data-quality problems.

    A killed run resumes where it stopped.
    """
    from emofuse.synthetic import make_corpus

    with progress_bar("generating"):
        corpus = make_corpus(path, videos=videos, seconds=seconds, seed=seed, easy=easy, processes=jobs,
                             progress=print_error)  # fmt: skip
    new, total, entries = corpus.written, len(corpus.videos), len(corpus.entries)
    done = f"{new} of {total} videos generated" if new else "already complete"
    show(
        lambda: f"{path}: {done}, {entries} entries. Check it with: emofuse data check {path}",
        lambda: {"path": str(path), "videos": total, "generated": new, "entries": entries},
        as_json=as_json,
    )


@app.command(epilog="Example: emofuse data sample sample.mp4")
def sample(
    path: Annotated[Path, typer.Argument(help="The video to write (.mp4).")],
    seconds: Annotated[float, typer.Option(help="Length in seconds.", min=6.0, max=600.0)] = 12.0,
    seed: Annotated[int, typer.Option(help="Seed of movements and voice.", min=0, max=MAX_SEED)] = 0,
    as_json: AsJson = False,
) -> None:
    """Generate a short video of a synthetic talking face that shows several emotions in turn."""
    from emofuse.core.files import own_outputs
    from emofuse.synthetic.sample import make_sample

    with progress_bar("generating"), own_outputs([path]):
        segments = make_sample(path, seconds=seconds, seed=seed)
    show(
        lambda: f"{path}: " + ", ".join(f"{emotion} {start:.1f}-{end:.1f} s" for start, end, emotion in segments),
        lambda: [{"start": start, "end": end, "emotion": emotion} for start, end, emotion in segments],
        as_json=as_json,
    )
