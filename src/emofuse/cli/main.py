"""The command line: parse, call `run`, print. Everything it can do, Python can do too."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from emofuse.cli import bundles, data
from emofuse.cli import evaluate as challenge
from emofuse.cli import experiments as trials
from emofuse.cli.options import Address, AsJson, Detector, Executor, print_json
from emofuse.core.version import __version__
from emofuse.errors import EmofuseError

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERRUPTED = 130

app = typer.Typer(
    name="emofuse",
    help="Emotion recognition from face and voice in video: a video in, a timeline per person out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
weights_app = typer.Typer(
    help="Weights that are not in the package: list, fetch, and where they are.", no_args_is_help=True
)
app.add_typer(weights_app, name="weights")
app.add_typer(data.app, name="data")

app.command(
    epilog="Example: emofuse evaluate results face=face.parquet --data affwild2 --fuse swf,mcwf   |   "
    "emofuse evaluate submission --data affwild2"
)(challenge.evaluate)
app.command(
    epilog="Example: emofuse fuse runs/face runs/voice --data clips.csv --out runs/both   |   "
    "emofuse fuse default --data clips.csv --split all --out runs/mine"
)(bundles.fuse)
app.command(epilog="Example: emofuse quantise runs/voice --data speech.csv --out runs/voice-int8")(bundles.quantise)
app.command(
    epilog="Example: emofuse submit results --data affwild2 --edition 2020 --out submission   |   "
    "emofuse submit --check submission --data affwild2 --edition 2020"
)(challenge.submit)
app.command(
    epilog="Example: emofuse table1 --data aw --out runs/table1   |   "
    "emofuse table1 --data aw --out runs/table1 --rows vggface2 --rows mcwf-best"
)(trials.table1)
app.command(
    epilog="Example: emofuse sweep cnn1d-lstm --over window=2,4,6,8,10,12 --data aw --out runs/windows   |   "
    "emofuse sweep vggface2-svm --over kernel=poly,rbf --over C=1,3 --data aw --out runs/svm"
)(trials.sweep)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command; a known error is one line on standard error and exit code 2."""
    try:
        code = app(arguments, prog_name="emofuse", standalone_mode=False)
        if code == _INTERRUPTED:  # typer keeps the interrupt to itself
            raise KeyboardInterrupt
        sys.exit(code)
    except EmofuseError as error:
        print(f"emofuse: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("emofuse: stopped; run the same command again to go on.", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        message = _usage(error)
        if message is None:
            raise
        print(message, file=sys.stderr)
        sys.exit(2)


def _usage(error: Exception) -> str | None:
    """What to say of words that are no command: one line, or the help where nothing was asked. None for defects.

    typer carries its own copy of click, so its errors are told by what they can do and not by their class.
    """
    if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
        return None
    message: str = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        return message
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "emofuse"
    return f"emofuse: {' '.join(message.split())} See `{path} --help`."


def _version(wanted: bool) -> None:
    if wanted:
        print(f"emofuse {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


@app.command(
    epilog="Example: emofuse predict talk.mp4 --plot   |   emofuse predict clips/ --out results --format parquet"
)
def predict(
    paths: Annotated[
        list[str],
        typer.Argument(help="Videos or sound, folders (searched below too), or quoted globs.", metavar="PATH..."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("emofuse-results"),
    form: Annotated[str, typer.Option("--format", help="Table as csv, parquet or json.")] = "csv",
    every_frame: Annotated[bool, typer.Option("--every-frame", help="One row per decoded frame.")] = False,
    rate: Annotated[float, typer.Option(help="Rows a second.", metavar="HZ")] = 5.0,
    bundle: Annotated[str, typer.Option(help="A bundle by name or folder.", metavar="NAME|DIR")] = "default",
    detector: Detector = "auto",
    min_confidence: Annotated[
        float, typer.Option(help="Less sure rows get the emotion 'uncertain'.", metavar="0..1")
    ] = 0.0,
    per_modality: Annotated[
        bool, typer.Option("--per-modality", help="Also write columns of the scores of each modality.")
    ] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Also draw each timeline as a PNG.")] = False,
    jobs: Annotated[int | None, typer.Option(help="Files at a time.", min=1)] = None,
    executor: Executor = None,
    address: Address = None,
    threads: Annotated[
        int, typer.Option(help="Threads in all, on Ray of each file; 0: one for each core, on Ray one.", min=0)
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Predict the emotions of every person in videos.

    Writes one table per video and summary.json to the output folder. What is done already is not done again.
    """
    from emofuse.cli import predict as predicting
    from emofuse.cli.executors import ExecutorOptions, choose_executor
    from emofuse.inference import batch
    from emofuse.inference.predictor import Options, checked_rate
    from emofuse.models import bundle as bundles
    from emofuse.runtime import Engine

    chosen = choose_executor(executor, ExecutorOptions(jobs or 0, threads, address, gpus=int(device == "cuda")))
    hz = None if every_frame else checked_rate(rate)
    options = Options(bundle, detector, hz, Engine(threads, device), min_confidence, per_modality)
    files = batch.find_files(paths, audio=bundles.load(bundle).voice is not None)
    planned = batch.plan(files, out=out, options=options, format=form, plot=plot)
    outcomes = predicting.run_and_show(planned, executor=chosen, quiet=as_json)
    if any(o.error for o in outcomes):
        raise typer.Exit(2)


@app.command(epilog="Example: emofuse systems --json")
def systems(as_json: AsJson = False) -> None:
    """List the bundles that are ready to predict with."""
    from emofuse.models import bundle as bundles

    loaded = {name: bundles.load(name) for name in bundles.shipped()}
    if as_json:
        print_json(
            {n: {"version": b.version, "labels": b.label_set.names, "card": dict(b.card)} for n, b in loaded.items()}
        )
        return
    for name, b in loaded.items():
        print(f"{name} {b.version}: {b.card['what']}")
        print(f"  labels   {', '.join(b.label_set.names)}")
        print(f"  trained  {b.card['data']}")
        print(f"  licence  {b.card['licence']}")
        for part, figures in b.card["figures"].items():
            counted = " ".join(f"{figures[k]} {k}" for k in ("images", "clips") if k in figures)
            print(f"  {part}: accuracy {figures['accuracy']:.3f}, UAR {figures['uar']:.3f} ({counted})")


@weights_app.command("list", epilog="Example: emofuse weights list")
def weights_list(as_json: AsJson = False) -> None:
    """List the known weights, and which are on this machine."""
    from emofuse.models import weights

    rows = [
        {"name": w.name, "what": w.what, "licence": w.licence, "url": w.url, "sha256": w.sha256, "path": _located(w)}
        for w in weights.KNOWN.values()
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['name']:<8} {row['what']} ({row['licence']})\n         {row['path'] or 'not on this machine'}")


@weights_app.command("fetch", epilog="Example: emofuse weights fetch yunet")
def weights_fetch(name: Annotated[str, typer.Argument(help="A name of `emofuse weights list`.")]) -> None:
    """Download weights into the cache, checked by SHA-256."""
    from emofuse.models import weights

    print(weights.fetch(weights.known(name)))


@weights_app.command(
    "import", epilog="Example: emofuse weights import rcmalli_vggface_tf_notop_resnet50.h5 --as vggface2"
)
def weights_import(
    path: Annotated[Path, typer.Argument(help="The file as it was published.", metavar="FILE")],
    name: Annotated[
        str,
        typer.Option(
            "--as", help="Which weights it is: vggface2, vggface, vggfer, mobilefacenet, compact, pann-16k, pann-32k."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="File to write; NAME.safetensors in the cache unless said.")] = None,
) -> None:
    """Convert published weights to safetensors, once; checked name by name and shape by shape."""
    from emofuse.models import weights

    print(weights.convert(path, name, out=out))


@weights_app.command("path", epilog="Example: emofuse weights path")
def weights_path() -> None:
    """Print the folders that are searched for weights, the first first."""
    from emofuse.models import weights

    for folder in weights.folders():
        print(folder)


def _located(entry: Any) -> str | None:
    from emofuse.models import weights

    try:
        path = weights.locate(entry)
    except EmofuseError as error:
        return str(error)
    return str(path) if path else None


@app.command(
    epilog="Example: emofuse train vggface2-svm --data affwild2 --out runs/svm --weights resnet50.h5   |   "
    "emofuse train default --data fer2013.npz --out runs/default"
)
def train(
    system: Annotated[str, typer.Argument(help="default, or a system of docs/commands.md.")],
    data: Annotated[Path, typer.Option(help="Aff-Wild2 folder, manifest, or FER-2013 (npz, csv, folders of images).")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoint and bundle; a killed run goes on there.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting, such as fit.lr=3e-5.", metavar="NAME=VALUE")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Pretrained weights to start from.")] = None,
    epochs: Annotated[int | None, typer.Option(help="So many full epochs.", min=0)] = None,
    detector: Detector = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Train a system and write it as a bundle, which `predict --bundle` takes."""
    from emofuse.cli import train as training
    from emofuse.training.train import Request

    request = Request(system, data, out, training.changes(set_ or []), weights, detector, device, epochs)
    training.run_and_show(request)


@app.command(epilog="Example: emofuse doctor")
def doctor(as_json: AsJson = False) -> None:
    """Check this installation: versions, devices, codecs, weights, and that the default bundle runs."""
    from emofuse.inference.doctor import examine

    findings = examine()
    if as_json:
        print_json([f.__dict__ for f in findings])
    else:
        for f in findings:
            print(f"{'ok  ' if f.good else 'FAIL'} {f.what:<18} {f.found}")
    if not all(f.good for f in findings):
        raise typer.Exit(2)
