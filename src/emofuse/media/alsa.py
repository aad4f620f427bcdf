"""ALSA, the sound system of Linux, as PyAV's wheels contain it."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

import av.logging

_SETTINGS = Path("/usr/share/alsa/alsa.conf")  # PyAV's own ALSA looks for it where PyAV was built
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)
_ignored = _Handler(lambda *error: None)  # file, line, function, number and format


def prepare_alsa() -> None:
    """Let ALSA find the settings of this machine, and print nothing: what it cannot open is an error of PyAV's."""
    if _SETTINGS.exists():
        os.environ.setdefault("ALSA_CONFIG_PATH", str(_SETTINGS))
        os.environ.setdefault("ALSA_CONFIG_DIR", str(_SETTINGS.parent))  # of the names of cards' microphones
    with suppress(OSError, AttributeError):  # another PyAV may do without ALSA
        ctypes.CDLL(av.logging.__file__).snd_lib_error_set_handler(_ignored)
