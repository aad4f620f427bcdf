"""Files: written atomically, and named by digests.

A file is written under a temporary name and renamed, so that a reader or a resumed run finds either nothing or a
complete file. Equal definitions have equal digests on every machine.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from emofuse.errors import OutputError

_CHUNK = 1 << 20
_PARTIAL = ".partial-"
_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `path` if the block ends without an error.

    The temporary file is removed on an error. One that a killed run left is overwritten by the next run.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    partial = path.with_name(f"{_PARTIAL}{path.name}")
    with _writing(path, partial):
        partial.unlink(missing_ok=True)
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder to fill, which replaces the whole folder `path` if the block ends without an error.

    Raises:
        OutputError: the folder cannot be written, the disk is full, or `path` is a file.
    """
    path = Path(path)
    partial, old = path.with_name(f"{_PARTIAL}{path.name}"), path.with_name(f"{_PARTIAL}old-{path.name}")
    with _writing(path, partial):
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file", str(path))
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)
        partial.mkdir()
        yield partial
        if path.exists():
            path.replace(old)
        partial.replace(path)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _writing(path: Path, partial: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and _concerns(error, path, partial):
            raise OutputError(_explain(path, error)) from error
        raise


def _concerns(error: OSError, path: Path, partial: Path) -> bool:
    # An OSError about another file, or from a socket, is the caller's business, not a failure of this
    # output. Writing to an open file and fsync fail without a file name.
    if error.filename is None:
        return error.errno in _WRITING
    return str(error.filename) in map(str, (partial, path, *path.parents))


def _explain(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path}: the disk is full; no partial file was left. Free some space and run the command again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path}: no permission to write here; choose another folder with --out."
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return (
            f"{path}: there is a file where a folder is needed, or a folder where a file is; choose another with --out."
        )
    return f"{path}: cannot be written ({error.strerror or error}); choose another folder with --out."


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with atomic(path) as partial:
        partial.write_bytes(content)


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON (UTF-8, two spaces, key order kept, NaN refused) whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def digest(definition: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a definition of JSON values; the order of keys does not matter.

    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    True
    """
    canonical = json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def file_digest(path: str | Path) -> str:
    """SHA-256 (hex) of a file's bytes, read in blocks."""
    sha = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_CHUNK):
            sha.update(block)
    return sha.hexdigest()


def printable(path: str | os.PathLike[str]) -> str:
    """A path for a one-line message: names with line breaks or undecodable characters are escaped."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)
