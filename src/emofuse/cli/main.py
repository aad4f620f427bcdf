"""The command line: assembles the commands and turns known errors into one line and exit code 2."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import platformdirs
import typer

from emofuse.cli import (
    bundles,
    data,
    doctor,
    evaluate,
    experiments,
    export,
    live,
    predict,
    report,
    serve,
    stats,
    systems,
    train,
    weights,
)
from emofuse.cli.output import discard, open_streams, print_error, print_text
from emofuse.core.cores import usable_cores
from emofuse.core.version import __version__
from emofuse.errors import EmofuseError

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERRUPTED = 130
# As versions of typer say that the value of an option is not a number.
_NO_NUMBER = re.compile(r"(Input should be a valid number, .*|'.*' is not a valid float)\.?$")
_NOT_WHOLE = re.compile(r"(Input should be a valid integer, .*|'.*' is not a valid integer)\.?$")

app = typer.Typer(
    name="emofuse",
    help="Recognise emotion from face and voice in video: from a video to a timeline per person.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (predict, live, serve, export, report, stats, train, evaluate, experiments, bundles, systems, doctor):
    app.add_typer(group.app)
app.add_typer(data.app, name="data")
app.add_typer(weights.app, name="weights")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command; a known error is one line on standard error and exit code 2."""
    open_streams()
    _prepare_environment()
    words = [_home_expanded(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    try:
        code = app(words, prog_name="emofuse", standalone_mode=False)
        if code == _INTERRUPTED:  # typer does not raise the interrupt
            raise KeyboardInterrupt
        sys.exit(code)
    except EmofuseError as error:
        print_error(f"emofuse: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        print_error("emofuse: stopped; run the same command again to resume.")
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        discard(sys.stdout)
        sys.exit(0)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # of the help, which typer prints itself
            discard(sys.stdout)
            sys.exit(0)
        raise
    except Exception as error:
        message = _usage(error, words) or _full(error)
        if message is None:
            raise
        print_error(message)
        sys.exit(2)


def _prepare_environment() -> None:
    """Set what dependencies read when they are imported, here and in processes that are started, unless the user has.

    Matplotlib and torch keep files in folders of their own otherwise, and OpenMP ignores the quota of a container.
    """
    cache = Path(platformdirs.user_cache_dir("emofuse"))
    os.environ.setdefault("MPLCONFIGDIR", str(cache / "matplotlib"))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / "torchinductor"))
    if (cores := usable_cores()) < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(cores))


def _home_expanded(word: str) -> str:
    """An argument with `~` replaced where shells leave it: quoted, and after `=` as in `--data=~/x` and `NAME=~/x`."""
    before, equals, path = word.rpartition("=") if not word.startswith("~") else ("", "", word)
    return before + equals + os.path.expanduser(path) if path.startswith("~") else word


def _usage(error: Exception, words: Sequence[str]) -> str | None:
    """The message for wrong usage: one line, or the help if there was no command. None for unexpected exceptions.

    typer bundles its own copy of click, so its errors are recognised by their attributes and not by their class.
    """
    if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
        return None
    message: str = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        return message
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "emofuse"
    line = _NOT_WHOLE.sub(
        "give a whole number", _NO_NUMBER.sub("give a number, such as 0.5", " ".join(message.split()))
    )
    line = line if line.endswith("?") else f"{line.removesuffix('.')}."
    return f"emofuse: {line} {_file_hint(error, words)}See `{path} --help`."


def _file_hint(error: Exception, words: Sequence[str]) -> str:
    """How to give a file whose name was taken for an option; "" if there is none."""
    option = getattr(error, "option_name", None)
    files = (word for word in words if option and word.startswith(option) and Path(word).exists())
    return next((f"Write ./{word} for the file. " for word in files), "")


def _full(error: Exception) -> str | None:
    """The message if help cannot be printed because standard output is full."""
    if not isinstance(error, OSError) or error.errno != errno.ENOSPC or error.filename is not None:
        return None
    discard(sys.stdout)
    return f"emofuse: nothing more can be written ({error.strerror}); free some space, and run the command again."


def _version(wanted: bool) -> None:
    if wanted:
        print_text(f"emofuse {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version
