"""What the trainings of all nets share: where they happen, the weights they start from, and what they came to.

Processes that torchrun started share the training of the net; all the rest is done by the first of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emofuse import metrics
from emofuse.core.files import file_digest
from emofuse.core.time import Ints
from emofuse.errors import SettingsError, WeightsError
from emofuse.models import bundle as bundles
from emofuse.nets import pretrained
from emofuse.nets.catalogue import published_weights
from emofuse.training import loop as fit
from emofuse.training.loop.distributed import ProcessGroup

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Place:
    """Where a training happens: its folder, the pretrained weights, and what it tells.

    weights: a file of the system's pretrained weights, as published or imported, or the folder of an earlier training
        of the same kind of net; None where none are needed.
    """

    out: Path
    weights: Path | None = None
    machine: fit.Machine = fit.Machine()  # noqa: RUF009 (frozen)
    watch: fit.Callbacks = fit.Callbacks()  # noqa: RUF009 (frozen)
    say: Callable[[str], None] = lambda _: None


def start(net: Any, name: str, weights: Path) -> dict[str, Any]:
    """Put pretrained weights into a net, its last layers left as they are; what the card says of them.

    Raises:
        WeightsError: they are those of another net.
    """
    path = _file_of(weights)
    pretrained.load_pretrained(net, path, name=name, head=pretrained.Head.FRESH)
    said, entry = pretrained.origin(path), published_weights(name)
    origin = {"name": said.get("name", name), "file": path.name, "sha256": file_digest(path)}
    return {"licence": said.get("licence", entry.licence), "start": origin}


def shipped(name: str) -> Path | None:
    """The file of pretrained weights that come along; None for others."""
    entry = published_weights(name)
    return bundles.shipped()[entry.bundle] / entry.file if entry.bundle else None


def without_weights(system: str, name: str, *, scratch: str = "") -> SettingsError:
    """What to say where pretrained weights are needed and not given.

    scratch: the setting that does without, if there is one.
    """
    entry = published_weights(name)
    without = f", or train from nothing with --set {scratch}=true" if scratch else ""
    return SettingsError(
        f"{system}: starts from the weights {entry.name!r} ({entry.what}); give their file with --weights "
        f"(from {entry.source}){without}."
    )


def _file_of(weights: Path) -> Path:
    """A file of weights, or that in the folder of a training."""
    if not weights.is_dir():
        return weights
    if not (weights / WEIGHTS).is_file():
        raise WeightsError(
            f"{weights}: a folder without {WEIGHTS}; give that of a finished `emofuse train` of a net, or a file."
        )
    return weights / WEIGHTS


@dataclass(frozen=True, eq=False)
class Learned:
    """What a training came to: from how many examples, and the net's logits and the labels of the validation part.

    logits: float32 [n, classes], or [n, answers, classes]; truth: int64 of that shape less the classes.
    """

    examples: int
    logits: NDArray[np.float32]
    truth: Ints


def learn(
    net: Any,
    examples: Callable[[str], fit.Examples],
    prepare: tuple[fit.Prepare, fit.Prepare],
    settings: fit.FitSettings,
    *,
    place: Place,
    members: ProcessGroup,
) -> Learned | None:
    """Train a net; only the first process looks at the outcome.

    Args:
        examples: those of "train" and "validation".
        prepare: how they are prepared in training, and after it.
    """

    def both() -> list[fit.Examples]:
        return [examples(part) for part in ("train", "validation")]

    with members.fail_together():
        # The first reads what is not kept yet, and the others find it.
        found = both() if members.first else []
    train, validation = found or both()
    data = fit.TrainingData(train, validation, prepare[0])
    fit.fit(net, data, settings=settings, folder=place.out, machine=place.machine, callbacks=place.watch)
    if not members.first:
        return None
    said = fit.predict(net, validation.inputs, prepare=prepare[1], batch=64, embeddings=False)
    return Learned(len(train), said.logits, fit.labels(validation.targets))


def figures(counts: Ints) -> dict[str, Any]:
    """Each measure, None where nothing is labelled, and its interval where there are two clips or faces to draw.

    counts: int64 [clips, classes, classes].
    """
    return metrics.card_metrics(metrics.bootstraps(counts))
