"""Files: written atomically, and named by digests.

A file is written under a temporary name and renamed, so that a reader or a resumed run finds either nothing or a
complete file. Equal definitions have equal digests on every machine.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from emofuse.errors import OutputError, SettingsError

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None  # type: ignore[assignment]

NAME_BYTES = 255  # of a file name on common file systems
RECORDS = ".emofuse"  # folder of what is known of the files beside it
_CHUNK = 1 << 20
_CHUNKS_PER_CALL = 64
_PARTIAL = ".partial-"
_WRITTEN = "written"  # folder in RECORDS of an empty file for each output
_LONGEST_SUFFIX = 16
_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `path` if the block ends without an error.

    The temporary file is removed on an error. One that a killed run left is overwritten by the next run; one that
    another process is writing is left alone. Of several processes that write `path`, the last one replaces it.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    with _writing(path), _claimed(path) as partial:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)


@contextmanager
def own_outputs(paths: Sequence[Path], *, known: Collection[str] = ()) -> Iterator[None]:
    """Write outputs, files or folders, in this block; one that is there is replaced only if emofuse has written it.

    Names of outputs are kept in `.emofuse/written` beside them, from before they are written, so that a killed run
    leaves nothing that the next one refuses to replace. Names without a file are forgotten at the end of the block.

    Args:
        known: names of those that emofuse has written according to other records.
    Raises:
        SettingsError: there is one that emofuse has not written; none is written.
        OutputError: the folder cannot be written.
    """
    marks = {path: path.parent / RECORDS / _WRITTEN / path.name for path in paths}
    for path in marks:
        empty = path.is_dir() and not any(path.iterdir())
        if path.exists() and not empty and path.name not in known and not is_own_output(path):
            raise SettingsError(
                f"{printable(path)}: is there already, was not written by emofuse, and is not replaced; "
                "move it, or choose another place with --out."
            )
    try:
        for path, mark in marks.items():
            with _writing(path):
                mark.parent.mkdir(parents=True, exist_ok=True)
                mark.touch()
        yield
    finally:
        for path in marks:
            if not path.exists():
                forget_output(path)


def is_own_output(path: Path) -> bool:
    """Whether emofuse has written an output of this name, in this or an earlier run."""
    return (path.parent / RECORDS / _WRITTEN / path.name).exists()


def forget_output(path: Path) -> None:
    """Forget that emofuse has written an output of this name, so that no command replaces what will be there."""
    mark = path.parent / RECORDS / _WRITTEN / path.name
    with suppress(OSError):  # the folders are removed if nothing else is in them
        mark.unlink(missing_ok=True)
        mark.parent.rmdir()
        mark.parent.parent.rmdir()


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder to fill, which replaces the whole folder `path` if the block ends without an error.

    Raises:
        OutputError: the folder cannot be written, the disk is full, or `path` is a file.
    """
    path = Path(path)
    with _writing(path), _claimed(path, folder=True) as partial:
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file", str(path))
        old = partial.with_name(shortened(f"{_PARTIAL}old-{partial.name.removeprefix(_PARTIAL)}"))
        shutil.rmtree(old, ignore_errors=True)
        yield partial
        if path.exists():
            path.replace(old)
        partial.replace(path)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _claimed(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """An empty temporary file or folder that no other process writes; it is removed if it is still there in the end.

    The lock on it ends with its process, so what a killed run left is free for the next one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, lock = _claim(path, folder=folder)
    try:
        for left in partial.iterdir() if folder else ():
            _remove(left)
        yield partial
    finally:
        with suppress(FileNotFoundError):  # renamed; the name may belong to another process by now
            if lock is None or os.path.samestat(os.fstat(lock), partial.lstat()):
                _remove(partial)
        if lock is not None:
            os.close(lock)


def _claim(path: Path, *, folder: bool) -> tuple[Path, int | None]:
    """A temporary path next to `path` and its lock; without a lock but with a random name where files have no locks."""

    def named(tag: str) -> Path:
        partial = path.with_name(shortened(f"{_PARTIAL}{tag}{path.name}"))
        if folder:
            with suppress(FileExistsError):
                partial.mkdir()
        return partial

    try:
        for n in itertools.count(1):
            partial = named(f"{n}-" if n > 1 else "")
            if (lock := _lock(partial, os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT)) is not None:
                if not folder:
                    os.ftruncate(lock, 0)
                return partial, lock
    except _NoLocksError:
        pass
    return named(f"{secrets.token_hex(8)}-"), None


class _NoLocksError(Exception):
    """Files have no locks here, as on Windows and on some network file systems."""


def _lock(path: Path, flags: int) -> int | None:
    """Open and lock a file or folder; None if it belongs to another process, which may have replaced it meanwhile."""
    try:
        number = os.open(path, flags, 0o666)
    except (IsADirectoryError, NotADirectoryError, FileNotFoundError):
        if path.parent.is_dir():
            return None
        raise
    except PermissionError:
        if path.exists():  # of another user
            return None
        raise
    try:
        if fcntl is None:
            raise _NoLocksError
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(number), path.stat()):
            return number
    except (BlockingIOError, FileNotFoundError):
        pass
    except (OSError, _NoLocksError) as error:
        os.close(number)
        raise _NoLocksError from error
    os.close(number)
    return None


@contextmanager
def locked(path: Path, *, busy: str | None = None) -> Iterator[None]:
    """Wait until no other process is in such a block for the same path, a file that is created; without locks, go on.

    Args:
        busy: the error if there is one, instead of waiting.
    Raises:
        OutputError: the folder cannot be written, or, with `busy`, another process is in such a block.
    """
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            if fcntl is not None:
                fcntl.flock(number, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise OutputError(busy) from None
        except OSError:
            pass
        yield
    finally:
        os.close(number)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files that killed runs left in a folder; those of running processes stay."""
    for partial in folder.glob(f"{_PARTIAL}*"):
        with suppress(OSError, _NoLocksError):
            if (lock := _lock(partial, os.O_RDONLY)) is not None:
                _remove(partial)
                os.close(lock)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def shortened(name: str, limit: int = NAME_BYTES) -> str:
    """A file name of at most `limit` bytes: one that is longer ends with a digest of the whole, before its extension.

    >>> shortened("talk.csv"), len(os.fsencode(shortened("ओ" * 100 + ".csv")))
    ('talk.csv', 254)
    """
    raw = os.fsencode(name)
    if len(raw) <= limit:
        return name
    suffix = os.fsencode(Path(name).suffix)
    suffix = suffix if len(suffix) <= _LONGEST_SUFFIX else b""
    end = b"~" + hashlib.sha256(raw).hexdigest()[:12].encode() + suffix
    return (raw[: limit - len(end)].decode("utf-8", "ignore").encode() + end).decode("utf-8", "surrogateescape")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn errors about an output or its temporary file into one line."""
    try:
        yield
    except OSError as error:
        if _concerns(error, path):
            # Of what is kept in RECORDS, users know only the folder that it is in.
            shown = next((folder.parent for folder in path.parents if folder.name == RECORDS), path)
            raise OutputError(_explain(shown, error)) from error
        raise


def _concerns(error: OSError, path: Path) -> bool:
    # An OSError about another file, or from a socket, is the caller's business, not a failure of this
    # output. Writing to an open file and fsync fail without a file name.
    if error.filename is None:
        return error.errno in _WRITING
    if not isinstance(error.filename, str | bytes):
        return False
    named = Path(os.fsdecode(error.filename))
    if path.parent / RECORDS in (named, *named.parents):
        return True
    return named in (path, *path.parents) or (named.parent == path.parent and named.name.startswith(_PARTIAL))


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
    """Write JSON (UTF-8, lone surrogates escaped, two spaces, key order kept, NaN refused) whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode("utf-8", "backslashreplace"))


def digest(definition: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a definition of JSON values; the order of keys does not matter.

    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    True
    """
    canonical = json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", "backslashreplace")).hexdigest()


def file_digest(path: str | Path, *, progress: Callable[[], None] = lambda: None) -> str:
    """SHA-256 (hex) of a file's bytes, read in blocks; `progress` is called now and then."""
    sha = hashlib.sha256()
    with Path(path).open("rb") as file:
        for n in itertools.count(1):
            if not (block := file.read(_CHUNK)):
                break
            sha.update(block)
            if n % _CHUNKS_PER_CALL == 0:
                progress()
    return sha.hexdigest()


def printable(path: str | os.PathLike[str]) -> str:
    """A path for a one-line message: names with line breaks or undecodable characters are escaped."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)


def decoded(path: str | os.PathLike[str]) -> str:
    r"""A path as text that can be encoded: bytes that are not UTF-8 are escaped, all else is kept.

    >>> print(decoded(os.fsdecode(b"d\xe9j\xc3\xa0.mp4")))
    d\xe9jà.mp4
    """
    return os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
