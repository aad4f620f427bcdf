"""`emofuse weights`: weights that are not in the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emofuse.cli.options import AsJson
from emofuse.cli.output import progress_bar, show
from emofuse.errors import EmofuseError

if TYPE_CHECKING:
    from emofuse.models.weights import Weights

app = typer.Typer(help="List, download and convert weights that are not in the package.", no_args_is_help=True)


@app.command("list", epilog="Example: emofuse weights list")
def list_(as_json: AsJson = False) -> None:
    """List the known weights, and where they are on this machine."""
    from emofuse.models import weights

    rows = [
        {"name": w.name, "what": w.what, "licence": w.licence, "url": w.url, "sha256": w.sha256, "path": _path(w)}
        for w in weights.KNOWN.values()
    ]
    lines = (f"{r['name']:<8} {r['what']} ({r['licence']})\n         {r['path'] or 'not found'}" for r in rows)
    show(lambda: "\n".join(lines), lambda: rows, as_json=as_json)


def _path(entry: Weights) -> str | None:
    from emofuse.models import weights

    try:
        path = weights.locate(entry)
    except EmofuseError as error:
        return str(error)
    return str(path) if path else None


@app.command(epilog="Example: emofuse weights fetch yunet")
def fetch(
    name: Annotated[str, typer.Argument(help="A name of `emofuse weights list`.")], as_json: AsJson = False
) -> None:
    """Download weights into the cache, and verify their SHA-256."""
    from emofuse.models import weights

    with progress_bar(f"downloading {name}"):
        path = str(weights.fetch(weights.known(name)))
    show(lambda: path, lambda: {"path": path}, as_json=as_json)


@app.command("import", epilog="Example: emofuse weights import rcmalli_vggface_tf_notop_resnet50.h5 --as vggface2")
def import_(
    path: Annotated[Path, typer.Argument(help="The file as published.", metavar="FILE")],
    name: Annotated[
        str,
        typer.Option(
            "--as",
            help="Name of the weights: vggface2, vggface, vggfer, mobilefacenet, compact, pann-16k, pann-32k or "
            "whisper-tiny-en.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="File to write; default: NAME.safetensors in the cache.")] = None,
    as_json: AsJson = False,
) -> None:
    """Convert published weights to safetensors, and check every array's name and shape."""
    from emofuse.models import weights

    written = str(weights.convert(path, name, out=out))
    show(lambda: written, lambda: {"path": written}, as_json=as_json)


@app.command("path", epilog="Example: emofuse weights path")
def path_(as_json: AsJson = False) -> None:
    """Print the folders that are searched for weights, in order."""
    from emofuse.models import weights

    folders = [str(folder) for folder in weights.folders()]
    show(lambda: "\n".join(folders), lambda: folders, as_json=as_json)
