"""HTML pages: one file each, without external resources, from templates in this package."""

from __future__ import annotations

from typing import Any

from emofuse.report.svg import DARK, LIGHT
from emofuse.report.tables import plain


def render(template: str, **context: Any) -> str:
    """A page from a template below `emofuse/report`; every value is escaped unless it is `Markup`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("emofuse.report", ""), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["plain"] = plain
    return environment.get_template(template).render(light=LIGHT, dark=DARK, **context)
