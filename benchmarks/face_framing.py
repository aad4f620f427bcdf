"""How FER-2013 frames its faces, in the terms of each detector: the constants of emofuse/media/faces/crop.py.

    PYTHONPATH=src python benchmarks/face_framing.py --faces ../shared/data/faces/fer2013.npz \
        --weights ../shared/weights/yunet_n_dynamic.onnx

Training faces only, a random 3,000. Each is enlarged and gets a border of repeated edges, for detectors
want to see a head whole; what is found is measured in sides of the original picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.faces.detector import Detector, Face
from emofuse.faces.haar import Haar
from emofuse.faces.yunet import YuNet

SIDE, BORDER = 96, 48  # pixels of the enlarged face, and around it
MIRRORED = [1, 0, 2, 4, 3]


def main() -> None:
    """Measures with both detectors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--count", type=int, default=3000)
    options = parser.parse_args()
    with np.load(options.faces) as data:
        images = data["images"][data["usage"] == 0]
    rng = np.random.default_rng(0)
    images = images[rng.choice(len(images), options.count, replace=False)]
    for detector in (YuNet(options.weights), Haar()):
        report(detector, images)


def report(detector: Detector, images: NDArray[np.uint8]) -> None:
    """Prints the median landmarks and the box crop that gives the original picture back."""
    faces = [face for face in (largest(detector, image) for image in images) if face is not None]
    print(f"{detector.identity}: found {len(faces)} of {len(images)}")
    boxes = np.stack([face.box for face in faces]) / SIDE
    x, y, width, height = np.median(boxes, axis=0)
    print(f"  box x {x:.3f} y {y:.3f} width {width:.3f} height {height:.3f}")
    long = boxes[:, 2:].max(axis=1)
    middle = boxes[:, 1] + boxes[:, 3] / 2
    print(f"  margin {np.median(1 / long) - 1:.3f}  shift_y {np.median((0.5 - middle) / long):.3f}")
    marks = [face.landmarks / SIDE for face in faces if face.landmarks is not None]
    if marks:
        points = np.median(marks, axis=0)
        mirrored = points[MIRRORED] * [-1, 1] + [1, 0]
        print(
            "  template", ((points + mirrored) / 2).round(3).tolist(), "spread", np.std(marks, axis=0).round(3).tolist()
        )


def largest(detector: Detector, image: NDArray[np.uint8]) -> Face | None:
    """The largest face of an enlarged picture with a border, in pixels of the enlarged picture."""
    grey = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    grey = cv2.copyMakeBorder(grey, *[BORDER] * 4, borderType=cv2.BORDER_REPLICATE)
    faces = detector(np.repeat(grey[:, :, None], 3, axis=2))
    if not faces:
        return None
    best = max(faces, key=lambda face: float(face.box[2] * face.box[3]))
    shift = np.float32([BORDER, BORDER])
    landmarks = None if best.landmarks is None else best.landmarks - shift
    return Face(best.box - np.float32([*shift, 0, 0]), best.score, landmarks)


if __name__ == "__main__":
    main()
