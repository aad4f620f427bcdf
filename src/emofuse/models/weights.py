"""Weights that are not part of the package: their sources, and downloads checked by SHA-256.

They are searched for in the folders of EMOFUSE_WEIGHTS (separated as in PATH), then in the user's cache. Weights whose
checksum is not listed are never downloaded: the user provides them, and the code that loads them checks them.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from emofuse.core.files import atomic, file_digest, own_outputs
from emofuse.core.registry import find
from emofuse.errors import WeightsError

VARIABLE = "EMOFUSE_WEIGHTS"
_TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class Weights:
    """One file of weights, or several that belong together.

    sha256: None if the user has to provide them, as described by `provide`.
    sets: names of files that belong together, the best set first; empty for `file` alone.
    packed: folders that their archives unpack to. package: name of a package that may contain them, and its folder.
    """

    name: str
    file: str
    url: str
    sha256: str | None
    licence: str
    what: str
    provide: str = ""
    sets: tuple[tuple[str, ...], ...] = ()
    packed: tuple[str, ...] = ()
    package: tuple[str, str] | None = None


_YUNET = (
    "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/02246e79b1e976c83d1e135a85e0628120c93769/onnx"
)
_SEPARATION = "https://github.com/k2-fsa/sherpa-onnx/releases/download/source-separation-models"
_STEMS = "sherpa-onnx-spleeter-2stems"
_WHISPER = "https://huggingface.co/openai/whisper-tiny.en"
KNOWN = {
    w.name: w
    for w in (
        Weights(
            name="yunet",
            file="yunet_n_dynamic.onnx",
            url=f"{_YUNET}/yunet_n_dynamic.onnx",
            sha256="104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
            licence="Apache-2.0",
            what="YuNet face detector with 5 landmarks",
        ),
        Weights(
            name="spleeter",
            file="vocals.fp32.onnx",
            url=f"{_SEPARATION}/{_STEMS}.tar.bz2",
            sha256=None,
            licence="MIT",
            what="Spleeter, 2 stems: voice and accompaniment",
            provide=f"download and unpack {_SEPARATION}/{_STEMS}.tar.bz2",
            sets=tuple((f"vocals{form}.onnx", f"accompaniment{form}.onnx") for form in (".fp32", "", ".int8", ".fp16")),
            packed=(_STEMS, f"{_STEMS}-int8", f"{_STEMS}-fp16"),
        ),
        Weights(
            name="silero",
            file="silero_vad.onnx",
            url="https://pypi.org/project/silero-vad/",
            sha256=None,
            licence="MIT",
            what="Silero voice activity detector",
            provide="pip install --no-deps silero-vad",
            package=("silero_vad", "data"),
        ),
        Weights(
            name="whisper-tiny-en",
            file="model.safetensors",
            url=_WHISPER,
            sha256=None,
            licence="MIT",
            what="Whisper tiny.en, whose encoder `speech-encoder` starts from",
            provide=f"download model.safetensors from {_WHISPER}",
            # The second file has the same tensors up to the third block of the encoder.
            sets=(("model.safetensors",), ("whisper-tiny-en-encoder3.safetensors",)),
            packed=("whisper-tiny.en",),
        ),
    )
}


def known(name: str) -> Weights:
    """The entry of a name.

    Raises:
        WeightsError: there is no such name; the nearest is suggested.
    """
    return find(name, KNOWN, "weights", error=WeightsError, remedy="`emofuse weights list` shows all.")


def cache() -> Path:
    """The folder of downloaded weights."""
    return Path(platformdirs.user_cache_dir("emofuse")) / "weights"


def folders() -> list[Path]:
    """Folders that are searched, in order."""
    named = [Path(p).expanduser() for p in os.environ.get(VARIABLE, "").split(os.pathsep) if p]
    return [*named, cache()]


def locate(weights: Weights) -> Path | None:
    """The file, or the first of a set, if one of the folders has it.

    Raises:
        WeightsError: the file has other content, or other files of its set are missing.
    """
    found = locate_set(weights)
    return found[0] if found else None


def locate_set(weights: Weights) -> tuple[Path, ...]:
    """The files that belong together, in the order of `sets`, from the first folder that has them; else empty.

    Raises:
        WeightsError: as in `locate`.
    """
    incomplete: tuple[Path, str] | None = None
    for folder in _search_folders(weights):
        for names in weights.sets or ((weights.file,),):
            paths = tuple(folder / name for name in names)
            present = [path.is_file() for path in paths]
            if all(present):
                _check(weights, paths)
                return paths
            if any(present):
                incomplete = incomplete or (paths[present.index(True)], names[present.index(False)])
    if incomplete:
        raise WeightsError(
            f"{incomplete[0]}: needs {incomplete[1]} in the same folder, which is missing; {weights.provide}."
        )
    return ()


def fetch(weights: Weights) -> Path:
    """The file, or the first of a set, from one of the folders; else downloaded into the cache.

    Raises:
        WeightsError: it cannot be downloaded, the download has another checksum, or the user has to provide it.
    """
    if weights.sha256 is None:
        return fetch_set(weights)[0]
    if (found := locate(weights)) is not None:
        return found
    path = cache() / weights.file
    with atomic(path) as partial:
        _download(weights, partial)
    return path


def fetch_set(weights: Weights) -> tuple[Path, ...]:
    """The files that belong together, which the user has to provide.

    Raises:
        WeightsError: they are not found; the message says how to get them and where to put them.
    """
    found = locate_set(weights)
    if not found:
        names = " and ".join((weights.sets or ((weights.file,),))[0])
        where = f"put {names} into a folder of `emofuse weights path`, or set {VARIABLE} to a folder that contains them"
        how = f"{weights.provide}, or {where}" if weights.package else f"{weights.provide}, then {where}"
        raise WeightsError(f"weights {weights.name}: not found on this machine; {how}.")
    return found


def convert(path: Path, name: str, *, out: Path | None = None) -> Path:
    """Convert published weights to safetensors for training; returns the file.

    out: the file to write; default: in the cache.

    Raises:
        WeightsError: the file is missing or not that of `name`, or torch is not installed.
        SettingsError: `out` is a file that emofuse has not written.
        OutputError: the file cannot be written.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file; give the published file.")
    try:
        from emofuse.nets.pretrained import import_weights
    except ImportError as error:
        raise WeightsError(f"{path}: reading it needs {error.name}; pip install 'emofuse[train]'.") from None
    with own_outputs([] if out is None else [out]):
        return import_weights(path, name, out=out or cache() / f"{name}.safetensors")


