"""`emofuse report`: results as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emofuse.cli.options import AsJson, Hysteresis, MergeSegments, MinSegment
from emofuse.cli.output import progress_bar, show

app = typer.Typer()


@app.command(epilog="Example: emofuse report emofuse-results --out report.html   |   emofuse report talk.csv --embed")
def report(
    results: Annotated[
        list[Path],
        typer.Argument(help="Tables of predict or live, or folders of them.", metavar="RESULTS..."),
    ],
    out: Annotated[Path, typer.Option(help="The page to write.", metavar="FILE")] = Path("report.html"),
    embed: Annotated[
        bool, typer.Option("--embed", help="Put the videos into the page instead of linking them, up to 25 MB.")
    ] = False,
    min_segment: MinSegment = 0.0,
    hysteresis: Hysteresis = 0.0,
    merge_segments: MergeSegments = 0.4,
    as_json: AsJson = False,
) -> None:
    """Show results as one HTML page: a player in step with the timeline of each person.

    The page needs no network and no other file but the videos, which are linked from where they are.
    """
    from emofuse.core.files import own_outputs
    from emofuse.export import SegmentSettings, read_results
    from emofuse.report.results import PageSettings, write_results_page

    settings = PageSettings(embed, SegmentSettings(min_segment, hysteresis, merge_segments))
    with progress_bar("reporting"):
        read = read_results(results)
        with own_outputs([out]):
            written = write_results_page(read, out, settings)
    missing = [result.file for result in read if result.media is None]
    show(
        lambda: _summary(len(read), missing),
        lambda: {"page": str(written), "files": len(read), "without_media": missing},
        as_json=as_json,
        written=[written],
    )


def _summary(count: int, missing: list[str]) -> str:
    """The number of files, and those whose video or photograph has moved away.

    >>> _summary(2, [])
    '2 files'
    >>> _summary(1, ["talk.mp4"])
    '1 file; not where it was, so to be chosen on the page: talk.mp4'
    """
    moved = f"; not where it was, so to be chosen on the page: {', '.join(missing)}" if missing else ""
    return f"{count} file{'s' * (count != 1)}{moved}"
