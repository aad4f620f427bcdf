"""What cameras, light and codecs do to a grey image, and things that hide a part of a face.

Every function takes an image uint8 [height, width] and returns a new one; randomness comes from `rng` only.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]
_EYES, _MOUTH = (0, 1), (3, 4)  # rows of the landmarks


def gaussian_blur(image: Grey, sigma: float) -> Grey:
    """Out of focus; sigma in pixels."""
    return _grey(cv2.GaussianBlur(image, (0, 0), max(sigma, 0.1)))


def motion_blur(image: Grey, length: float, angle: float) -> Grey:
    """Moved by `length` pixels while exposed, in the direction `angle` (radians)."""
    side = max(3, int(length) | 1)
    kernel = np.zeros((side, side), np.float32)
    middle, reach = side // 2, side / 2
    step = reach * np.array([np.cos(angle), np.sin(angle)])
    one, other = (np.round(middle + sign * step).astype(int).clip(0, side - 1) for sign in (-1, 1))
    cv2.line(kernel, one.tolist(), other.tolist(), 1.0)
    return _grey(cv2.filter2D(image, -1, kernel / kernel.sum()))


def compress(image: Grey, quality: int) -> Grey:
    """Through JPEG, quality 1 to 100."""
    _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return _grey(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE))


def reduce_resolution(image: Grey, factor: float) -> Grey:
    """Reduced by a factor and enlarged again."""
    height, width = image.shape
    small = cv2.resize(
        image, (max(1, round(width / factor)), max(1, round(height / factor))), interpolation=cv2.INTER_AREA
    )
    return _grey(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def expose(image: Grey, gamma: float, gain: float, offset: float = 0.0) -> Grey:
    """Another exposure: 255 * (gain * (v / 255) ** gamma) + offset."""
    table = 255 * gain * (np.arange(256) / 255) ** gamma + offset
    return _grey(cv2.LUT(image, table.clip(0, 255).astype(np.uint8)))


def grain(image: Grey, sigma: float, rng: np.random.Generator) -> Grey:
    """Gaussian noise of a sensor, sigma in grey levels."""
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(sigma)
    return (image + noise).clip(0, 255).astype(np.uint8)


def side_light(image: Grey, centre: tuple[float, float], width: float, angle: float, darkest: float) -> Grey:
    """Lit from one side: gain 1 falls to `darkest` across `width` pixels around `centre`, in a direction (radians)."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    along = ((x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)) / max(width, 1.0)
    gain = darkest + (1 - darkest) / (1 + np.exp(np.clip(-6 * along, -50, 50)))
    return _grey((image * gain).clip(0, 255))


def hat(image: Grey, landmarks: Floats, rng: np.random.Generator) -> Grey:
    """A hat or a band, from just above the eyes up to above the hair."""
    eyes, across, up, eye_distance = _axes(landmarks)
    low = eyes + up * eye_distance * rng.uniform(0.35, 0.6)
    height = eye_distance * rng.choice([rng.uniform(0.3, 0.6), rng.uniform(1.0, 2.2)])
    half = across * eye_distance * rng.uniform(1.1, 1.7)
    corners = np.stack([low - half, low + half, low + half * 0.9 + up * height, low - half * 0.9 + up * height])
    return _patch(image, corners, rng)


def cover(image: Grey, landmarks: Floats, rng: np.random.Generator) -> Grey:
    """A hand, a microphone or a mask over the mouth, a cheek or an eye."""
    _eyes, across, up, eye_distance = _axes(landmarks)
    place = landmarks[rng.integers(5)] + rng.normal(0, 0.35 * eye_distance, 2).astype(np.float32)
    half = across * eye_distance * rng.uniform(0.25, 0.7)
    tall = up * eye_distance * rng.uniform(0.25, 0.7)
    return _patch(
        image, np.stack([place - half - tall, place + half - tall, place + half + tall, place - half + tall]), rng
    )


Distortion = Callable[[Grey, np.random.Generator], Grey]


def random_exposure(image: Grey, rng: np.random.Generator) -> Grey:
    """Normal to very low light."""
    if rng.random() < 0.15:
        return expose(image, rng.uniform(1.0, 2.0), rng.uniform(0.1, 0.4))
    return expose(image, float(np.exp(rng.normal(0, 0.35))), rng.uniform(0.5, 1.3), rng.uniform(-25, 25))


def random_blur(image: Grey, rng: np.random.Generator) -> Grey:
    """Out of focus, moved, or of low resolution."""
    kind = rng.integers(3)
    if kind == 0:
        return gaussian_blur(image, rng.uniform(0.4, 2.2))
    if kind == 1:
        return motion_blur(image, rng.uniform(3, 11), rng.uniform(0, np.pi))
    return reduce_resolution(image, rng.uniform(1.2, 2.5))


def camera(image: Grey, rng: np.random.Generator) -> Grey:
    """A random camera and codec."""
    if rng.random() < 0.6:
        image = random_exposure(image, rng)
    if rng.random() < 0.3:
        image = random_blur(image, rng)
    if rng.random() < 0.35:
        image = grain(image, rng.uniform(1, 14), rng)
    if rng.random() < 0.4:
        image = compress(image, int(rng.integers(12, 80)))
    return image


def _axes(landmarks: Floats) -> tuple[Floats, Floats, Floats, float]:
    """Middle of the eyes, unit vectors across and up the face, and the distance of the eyes (of a frontal face)."""
    eyes, mouth = landmarks[list(_EYES)].mean(axis=0), landmarks[list(_MOUTH)].mean(axis=0)
    up = eyes - mouth
    tall = max(float(np.linalg.norm(up)), 1.0)
    up = up / tall
    across = np.array([-up[1], up[0]], np.float32)
    return eyes, across, up, max(float(np.linalg.norm(landmarks[1] - landmarks[0])), 0.8 * tall)


def _patch(image: Grey, corners: NDArray[np.floating], rng: np.random.Generator) -> Grey:
    """A quadrilateral or its ellipse filled with a level, stripes, or another part of the image."""
    mask = np.zeros(image.shape, np.uint8)
    if rng.random() < 0.6:
        cv2.fillConvexPoly(mask, np.round(corners).astype(np.int32), 255, lineType=cv2.LINE_AA)
    else:
        (x, y), (width, height), angle = cv2.minAreaRect(corners.astype(np.float32))
        cv2.ellipse(mask, ((x, y), (width * 1.1, height * 1.1), angle), 255, -1, lineType=cv2.LINE_AA)
    kind = rng.integers(3)
    if kind == 0:
        filling = np.full(image.shape, rng.integers(0, 256), np.float32)
    elif kind == 1:
        y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 30)
        filling = rng.integers(30, 220) + rng.uniform(10, 60) * np.sin(
            (x * np.cos(angle) + y * np.sin(angle)) / period * 6.3
        )
    else:
        shift = rng.integers(image.shape[0] // 3, image.shape[0]), rng.integers(image.shape[1] // 3, image.shape[1])
        filling = np.roll(image, shift, (0, 1)).astype(np.float32) * rng.uniform(0.4, 1.1)
    weight = mask.astype(np.float32) / 255
    return (image * (1 - weight) + filling * weight).clip(0, 255).astype(np.uint8)


def _grey(image: object) -> Grey:
    return np.asarray(image, np.uint8)
