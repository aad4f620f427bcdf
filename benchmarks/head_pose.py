"""How good the angles of heads are, and how the recognition of expressions depends on them.

    python benchmarks/head_pose.py angles PHOTOGRAPHS --every 3 --reference angles.csv
    python benchmarks/head_pose.py expressions LABELLED --border
    python benchmarks/head_pose.py held CLIPS --every 3

`angles` compares the angles in photographs of one face each with those in the mirrored and in the turned photograph,
and with a reference (`mesh_angles.py`). `expressions` scores the faces of an image data set and prints how often the
bundle is right, and how confident it is, by the yaw of the face. `held` compares the angles of rows that take them over
from the row before, in clips of one face at 5 rows per second, with a search of the face in each row.
"""

from __future__ import annotations

import argparse
import csv
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from measure import with_interval

from emofuse import metrics
from emofuse.core.labels import AFFWILD2
from emofuse.datasets.image_folder import read_image_folder
from emofuse.faces.cuts import thumbnail
from emofuse.faces.detector import Detector
from emofuse.faces.pose import HeadPose, HeadPoses, pose_of
from emofuse.faces.search import FaceSearch
from emofuse.inference.sampling import Sampling
from emofuse.media.images import Image, luma_of, read_image
from emofuse.media.video import VideoReader
from emofuse.models.bundle import load
from emofuse.models.detectors import choose_detector
from emofuse.runtime import Engine

TURN = 20  # degrees, clockwise
BORDER = 0.3  # of the side, repeated around photographs that show nothing but the face
YAWS = (0, 5, 10, 15, 20, 25, 30, 90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("angles", "expressions", "held"))
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--every", type=int, default=1, help="use every n-th photograph; default: 1")
    parser.add_argument("--border", action="store_true", help="repeat the edge around photographs of faces alone")
    parser.add_argument("--reference", type=Path, help="CSV of path, yaw, pitch, roll")
    parser.add_argument("--detector", default="default")
    parser.add_argument("--bundle", default="default")
    options = parser.parse_args()
    detector = choose_detector(options.detector, Engine(1, "cpu"))
    print(detector.identity)
    if options.what == "held":
        report_held(sorted(options.photographs.glob("*.mp4"))[:: options.every], detector)
    elif options.what == "angles":
        paths = sorted(options.photographs.glob("*.jpg"))[:: options.every]
        report_angles({path.name: photograph(path, options.border) for path in paths}, detector, options.reference)
    else:
        report_expressions(options, detector)


def photograph(path: Path, border: bool) -> Image:
    image = read_image(path)
    sides = [round(BORDER * image.shape[0])] * 4
    return np.asarray(cv2.copyMakeBorder(image, *sides, cv2.BORDER_REPLICATE), np.uint8) if border else image


def best_pose(image: Image, detector: Detector) -> HeadPose | None:
    given = np.ascontiguousarray(image if detector.colour else luma_of(image))
    faces = detector(given)
    return pose_of(faces[0], given, detector) if faces else None