def _search_folders(weights: Weights) -> list[Path]:
    """The folders to search for these weights."""
    found = [path for folder in folders() for path in (folder, *(folder / name for name in weights.packed))]
    if weights.package is not None:
        name, inside = weights.package
        spec = importlib.util.find_spec(name)  # does not import the package
        found += [Path(path) / inside for path in (spec and spec.submodule_search_locations) or ()]
    return found


def _check(weights: Weights, paths: tuple[Path, ...]) -> None:
    if weights.sha256 is None:
        return
    found = file_digest(paths[0])
    if found != weights.sha256:
        raise WeightsError(
            f"{paths[0]}: SHA-256 is {found[:12]}..., {weights.name} has {weights.sha256[:12]}...; "
            f"delete the file and run `emofuse weights fetch {weights.name}`."
        )


def _download(weights: Weights, partial: Path) -> None:
    try:
        with urllib.request.urlopen(weights.url, timeout=_TIMEOUT_SECONDS) as response, partial.open("wb") as out:
            shutil.copyfileobj(response, out, 1 << 20)
    except OSError as error:
        if error.filename == str(partial):
            raise
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        reason = getattr(error, "reason", error)
        raise WeightsError(
            f"weights {weights.name}: cannot be fetched from {weights.url} ({reason}). Are you offline? "
            f"Put {weights.file} into a folder and set {VARIABLE} to that folder."
        ) from None
    if (found := file_digest(partial)) != weights.sha256:
        raise WeightsError(
            f"weights {weights.name}: the download from {weights.url} has SHA-256 {found[:12]}..., "
            f"expected {str(weights.sha256)[:12]}...; nothing was saved. Try again, or get the file elsewhere."
        )
