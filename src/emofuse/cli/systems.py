"""`emofuse systems`: what can be trained."""

from __future__ import annotations

import typer

from emofuse.cli.options import AsJson
from emofuse.cli.output import show

app = typer.Typer()


@app.command(epilog="Example: emofuse systems --json")
def systems(as_json: AsJson = False) -> None:
    """List the systems that can be trained."""
    from emofuse.systems import SYSTEMS, WORDS_SYSTEMS

    rows = [
        {"name": "default", "modality": "all", "title": "the bundle in the package, with all its parts"},
        {"name": "default-face", "modality": "face", "title": "its face network, on RAF-DB and FER-2013"},
        {"name": "face-detector", "modality": "face", "title": "the face detector in the package, on photographs"},
        {
            "name": "active-speaker",
            "modality": "all",
            "title": "the networks that find out who speaks, on talking heads",
        },
    ]
    rows += [{"name": s.name, "modality": s.modality, "title": s.title} for s in SYSTEMS.values()]
    rows += [{"name": s.name, "modality": s.modality, "title": s.title} for s in WORDS_SYSTEMS.values()]
    show(
        lambda: "\n".join(f"{row['name']:<24} {row['modality']:<6} {row['title']}" for row in rows),
        lambda: rows,
        as_json=as_json,
    )
