"""Channels of a picture in the order that a net wants them."""

from __future__ import annotations

from enum import StrEnum

# Weights of red, green and blue in grey (ITU-R BT.601, as in OpenCV and in FER-2013's own conversion).
LUMA = (0.299, 0.587, 0.114)


class Colour(StrEnum):
    """Channels, in order.

    >>> Colour("bgr").channels
    3
    """

    GREY = "grey"
    RGB = "rgb"
    BGR = "bgr"

    @property
    def channels(self) -> int:
        """How many there are."""
        return 1 if self is Colour.GREY else 3
