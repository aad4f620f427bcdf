"""`emofuse stats`: statistics of results per person, event and emotion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emofuse.cli.options import AsJson, Hysteresis, MergeSegments, MinSegment, Seed
from emofuse.cli.output import print_error, progress_bar, show

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer()

RESULTS = typer.Argument(help="Tables of predict or live, or folders of them.", metavar="RESULTS...")


@app.command(
    epilog="Example: emofuse stats emofuse-results --events events.csv --baseline 'first 10s' --by condition   |   "
    "emofuse stats talk.csv --synchrony valence"
)
def stats(
    results: Annotated[list[Path], RESULTS],
    events: Annotated[
        Path | None,
        typer.Option(
            help="Events: a table (name, start, end), an .eaf, an export of BORIS, or a .vtt.", metavar="FILE"
        ),
    ] = None,
    tier: Annotated[str | None, typer.Option(help="The only tier of an .eaf to take events from.")] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="Also compute changes from the mean of START-END (seconds), 'first 10s', or person-mean.",
            metavar="START-END",
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Compare groups: a column, such as event or one of --events.", metavar="COLUMN")
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Probability for the fraction of time above it.", metavar="0..1")
    ] = 0.5,
    min_segment: MinSegment = 0.0,
    hysteresis: Hysteresis = 0.0,
    merge_segments: MergeSegments = 0.0,
    synchrony: Annotated[
        str | None,
        typer.Option(help="Also correlate every two persons of a file: valence, or an emotion.", metavar="MEASURE"),
    ] = None,
    window: Annotated[float, typer.Option(help="Length of the windows of --synchrony.", metavar="SECONDS")] = 10.0,
    max_lag: Annotated[
        float, typer.Option("--max-lag", help="Largest lag of --synchrony to either side.", metavar="SECONDS")
    ] = 2.0,
    out: Annotated[Path, typer.Option(help="Folder for the tables and the page.")] = Path("emofuse-stats"),
    form: Annotated[str, typer.Option("--format", help="Format of the tables: csv or parquet.")] = "csv",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Compute statistics of results per person, event and emotion.

    Writes a tidy table (stats), groups and synchrony if they are asked for, and a page (stats.html).
    """
    from emofuse.analysis.coverage import check_coverage
    from emofuse.analysis.events import read_events
    from emofuse.analysis.groups import compare
    from emofuse.analysis.statistics import Baseline, StatisticsSettings, describe
    from emofuse.analysis.synchrony import SynchronySettings
    from emofuse.analysis.synchrony import synchrony as synchrony_of
    from emofuse.export import SegmentSettings, read_results
    from emofuse.report.statistics_page import Statistics, check_format, text, write_statistics

    check_format(form)
    segments = SegmentSettings(min_segment, hysteresis, merge_segments)
    settings = StatisticsSettings(threshold, None if baseline is None else Baseline.parse(baseline), segments)
    pairs = None if synchrony is None else SynchronySettings(synchrony, window, max_lag, seed=seed)
    chosen = [] if events is None else read_events(events, tier=tier)
    with progress_bar("reading"):
        read = read_results(results)
        pairs_found = None if pairs is None else synchrony_of(read, pairs)
        notes = check_coverage(read, chosen, baseline=settings.baseline, pairs=pairs)
        table = describe(read, chosen, settings)
        statistics = Statistics(
            table,
            {
                "results": f"{len(read)} file{'s' * (len(read) != 1)}",
                "events": "the whole of each file" if events is None else f"{len(chosen)} of {events}",
                "baseline": baseline or "none",
                "threshold": f"{threshold:g}",
                "segments": str(segments).removeprefix("segments of "),
                **({} if pairs is None else {"synchrony": str(pairs)}),
                **({"note": " ".join(notes)} if notes else {}),
            },
            None if by is None else compare(table, by, seed=seed),
            pairs_found,
        )
        written = write_statistics(statistics, out, form)
    for note in notes if as_json else ():  # otherwise it is among the facts
        print_error(f"note: {note}")
    show(lambda: text(statistics), lambda: _records(statistics.tables), as_json=as_json, written=written)


def _records(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The rows of every table; missing values are null."""
    return {name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}
