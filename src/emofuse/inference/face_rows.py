"""Where one person's face was found in each row of a prediction, and how the head was turned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emofuse.core.types import Bools


class FaceGeometry(NamedTuple):
    """A face in its frame as it is displayed: upright, in the size of the first frame.

    x, y, width, height: of the box, from the left and the top, as fractions of the frame; a box may reach beyond it.
    detector_score: confidence of the detector, 0 to 1; comparable within one detector only.
    yaw, pitch, roll: angles of the head in degrees (`emofuse.faces.pose.HeadPose`); NaN where they are not known.
    """

    x: float
    y: float
    width: float
    height: float
    detector_score: float
    yaw: float
    pitch: float
    roll: float


FACE_COLUMNS = FaceGeometry._fields
_DECIMALS = dict(zip(FACE_COLUMNS, (5, 5, 5, 5, 4, 1, 1, 1), strict=True))


@dataclass(frozen=True, eq=False)
class FaceRows:
    """The face of one person in n rows.

    values: float64 [n, 8] in the order of `FACE_COLUMNS`; NaN in rows without the face.
    turned: bool [n], where the face was turned too far to be scored.
    """

    values: NDArray[np.float64]
    turned: Bools

    @classmethod
    def none(cls, n: int) -> FaceRows:
        """n rows without a face."""
        return cls(np.full((n, len(FACE_COLUMNS)), np.nan), np.zeros(n, bool))

    def __len__(self) -> int:
        return len(self.turned)

    def __getitem__(self, rows: slice) -> FaceRows:
        return FaceRows(self.values[rows], self.turned[rows])

    @property
    def found(self) -> Bools:
        """The rows with the face, bool [n]."""
        return np.asarray(~np.isnan(self.values[:, 0]))

    def at(self, row: int) -> FaceGeometry | None:
        """The face in a row; None if it was not found there."""
        return FaceGeometry(*self.values[row].tolist()) if self.found[row] else None

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """The columns of the table, rounded, by name."""
        columns = zip(FACE_COLUMNS, self.values.T, strict=True)
        return {name: np.round(values, _DECIMALS[name]) + 0.0 for name, values in columns}  # not -0.0

    def mean(self) -> dict[str, float | None]:
        """The mean of each column over its values, rounded alike; None without a value."""
        known = {name: values[~np.isnan(values)] for name, values in zip(FACE_COLUMNS, self.values.T, strict=True)}
        return {name: round(float(v.mean()), _DECIMALS[name]) if len(v) else None for name, v in known.items()}
