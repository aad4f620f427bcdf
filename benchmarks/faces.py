"""Accuracy of bundles on single faces of people and photographs that were not trained on.

    python benchmarks/faces.py ../shared/data/faces --out runs/faces
    python benchmarks/faces.py ../shared/data/faces --out runs/faces --bundle default --bundle runs/face

The folder holds fer2013.npz with FER+ votes and rafdb/. RAF-DB: the tenth of its training part that `emofuse train
default` sets aside. FER-2013: the private test set, by its labels and by FER+'s votes, by each of FERPLUS_RULES where
they agree on one of the seven classes. Faces are found by the bundled detector and cropped as the bundle says.
Intervals: 95 %, Wilson, over faces.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from emofuse import metrics
from emofuse.core.labels import AFFWILD2
from emofuse.datasets.fer2013.dataset import FERPLUS_RULES, USAGES, Fer2013
from emofuse.models.bundle import load
from emofuse.models.face import FaceScorer
from emofuse.runtime import Engine
from emofuse.training import default_faces
from emofuse.training.default_faces import Crops, Photographs

_BATCH = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with fer2013.npz and rafdb/")
    parser.add_argument("--bundle", action="append", help="name or folder of a bundle; default: default")
    parser.add_argument("--out", type=Path, default=Path("runs/faces"), help="folder for the landmarks")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    rafdb = default_faces.rafdb(options.data / "rafdb", options.out)
    rows = rafdb.rows([default_faces.TEST])
    private, fer = default_faces.fer2013(Fer2013(options.data), USAGES[2], options.out)
    truths = {"RAF-DB": rafdb.labels[rows], "FER-2013": fer.labels}
    truths |= {f"FER+, {name}": rule(fer) for name, rule in FERPLUS_RULES.items()}
    print(f"| bundle | labels | faces | accuracy | UAR | {' | '.join(AFFWILD2.names)} | calibration error |")
    print("|---" * (6 + len(AFFWILD2)) + "|")
    for name in options.bundle or ["default"]:
        of_rafdb = probabilities(name, rafdb.photographs[rows], options.threads)
        of_fer = probabilities(name, private, options.threads)
        for labels, truth in truths.items():
            report(name, labels, truth, of_rafdb if labels == "RAF-DB" else of_fer)


def probabilities(name: str, photographs: Photographs, threads: int) -> np.ndarray:
    """Calibrated probabilities [n, 7] of a bundle for the faces of photographs."""
    bundle = load(name)
    if bundle.face is None or bundle.face.calibration is None:
        raise SystemExit(f"{name}: does not classify single faces; give a bundle with a calibrated face network.")
    score = FaceScorer(bundle.face, Engine(threads, "cpu"), classes=len(bundle.label_set))
    crops = Crops([photographs], bundle.face.crop)
    return np.concatenate(
        [score(crops[np.arange(n, min(n + _BATCH, len(crops)))]) for n in range(0, len(crops), _BATCH)]
    )


def report(name: str, labels: str, truth: np.ndarray, probabilities: np.ndarray) -> None:
    """Print accuracy with its interval, UAR, the recall of each class, and the calibration error."""
    known = truth >= 0
    guess = probabilities.argmax(axis=1)
    counts = metrics.confusion(truth, guess, classes=len(AFFWILD2))
    correct, count = int(np.trace(counts)), int(known.sum())
    low, high = binomtest(correct, count).proportion_ci(method="wilson")
    recalls = " | ".join(f"{recall:.2f}" for recall in metrics.recalls_of(counts))
    error = metrics.calibration_error(truth[known], probabilities[known])
    accuracy = f"{correct / count:.3f} [{low:.3f}, {high:.3f}]"
    print(f"| {name} | {labels} | {count} | {accuracy} | {metrics.uar_of(counts):.3f} | {recalls} | {error:.3f} |")


if __name__ == "__main__":
    main()
