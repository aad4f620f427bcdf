"""Does a net that knows identities learn expressions faster? MobileFaceNet on FER-2013, fine-tuned and from scratch.

    python benchmarks/transfer.py ../shared/data/faces/fer2013.npz ../shared/weights/mobilefacenet.pt

Both nets see the same images in the same order with the same settings but the learning rate, which is the better of
those tried for each on the public test part; figures are of the private test part, never used to choose.
Intervals are 95 % bootstrap over images (2,000 resamples). A run that was killed goes on where it was.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from emofuse import metrics
from emofuse.core.colour import Colour
from emofuse.core.labels import AFFWILD2
from emofuse.datasets.fer2013.dataset import FaceImages, Fer2013
from emofuse.nets import pretrained
from emofuse.nets.catalogue import NETWORKS
from emofuse.training import loop as fit

GIVEN = NETWORKS["mobilefacenet"].preprocessing
PREPARE = fit.Faces(Colour.RGB, GIVEN.mean, GIVEN.scale, GIVEN.size, fit.PaperAugment())
RATES = {"fine-tuned": (3e-4, 1e-3), "from scratch": (1e-3, 3e-3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fer", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--images", type=int, default=3000, help="training images")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--judged", type=int, default=1000, help="images of each test part")
    parser.add_argument("--out", type=Path, default=Path("runs/transfer"))
    arguments = parser.parse_args()
    train, choose, judge = (
        some(Fer2013(arguments.fer).images(part), count)
        for part, count in (
            ("train", arguments.images), ("public-test", arguments.judged), ("private-test", arguments.judged)
        )
    )  # fmt: skip
    data = fit.TrainingData(examples(train), examples(choose), PREPARE)
    settings = fit.FitSettings(
        epochs=arguments.epochs, batch=32, optimiser="adamw", weight_decay=1e-5, ema_decay=None, keep="uar",
        warmup_epochs=0.2,
    )  # fmt: skip
    print(f"{len(train)} images, {arguments.epochs} epochs, batch 32, AdamW; {len(judge)} private test images")
    for start, rates in RATES.items():
        trials = []
        for lr in rates:
            begin = time.monotonic()
            net = fit.fresh(lambda: NETWORKS["mobilefacenet"].build(len(AFFWILD2)), seed=0)
            if start == "fine-tuned":
                pretrained.load_pretrained(net, arguments.weights, name="mobilefacenet", head="fresh")
            folder = arguments.out / f"{start.replace(' ', '-')}-{lr:g}-{arguments.images}x{arguments.epochs}"
            history = fit.fit(net, data, settings=replace(settings, lr=lr), folder=folder)
            best = max(e.measures["uar"] for e in history)
            trials.append((best, lr, net))
            print(
                f"  {start}, lr {lr:g}: UAR on the public part {best:.3f}, {time.monotonic() - begin:.0f} s", flush=True
            )
        _, lr, net = max(trials, key=lambda t: t[0])
        guess = fit.predict(net, judge.faces, prepare=PREPARE, batch=64).logits.argmax(axis=1)
        each = metrics.confusion_of_each(judge.labels, guess)
        for name in ("accuracy", "uar"):
            e = metrics.bootstrap(each, metrics.MEASURES[name])
            print(f"{start} (lr {lr:g}): {name} {e.value:.3f} [{e.low:.3f}, {e.high:.3f}]", flush=True)


def some(part: FaceImages, count: int) -> FaceImages:
    rows = np.random.default_rng(0).permutation(len(part))[:count]
    return part[rows]


def examples(part: FaceImages) -> fit.Examples:
    return fit.Examples(part.faces, part.targets(votes_weight=0))


if __name__ == "__main__":
    main()
