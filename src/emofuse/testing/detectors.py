"""The contract of face detectors (`emofuse.faces.Detector`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from emofuse.errors import ShapeError
from emofuse.faces.detector import Detector, Face, box_iou
from emofuse.media.images import Image, luma_of

SIZES = ((1, 1), (16, 16), (1, 500), (300, 2), (33, 65), (240, 320))


def check_detector(detector: Detector, portrait: Image | None = None) -> None:
    """Hold a face detector to the contract of `emofuse.faces.Detector`.

    Images of any size are accepted, an even grey one has no face, and anything but uint8 RGB (luma where the detector
    has no colour) is refused; images are not changed; two calls with the same image return the same faces, in the order
    of decreasing scores between 0 and 1.

    Args:
        portrait: an RGB image with exactly one face, which must be found within the image, and at the same position if
            the image is enlarged to twice its size. Default: only the checks that need no face.
    Raises:
        AssertionError: what the detector does not fulfil, and what was found.

    >>> from emofuse.faces.default import DefaultDetector
    >>> check_detector(DefaultDetector())
    """
    assert detector.identity, "identity is empty; name the detector, its weights and settings."
    assert detector.identity.isprintable(), f"identity {detector.identity!r} is not a single printable line."
    assert isinstance(detector.colour, bool), "colour is not a bool."
    assert 0 <= detector.certain_score <= 1, f"certain_score is {detector.certain_score}; give a score from 0 to 1."
    for height, width in SIZES:
        faces = _detected(detector, np.full((height, width, 3) if detector.colour else (height, width), 128, np.uint8))
        assert faces == [], f"{len(faces)} faces were found in an even grey image of {height} x {width} pixels."
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    right, other = (noise, luma_of(noise)) if detector.colour else (luma_of(noise), noise)
    _detected(detector, right)
    wrong_images: tuple[Any, ...] = (other, right.astype(np.float32), right[:0])
    for wrong in wrong_images:
        try:
            detector(wrong)
        except ShapeError:
            continue
        raise AssertionError(f"an image {wrong.dtype} {wrong.shape} was accepted; raise ShapeError.")
    if portrait is not None:
        _check_portrait(detector, portrait if detector.colour else luma_of(portrait))


def _detected(detector: Detector, image: Image) -> list[Face]:
    """The faces of an image, after the checks that hold for every image."""
    before = image.copy()
    faces, again = detector(image), detector(image)
    assert np.array_equal(image, before), "the detector changed the image; work on a copy."
    scores = [face.score for face in faces]
    assert all(0 <= score <= 1 for score in scores), f"the scores {scores} are not between 0 and 1."
    assert scores == sorted(scores, reverse=True), f"the scores {scores} do not decrease; sort the faces."
    assert len(faces) == len(again), f"two calls with the same image found {len(faces)} and {len(again)} faces."
    for one, other in zip(faces, again, strict=True):
        assert np.array_equal(one.box, other.box), f"two calls with the same image found {one.box} and {other.box}."
        assert np.isfinite(one.box).all(), f"the box {one.box} is not finite."
        assert (one.box[2:] > 0).all(), f"the box {one.box} has no area; boxes are x, y, width, height."
        assert one.landmarks is None or np.isfinite(one.landmarks).all(), "the landmarks are not finite."
    return faces


def _check_portrait(detector: Detector, portrait: Image) -> None:
    faces = _detected(detector, portrait)
    assert len(faces) == 1, f"{len(faces)} faces were found in the portrait, which has one."
    box = faces[0].box
    x, y = box[:2] + box[2:] / 2
    assert 0 <= x < portrait.shape[1], f"the face is centred at x = {x:.0f}, outside the image of {portrait.shape[1]}."
    assert 0 <= y < portrait.shape[0], f"the face is centred at y = {y:.0f}, outside the image of {portrait.shape[0]}."
    twice = _detected(detector, portrait.repeat(2, axis=0).repeat(2, axis=1))
    assert len(twice) == 1, f"{len(twice)} faces were found in the portrait enlarged to twice its size."
    iou = float(box_iou(box, np.float32(0.5) * twice[0].box[None])[0])
    assert iou > 0.7, f"enlarged to twice its size, the box is {twice[0].box} instead of {2 * box} (IoU {iou:.2f})."
