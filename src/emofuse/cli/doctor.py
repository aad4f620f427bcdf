"""`emofuse doctor`: whether this installation works."""

from __future__ import annotations

import typer

from emofuse.cli.options import AsJson
from emofuse.cli.output import show

app = typer.Typer()


@app.command(epilog="Example: emofuse doctor")
def doctor(as_json: AsJson = False) -> None:
    """Check this installation: versions, devices, codecs, weights, and the default bundle."""
    from emofuse.inference.doctor import examine

    findings = examine()
    show(
        lambda: "\n".join(f"{'ok  ' if f.good else 'FAIL'} {f.what:<18} {f.found}" for f in findings),
        lambda: [f.__dict__ for f in findings],
        as_json=as_json,
    )
    if not all(f.good for f in findings):
        raise typer.Exit(2)
