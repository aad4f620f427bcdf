"""What a bundle, the default one unless said, says about a folder of labelled talking-head clips that it never saw.

    python benchmarks/clips.py CLIPS            # CLIPS/labels.csv: path, emotion, speaker, ...

A clip's answer is the class with the highest mean probability over its rows. Intervals are 95 % percentile
bootstrap over clips (2,000 resamples, seed 0).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from emofuse import metrics
from emofuse.inference.predictor import Options, Predictor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--bundle", default="default")
    arguments = parser.parse_args()
    predictor = Predictor(Options(arguments.bundle, arguments.detector))
    labels = predictor.bundle.label_set
    with (arguments.clips / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    truth = labels.encode(row["emotion"] for row in rows)
    guess, alone, found = np.empty(len(rows), np.int64), 0, []
    for n, row in enumerate(rows):
        prediction = predictor.predict(arguments.clips / row["path"])
        alone += len(prediction.persons) == 1
        scores = prediction.scores[1]
        found.append(scores.valid.mean())
        guess[n] = scores.probabilities()[scores.valid].mean(axis=0).argmax()
    each = metrics.confusion_of_each(truth, guess, classes=len(labels))
    counts = each.sum(axis=0)
    print(
        f"{len(rows)} clips, {predictor.detector.identity}: one person in {alone}, face found in {np.mean(found):.1%}"
    )
    for name, chance in (("accuracy", ""), ("uar", ", chance 0.167")):
        e = metrics.bootstrap(each, metrics.MEASURES[name])
        print(f"{name:<8} {e.value:.3f} [{e.low:.3f}, {e.high:.3f}]{chance}")
    print("rows: labelled; columns: predicted")
    print(" " * 10 + "".join(f"{n[:9]:>10}" for n in labels.names))
    for name, line in zip(labels.names, counts, strict=True):
        print(f"{name:<10}" + "".join(f"{c:>10}" for c in line))


if __name__ == "__main__":
    main()
