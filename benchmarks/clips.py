"""Accuracy of a bundle on a folder of labelled talking-head clips that it was not trained on.

    python benchmarks/clips.py CLIPS            # CLIPS/labels.csv: path, emotion, speaker, ...

The prediction for a clip is the class with the highest mean probability over its rows. Intervals: 95 % percentile
bootstrap over clips (2,000 resamples, seed 0).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from measure import print_confusion, with_interval

from emofuse import metrics
from emofuse.inference.predictor import Options, Predictor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder with labels.csv")
    parser.add_argument("--detector", default="default", help="face detector: default, or yunet")
    parser.add_argument("--bundle", default="default", help="name or folder of a bundle; default: default")
    options = parser.parse_args()
    predictor = Predictor(Options(options.bundle, options.detector))
    labels = predictor.bundle.label_set
    with (options.clips / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    truth = labels.encode(row["emotion"] for row in rows)
    predicted, one_person, face_rates = np.empty(len(rows), np.int64), 0, []
    for n, row in enumerate(rows):
        prediction = predictor.predict(options.clips / row["path"])
        one_person += len(prediction.persons) == 1
        scores = prediction.scores[1]
        face_rates.append(scores.valid.mean())
        predicted[n] = scores.probabilities()[scores.valid].mean(axis=0).argmax()
    by_clip = metrics.confusion_of_each(truth, predicted, classes=len(labels))
    print(
        f"{len(rows)} clips, {predictor.detector.identity}: one person in {one_person}, "
        f"rows with scores {np.mean(face_rates):.1%}"
    )
    for name, chance in (("accuracy", ""), ("uar", ", chance 0.167")):
        print(f"{name:<8} {with_interval(metrics.bootstrap(by_clip, metrics.MEASURES[name]))}{chance}")
    print_confusion(labels.names, by_clip.sum(axis=0))


if __name__ == "__main__":
    main()
