"""The stages that process audio before it is scored, by name: voice separation and speech detection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emofuse.core.registry import find
from emofuse.errors import WeightsError
from emofuse.models import weights
from emofuse.runtime import ONE_THREAD, Engine
from emofuse.speech import SEPARATORS, SPEECH_DETECTORS, SpeechDetector, VoiceSeparator


@dataclass(frozen=True)
class ChosenSpeechDetector:
    """A speech detector, and a note on why it is not the preferred one, or ""."""

    detector: SpeechDetector
    note: str = ""


def choose_separation(name: str, engine: Engine) -> VoiceSeparator:
    """The voice separation of a name.

    Raises:
        SettingsError: there is no such method.
        WeightsError: its weights are not on this machine, or are different ones.

    >>> choose_separation("none", Engine(1)).identity
    'none'
    """
    return SEPARATORS[name](_locate, engine)


def choose_speech_detector(name: str) -> ChosenSpeechDetector:
    """The speech detector of a name; `auto` is Silero where its network is available, and energy otherwise.

    Raises:
        SettingsError: there is no such detector.
        WeightsError: its weights are not on this machine, or are different ones.
    """
    find(name, {"auto": None, **dict.fromkeys(SPEECH_DETECTORS)}, "speech detector")
    try:
        return ChosenSpeechDetector(SPEECH_DETECTORS["silero" if name == "auto" else name](_locate, ONE_THREAD))
    except WeightsError as error:
        if name != "auto":
            raise
        note = f"speech is detected by its energy, because Silero is not available: {error}"
        return ChosenSpeechDetector(SPEECH_DETECTORS["energy"](_locate, ONE_THREAD), note)


def _locate(name: str) -> tuple[Path, ...]:
    return weights.fetch_set(weights.known(name))
