"""The networks that can be trained, as data: input, builder and published weights of each. Imports no torch.

The module of a network is imported when the network is built or its weights are read. Another package adds a network
as an entry point of the group `emofuse.networks` that names a `Network`; `emofuse.testing.check_network` checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from emofuse.core.colour import IMAGENET_MEAN, IMAGENET_SCALE, Colour
from emofuse.core.registry import Registry, find
from emofuse.errors import SettingsError, WeightsError

if TYPE_CHECKING:
    from torch import nn


class Input(StrEnum):
    """What a network takes: aligned faces, or windows of audio samples."""

    FACES = "faces"
    WAVEFORMS = "waveforms"


@dataclass(frozen=True)
class Preprocessing:
    """Faces of `size` pixels with channels in the order of `colour`, as (pixel - mean) / scale of pixels 0 to 255."""

    size: int
    colour: Colour
    mean: tuple[float, ...]
    scale: tuple[float, ...]


@dataclass(frozen=True)
class PublishedWeights:
    """A file of pretrained weights, and what a user must know before using it.

    reader: "module:function" that returns the tensors of a file by their names in the network; it is called with the
        path and the settings of the network.
    classes: number of classes of the file's classifier; as many as usual where the file has none.
    bundle: name of the bundled bundle that contains the file; "" if the user has to get it.
    """

    name: str
    reader: str | Callable[..., dict[str, Any]]
    file: str
    form: str
    what: str
    licence: str
    source: str
    classes: int = 7
    bundle: str = ""


@dataclass(frozen=True)
class Network:
    """A network that can be trained: its module returns (embedding [n, features], logits [n, classes]).

    builder: "module:function", or the function; called with the number of classes and `tiny`, and with `samples` and
        `segments` if `sequence` is true. The module has `settings` with `classes`, and `head`: how the names of its
        last layers begin.
    preprocessing: of a network that takes faces; None if it takes waveforms float32 [n, samples] in -1 to 1.
    tiny_size: size of the faces that the tiny version takes.
    rate_hz: the only sampling rate that the network is made for; 0 for any.
    sequence: whether the network can return logits [n, segments, classes], for equal parts of each window.
    """

    name: str
    builder: str | Callable[..., nn.Module]
    preprocessing: Preprocessing | None = None
    tiny_size: int = 0
    rate_hz: int = 0
    sequence: bool = False
    weights: tuple[PublishedWeights, ...] = ()

    @property
    def input(self) -> Input:
        """Faces or waveforms."""
        return Input.FACES if self.preprocessing else Input.WAVEFORMS

    def build(
        self, classes: int = 7, *, tiny: bool = False, rate_hz: int = 16_000, samples: int = 48_000, segments: int = 1
    ) -> Any:
        """The network with random weights.

        Args:
            tiny: a small version, for trying the whole path.
            rate_hz, samples, segments: of windows of audio; a network that takes faces ignores them.
        Raises:
            SettingsError: the network is not made for this rate or number of segments, or torch is not installed.
        """
        if self.rate_hz and rate_hz != self.rate_hz:
            raise SettingsError(
                f"{self.name}: needs audio at {self.rate_hz} Hz, found {rate_hz} Hz; set windows.rate_hz to "
                f"{self.rate_hz}."
            )
        if segments != 1 and not self.sequence:
            raise SettingsError(
                f"{self.name}: has one segment per window, found {segments}; set windows.segments to 1."
            )
        window = {"samples": samples, "segments": segments} if self.sequence else {}
        return loaded(self.builder)(classes, tiny=tiny, **window)


def loaded(reference: str | Callable[..., Any]) -> Callable[..., Any]:
    """A function, imported if it is given as "module:function".

    Raises:
        SettingsError: a package that its module needs is not installed.
    """
    if not isinstance(reference, str):
        return reference
    try:
        function: Callable[..., Any] = resolve_name(reference)
    except ImportError as error:
        raise SettingsError(f"{reference}: needs {error.name}; pip install 'emofuse[train]'.") from None
    return function


def network(name: str, kind: Input) -> Network:
    """The network of a name, which must take a kind of input.

    Raises:
        SettingsError: the name is unknown, or the network takes another kind of input.
    """
    found = NETWORKS[name]
    if found.input is not kind:
        raise SettingsError(f"network {name!r}: takes {found.input}, but {kind} are needed; choose another network.")
    return found


def published_weights(name: str) -> PublishedWeights:
    """The published weights of a name.

    Raises:
        WeightsError: the name is unknown; the nearest is suggested.
    """
    return find(name, {w.name: w for _, w in all_published_weights()}, "weights", error=WeightsError)


def network_for(weights: str) -> Network:
    """The network that published weights are for.

    Raises:
        WeightsError: the name is unknown; the nearest is suggested.
    """
    return find(weights, {w.name: n for n, w in all_published_weights()}, "weights", error=WeightsError)


def all_published_weights() -> Iterator[tuple[Network, PublishedWeights]]:
    """Each network with each of its published weights; networks of packages that do not load are left out."""
    for name in NETWORKS:
        try:
            entry = NETWORKS[name]
        except SettingsError:
            continue
        yield from ((entry, weights) for weights in entry.weights)


NETWORKS: Registry[Network] = Registry("network", "emofuse.networks")

_VGG_FACE = PublishedWeights(
    name="vggface",
    reader="emofuse.nets.vggface:load_matconvnet",
    file="vgg_face.mat",
    form="matconvnet",
    what="VGG-16 trained on the 2622 identities of VGG-Face",
    licence="non-commercial research",
    source="https://www.robots.ox.ac.uk/~vgg/software/vgg_face/",
    classes=2622,
)
_VGG_FER = PublishedWeights(
    name="vggfer",
    reader="emofuse.nets.vggface:load_matconvnet",
    file="vggfer.mat",
    form="matconvnet",
    what="VGG-Face fine-tuned on the 7 emotions of FER-2013 by Kaya et al. (2017)",
    licence="research; cite doi:10.1016/j.imavis.2017.01.012",
    source="https://github.com/frkngrpnr/jcs (readme)",
)


def _pann(rate: int, file: str) -> PublishedWeights:
    return PublishedWeights(
        name=f"pann-{rate}k",
        reader="emofuse.nets.cnn14:load_torch",
        file=file,
        form="torch-checkpoint",
        what=f"PANN Cnn14 trained on the 527 classes of AudioSet, audio at {rate} kHz",
        licence="CC BY 4.0",
        source="https://zenodo.org/records/3987831",
        classes=527,
    )


for _entry in (
    Network(
        "vggface2",
        "emofuse.nets.vggface2:build",
        # Version 2 of keras-vggface's `preprocess_input`, which the weights were trained with.
        Preprocessing(224, Colour.BGR, (91.4953, 103.8827, 131.0912), (1.0, 1.0, 1.0)),
        tiny_size=96,
        weights=(
            PublishedWeights(
                name="vggface2",
                reader="emofuse.nets.vggface2:load_keras",
                file="rcmalli_vggface_tf_notop_resnet50.h5",
                form="keras-hdf5",
                what="ResNet-50 trained on the identities of VGGFace2, without classifier",
                licence="non-commercial research, Creative Commons Attribution (readme of keras-vggface)",
                source="https://github.com/rcmalli/keras-vggface/releases/tag/v2.0",
            ),
        ),
    ),
    Network(
        "vggface",
        "emofuse.nets.vggface:build",
        # The network subtracts its average image itself.
        Preprocessing(224, Colour.RGB, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        tiny_size=56,
        weights=(_VGG_FACE, _VGG_FER),
    ),
    Network(
        "mobilefacenet",
        "emofuse.nets.mobilefacenet:build",
        # As in data_gen.py of the published code.
        Preprocessing(112, Colour.RGB, IMAGENET_MEAN, IMAGENET_SCALE),
        tiny_size=32,
        weights=(
            PublishedWeights(
                name="mobilefacenet",
                reader="emofuse.nets.mobilefacenet:load_torch",
                file="mobilefacenet.pt",
                form="torch-state-dict",
                what="MobileFaceNet, identity embedding trained on MS-Celeb-1M",
                licence="Apache-2.0",
                source="https://github.com/foamliu/MobileFaceNet",
            ),
        ),
    ),
    Network(
        "mobilefacenet-64",
        "emofuse.nets.mobilefacenet:build_64",
        Preprocessing(64, Colour.RGB, IMAGENET_MEAN, IMAGENET_SCALE),
        tiny_size=32,
        weights=(
            PublishedWeights(
                name="expression",
                reader="emofuse.nets.mobilefacenet:load_torch",
                file="weights.safetensors",
                form="safetensors",
                what="the face network of the default bundle, trained on RAF-DB and FER-2013",
                licence="weights trained on RAF-DB and FER-2013, which are for research use",
                source="emofuse itself",
                bundle="default",
            ),
        ),
    ),
    Network("cnn1d-lstm", "emofuse.nets.cnn1d_lstm:build", sequence=True),
    Network("cnn1d-lstm-16-bit", "emofuse.nets.cnn1d_lstm:build_16_bit", sequence=True),
    # The authors' code passes audio at 16 kHz to the network for 32 kHz, so no rate is required.
    Network("cnn14-16k", "emofuse.nets.cnn14:build_16k", weights=(_pann(16, "Cnn14_16k_mAP=0.438.pth"),)),
    Network("cnn14-32k", "emofuse.nets.cnn14:build_32k", weights=(_pann(32, "Cnn14_mAP=0.431.pth"),)),
    Network("compact-speech", "emofuse.nets.compact_speech:build", rate_hz=16_000),
    Network(
        "speech-encoder",
        "emofuse.nets.speech_encoder:build",
        rate_hz=16_000,
        weights=(
            PublishedWeights(
                name="whisper-tiny-en",
                reader="emofuse.nets.speech_encoder:load_whisper",
                file="model.safetensors",
                form="safetensors",
                what="Whisper tiny.en, of which the first blocks of the encoder are used",
                licence="MIT",
                source="https://huggingface.co/openai/whisper-tiny.en",
            ),
        ),
    ),
):
    NETWORKS.add(_entry.name, _entry)
