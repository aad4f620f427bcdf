"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emofuse.core.settings import MAX_SEED
from emofuse.errors import SettingsError

if TYPE_CHECKING:
    from emofuse.core import parallel

Data = Annotated[
    Path,
    typer.Option(help="Folder in the layout of Aff-Wild2, a clip list, or a folder of clips.", metavar="DIR|CSV"),
]
Split = Annotated[str, typer.Option(help="Split of the data: train, validation, test, or all.")]
Measure = Annotated[str, typer.Option(help="Measure that fusion weights maximise.")]
Folds = Annotated[int, typer.Option(help="Number of cross-validation folds; subjects are kept together.")]
Seed = Annotated[int, typer.Option(help="Seed of trainings, fusion searches and resampling.", min=0, max=MAX_SEED)]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a setting, such as fit.lr=3e-5; repeatable.", metavar="NAME=VALUE"),
]
Detector = Annotated[str, typer.Option(help="Face detector for videos: default, or yunet.")]
SmallFaces = Annotated[
    bool, typer.Option("--small-faces", help="Search larger images for smaller faces, in four times the time.")
]
MinConfidence = Annotated[float, typer.Option(help="Label rows below this confidence as 'uncertain'.", metavar="0..1")]
MaxYaw = Annotated[
    float | None,
    typer.Option(
        help="Do not score faces that are turned to the side by more degrees. Default: any.", metavar="DEGREES"
    ),
]
PerModality = Annotated[bool, typer.Option("--per-modality", help="Add columns with the scores of each modality.")]
People = Annotated[
    Path | None,
    typer.Option(help="Folder with photographs of people to name, one file or sub-folder per name.", metavar="DIR"),
]
Device = Annotated[str, typer.Option(help="Device to compute on: auto, cpu, cuda or mps.")]
Jobs = Annotated[int | None, typer.Option(help="Number of jobs to run at once.", min=1)]
Executor = Annotated[
    str | None, typer.Option("--executor", help="Where jobs run: here, in processes, or on a ray cluster.")
]
Address = Annotated[str | None, typer.Option(help="Ray cluster to use: HOST:PORT, or auto.")]
Formats = Annotated[
    str,
    typer.Option(
        "--format",
        help="Formats, separated by commas: csv, parquet, json, elan, praat, webvtt, srt, boris, annotated-video.",
        metavar="NAME,...",
    ),
]
MinSegment = Annotated[
    float, typer.Option("--min-segment", help="Leave out shorter segments of an emotion.", metavar="SECONDS")
]
Hysteresis = Annotated[
    float, typer.Option(help="End an emotion when another is more probable by this much.", metavar="0..1")
]
MergeSegments = Annotated[
    float,
    typer.Option("--merge-segments", help="Merge segments of one emotion this close together.", metavar="SECONDS"),
]
Separator = Annotated[str, typer.Option(help="Separator of columns of CSV: ',', ';' or tab.")]
Decimal = Annotated[str, typer.Option(help="Decimal sign of CSV: '.' or ','.")]
BlurFaces = Annotated[bool, typer.Option("--blur-faces", help="Blur the faces in annotated videos.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

_EXAMPLES = {"--set": "fit.lr=3e-5", "--weights": "vggface2=resnet50.h5", "--over": "window=2,4,6"}


def executor_of(
    name: str | None, *, jobs: int | None, threads: int = 0, address: str | None = None, device: str = "cpu"
) -> parallel.Executor:
    """The executor that the options ask for.

    Raises:
        SettingsError: an unknown name, or options that contradict each other.
    """
    from emofuse.cli.executors import ExecutorOptions, choose_executor

    return choose_executor(name, ExecutorOptions(jobs or 0, threads, address, gpus=int(device == "cuda")))


def pairs(words: Sequence[str] | None, *, option: str = "--set") -> dict[str, str]:
    """The `NAME=VALUE` words of an option as a mapping.

    Raises:
        SettingsError: a word without `=`.
    """
    for word in words or ():
        if "=" not in word:
            raise SettingsError(f"{option} {word}: give NAME=VALUE, such as {_EXAMPLES[option]}.")
    return {name.strip(): value.strip() for name, _, value in (word.partition("=") for word in words or ())}


def names(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list.

    >>> names("swf, mcwf,")
    ('swf', 'mcwf')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def split_of(name: str) -> str | None:
    """The split of that name; None for `all`."""
    return None if name == "all" else name


def training_missing(error: ImportError) -> SettingsError:
    """The error to raise if the training extra is not installed."""
    return SettingsError(f"training needs {error.name}, which is not installed; pip install 'emofuse[train]'.")
