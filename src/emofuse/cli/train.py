"""`emofuse train`: a system trained by name, written as a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from emofuse.cli.bundles import show_bundles
from emofuse.cli.options import AsJson, Detector, Device, Settings, pairs, training_missing
from emofuse.cli.output import print_error, print_text, progress_bar

app = typer.Typer()

DEFAULT = "default"  # the whole bundle in the package; its parts have names of their own


@app.command(
    epilog="Example: emofuse train vggface2-svm --data affwild2 --out runs/svm --weights resnet50.h5   |   "
    "emofuse train default --data DATA --weights WEIGHTS --out runs/default"
)
def train(
    system: Annotated[str, typer.Argument(help="A system of `emofuse systems`.")],
    data: Annotated[
        Path,
        typer.Option(
            help="Aff-Wild2 folder, clip list, photographs, or FER-2013 (npz, csv, or folders of images). "
            "For `face-detector`: a folder of photographs. For `default`: a folder of all its data. "
            "For `text-linear`: a folder of tables of sentences. For `active-speaker`: a clip list with speakers."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for checkpoint and bundle; a killed run resumes there.")],
    set_: Settings = None,
    weights: Annotated[
        Path | None, typer.Option(help="Pretrained weights to start from; for `default` a folder of them.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Number of epochs (overrides the system's setting).", min=0)
    ] = None,
    detector: Detector = "default",
    teacher: Annotated[
        str, typer.Option(help="What labels the photographs for `face-detector`: a detector, or a CSV of boxes.")
    ] = "yunet",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a system and write it as a bundle for `predict --bundle`."""
    from emofuse.models.bundle import load
    from emofuse.training.train import ACTIVE_SPEAKER, FACE_DETECTOR, TrainRequest
    from emofuse.training.train import train as run

    if system == DEFAULT:
        _train_default(data, weights, out, changes=pairs(set_), epochs=epochs, as_json=as_json)
        return
    request = TrainRequest(system, data, out, pairs(set_), weights, detector, device, epochs, teacher)
    with progress_bar("training") as bar:

        def step(p: Any) -> None:
            bar.update(f"epoch {p.epoch + 1}", p.epoch * p.steps + p.step, p.epochs * p.steps)

        run(request, report=print_error if as_json else print_text, progress=step)
    if as_json and system not in (FACE_DETECTOR, ACTIVE_SPEAKER):
        show_bundles([load(out)], as_json=True)


def _train_default(
    data: Path, weights: Path | None, out: Path, *, changes: Mapping[str, str], epochs: int | None, as_json: bool
) -> None:
    from emofuse.core.parallel import Here
    from emofuse.core.settings import with_settings
    from emofuse.errors import SettingsError
    from emofuse.report.evaluation import text

    try:
        from emofuse.experiments.default_bundle import (
            DefaultBundleRequest,
            DefaultBundleSettings,
            make_default,
            weights_in,
        )
    except ImportError as error:
        raise training_missing(error) from None
    if epochs is not None:
        raise SettingsError("default: has several trainings; use --set face.broad.epochs=N and the like.")
    if weights is None:
        raise SettingsError("default: give a folder with the weights of MobileFaceNet and Whisper with --weights.")
    settings = with_settings(DefaultBundleSettings(), changes)
    request = DefaultBundleRequest(data, out, *weights_in(weights, settings), settings)
    with progress_bar("predicting", count=True) as bar:
        bundle, result = make_default(request, executor=Here(), report=bar.note, progress=bar.update_file)
    if as_json:
        show_bundles([bundle], as_json=True)
        return
    print_text(text(result.to_json()))
    print_text(f"bundle {bundle.name} {bundle.version} written to {out}; use it with --bundle {out}")
