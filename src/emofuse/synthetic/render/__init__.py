"""Rendering of talking heads from numbers: identity, expression, pose and light.

Face coordinates: the point between the eyes is (0, 0), half the width of the face is 1, y points down.
Shading comes from a height field under one lamp, to which an expression adds folds as weighted maps, so that a frame
needs a few sums, some small polygons and one remap. Colours are RGB, 0 to 255.
"""

from emofuse.synthetic.render.draw import draw_single_threaded
from emofuse.synthetic.render.face import EXPRESSIONS, Colour, Expression, Identity, Light, Pose
from emofuse.synthetic.render.renderer import FaceRenderer

__all__ = ["EXPRESSIONS", "Colour", "Expression", "FaceRenderer", "Identity", "Light", "Pose", "draw_single_threaded"]
