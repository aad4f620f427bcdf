"""A small training, started as by torchrun: `python tests/support/training_process.py FOLDER [BYTES]`."""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import replace
from pathlib import Path

import torch

from emofuse.errors import EmofuseError
from emofuse.training.loop import Balance, Callbacks, Epoch, fit, fresh
from support.small_trainings import SETTINGS, SMALL, layers


def work(out: Path, *, rank: int = 0, size: int = 1, limit: int | None = None) -> None:
    """Train with eight examples per step, without dropout and batch norms, and write the result as JSON.

    limit: largest file, in bytes, that can be written after the first epoch.
    """
    settings = replace(SETTINGS, batch=8 // size, balance=Balance("log"), mixup=0.4, optimiser="adamw", lr=0.01)
    reported: list[int] = []

    def on_epoch(epoch: Epoch) -> None:
        reported.append(epoch.epoch)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    net = fresh(lambda: layers(dropout=0), seed=9 + rank)  # the weights of the first process count
    whole = resource.getrlimit(resource.RLIMIT_FSIZE)
    if rank > 0:
        torch.optim.SGD(net.parameters())  # torch imports modules late that look for a writable folder
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, whole[1]))  # only the first process writes
    history = fit(net, SMALL, settings=settings, folder=out, callbacks=Callbacks(epoch=on_epoch, events=False))
    if rank > 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, whole)
    found = {
        "train": [e.train_loss for e in history],
        "validation": [e.validation_loss for e in history],
        "reported": reported,
        "weights": [p.detach().flatten().tolist() for p in net.parameters()],
    }
    (out / f"{size}-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    try:
        limit = int(sys.argv[2]) if len(sys.argv) > 2 else None
        work(Path(sys.argv[1]), rank=int(os.environ["RANK"]), size=int(os.environ["WORLD_SIZE"]), limit=limit)
    except EmofuseError as error:
        print(f"{type(error).__name__}: {error}")
        sys.exit(2)
