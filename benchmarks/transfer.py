"""Fine-tuning against training from scratch: MobileFaceNet on FER-2013.

    python benchmarks/transfer.py ../shared/data/faces/fer2013.npz ../shared/weights/mobilefacenet.pt

Both networks get the same images in the same order with the same settings but the learning rate, which is selected for
each of them on the public test set. Results are on the private test set, which selects nothing. Intervals: 95 %
bootstrap over images (2,000 resamples). A killed run resumes.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from measure import sample_images, with_interval

from emofuse import metrics
from emofuse.core.colour import Colour
from emofuse.core.labels import AFFWILD2
from emofuse.datasets.fer2013.dataset import FaceImages, Fer2013
from emofuse.nets import pretrained
from emofuse.nets.catalogue import NETWORKS
from emofuse.training import loop

NETWORK = NETWORKS["mobilefacenet"]
_INPUT = NETWORK.preprocessing
PREPARE = loop.Faces(Colour.RGB, _INPUT.mean, _INPUT.scale, _INPUT.size, loop.PaperAugment())
LEARNING_RATES = {"fine-tuned": (3e-4, 1e-3), "from scratch": (1e-3, 3e-3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fer", type=Path, help="FER-2013")
    parser.add_argument("weights", type=Path, help="pretrained weights of MobileFaceNet")
    parser.add_argument("--images", type=int, default=3000, help="number of training images; default: 3000")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument(
        "--test-images", type=int, default=1000, help="number of images of each test set; default: 1000"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/transfer"))
    options = parser.parse_args()
    data, sizes = Fer2013(options.fer), (options.images, options.test_images, options.test_images)
    train, public, private = (
        sample_images(data.images(name), size)
        for name, size in zip(("train", "public-test", "private-test"), sizes, strict=True)
    )
    training_data = loop.TrainingData(examples(train), examples(public), PREPARE)
    settings = loop.FitSettings(
        epochs=options.epochs, batch=32, optimiser="adamw", weight_decay=1e-5, ema_decay=None, keep="uar",
        warmup_epochs=0.2,
    )  # fmt: skip
    print(f"{len(train)} images, {options.epochs} epochs, batch 32, AdamW; {len(private)} private test images")
    for start, rates in LEARNING_RATES.items():
        trials = []
        for lr in rates:
            began = time.monotonic()
            net = loop.fresh(lambda: NETWORK.build(len(AFFWILD2)), seed=0)
            if start == "fine-tuned":
                pretrained.load_pretrained(net, options.weights, name="mobilefacenet", fresh_head=True)
            folder = options.out / f"{start.replace(' ', '-')}-{lr:g}-{options.images}x{options.epochs}"
            history = loop.fit(net, training_data, settings=replace(settings, lr=lr), folder=folder)
            uar, seconds = max(epoch.measures["uar"] for epoch in history), time.monotonic() - began
            trials.append((uar, lr, net))
            print(f"  {start}, lr {lr:g}: UAR on the public test set {uar:.3f}, {seconds:.0f} s", flush=True)
        _, lr, net = max(trials, key=lambda trial: trial[0])
        predicted = loop.predict(net, private.faces, prepare=PREPARE, batch=64).logits.argmax(axis=1)
        by_image = metrics.confusion_of_each(private.labels, predicted)
        for name in ("accuracy", "uar"):
            estimate = metrics.bootstrap(by_image, metrics.MEASURES[name])
            print(f"{start} (lr {lr:g}): {name} {with_interval(estimate)}", flush=True)


def examples(images: FaceImages) -> loop.Examples:
    return loop.Examples(images.faces, images.targets(votes_weight=0))


if __name__ == "__main__":
    main()
