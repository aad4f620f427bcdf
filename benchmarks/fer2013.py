"""Accuracy of a bundle on single faces: FER-2013 by its own labels and by FER+'s votes.

    python benchmarks/fer2013.py fer2013.npz                        # the default bundle
    python benchmarks/fer2013.py fer2013.npz --training runs/face --weights mobilefacenet.pt    # also its networks

The public test set selected epochs and calibration; the private test set selected nothing. Results by FER+ are on the
faces whose votes agree on one of the seven classes, by each of FERPLUS_RULES. Intervals: 95 %, Wilson, over faces.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.special import log_softmax
from scipy.stats import binomtest
from torch import nn

from emofuse import metrics
from emofuse.datasets.fer2013.dataset import FERPLUS_RULES, FaceImages, Fer2013
from emofuse.models.bundle import load
from emofuse.models.face import OUTPUT
from emofuse.nets import pretrained
from emofuse.nets.catalogue import NETWORKS
from emofuse.nets.wrappers import Ensemble, Resize
from emofuse.runtime import Engine, OnnxNetwork
from emofuse.training import default, loop

Classifier = Callable[[np.ndarray], np.ndarray]  # faces uint8 [n, 48, 48] -> logits [n, 7]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="FER-2013 with FER+ votes")
    parser.add_argument("--bundle", default="default", help="name or folder of a bundle; default: default")
    parser.add_argument("--training", type=Path, help="folder of `emofuse train default`, to evaluate each network")
    parser.add_argument("--weights", type=Path, help="weights of MobileFaceNet that the training started from")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = Fer2013(options.data)
    classifiers: dict[str, Classifier] = {f"bundle {options.bundle}": of_bundle(options.bundle, options.threads)}
    if options.training:
        classifiers |= of_training(data, options.training, options.weights, options.bundle)
    for split in ("public-test", "private-test"):
        images = data.images(split)
        rules = [f"FER+ {name} ({(rule(images) >= 0).sum()}) | UAR" for name, rule in FERPLUS_RULES.items()]
        print(f"| {split}, accuracy by | {' | '.join(['labels | UAR', *rules])} | calibration error |")
        print("|---" * (4 + 2 * len(rules)) + "|")
        for name, classify in classifiers.items():
            logits, mirrored = classify(images.faces), classify(np.ascontiguousarray(images.faces[:, :, ::-1]))
            report(name, images, logits)
            report(f"{name}, averaged with the mirrored face", images, (logits + mirrored) / 2)


def of_bundle(name: str, threads: int) -> Classifier:
    face = load(name).face
    if face is None or face.calibration is None:
        raise SystemExit(f"{name}: does not classify single faces; give a bundle with a calibrated face network.")
    run, face_input, calibrate = OnnxNetwork(face.net, Engine(threads, "cpu")), face.input, face.calibration
    prepare = loop.Faces(face_input.colour, face_input.mean, face_input.scale, face.crop.size, None)

    def classify(faces: np.ndarray) -> np.ndarray:
        batches = loop.prepared(faces, np.arange(len(faces)), prepare)
        return np.log(calibrate(np.concatenate([run(batch, OUTPUT) for batch in batches])))

    return classify


def of_training(data: Fer2013, folder: Path, weights: Path, bundle: str) -> dict[str, Classifier]:
    """Each network of a finished training, and their ensembles, by each of the two outputs.

    The compact network is that of the bundle if the folder has none.
    """
    settings = default.DefaultSettings()
    training = default.DefaultTraining(settings, folder, lambda name, e: print(name, e))
    if (folder / default.COMPACT / loop.CHECKPOINT).exists():
        compact = default.train_compact(data, training)
    else:
        compact = loop.fresh(NETWORKS["compact"].build, seed=0)
        pretrained.load_pretrained(compact, load(bundle).face.net, name="compact")
    teachers = [default.train_mobile(data, weights, training, seed=seed) for seed in settings.mobile_seeds]
    targets = default.distillation_targets(default.clear_faces(data), compact, teachers, training)
    distilled = default.distil_mobile(data, targets, teachers[0], training)
    singles = {f"{default.MOBILE}-{seed}": net for seed, net in zip(settings.mobile_seeds, teachers, strict=True)}
    singles[default.DISTILLED] = distilled
    networks: dict[str, nn.Module] = {"CompactFace": compact}
    for output, labels_weight in (("labels", 1.0), ("votes", 0.0)):
        for name, net in singles.items():
            resized = nn.Sequential(Resize(default.MOBILE_SIZE), net)
            alone = Ensemble([resized], [[1.0]] * 2, (labels_weight, 1 - labels_weight))
            networks[f"{name}, output {output}"] = alone.eval()
        for name, members in (("ensemble of teachers", teachers), ("bundled ensemble", [distilled])):
            ensemble = default.ensemble(compact, members, settings, labels_weight=labels_weight)
            networks[f"{name}, output {output}"] = ensemble
    return {
        name: lambda faces, net=net: log_softmax(loop.predict(net, faces).logits, axis=1)
        for name, net in networks.items()
    }


def report(name: str, images: FaceImages, logits: np.ndarray) -> None:
    """Print accuracy with its interval and UAR by each set of labels, and the calibration error."""
    cells, predicted = [], logits.argmax(axis=1)
    for truth in (images.labels, *(rule(images) for rule in FERPLUS_RULES.values())):
        labelled = truth >= 0
        correct, count = int((predicted == truth)[labelled].sum()), int(labelled.sum())
        low, high = binomtest(correct, count).proportion_ci(method="wilson")
        uar = metrics.uar_of(metrics.confusion(truth[labelled], predicted[labelled]))
        cells += [f"{correct / count:.3f} [{low:.3f}, {high:.3f}]", f"{uar:.3f}"]
    error = metrics.calibration_error(images.labels, np.exp(log_softmax(logits, axis=1)))
    print(f"| {name} | {' | '.join(cells)} | {error:.3f} |", flush=True)


if __name__ == "__main__":
    main()
