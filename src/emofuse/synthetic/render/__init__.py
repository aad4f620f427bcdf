"""A drawn talking head: a face as numbers (identity, expression, pose, light), and the picture of it.

Face coordinates: the middle between the eyes is (0, 0), half the width of the face is 1, y points down.
Soft shading comes from a height field under one lamp; an expression adds folds to it as weighted maps, so
a frame costs a few sums, some small polygons and one remap. Colours are RGB, 0 to 255.
"""

from emofuse.synthetic.render.draw import draw_single_threaded
from emofuse.synthetic.render.face import EXPRESSIONS, Colour, Expression, Identity, Light, Pose
from emofuse.synthetic.render.renderer import FaceRenderer

__all__ = ["EXPRESSIONS", "Colour", "Expression", "FaceRenderer", "Identity", "Light", "Pose", "draw_single_threaded"]
