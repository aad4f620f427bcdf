"""Framing of FER-2013's faces in terms of each detector's boxes and landmarks: the constants of emofuse/faces/crop.py.

    python benchmarks/face_framing.py --faces ../shared/data/faces/fer2013.npz \
        --weights ../shared/weights/yunet_n_dynamic.onnx

Uses a random 3,000 of the training images. Each is enlarged and padded with its edge pixels, since detectors expect
some background around a head. Positions are fractions of the side of the original image.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from emofuse.faces.default import DefaultDetector
from emofuse.faces.detector import Detector, Face
from emofuse.faces.yunet import YuNet

SIDE, BORDER = 96, 48  # pixels of the enlarged image, and of the padding on each side
MIRRORED = [1, 0, 2, 4, 3]  # landmark at each position after mirroring


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True, help="fer2013.npz")
    parser.add_argument("--weights", type=Path, required=True, help="ONNX file of YuNet")
    parser.add_argument("--count", type=int, default=3000, help="number of images; default: 3000")
    options = parser.parse_args()
    with np.load(options.faces) as data:
        images = data["images"][data["usage"] == 0]
    rng = np.random.default_rng(0)
    images = images[rng.choice(len(images), options.count, replace=False)]
    for detector in (YuNet(options.weights), DefaultDetector()):
        report(detector, images)


def report(detector: Detector, images: NDArray[np.uint8]) -> None:
    """Print the median box and landmarks, and the margin and shift of the crop that equals the original image."""
    faces = [face for face in (largest_face(detector, image) for image in images) if face is not None]
    print(f"{detector.identity}: found {len(faces)} of {len(images)}")
    boxes = np.stack([face.box for face in faces]) / SIDE
    x, y, width, height = np.median(boxes, axis=0)
    print(f"  box x {x:.3f} y {y:.3f} width {width:.3f} height {height:.3f}")
    longer_side = boxes[:, 2:].max(axis=1)
    centre = boxes[:, 1] + boxes[:, 3] / 2
    print(f"  margin {np.median(1 / longer_side) - 1:.3f}  shift_y {np.median((0.5 - centre) / longer_side):.3f}")
    landmarks = [face.landmarks / SIDE for face in faces if face.landmarks is not None]
    if landmarks:
        median = np.median(landmarks, axis=0)
        template = (median + median[MIRRORED] * [-1, 1] + [1, 0]) / 2
        print("  template", template.round(3).tolist(), "spread", np.std(landmarks, axis=0).round(3).tolist())


def largest_face(detector: Detector, image: NDArray[np.uint8]) -> Face | None:
    """The largest face found in an image, in pixels of the enlarged image without its padding."""
    grey = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    grey = cv2.copyMakeBorder(grey, *[BORDER] * 4, borderType=cv2.BORDER_REPLICATE)
    faces = detector(np.repeat(grey[:, :, None], 3, axis=2) if detector.colour else grey)
    if not faces:
        return None
    best = max(faces, key=lambda face: float(face.box[2] * face.box[3]))
    shift = np.array([BORDER, BORDER], np.float32)
    landmarks = None if best.landmarks is None else best.landmarks - shift
    return Face(best.box - np.array([BORDER, BORDER, 0, 0], np.float32), best.score, landmarks)


if __name__ == "__main__":
    main()
