"""Colour channels of an image, in the order that a network expects; and the colours of classes in charts."""

from __future__ import annotations

from enum import StrEnum

# Weights of red, green and blue for grey (ITU-R BT.601, as in OpenCV and in FER-2013's own conversion).
LUMA = (0.299, 0.587, 0.114)
# ImageNet's mean and deviation of red, green and blue, of pixels from 0 to 255.
IMAGENET_MEAN, IMAGENET_SCALE = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

# Okabe and Ito's palette: colour-blind readers can distinguish its colours, and so can readers of prints.
COLOURS = ("#8c8c8c", "#d55e00", "#009e73", "#7b4ea3", "#e69f00", "#0072b2", "#cc79a7", "#56b4e9")


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


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour such as "#d55e00".

    >>> rgb_of("#d55e00")
    (213, 94, 0)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