def turned(image: Image) -> Image:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -TURN, 1.0)  # OpenCV turns anticlockwise
    return np.asarray(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def report_angles(images: dict[str, Image], detector: Detector, reference: Path | None) -> None:
    """Print mean absolute differences, and correlation and slope with the reference."""
    rows = {name: best_pose(image, detector) for name, image in images.items()}
    found = {name: pose for name, pose in rows.items() if pose is not None}
    print(f"{len(found)} of {len(images)} faces found")
    print("yaw: 5 %, 50 %, 95 %:", np.percentile([pose.yaw for pose in found.values()], [5, 50, 95]).round(1))
    changes = {
        "mirrored": (lambda image: image[:, ::-1], np.array([-1, 1, -1]), 0),
        f"turned by {TURN}": (turned, np.ones(3), TURN),
    }
    for name, (change, signs, roll) in changes.items():
        pairs = [(pose, other) for n, pose in found.items() if (other := best_pose(change(images[n]), detector))]
        apart = [np.abs(np.multiply(other, signs) - np.add(pose, (0, 0, roll))) for pose, other in pairs]
        print(f"{name}: mean absolute difference of yaw, pitch, roll", np.mean(apart, axis=0).round(1))
    if reference is None:
        return
    with reference.open() as file:
        angles = {row["path"]: [float(row[name]) for name in HeadPose._fields] for row in csv.DictReader(file)}
    common = sorted(angles.keys() & found.keys())
    ours, theirs = np.array([found[n] for n in common]), np.array([angles[n] for n in common])
    for k, name in enumerate(HeadPose._fields):
        report_agreement(name, ours[:, k], theirs[:, k])
    for low, high in ((0, 10), (10, 20), (20, 30), (30, 90)):
        chosen = (np.abs(theirs[:, 0]) >= low) & (np.abs(theirs[:, 0]) < high)
        if chosen.any():
            signed = (ours[chosen, 0] * np.sign(theirs[chosen, 0])).mean()
            apart = np.abs(ours[chosen, 0] - theirs[chosen, 0]).mean()
            mean = np.abs(theirs[chosen, 0]).mean()
            print(
                f"  yaw {low} to {high}: n {chosen.sum()}, reference {mean:.1f}, ours {signed:.1f}, apart {apart:.1f}"
            )


def report_agreement(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    if np.isnan(ours).all():
        print(f"{name}: not estimated")
        return
    slope, correlation = np.polyfit(theirs, ours, 1)[0], np.corrcoef(theirs, ours)[0, 1]
    apart = np.abs(ours - theirs - np.mean(ours - theirs))
    print(
        f"{name}: n {len(ours)}, r {correlation:.3f}, slope {slope:.2f}, bias {np.mean(ours - theirs):.1f}, "
        f"mean absolute difference without the bias {apart.mean():.1f}, of the reference's own mean "
        f"{np.abs(theirs - theirs.mean()).mean():.1f}"
    )


def report_held(clips: list[Path], detector: Detector) -> None:
    """Print how many rows take over their angles, and the differences of yaw and roll there."""
    apart, rows = [], 0
    for clip in clips:
        search, heads = FaceSearch(detector), HeadPoses(detector)
        with VideoReader(clip) as video:
            for frame in video.frames(Sampling().wanted(video.timeline)):
                image = frame.rgb() if detector.colour else frame.luma()
                faces = search.push(frame.start, image, thumbnail(image))[:1]
                held = heads.push(frame.start, image, faces)
                found = [pose_of(face, image, detector) for face in faces]
                rows += len(found)
                apart += [np.subtract(a, b)[[0, 2]] for a, b in zip(held, found, strict=True) if a and b]
    differences = np.abs(apart)
    taken = differences[differences[:, 0] > 0]
    print(f"{len(clips)} clips, {rows} rows, {len(taken)} with the angles of the row before; their differences:")
    print("yaw, roll: mean", taken.mean(axis=0).round(1), "95 % below", np.percentile(taken, 95, axis=0).round(1))


def report_expressions(options: argparse.Namespace, detector: Detector) -> None:
    """Print accuracy, UAR and mean confidence by the yaw of the faces."""
    bundle = load(options.bundle)
    (key, face), *_ = bundle.faces.items()
    scorer = bundle.face_scorer(Engine(1, "cpu"), key)
    labels, yaws, crops = [], [], []
    for labelled in read_image_folder(options.photographs)[:: options.every]:
        image = photograph(labelled.path, options.border)
        given = image if detector.colour else luma_of(image)
        found = detector(given)
        if found and (pose := pose_of(found[0], given, detector)) is not None:
            labels.append(labelled.label)
            yaws.append(abs(pose.yaw))
            crops.append(face.crop(image, found[0]))
    outputs = scorer(np.stack(crops))
    probabilities = getattr(outputs, "probabilities", outputs)
    truth, yaw, predicted = np.array(labels), np.array(yaws), probabilities.argmax(axis=1)
    for low, high in pairwise(YAWS):
        chosen = (yaw >= low) & (yaw < high)
        counts = metrics.confusion_of_each(truth[chosen], predicted[chosen], classes=len(AFFWILD2))
        values = [with_interval(metrics.bootstrap(counts, metrics.MEASURES[name])) for name in ("accuracy", "uar")]
        confidence = probabilities[chosen].max(axis=1).mean()
        print(f"{low} to {high}: n {chosen.sum()}, accuracy {values[0]}, UAR {values[1]}, confidence {confidence:.3f}")


if __name__ == "__main__":
    main()
