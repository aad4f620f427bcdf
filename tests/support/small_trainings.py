"""Small nets and examples, and trainings of them that can be stopped anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emofuse.nets.residual import Residual
from emofuse.nets.wrappers import standardised
from emofuse.training.loop import (
    Callbacks,
    Epoch,
    Examples,
    Faces,
    FitSettings,
    Machine,
    Progress,
    TrainingData,
    fit,
    fresh,
)

SETTINGS = FitSettings(epochs=3, batch=8, lr=0.05, ema_decay=0.5, seed=4)
OFTEN = Machine(checkpoint_minutes=0)


def examples(n: int, *, seed: int, side: int = 48) -> Examples:
    """Random faces; class 0 is brighter at the top, class 1 at the bottom: mirrors and turns do not hide it."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 2, n)
    slope = np.linspace(-90, 90, side)[None, :, None] * np.where(classes == 0, -1, 1)[:, None, None]
    images = np.clip(128 + slope + rng.normal(0, 15, (n, side, side)), 0, 255).astype(np.uint8)
    return Examples(images, np.eye(7, dtype=np.float32)[classes])


TRAIN, VALIDATION = examples(24, seed=0), examples(16, seed=1)
SMALL = TrainingData(examples(24, seed=0, side=12), examples(10, seed=1, side=12))
PLAIN = replace(SMALL, prepare=Faces(augment=None))


class Residuals(nn.Module):
    """A net of two residual blocks with batch norms for grey faces -> (embedding [n, 16], logits [n, classes])."""

    head = ("classify.",)

    def __init__(self, classes: int = 7) -> None:
        super().__init__()
        # oneDNN writes past its buffer in the backward pass of a strided 1x1 convolution in channels_last
        # with fewer input channels than its block, 8 or 16 (uxlfoundation/oneDNN issue 6035): not below 16.
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.stages = nn.Sequential(Residual(16, 16, stride=2), Residual(16, 16, stride=2))
        self.dropout = nn.Dropout(0.3)
        self.classify = nn.Linear(16, classes)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.stages(self.stem(standardised(faces))).mean(dim=(2, 3))
        return embedding, self.classify(self.dropout(embedding))


def layers(classes: int = 7, dropout: float = 0.2) -> nn.Module:
    """A net of two layers for faces of 12 x 12: fast, and with dropout, so that its draws count."""
    return nn.Sequential(nn.Flatten(), nn.Linear(144, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, classes))


def trained(
    folder: Path,
    *,
    build: Callable[[], nn.Module] = layers,
    data: TrainingData = SMALL,
    settings: FitSettings = SETTINGS,
    **more: Any,
) -> nn.Module:
    net = fresh(build, seed=9)
    fit(net, data, settings=settings, folder=folder, **{"callbacks": Callbacks(events=False)} | more)
    return net


def stopping(*, epoch: int = -1, at: tuple[int, int] = (-1, -1), after: Callable[[], Any] | None = None) -> Callbacks:
    """A watch that interrupts after an epoch, or after a step (epoch, step) of one."""

    def stop(whether: bool) -> None:
        if whether:
            if after is not None:
                after()
            raise KeyboardInterrupt

    def on_epoch(e: Epoch) -> None:
        stop(e.epoch == epoch)

    def on_step(p: Progress) -> None:
        stop((p.epoch, p.step) == at)

    return Callbacks(epoch=on_epoch, step=on_step, events=False)


def same_weights(one: nn.Module, two: nn.Module) -> bool:
    a, b = one.state_dict(), two.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
