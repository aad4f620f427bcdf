"""Definitions of systems as frozen data: a network on faces with or without a head on windows, a network on audio, or a
linear model of sentences.

The digest of a definition names its results on disk; `emofuse train NAME --set fit.lr=3e-5` changes single values.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from emofuse.core.chunks import Chunks
from emofuse.core.colour import Colour
from emofuse.core.files import digest
from emofuse.core.windows import Windows
from emofuse.errors import SettingsError
from emofuse.systems.training_settings import FitSettings, WaveAugment
from emofuse.words.grams import NGrams

FACE, VOICE, WORDS = "face", "voice", "words"


def kind(modality: str) -> str:
    """The kind of a modality of a bundle; those of further networks are named after it.

    >>> kind("voice:pann")
    'voice'
    """
    return modality.partition(":")[0]


@dataclass(frozen=True)
class FaceNet:
    """Settings of a network that classifies single faces.

    weights: pretrained weights, which also determine the network; by name in `emofuse.nets.catalogue`.
    colour, mean, scale: the network's input is (pixel - mean) / scale.
    size: side of the network's input in pixels; side: of the aligned faces, which are resized to `size`.
    framing: how faces are cropped from videos, a name in `emofuse.faces.crop.CROP_PRESETS`; face images of a data set
        are used as they are.
    augment: a name in `emofuse.training.loop.AUGMENTS`.
    standardise: make faces grey with equal mean and deviation first; small networks learn faster from these.
    rate_hz: faces per second of a clip to train on; 0 for every frame.
    votes_weight: weight of the FER+ votes in the targets of FER-2013; faces without votes keep their label.
    scratch: start from random weights.
    tiny: a small version of the network to try the whole path; from random weights unless others are given.
    """

    modality: ClassVar[str] = FACE

    weights: str
    colour: Colour
    mean: tuple[float, ...]
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    size: int = 224
    side: int = 112
    framing: str = "identity"
    augment: str = "paper"
    standardise: bool = False
    rate_hz: float = 5.0
    votes_weight: float = 0.0
    scratch: bool = False
    tiny: bool = False


@dataclass(frozen=True)
class Probe:
    """Settings of a linear layer on the embeddings of a network that is not trained (`fit.epochs` is 0).

    penalty: half the factor of the squared coefficients of standardised embeddings, beside the mean cross-entropy.
    copies: number of augmented copies of each recording that the layer is fitted on, besides the recording.

    Raises:
        SettingsError: a number is below 0.
    """

    penalty: float = 0.05
    copies: int = 2

    def __post_init__(self) -> None:
        if self.penalty < 0 or self.copies < 0:
            raise SettingsError(f"probe: penalty is {self.penalty} and copies {self.copies}; give 0 or more.")


@dataclass(frozen=True)
class VoiceNet:
    """Settings of a network that classifies windows of audio.

    network: a name in `emofuse.nets.catalogue.NETWORKS`.
    weights: pretrained weights to start from, by name in `emofuse.nets.catalogue`; "" for random weights.
    separation, activity: how the voice is separated from other audio and how speech is detected; names in
        `emofuse.models.voice_stages`.
    label_rate_hz: rate to which labels are resampled before the commonest one of a window is taken.
    augment: random changes in training.
    chunks: of a network that encodes chunks of audio, whose frames all windows share; None for a network on windows.
    probe: fits the last layer of a network on chunks, instead of training the network; None for none.
    scratch: start from random weights in any case.
    tiny: a small version of the network to try the whole path; from random weights unless others are given.
    """

    modality: ClassVar[str] = VOICE

    network: str
    weights: str = ""
    separation: str = "none"
    activity: str = "energy"
    label_rate_hz: float = 5.0
    augment: WaveAugment = WaveAugment()  # noqa: RUF009 (frozen)
    chunks: Chunks | None = None
    probe: Probe | None = None
    scratch: bool = False
    tiny: bool = False


@dataclass(frozen=True)
class Head:
    """Settings of a classifier in `emofuse.heads`.

    kind: "svm" or "kelm". C, gamma, degree: of the SVM. C, g, normalisation: of the kernel ELM; g 0 stands for the
    mean squared distance. mu: of the log rule for class weights; 0 for equal weights.
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
class System:
    """A system that can be trained.

    title: its row in the paper's Table 1, or how it differs from one.
    windows: of audio; or of faces, whose embeddings' mean and population deviation the `head` classifies. None where
        single faces are classified.
    """

    name: str
    title: str
    net: FaceNet | VoiceNet
    fit: FitSettings = field(default_factory=FitSettings)
    windows: Windows | None = None
    head: Head | None = None

    @property
    def modality(self) -> str:
        """`FACE` or `VOICE`."""
        return self.net.modality

    @property
    def digest(self) -> str:
        """Identifies the definition and its results on disk."""
        return digest(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class WordsSystem:
    """A linear model of sentences that can be trained; sentences are rows of hashed n-grams.

    title: what it is.
    penalty: half the factor of the squared coefficients, beside the mean cross-entropy. steps: of the optimiser.
    folds: number of parts of the training data, each scored by a model of the others, for the calibration.
    plain: fraction of what is said with an emotion whose words are as those of neutral sentences.
    known_from: number of sentences in which a word must occur to count as known when the language is checked.
    known_share: smallest fraction of known words in a sentence of the language of the data.
    language: of the data.

    Raises:
        SettingsError: a number is out of range.
    """

    modality: ClassVar[str] = WORDS

    name: str
    title: str
    grams: NGrams = NGrams()  # noqa: RUF009 (frozen)
    penalty: float = 4e-5
    steps: int = 80
    folds: int = 4
    plain: float = 0.5
    known_from: int = 3
    known_share: float = 0.6
    language: str = "en"

    def __post_init__(self) -> None:
        if self.penalty <= 0 or self.steps < 1 or self.folds < 2 or self.known_from < 1:
            raise SettingsError("words: penalty must be above 0, steps and known_from at least 1, folds at least 2.")
        if not 0 <= self.known_share <= 1 or not 0 <= self.plain <= 1:
            raise SettingsError(f"words: known_share is {self.known_share} and plain {self.plain}; give 0 to 1.")

    @property
    def digest(self) -> str:
        """Identifies the definition."""
        return digest(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)
