"""Results as one HTML page without external resources: a player in step with the timeline of each person.

The charts are drawn by uPlot (MIT), which is part of the package in `vendor`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from emofuse.core.files import printable, write_bytes
from emofuse.core.version import __version__
from emofuse.errors import DataError, SettingsError
from emofuse.export import ResultTable
from emofuse.report.results.content import PageSettings, page_content
from emofuse.report.results.pictures import Picture, RecordedPictures, SavedPicture, SavedPictures

__all__ = [
    "PageSettings",
    "Picture",
    "SavedPicture",
    "SavedPictures",
    "cut_pictures",
    "results_page",
    "write_results_page",
]

_MOST_EMBEDDED = 25_000_000  # bytes


def write_results_page(results: Sequence[ResultTable], path: Path, settings: PageSettings | None = None) -> Path:
    """Write the page of some results, whole or not at all; equal results and media give equal bytes.

    Media files are linked from where they are, unless they are embedded.

    Raises:
        DataError: there is no result.
        SettingsError: the name does not end in .html; or media files are to be embedded, but one is not known, or they
            are too large.
        OutputError: the file cannot be written.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"report: {printable(path)} is not the name of a page; give one that ends in .html.")
    write_bytes(path, results_page(results, path.absolute().parent, settings).encode("utf-8", "backslashreplace"))
    return path


def results_page(results: Sequence[ResultTable], folder: Path, settings: PageSettings | None = None) -> str:
    """The page as HTML, for a file in `folder`; errors as of `write_results_page`."""
    from markupsafe import Markup

    from emofuse.report.page import render

    settings = settings or PageSettings()
    if not results:
        raise DataError("report: there are no results; give tables that `emofuse predict` has written.")
    if settings.embed:
        _check_embedding(results)
    shown = page_content(results, folder, settings)
    scripts = [_read("vendor/uPlot.iife.min.js"), _read("page.js")]
    return render(
        "results/page.html.jinja",
        title=shown["files"][0]["name"] if len(results) == 1 else f"{len(results)} files",
        version=__version__,
        # Whatever a name in the results contains, the page runs these scripts only and fetches nothing but the media.
        hashes=" ".join(f"'sha256-{_digest(script)}'" for script in scripts),
        scripts=[Markup(script) for script in scripts],
        chart_style=Markup(_read("vendor/uPlot.min.css")),
        own_style=Markup(_read("page.css")),
        data=Markup(_json(shown)),
    )


def cut_pictures(result: ResultTable) -> list[SavedPicture]:
    """The pictures of the page of one result, cut from its media file; the blocks of the result are read once."""
    pictures = RecordedPictures()
    page_content([result], Path(), PageSettings(pictures=pictures))
    return pictures.saved


def _check_embedding(results: Sequence[ResultTable]) -> None:
    size = 0
    for result in results:
        if result.media is None:
            raise SettingsError(
                f"--embed: {result.file} is not where it was; put it beside its table, or do not embed."
            )
        size += result.media.stat().st_size
    if size > _MOST_EMBEDDED:
        first = printable(results[0].media or "")
        raise SettingsError(
            f"--embed: {first} and others have {size / 1e6:.0f} MB, the most is 25 MB; do not embed them."
        )


def _read(name: str) -> str:
    return files("emofuse.report.results").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(value: Any) -> str:
    """JSON that cannot end the element of the page that it is in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
