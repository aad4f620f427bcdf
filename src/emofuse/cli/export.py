"""`emofuse export`: results that exist, in other formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emofuse.cli.options import (
    AsJson,
    BlurFaces,
    Decimal,
    Formats,
    Hysteresis,
    MergeSegments,
    MinSegment,
    Separator,
    names,
)
from emofuse.cli.output import print_error, progress_bar, show
from emofuse.errors import EmofuseError

app = typer.Typer()


@app.command(epilog="Example: emofuse export emofuse-results --format elan,webvtt --min-segment 0.5")
def export(
    results: Annotated[
        list[Path], typer.Argument(help="Tables of predict or live, or folders of them.", metavar="RESULTS...")
    ],
    formats: Formats,
    out: Annotated[Path | None, typer.Option(help="Folder for the files. Default: beside each table.")] = None,
    min_segment: MinSegment = 0.0,
    hysteresis: Hysteresis = 0.0,
    merge_segments: MergeSegments = 0.0,
    separator: Separator = ",",
    decimal: Decimal = ".",
    blur_faces: BlurFaces = False,
    as_json: AsJson = False,
) -> None:
    """Write results that exist in other formats, for ELAN, Praat, BORIS, players and spreadsheets."""
    from emofuse.export import ExportOptions, SegmentSettings, export_results

    segments = SegmentSettings(min_segment, hysteresis, merge_segments)
    options = ExportOptions(segments, separator, decimal, blur_faces)
    errors = list[EmofuseError]()
    with progress_bar("exporting") as bar:

        def progress(path: Path, fraction: float) -> None:
            bar.update(path.name, fraction, 1.0)

        written = export_results(
            results, formats=names(formats), out=out, options=options, progress=progress, failed=errors.append
        )
    for error in errors:
        print_error(f"emofuse: {error}")
    show(lambda: "\n".join(f"wrote {path}" for path in written), lambda: list(map(str, written)), as_json=as_json)
    if errors:
        raise typer.Exit(2)
