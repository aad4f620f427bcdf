"""Systems like Visual 2 and 3 of the paper on real talking heads: each speaker in turn is never learned from.

    python benchmarks/speakers.py ../shared/data/clips/labels.csv ../shared/weights/mobilefacenet.pt

MobileFaceNet as it knows identities, or as `emofuse train mobile-fer` taught it expressions (give the folder of that
training), on faces cut at --rate a second; mean and deviation of its embeddings in windows; SVM and kernel ELM with the
settings of `mobile-svm` and `mobile-kelm`, or chosen inside the training speakers from a small grid. A clip's answer is
the class of highest mean probability over its windows. Intervals are 95 % bootstrap over clips; UAR over the classes
that occur, chance is one over their number.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

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
from emofuse.training import loop as fit
from emofuse.training.face_cache import Embeddings, FaceSource
from emofuse.training.training_run import WEIGHTS
from emofuse.training.window_head import head_of, window_rows

CROPS = {"identity": identity_crop, "fer": fer_crop}


@dataclass(frozen=True)
class Rows:
    """Windows of all clips: features, label, and number of the clip."""

    features: np.ndarray
    labels: np.ndarray
    clips: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("weights", type=Path, help="mobilefacenet.pt, or the folder of a training of mobile-fer")
    parser.add_argument("--out", type=Path, default=Path("runs/speakers"))
    parser.add_argument("--rate", type=float, default=10.0, help="faces a second")
    parser.add_argument("--crop", choices=CROPS, default="identity", help="framing of the faces")
    parser.add_argument("--detector", default="auto")
    arguments = parser.parse_args()
    data = ClipList(arguments.manifest)
    embeddings = embedder(data, arguments)
    speakers = np.array([clip.subject for clip in data.clips])
    present = len({int(data.annotation(c).labels[0]) for c in data.clips})
    print(
        f"{len(data.clips)} clips, {len(set(speakers))} speakers, {arguments.weights.name}, "
        f"framing {arguments.crop}; chance {1 / present:.3f}"
    )
    for name in ("mobile-svm", "mobile-kelm"):
        definition = system(name)
        rows = Rows(*window_rows(definition.windows, embeddings, data, data.clips))
        for how, chosen in (("as defined", False), ("chosen on the training speakers", True)):
            told(f"{name}, {how}", *left_out(rows, data.clips, definition.head, chosen=chosen))


def embedder(data: ClipList, arguments: argparse.Namespace) -> Embeddings:
    face = system("mobile-svm").net
    net = NETWORKS["mobilefacenet"].build()
    weights = arguments.weights / WEIGHTS if arguments.weights.is_dir() else arguments.weights
    pretrained.load_pretrained(net, weights, name="mobilefacenet", head="fresh")
    path = arguments.out / "identity.onnx"
    fit.export_onnx(net, fit.face_example(face.size, n=2, channels=3), path, outputs=(EMBEDDING, OUTPUT))
    crop, given = CROPS[arguments.crop](face.size), FaceInput(face.colour, face.mean, face.scale)
    even = LogitCalibration.identity(len(data.label_set))
    part = FaceModality(path, crop, given, even)
    detector = choose_detector(arguments.detector, Engine())
    source = FaceSource(data, crop, detector, arguments.out / "faces", Fraction(arguments.rate))
    scorer = FaceScorer(part, Engine(), classes=len(data.label_set), output=EMBEDDING)
    return Embeddings(source, scorer, file_digest(path), arguments.out / "embeddings")


def left_out(rows: Rows, clips: Sequence[Clip], defined: Head, *, chosen: bool) -> tuple[np.ndarray, np.ndarray]:
    """Truth and answer of each clip by a head that never saw its speaker."""
    speakers = np.array([clip.subject for clip in clips])
    truth, guess = np.full(len(clips), -1), np.full(len(clips), -1)
    for speaker in dict.fromkeys(speakers):
        test = speakers[rows.clips] == speaker
        train = Rows(rows.features[~test], rows.labels[~test], rows.clips[~test])
        head = best(train, speakers, defined) if chosen else defined
        fitted = head_of(head).fit(train.features, train.labels, speakers[train.clips])
        said = np.zeros((int(test.sum()), 7))
        said[:, fitted.classes_] = fitted.predict_proba(rows.features[test])
        for clip in set(rows.clips[test].tolist()):
            of_clip = rows.clips[test] == clip
            guess[clip], truth[clip] = said[of_clip].mean(axis=0).argmax(), rows.labels[test][of_clip][0]
    return truth, guess


def best(train: Rows, speakers: np.ndarray, head: Head) -> Head:
    """The setting of a small grid with the highest UAR on speakers held out of the training part."""
    groups = speakers[train.clips]

    def value(candidate: Head) -> float:
        counts = np.zeros((7, 7), int)
        for speaker in dict.fromkeys(groups):
            here = groups == speaker
            fitted = head_of(candidate).set_params(probability=False).fit(train.features[~here], train.labels[~here])
            counts += metrics.confusion(train.labels[here], fitted.predict(train.features[here]))
        return float(metrics.uar_of(counts))

    return max(grid(head), key=value)


def grid(head: Head) -> Iterator[Head]:
    if head.kind == "svm":
        for degree, gamma, cost in ((1, 1.0, 0.01), (1, 1.0, 0.1), (1, 1.0, 1.0), (3, 0.1, 3.0), (2, 0.1, 3.0)):
            yield replace(head, degree=degree, gamma=gamma, C=cost)
    else:
        for normalisation in ("znorm", "znorm+power+l2"):
            for cost in (0.01, 0.1, 1.0, 10.0):
                yield replace(head, normalisation=normalisation, C=cost)
                yield replace(head, normalisation=normalisation, C=cost, kernel="linear")


def told(what: str, truth: np.ndarray, guess: np.ndarray) -> None:
    use = truth >= 0
    each = metrics.confusion_of_each(truth[use], guess[use])
    e, a = metrics.bootstrap(each, metrics.uar_of), metrics.bootstrap(each, metrics.accuracy_of)
    print(
        f"{what}: UAR {e.value:.3f} [{e.low:.3f}, {e.high:.3f}], accuracy {a.value:.3f} [{a.low:.3f}, {a.high:.3f}], "
        f"{int(use.sum())} clips",
        flush=True,
    )


if __name__ == "__main__":
    main()
