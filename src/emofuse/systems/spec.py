"""What a trained system is made of, as frozen data: a net on faces, and perhaps a head on windows of its embeddings.

The digest of a definition names its results on disk; `emofuse train NAME --set fit.lr=3e-5` changes single values.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from emofuse.core.colour import Colour
from emofuse.core.store import digest
from emofuse.core.time import ticks
from emofuse.fit import FitSettings


@dataclass(frozen=True)
class FaceNet:
    """A net that judges single faces, and how it is trained.

    weights: name in `emofuse.nets.pretrained`, which also says which net it is; scratch: start from random weights.
    tiny: the small version of the net, from random weights, for trying the whole path.
    side: of the aligned faces that it is given, in pixels, before they are brought to the net's own size.
    colour, mean, scale: the net takes (pixel - mean) / scale.
    rate_hz: faces a second that are learned from; 0 for every frame.
    """

    weights: str
    colour: Colour
    mean: tuple[float, ...]
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    size: int = 224
    side: int = 112
    augment: str = "paper"
    rate_hz: float = 5.0
    scratch: bool = False
    tiny: bool = False


@dataclass(frozen=True)
class Head:
    """A head of `emofuse.heads`. kind: "svm" or "kelm"; other fields are those of that head that are set.

    C, gamma, degree: of the SVM; C, g, normalisation: of the kernel ELM, g 0 for the mean squared distance.
    mu: of the log rule for the weights of classes; 0 for none.
    """

    kind: str
    kernel: str
    C: float
    degree: int = 3
    gamma: float = 0.1
    g: float = 0.0
    normalisation: str = "none"
    mu: float = 0.0


@dataclass(frozen=True)
class Window:
    """Windows of `seconds` every `step_seconds`: mean and population deviation of the embeddings, judged by a head."""

    head: Head
    seconds: float = 4.0
    step_seconds: float = 2.0

    @property
    def ticks(self) -> tuple[int, int]:
        """Width and step."""
        return ticks(Fraction(str(self.seconds))), ticks(Fraction(str(self.step_seconds)))


@dataclass(frozen=True)
class System:
    """A system that can be trained. row: what the paper calls it. window: None where single faces are judged."""

    name: str
    row: str
    face: FaceNet
    fit: FitSettings = field(default_factory=FitSettings)
    window: Window | None = None

    @property
    def digest(self) -> str:
        """Names the results of this definition."""
        return digest(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
