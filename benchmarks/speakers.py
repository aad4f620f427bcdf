"""Systems like Visual 2 and 3 of the paper on real talking heads, each speaker held out in turn.

    python benchmarks/speakers.py ../shared/data/clips/labels.csv ../shared/weights/mobilefacenet.pt

Uses MobileFaceNet as pretrained on identities, or as fine-tuned on expressions by `emofuse train mobile-fer` (give the
folder of that training), on faces cropped --rate times per second; mean and deviation of its embeddings over windows;
SVM and kernel ELM with the settings of `mobile-svm` and `mobile-kelm`, or selected from a small grid within the
training speakers. The prediction for a clip is the class with the highest mean probability over its windows. Intervals:
95 % bootstrap over clips. UAR is over the classes that occur; chance is one over their number.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from measure import with_interval

from emofuse import metrics
from emofuse.core.calibration import LogitCalibration
from emofuse.core.files import file_digest
from emofuse.core.types import Clip
from emofuse.datasets.clip_list import ClipList
from emofuse.faces.crop import fer_crop, identity_crop
from emofuse.models.detectors import choose_detector
from emofuse.models.face import EMBEDDING, OUTPUT, FaceInput, FaceModality, FaceScorer
from emofuse.nets import pretrained
from emofuse.nets.catalogue import NETWORKS
from emofuse.runtime import Engine
from emofuse.systems import Head, system
from emofuse.training import loop
from emofuse.training.face_cache import Embeddings, FaceSource
from emofuse.training.training_run import WEIGHTS
from emofuse.training.window_head import head_of, window_rows

CROPS = {"identity": identity_crop, "fer": fer_crop}


@dataclass(frozen=True)
class WindowRows:
    """Windows of all clips: features, label, and index of the clip."""

    features: np.ndarray
    labels: np.ndarray
    clips: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="a clip list with subjects")
    parser.add_argument("weights", type=Path, help="mobilefacenet.pt, or the folder of a training of mobile-fer")
    parser.add_argument("--out", type=Path, default=Path("runs/speakers"))
    parser.add_argument("--rate", type=float, default=10.0, help="faces per second; default: 10")
    parser.add_argument("--crop", choices=CROPS, default="identity", help="framing of the faces; default: identity")
    parser.add_argument("--detector", default="default", help="face detector: default, or yunet")
    options = parser.parse_args()
    data = ClipList(options.clips)
    embeddings = compute_embeddings(data, options)
    speakers = {clip.subject for clip in data.clips}
    classes = {int(data.annotation(clip).labels[0]) for clip in data.clips}
    print(
        f"{len(data.clips)} clips, {len(speakers)} speakers, {options.weights.name}, "
        f"framing {options.crop}; chance {1 / len(classes):.3f}"
    )
    for name in ("mobile-svm", "mobile-kelm"):
        definition = system(name)
        rows = WindowRows(*window_rows(definition.windows, embeddings, data, data.clips))
        for how, tune in (("as defined", False), ("selected on the training speakers", True)):
            report(f"{name}, {how}", *leave_one_speaker_out(rows, data.clips, definition.head, tune=tune))


def compute_embeddings(data: ClipList, options: argparse.Namespace) -> Embeddings:
    face = system("mobile-svm").net
    net = NETWORKS["mobilefacenet"].build()
    weights = options.weights / WEIGHTS if options.weights.is_dir() else options.weights
    pretrained.load_pretrained(net, weights, name="mobilefacenet", fresh_head=True)
    path = options.out / "identity.onnx"
    loop.export_onnx(net, loop.face_example(face.size, n=2, channels=3), path, outputs=(EMBEDDING, OUTPUT))
    crop = CROPS[options.crop](face.size)
    modality = FaceModality(
        path, crop, FaceInput(face.colour, face.mean, face.scale), LogitCalibration.identity(len(data.label_set))
    )
    detector = choose_detector(options.detector, Engine())
    source = FaceSource(data, crop, detector, options.out / "faces", Fraction(options.rate))
    scorer = FaceScorer(modality, Engine(), classes=len(data.label_set), output=EMBEDDING)
    return Embeddings(source, scorer, file_digest(path), options.out / "embeddings")


def leave_one_speaker_out(
    rows: WindowRows, clips: Sequence[Clip], settings: Head, *, tune: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction of each clip, -1 without windows, by a head fitted on the other speakers."""
    speakers = np.array([clip.subject for clip in clips])
    truth, predicted = np.full(len(clips), -1), np.full(len(clips), -1)
    for speaker in dict.fromkeys(speakers):
        test = speakers[rows.clips] == speaker
        train = WindowRows(rows.features[~test], rows.labels[~test], rows.clips[~test])
        groups = speakers[train.clips]
        head = head_of(best_on_held_out(train, groups, settings) if tune else settings)
        head = head.fit(train.features, train.labels, groups)
        scores = np.zeros((int(test.sum()), 7))
        scores[:, head.classes_] = head.predict_proba(rows.features[test])
        for clip in set(rows.clips[test].tolist()):
            of_clip = rows.clips[test] == clip
            predicted[clip], truth[clip] = scores[of_clip].mean(axis=0).argmax(), rows.labels[test][of_clip][0]
    return truth, predicted


def best_on_held_out(train: WindowRows, groups: np.ndarray, settings: Head) -> Head:
    """The settings of a small grid with the highest UAR on training speakers held out in turn."""

    def uar(candidate: Head) -> float:
        confusion = np.zeros((7, 7), int)
        for speaker in dict.fromkeys(groups):
            held_out = groups == speaker
            head = head_of(candidate).set_params(probability=False)
            head = head.fit(train.features[~held_out], train.labels[~held_out])
            confusion += metrics.confusion(train.labels[held_out], head.predict(train.features[held_out]))
        return float(metrics.uar_of(confusion))

    return max(grid(settings), key=uar)


def grid(head: Head) -> Iterator[Head]:
    if head.kind == "svm":
        for degree, gamma, cost in ((1, 1.0, 0.01), (1, 1.0, 0.1), (1, 1.0, 1.0), (3, 0.1, 3.0), (2, 0.1, 3.0)):
            yield replace(head, degree=degree, gamma=gamma, C=cost)
    else:
        for normalisation in ("znorm", "znorm+power+l2"):
            for cost in (0.01, 0.1, 1.0, 10.0):
                yield replace(head, normalisation=normalisation, C=cost)
                yield replace(head, normalisation=normalisation, C=cost, kernel="linear")


def report(name: str, truth: np.ndarray, predicted: np.ndarray) -> None:
    scored = truth >= 0
    by_clip = metrics.confusion_of_each(truth[scored], predicted[scored])
    uar, accuracy = (metrics.bootstrap(by_clip, measure) for measure in (metrics.uar_of, metrics.accuracy_of))
    print(
        f"{name}: UAR {with_interval(uar)}, accuracy {with_interval(accuracy)}, {int(scored.sum())} clips", flush=True
    )


if __name__ == "__main__":
    main()
