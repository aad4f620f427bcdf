"""`emofuse train`: a system trained by name, written as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from emofuse.cli.bundles import show_bundles
from emofuse.cli.options import AsJson, Detector, Device, Settings, pairs
from emofuse.cli.output import print_error, print_text, progress_bar

app = typer.Typer()


@app.command(
    epilog="Example: emofuse train vggface2-svm --data affwild2 --out runs/svm --weights resnet50.h5   |   "
    "emofuse train default --data fer2013.npz --out runs/default"
)
def train(
    system: Annotated[str, typer.Argument(help="A system of `emofuse systems`, `default` or `face-detector`.")],
    data: Annotated[
        Path,
        typer.Option(
            help="Aff-Wild2 folder, clip list, photographs, or FER-2013 (npz, csv, or folders of images). "
            "For `face-detector`: a folder of photographs."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for checkpoint and bundle; a killed run resumes there.")],
    set_: Settings = None,
    weights: Annotated[Path | None, typer.Option(help="Pretrained weights to start from.")] = None,
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
    from emofuse.training.train import FACE_DETECTOR, TrainRequest
    from emofuse.training.train import train as run

    request = TrainRequest(system, data, out, pairs(set_), weights, detector, device, epochs, teacher)
    with progress_bar("training") as bar:

        def step(p: Any) -> None:
            bar.update(f"epoch {p.epoch + 1}", p.epoch * p.steps + p.step, p.epochs * p.steps)

        run(request, report=print_error if as_json else print_text, progress=step)
    if as_json and system != FACE_DETECTOR:
        show_bundles([load(out)], as_json=True)
