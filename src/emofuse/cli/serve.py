"""`emofuse serve`: the web page and the HTTP API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emofuse.cli.options import AsJson, Jobs
from emofuse.cli.output import print_error, print_json, print_text
from emofuse.errors import SettingsError

app = typer.Typer()

_LOOPBACKS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # by the address that means all
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@app.command(epilog="Example: emofuse serve   |   emofuse serve --results study --port 9000 --no-browser")
def serve(
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any that is free.", min=0, max=65535)] = 8765,
    results: Annotated[Path, typer.Option(help="Folder for the results.", metavar="DIR")] = Path("emofuse-results"),
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than 127.0.0.1 need a token.", metavar="ADDRESS")
    ] = "127.0.0.1",
    token: Annotated[
        str | None, typer.Option(help="Token that clients have to know. Default on other addresses: a new one.")
    ] = None,
    api_only: Annotated[bool, typer.Option("--api-only", help="Serve the API without the page.")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page in a browser.")] = False,
    jobs: Jobs = 1,
    max_upload: Annotated[str, typer.Option(help="Size of the largest upload, such as 500MB.", metavar="SIZE")] = "4GB",
    bundle: Annotated[str, typer.Option(help="Bundle to use, by name or folder.", metavar="NAME|DIR")] = "default",
    as_json: AsJson = False,
) -> None:
    """Serve a web page on this machine: analyse files, see live emotions, and browse results.

    Everything stays on this machine. Ctrl-C ends it; jobs that are not done go on at the next start.
    """
    try:
        from emofuse.server.connections import open_socket, serve
    except ImportError as error:
        raise SettingsError(f"serve needs {error.name}, which is not installed; pip install 'emofuse[web]'.") from None
    from emofuse.core.cores import check_at_once
    from emofuse.models.bundle import load
    from emofuse.server.app import create_app
    from emofuse.server.security import checked_token
    from emofuse.server.settings import ServerSettings
    from emofuse.server.store import own_folder

    check_at_once("--jobs", jobs or 1)
    settings = ServerSettings(
        results.absolute(), host, checked_token(token, host), api_only, jobs or 1, parse_size(max_upload), bundle=bundle
    )
    loaded = load(bundle)
    with own_folder(settings.results), open_socket(host, port) as listening:
        port = listening.getsockname()[1]
        address, query = _address(_reached(host), port), f"?token={settings.token}" if settings.token else ""

        def started() -> None:
            if as_json:
                print_json({"address": address, "token": settings.token, "results": str(settings.results)})
            else:
                print_text(f"emofuse serves {results} at {address}{query} (Ctrl-C ends it)")
            if not (no_browser or api_only):
                import webbrowser

                webbrowser.open(_address(_LOOPBACKS.get(host, host), port) + query)

        serve(create_app(settings, loaded), listening, started=started)
    print_error("emofuse: ended; jobs that are not done go on at the next start.")


def parse_size(text: str) -> int:
    """A size in bytes.

    Raises:
        SettingsError: it is not a size.

    >>> parse_size("4GB"), parse_size("1.5 M"), parse_size("100")
    (4000000000, 1500000, 100)
    """
    word = text.strip().upper().removesuffix("B").strip()
    unit = word[-1:] if word[-1:] in "KMGT" else ""
    try:
        size = int(float(word.removesuffix(unit)) * _UNITS[unit])
    except (ValueError, OverflowError):
        size = 0
    if size < 1:
        raise SettingsError(f"--max-upload {text}: give a size such as 500MB or 4GB.")
    return size


def _address(host: str, port: int) -> str:
    """The address to open.

    >>> _address("127.0.0.1", 8765), _address("::1", 80)
    ('http://127.0.0.1:8765/', 'http://[::1]:80/')
    """
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _reached(host: str) -> str:
    """How other machines reach this host: where it listens on all addresses, by the one that is used for the network.

    >>> _reached("127.0.0.1")
    '127.0.0.1'
    """
    import socket

    if host not in _LOOPBACKS:
        return host
    family, other = (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((other, 9))  # an address for documentation; nothing is sent
            return str(asked.getsockname()[0])
    except OSError:  # no network
        return socket.gethostname()
