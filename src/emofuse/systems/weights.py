"""Weights that are not in the package: where they come from, and fetching them once, checked by SHA-256.

Looked for in the folders of EMOFUSE_WEIGHTS (several are divided as in PATH), then in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from emofuse.core.names import nearest
from emofuse.core.store import atomic, file_digest
from emofuse.errors import WeightsError

VARIABLE = "EMOFUSE_WEIGHTS"


@dataclass(frozen=True)
class Weights:
    """One file of weights: what it is and how to know it."""

    name: str
    file: str
    url: str
    sha256: str
    licence: str
    what: str


_YUNET = (
    "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/02246e79b1e976c83d1e135a85e0628120c93769/onnx"
)
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
    )
}


def known(name: str) -> Weights:
    """The entry of a name.

    Raises:
        WeightsError: there is no such name; the nearest is suggested.
    """
    if name not in KNOWN:
        raise WeightsError(f"weights {name!r}: unknown{nearest(name, KNOWN)}; `emofuse weights list` shows all.")
    return KNOWN[name]


def cache() -> Path:
    """Folder that fetched weights are kept in."""
    return Path(platformdirs.user_cache_dir("emofuse")) / "weights"


def folders() -> list[Path]:
    """Folders that are searched, in order."""
    named = [Path(p).expanduser() for p in os.environ.get(VARIABLE, "").split(os.pathsep) if p]
    return [*named, cache()]


def locate(weights: Weights) -> Path | None:
    """The file, if one of the folders has it.

    Raises:
        WeightsError: a file of this name is there, but its content is another.
    """
    for folder in folders():
        path = folder / weights.file
        if path.is_file():
            found = file_digest(path)
            if found != weights.sha256:
                raise WeightsError(
                    f"{path}: SHA-256 is {found[:12]}..., {weights.name} has {weights.sha256[:12]}...; "
                    f"delete the file and run `emofuse weights fetch {weights.name}`."
                )
            return path
    return None


def fetch(weights: Weights, *, timeout_seconds: float = 20) -> Path:
    """The file from one of the folders, or else downloaded into the cache.

    Raises:
        WeightsError: it cannot be downloaded, or what came is something else.
    """
    if (found := locate(weights)) is not None:
        return found
    path = cache() / weights.file
    with atomic(path) as partial:
        _download(weights, partial, timeout_seconds)
    return path


def convert(path: Path, name: str, *, out: Path | None = None) -> Path:
    """Published weights of a net for training as safetensors, in the cache unless `out` says where.

    Raises:
        WeightsError: the file is missing or not that of `name`, or torch is not installed.
        OutputError: the file cannot be written.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file; give the weights as they were published.")
    try:
        from emofuse.nets.pretrained import import_weights
    except ImportError as error:
        raise WeightsError(f"reading them needs {error.name}; pip install 'emofuse[train]'.") from None
    return import_weights(path, name, out=out or cache() / f"{name}.safetensors")


def _download(weights: Weights, partial: Path, timeout_seconds: float) -> None:
    try:
        with urllib.request.urlopen(weights.url, timeout=timeout_seconds) as answer:
            content = _Hashed(partial)
            with content:
                shutil.copyfileobj(answer, content, 1 << 20)
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
    if content.hexdigest() != weights.sha256:
        raise WeightsError(
            f"weights {weights.name}: what {weights.url} sent has SHA-256 {content.hexdigest()[:12]}..., "
            f"expected {weights.sha256[:12]}...; nothing was kept. Try again, or get the file elsewhere."
        )


class _Hashed:
    """A file being written whose hash is known at the end."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._sha = hashlib.sha256()

    def write(self, block: bytes) -> int:
        self._sha.update(block)
        return self._file.write(block)

    def hexdigest(self) -> str:
        return self._sha.hexdigest()

    def __enter__(self) -> _Hashed:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
