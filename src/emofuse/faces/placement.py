"""Where frames of another size lie on the first frame of a video, so that faces keep their coordinates.

The size of a video may change on the way, when a connection becomes better or a camera is turned. Faces are detected
and cropped in each frame as it is; for tracking and in results they are in pixels of the first frame's size, into which
later frames are fitted as players do: centred, with bars where their shape differs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emofuse.faces.detector import Face


@dataclass(frozen=True)
class Placement:
    """A frame fitted into a canvas. size, canvas: width and height in pixels."""

    size: tuple[int, int]
    canvas: tuple[int, int]

    @property
    def scale(self) -> float:
        """Canvas pixels per pixel of the frame."""
        return min(self.canvas[0] / self.size[0], self.canvas[1] / self.size[1])

    @property
    def offset(self) -> NDArray[np.float64]:
        """Where the left upper corner of the frame lies on the canvas, float64 [2].

        >>> Placement((360, 640), (640, 360)).offset.tolist()
        [218.75, 0.0]
        """
        return (np.array(self.canvas) - self.scale * np.array(self.size)) / 2

    def face(self, face: Face) -> Face:
        """A face of the frame in pixels of the canvas."""
        box = np.concatenate([face.box[:2] * self.scale + self.offset, face.box[2:] * self.scale])
        landmarks = None
        if face.landmarks is not None:
            landmarks = (face.landmarks * self.scale + self.offset).astype(np.float32)
        return Face(box.astype(np.float32), face.score, landmarks)

    def thumbnail(self, grey: NDArray[np.uint8] | NDArray[np.int16]) -> NDArray[np.int16]:
        """A thumbnail of the canvas by that of the frame, of the same shape; -1 in the bars."""
        rows, in_rows = self._cells(grey.shape[0], axis=1)
        columns, in_columns = self._cells(grey.shape[1], axis=0)
        placed = grey[rows[:, None], columns].astype(np.int16)
        placed[~(in_rows[:, None] & in_columns)] = -1
        return placed

    def _cells(self, n: int, *, axis: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """For each of n cells along an axis of the canvas, the cell of the frame there, and whether there is one."""
        where = (np.arange(n) + 0.5) / n * self.canvas[axis] - self.offset[axis]
        cells = np.floor(where / self.scale / self.size[axis] * n).astype(np.int64)
        return np.clip(cells, 0, n - 1), (cells >= 0) & (cells < n)
