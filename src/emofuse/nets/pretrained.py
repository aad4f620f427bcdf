"""Pretrained weights of the nets by name: where they come from, how they are read, and how they are kept.

A file as it was published is converted to safetensors once with `import_weights`; `load_pretrained` takes either, and
what `save_trained` wrote of a net that was trained here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from emofuse.core.files import file_digest, write_bytes
from emofuse.core.registry import nearest
from emofuse.errors import WeightsError
from emofuse.nets import cnn14, compact, mobilefacenet, vggface, vggface2
from emofuse.nets.formats import kinds

_METADATA = "emofuse"
_TRAINED = "emofuse-train"


class Head(StrEnum):
    """What to do with the last layers of a net, whose classes may be others than the file's.

    STRICT: they come from the file, which must have them. FRESH: they stay as they are, whatever the file has.
    """

    STRICT = "strict"
    FRESH = "fresh"


@dataclass(frozen=True)
class Pretrained:
    """One set of weights: net and settings it is for, reader, and what a user must know before using it.

    small: builds a version of the net for so many classes that learns in minutes from nothing.
    bundle: name of the bundle that comes along and holds the file; "" where the user has to get it.
    """

    name: str
    net: type[Any]
    settings: Any
    small: Callable[[int], Any]
    read: Callable[[Path, Any], dict[str, Tensor]]
    file: str
    form: str
    what: str
    licence: str
    source: str
    bundle: str = ""

    def build(self, classes: int = 7) -> nn.Module:
        """The net with random weights and that many classes."""
        net: nn.Module = self.net(replace(self.settings, classes=classes))
        return net


KNOWN = {
    w.name: w
    for w in (
        Pretrained(
            name="vggface2",
            net=vggface2.VGGFace2,
            settings=vggface2.VGGFace2Settings(),
            small=vggface2.VGGFace2.small,
            read=vggface2.load_keras,
            file="rcmalli_vggface_tf_notop_resnet50.h5",
            form="keras-hdf5",
            what="ResNet-50 trained on the identities of VGGFace2, without classifier",
            licence="non-commercial research, Creative Commons Attribution (readme of keras-vggface)",
            source="https://github.com/rcmalli/keras-vggface/releases/tag/v2.0",
        ),
        Pretrained(
            name="vggface",
            net=vggface.VGGFace,
            settings=vggface.VGGFaceSettings(classes=2622),
            small=vggface.VGGFace.small,
            read=vggface.load_matconvnet,
            file="vgg_face.mat",
            form="matconvnet",
            what="VGG-16 trained on the 2622 identities of VGG-Face",
            licence="non-commercial research",
            source="https://www.robots.ox.ac.uk/~vgg/software/vgg_face/",
        ),
        Pretrained(
            name="vggfer",
            net=vggface.VGGFace,
            settings=vggface.VGGFaceSettings(classes=7),
            small=vggface.VGGFace.small,
            read=vggface.load_matconvnet,
            file="vggfer.mat",
            form="matconvnet",
            what="VGG-Face fine-tuned on the 7 emotions of FER-2013 by Kaya et al. (2017)",
            licence="research; cite doi:10.1016/j.imavis.2017.01.012",
            source="https://github.com/frkngrpnr/jcs (readme)",
        ),
        Pretrained(
            name="mobilefacenet",
            net=mobilefacenet.MobileFaceNet,
            settings=mobilefacenet.MobileFaceNetSettings(),
            small=mobilefacenet.MobileFaceNet.tiny,
            read=mobilefacenet.load_torch,
            file="mobilefacenet.pt",
            form="torch-state-dict",
            what="MobileFaceNet, identity embedding trained on MS-Celeb-1M",
            licence="Apache-2.0",
            source="https://github.com/foamliu/MobileFaceNet",
        ),
        Pretrained(
            name="compact",
            net=compact.CompactFace,
            settings=compact.CompactFaceSettings(),
            small=compact.CompactFace.tiny,
            read=compact.load_onnx,
            file="face.onnx",
            form="onnx",
            what="the compact face net of the default bundle, trained on FER-2013",
            licence="weights trained on FER-2013, which is for research use",
            source="emofuse itself",
            bundle="default",
        ),
        Pretrained(
            name="pann-16k",
            net=cnn14.Cnn14,
            settings=cnn14.Cnn14Settings(cnn14.LOGMEL_16K, classes=cnn14.AUDIOSET_CLASSES),
            small=cnn14.Cnn14.tiny,
            read=cnn14.load_torch,
            file="Cnn14_16k_mAP=0.438.pth",
            form="torch-checkpoint",
            what="PANN Cnn14 trained on the 527 classes of AudioSet, sound at 16 kHz",
            licence="CC BY 4.0",
            source="https://zenodo.org/records/3987831",
        ),
        Pretrained(
            name="pann-32k",
            net=cnn14.Cnn14,
            settings=cnn14.Cnn14Settings(cnn14.LOGMEL_32K, classes=cnn14.AUDIOSET_CLASSES),
            small=cnn14.Cnn14.tiny,
            read=cnn14.load_torch,
            file="Cnn14_mAP=0.431.pth",
            form="torch-checkpoint",
            what="PANN Cnn14 trained on the 527 classes of AudioSet, sound at 32 kHz",
            licence="CC BY 4.0",
            source="https://zenodo.org/records/3987831",
        ),
    )
}


def known(name: str) -> Pretrained:
    """The entry of a name.

    Raises:
        WeightsError: there is no such name; the nearest is suggested.
    """
    if name not in KNOWN:
        raise WeightsError(f"weights {name!r}: unknown{nearest(name, KNOWN)}; one of {', '.join(KNOWN)}.")
    return KNOWN[name]


def convert(path: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a file as it was published, by their names in the net.

    Raises:
        WeightsError: the file is not that of `name`.
    """
    entry = known(name)
    return entry.read(path, entry.settings)


