"""Landmarks of heads in known poses."""

from __future__ import annotations

import numpy as np

from emofuse.faces.pose import HeadModel

MODEL = HeadModel()


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Pitch, then yaw, then roll, in degrees, float64 [3, 3]; x to the right of the image, y down, z to the camera."""
    y, p, r = np.radians([yaw, pitch, roll])
    up = [[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]]
    right = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    clockwise = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    return np.array(clockwise, float) @ np.array(right, float) @ np.array(up, float)


def landmarks(pose: tuple[float, float, float], points: np.ndarray = MODEL.points) -> np.ndarray:
    """The points of a head in a pose, 0.7 pixels per mm, in the middle of an image of 400 pixels; float64 [5, 2]."""
    return 0.7 * (points @ rotation(*pose).T)[:, :2] + 200
