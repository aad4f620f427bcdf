"""Faces in images and video: detected, tracked as persons, and cropped to one size."""

from emofuse.faces import default, yunet
from emofuse.faces.detector import DETECTORS, Detector, Face

__all__ = ["DETECTORS", "Detector", "Face", "default", "yunet"]
