"""The face net of the default bundle: MobileFaceNet, which knows identities, taught expressions on FER-2013.

It answers twice for each face: as the original labels of FER-2013 say it, and as the ten annotators of FER+ do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from emofuse import fit
from emofuse.core.labels import AFFWILD2
from emofuse.data.fer2013 import FaceImages, load_fer2013
from emofuse.fit import FitSettings, Machine
from emofuse.nets import mobilefacenet, pretrained
from emofuse.nets.grey import StandardisedGrey

OPINIONS = ("labels", "votes")


@dataclass(frozen=True)
class FaceSettings:
    """How the face net is trained. size: side of the faces in pixels, enlarged from the 48 of FER-2013."""

    fit: FitSettings = field(
        default_factory=lambda: FitSettings(
            epochs=9,
            polish_epochs=1,
            batch=64,
            optimiser="adamw",
            lr=1e-3,
            polish_lr=1e-4,
            weight_decay=1e-2,
            warmup_epochs=0.5,
            label_smoothing=0.05,
            average_decay=0.998,
        )
    )
    size: int = 80
    dropout: float = 0.2


class TwoOpinions(nn.Module):
    """Grey faces float [n, 1, size, size] -> (embedding [n, 128], logits [n, 2, classes]), in the order of `OPINIONS`."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = StandardisedGrey(net)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        embedding, logits = self.net(faces)
        return embedding, logits.view(len(logits), len(OPINIONS), -1)


def build(weights: Path | None, settings: FaceSettings) -> TwoOpinions:
    """The net, with what it knows of identities unless there are no weights."""
    identity = mobilefacenet.MobileFaceNetSettings(classes=len(OPINIONS) * len(AFFWILD2), dropout=settings.dropout)
    net = fit.fresh(lambda: mobilefacenet.MobileFaceNet(identity), seed=settings.fit.seed)
    if weights is not None:
        pretrained.load_pretrained(net, weights, name="mobilefacenet", head=pretrained.Head.FRESH)
    return TwoOpinions(mobilefacenet.at_size(net, settings.size))


def targets(faces: FaceImages) -> NDArray[np.float32]:
    """What both opinions should be, float32 [n, 2, 7]; that of FER+ is all zero where nobody voted for a name."""
    hard = np.eye(len(AFFWILD2), dtype=np.float32)[faces.labels]
    votes = faces.votes / np.maximum(faces.votes.sum(axis=1, keepdims=True), 1)
    return np.stack([hard, votes], axis=1)


def prepare(settings: FaceSettings) -> fit.Faces:
    """Faces as the net takes them, changed as videos change them."""
    return fit.Faces(size=settings.size, augment=fit.VideoAugment())


def train_face(
    data: Path,
    weights: Path | None,
    out: Path,
    settings: FaceSettings,
    *,
    machine: Machine = Machine(),  # noqa: B008 (frozen)
    report: Any = lambda _: None,
) -> TwoOpinions:
    """Train the face net, going on from a checkpoint in `out`; the public test part of FER-2013 chooses the epoch."""
    train, validation = load_fer2013(data, "train"), load_fer2013(data, "public-test")
    train = train.some(train.clear)
    net = build(weights, settings)
    examples = fit.Data(
        fit.Examples(train.faces, targets(train)),
        fit.Examples(validation.faces, targets(validation)),
        prepare(settings),
    )
    fit.fit(net, examples, settings=settings.fit, folder=out, machine=machine, watch=fit.Watch(epoch=report))
    return net
