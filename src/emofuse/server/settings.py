"""What a server is started with."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8765
DEFAULT_UPLOAD_BYTES = 4 << 30
MEDIA = "media"  # folder of the uploads that are kept, in the folder of results
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ServerSettings:
    """What a server is started with.

    results: folder of the results, and of everything else that it keeps.
    host: the address that it listens on. token: what clients must know; None on a loopback address only.
    api_only: without the page. jobs: number of files that are predicted at once.
    upload_bytes: size of the largest upload. queued_jobs: number of jobs that may wait or run.
    """

    results: Path
    host: str = DEFAULT_HOST
    token: str | None = None
    api_only: bool = False
    jobs: int = 1
    upload_bytes: int = DEFAULT_UPLOAD_BYTES
    queued_jobs: int = 1000
    bundle: str = "default"

    @property
    def local_paths(self) -> bool:
        """Whether clients may name files on this machine: those who sit at it."""
        return self.token is None and is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host.lower() in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
