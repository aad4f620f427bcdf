"""Files that clients send: safe names, and bodies streamed to disk within limits."""

from __future__ import annotations

import asyncio
import errno
import shutil
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from starlette.requests import ClientDisconnect, Request

from emofuse.core.files import NAME_BYTES, printable, shortened
from emofuse.server.security import STALL_SECONDS, RefusedError, stated_length

_BLOCK = 1 << 20
_SLOWEST = 1000  # bytes per second, on average
_NAME_BYTES = NAME_BYTES - 40  # which leaves room for a number, and for the endings of results
_SPECIAL = str.maketrans(dict.fromkeys('<>:"|?*', "_"))
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}  # on Windows


def safe_name(name: str) -> str:
    r"""The name of an upload as the name of a file: no path, no control characters, nothing that a system reserves.

    >>> safe_name("../../etc/talk.mp4"), safe_name("C:\\clips\\a:b?.mp4"), safe_name("..."), safe_name("nul.mp4")
    ('talk.mp4', 'a_b_.mp4', 'upload', '_nul.mp4')
    """
    text = unicodedata.normalize("NFC", name.replace("\\", "/"))
    text = "".join(c for c in text.rpartition("/")[2] if unicodedata.category(c)[0] != "C").translate(_SPECIAL)
    text = " ".join(text.split()).strip(". ")
    if text.partition(".")[0].strip().lower() in _RESERVED:
        text = f"_{text}"
    return shortened(text, _NAME_BYTES) or "upload"


def typed_name(text: str) -> str:
    r"""A name that a user typed as the name of a file: slashes are part of it, and become `_`.

    >>> typed_name("VP 3/12"), typed_name("a\\b")
    ('VP 3_12', 'a_b')
    """
    return safe_name(text.replace("/", "_").replace("\\", "_"))


def free_name(name: str, taken: Callable[[str], bool]) -> str:
    """The name, or one with a number, that is not taken.

    >>> free_name("talk.mp4", {"talk.mp4", "talk-2.mp4"}.__contains__)
    'talk-3.mp4'
    """
    path, n = PurePosixPath(name), 1
    while taken(candidate := f"{path.stem}-{n}{path.suffix}" if n > 1 else name):
        n += 1
    return candidate


async def save_body(request: Request, path: Path, limit: int) -> None:
    """Stream the body of a request to a new file, which is removed if that fails.

    Raises:
        RefusedError: it is too large, stalls, or the disk is full.
    """
    length = stated_length(request.headers)
    if length > limit:
        raise _too_large(limit)
    try:
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        if length > shutil.disk_usage(path.parent).free:
            raise _disk_full()
        with path.open("xb") as file:
            received = await _stream(request, file, limit)
        if not received:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST,
                f"{printable(path.name)}: is empty (0 bytes). Copy or record it again; it is the body of the request.",
            )
    except BaseException as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
            path.parent.rmdir()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _disk_full() from None
        if isinstance(error, ClientDisconnect):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the upload was broken off.") from None
        raise


async def _stream(request: Request, file: BinaryIO, limit: int) -> int:
    """Write the body to a file; returns the number of bytes."""
    received, buffered, began = 0, bytearray(), time.monotonic()
    chunks = request.stream()
    while True:
        try:
            chunk = await asyncio.wait_for(anext(chunks, None), STALL_SECONDS)
        except TimeoutError:
            raise _stalled(f"stalled for {STALL_SECONDS:.0f} s") from None
        received += len(chunk or b"")
        elapsed = time.monotonic() - began
        if elapsed > 2 * STALL_SECONDS and received < _SLOWEST * elapsed:
            raise _stalled(f"is slower than {_SLOWEST} bytes per second")
        if received > limit:
            raise _too_large(limit)
        buffered += chunk or b""
        if buffered and (chunk is None or len(buffered) >= _BLOCK):
            await asyncio.to_thread(file.write, bytes(buffered))
            buffered.clear()
        if chunk is None:
            return received


def _stalled(problem: str) -> RefusedError:
    return RefusedError(HTTPStatus.REQUEST_TIMEOUT, f"the upload {problem}; send it again.")


def _too_large(limit: int) -> RefusedError:
    return RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the file has more than {_size(limit)}; start the server with a larger --max-upload.",
    )


def _size(count: int) -> str:
    """A number of bytes in words.

    >>> _size(100_000), _size(4_000_000_000), _size(1_500_000), _size(12)
    ('100 KB', '4 GB', '1.5 MB', '12 bytes')
    """
    divisor, unit = next(((d, u) for d, u in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")) if count >= d), (1, "bytes"))
    return f"{count / divisor:.4g} {unit}"


def _disk_full() -> RefusedError:
    return RefusedError(HTTPStatus.INSUFFICIENT_STORAGE, "the disk of the server is full; free some space.")
