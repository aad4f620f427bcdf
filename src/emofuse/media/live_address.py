"""What users call a live source, and what libav opens for it: cameras, microphones, streams, files, standard input."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from emofuse.core.files import printable
from emofuse.errors import SettingsError

STDIN = "-"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_SECRET = re.compile(r"(?<=://)[^/@]*@")  # user and password of a URL
_CAMERA = re.compile(r"/dev/(video|v4l)")
# Seconds of silence of a source after which it counts as lost, and until it has to be open.
_READ_SECONDS, _OPEN_SECONDS = 5.0, 15.0
_CONNECTIONLESS = frozenset({"udp", "rtp", "srt"})  # there is nobody to refuse: a sender may start later
_PLAYED = frozenset({"http", "https"})  # delivered ahead of time, in segments
_SHORT_PROBE = {"analyzeduration": "2000000"}  # microseconds of a stream that are read until it is shown
_OPTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "rtsp": {"rtsp_transport": "tcp"},
        "udp": {"fifo_size": "100000", "overrun_nonfatal": "1", **_SHORT_PROBE},
        "rtp": _SHORT_PROBE,
        "srt": _SHORT_PROBE,
    }
)


@dataclass(frozen=True)
class Address:
    """What libav opens.

    name: for messages and tables, without a password. format: of libav, None for what it finds.
    finite: whether it ends by itself, as a file does; its times are those of its timestamps alone.
    paced: whether it is delivered faster than it is to be shown.
    patient: whether it may begin long after it is opened.
    silent: whether it is a camera, which has no audio.
    """

    name: str
    url: str
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    finite: bool = False
    paced: bool = False
    patient: bool = False
    silent: bool = False

    @property
    def timeout(self) -> tuple[float, float] | None:
        """Seconds to open it, and until the next data."""
        return None if self.finite else (_OPEN_SECONDS, _READ_SECONDS)


def video_address(text: str, platform: str = sys.platform) -> Address:
    """The source that `--source` names.

    Args:
        text: number of a camera, a device, a URL, a file, or `-` for standard input.
    Raises:
        SettingsError: it is none of these.

    >>> video_address("0", "linux").url
    '/dev/video0'
    >>> video_address("rtsp://me:secret@door/1").name
    'rtsp://door/1'
    """
    if text.isdecimal():
        return _numbered_camera(int(text), platform)
    if text == STDIN:
        return Address("standard input", "pipe:0", finite=True, paced=True)
    if match := _SCHEME.match(text):
        scheme, name = match[1].lower(), printable(_SECRET.sub("", text))
        options, patient = _OPTIONS.get(scheme, {}), scheme in _CONNECTIONLESS
        return Address(name, text, None, options, paced=scheme in _PLAYED, patient=patient)
    if text.startswith("video="):
        return Address(printable(text), text, "dshow", silent=":audio=" not in text)
    if _CAMERA.match(text):
        return Address(printable(text), text, "v4l2", silent=True)
    path = Path(text)
    if path.suffix.lower() == ".sdp" and path.is_file():
        options = {"protocol_whitelist": "file,udp,rtp"}
        return Address(printable(path), str(path.absolute()), "sdp", options, patient=True)
    if not path.is_file():
        raise SettingsError(
            f"--source {printable(text)}: there is no such file; give the number of a camera, such as 0, a device, "
            "a URL (rtsp://, udp://, http://), a file, or - for standard input."
        )
    return Address(printable(path), str(path.absolute()), finite=True, paced=True)


def audio_address(text: str, platform: str = sys.platform) -> Address:
    """The microphone or stream that `--audio` names: `default`, a device, or a URL.

    Raises:
        SettingsError: the default microphone has no name on this platform.

    >>> audio_address("default", "darwin").url
    ':default'
    """
    if _SCHEME.match(text):
        return video_address(text, platform)
    device = _MICROPHONES.get(platform, ("alsa", "{}"))
    if platform == "win32" and not text.startswith("audio="):
        raise SettingsError(f"--audio {printable(text)}: on Windows, give the name of the microphone as audio=NAME.")
    return Address(f"microphone {printable(text)}", device[1].format(text), device[0])


def _numbered_camera(number: int, platform: str) -> Address:
    if platform == "win32":
        raise SettingsError(f"--source {number}: on Windows, give the name of the camera as video=NAME.")
    if platform == "darwin":
        return Address(f"camera {number}", f"{number}:none", "avfoundation", {"framerate": "30"}, silent=True)
    return Address(f"camera {number}", f"/dev/video{number}", "v4l2", silent=True)


# Format of libav, and how it spells the name of a device, by platform.
_MICROPHONES = MappingProxyType({"darwin": ("avfoundation", ":{}"), "win32": ("dshow", "{}"), "linux": ("alsa", "{}")})
