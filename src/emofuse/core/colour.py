"""Colour channels of an image, in the order that a network expects."""

from __future__ import annotations

from enum import StrEnum

# Weights of red, green and blue for grey (ITU-R BT.601, as in OpenCV and in FER-2013's own conversion).
LUMA = (0.299, 0.587, 0.114)


class Colour(StrEnum):
    """The channels of an image, in order.

    >>> Colour("bgr").channels
    3
    """

    GREY = "grey"
    RGB = "rgb"
    BGR = "bgr"

    @property
    def channels(self) -> int:
        """Number of channels."""
        return 1 if self is Colour.GREY else 3