def import_weights(path: Path, name: str, *, out: Path) -> Path:
    """Convert a file as it was published to safetensors at `out`, and give `out`; equal files give equal bytes.

    Raises:
        WeightsError: the file is not that of `name`.
        OutputError: `out` cannot be written.
    """
    tensors = convert(path, name)
    origin = {"name": name, "file": path.name, "sha256": file_digest(path), "form": known(name).form}
    # One key: safetensors writes several in any order.
    write_bytes(out, save(tensors, {_METADATA: json.dumps(origin, sort_keys=True)}))
    return out


def save_trained(net: nn.Module, path: Path, *, name: str, about: Mapping[str, str]) -> None:
    """Write a net that was trained here, so that others of its kind can start from it.

    Args:
        name: of the system that it was trained as.
        about: text to keep beside it, such as its licence.
    Raises:
        OutputError: the file cannot be written.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    origin = {**about, "name": name, "net": type(net).__name__, "form": _TRAINED}
    write_bytes(path, save(tensors, {_METADATA: json.dumps(origin, sort_keys=True)}))


def load_pretrained(net: nn.Module, path: Path, *, name: str, head: Head = Head.STRICT) -> tuple[str, ...]:
    """Put the weights `name` into `net`, from the published file or the one that `import_weights` wrote.

    A file that `save_trained` wrote of the same kind of net is taken for any name.

    Returns:
        Names of the tensors of the net that did not come from the file: none, or those of the head.
    Raises:
        WeightsError: the file, the net and the name do not fit each other; the net is left as it was.
    """
    entry = known(name)
    if not isinstance(net, entry.net):
        raise WeightsError(f"weights {name!r} are for {entry.net.__name__}, not for {type(net).__name__}.")
    if kinds.kind(path) == kinds.SAFETENSORS:
        tensors = _read_kept(path, name, net)
    else:
        tensors = entry.read(path, replace(net.settings, classes=entry.settings.classes))
    own: dict[str, Tensor] = net.state_dict()
    fresh = tuple(k for k in own if k.startswith(net.head)) if Head(head) is Head.FRESH else ()
    tensors = {k: v for k, v in tensors.items() if k not in fresh}
    _check_fit(tensors, {k: v for k, v in own.items() if k not in fresh}, path, heads=net.head)
    net.load_state_dict(tensors, strict=False)
    return fresh


def origin(path: Path) -> dict[str, str]:
    """What a file says of itself: at least name and form if `import_weights` or `save_trained` wrote it, else nothing.

    Raises:
        WeightsError: the file cannot be read.
    """
    if kinds.kind(path) != kinds.SAFETENSORS:
        return {}
    try:
        with safe_open(path, "pt") as file:
            said = json.loads((file.metadata() or {}).get(_METADATA, "{}"))
    except (SafetensorError, ValueError) as error:
        raise kinds.unreadable(path, "a file that `emofuse weights import` wrote", error) from None
    return said if isinstance(said, dict) else {}


def _read_kept(path: Path, name: str, net: nn.Module) -> dict[str, Tensor]:
    said, kind = origin(path), type(net).__name__
    trained = said.get("form") == _TRAINED
    if said.get("net") == kind if trained else said.get("name") == name:
        with safe_open(path, "pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (no mapping)
    found = "a file that neither `emofuse weights import` nor `emofuse train` wrote"
    if said:
        found = f"a {said.get('net')} trained as {said.get('name')!r}" if trained else f"weights {said.get('name')!r}"
    raise WeightsError(f"{path}: expected weights {name!r}, or a {kind} that was trained here, found {found}.")


def _check_fit(tensors: dict[str, Tensor], own: dict[str, Tensor], path: Path, *, heads: tuple[str, ...]) -> None:
    for name in (*own, *tensors):
        file, net = (list(t[name].shape) if name in t else None for t in (tensors, own))
        if file != net:
            hint = "; head='fresh' leaves the last layers as they are" if name.startswith(heads) else ""
            raise WeightsError(
                f"{path}: {name!r} is {file or 'missing'} in the file and {net or 'missing'} in the net{hint}."
            )
