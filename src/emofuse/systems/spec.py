"""What a trained system is made of, as frozen data: a net on faces, and perhaps a head on windows of its embeddings; or
a net on windows of sound.

The digest of a definition names its results on disk; `emofuse train NAME --set fit.lr=3e-5` changes single values.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from emofuse.core.colour import Colour
from emofuse.core.files import digest
from emofuse.core.time import ticks
from emofuse.models.voice import Windowing
from emofuse.training.loop import FitSettings, Waveforms


@dataclass(frozen=True)
class FaceNet:
    """A net that judges single faces, and how it is trained.

    weights: name in `emofuse.nets.pretrained`, which also says which net it is; scratch: start from random weights.
    tiny: the small version of the net, for trying the whole path; from random weights unless others are given.
    side: of the aligned faces that it is given, in pixels, before they are brought to the net's own size.
    framing: how faces are cut from videos, a name in `emofuse.faces.crop.CROP_PRESETS`; faces that data bring stay.
    colour, mean, scale: the net takes (pixel - mean) / scale.
    evened: faces are made grey, each with the same mean and deviation, first; small nets learn faster so.
    rate_hz: faces a second of a clip that are learned from; 0 for every frame.
    votes_share: on FER-2013, the part of FER+ votes in the targets; faces without votes keep their label alone.
    """

    weights: str
    colour: Colour
    mean: tuple[float, ...]
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    size: int = 224
    side: int = 112
    framing: str = "identity"
    augment: str = "paper"
    evened: bool = False
    rate_hz: float = 5.0
    votes_share: float = 0.0
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


@dataclass(frozen=True)
class VoiceNet:
    """A net that judges windows of sound, and how it is trained.

    net: name in `emofuse.nets.voices`. weights: name in `emofuse.nets.pretrained` that it starts from, or "".
    scratch: start from random weights all the same. tiny: the small version of the net, from random weights.
    seconds, step_seconds: windows of so much sound at rate_hz. answers: for how many equal parts of each it answers.
    separation, activity: names in `emofuse.models.voice_stages`: what takes the voice out of the sound, and what finds
        where there is voice; windows with less than least_voice_seconds of it are neither learned from nor judged.
    labels_hz: rate that labels are brought down to before the commonest of a window is taken.
    augment: random changes in training.
    """

    net: str
    rate_hz: int
    seconds: float
    step_seconds: float
    answers: int = 1
    weights: str = ""
    scratch: bool = False
    tiny: bool = False
    separation: str = "none"
    activity: str = "energy"
    least_voice_seconds: float = 0.3
    labels_hz: float = 5.0
    augment: Waveforms = Waveforms()  # noqa: RUF009 (frozen)

    @property
    def windows(self) -> Windowing:
        """The windows.

        Raises:
            SettingsError: they are no whole number of samples.
        """
        width, step, least = (
            ticks(Fraction(str(s))) for s in (self.seconds, self.step_seconds, self.least_voice_seconds)
        )
        return Windowing(self.rate_hz, width, step, self.answers, least)


@dataclass(frozen=True)
class VoiceSystem:
    """A system that listens. row: what the paper calls it."""

    name: str
    row: str
    voice: VoiceNet
    fit: FitSettings = field(default_factory=FitSettings)

    @property
    def digest(self) -> str:
        """Names the results of this definition."""
        return digest(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
