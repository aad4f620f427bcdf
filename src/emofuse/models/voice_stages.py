"""What is done to sound before it is judged, by name: taking the voice out of it, and finding where there is voice."""

from __future__ import annotations

from dataclasses import dataclass

from emofuse.core.registry import nearest
from emofuse.errors import SettingsError, WeightsError
from emofuse.models import weights
from emofuse.runtime import Engine
from emofuse.speech import AlwaysActive, EnergyDetector, NoSeparation, SpeechDetector, VoiceSeparator

SEPARATIONS = ("none", "spleeter")
SPEECH_DETECTORS = ("auto", "silero", "energy", "none")


@dataclass(frozen=True)
class ChosenSpeechDetector:
    """A detector of voice, and why it is not the one that was hoped for (or "")."""

    detector: SpeechDetector
    note: str = ""


def choose_separation(name: str, engine: Engine) -> VoiceSeparator:
    """The separation of a name.

    Raises:
        SettingsError: no such separation.
        WeightsError: its weights are not here, or are not what they should be.

    >>> choose_separation("none", Engine(1)).identity
    'none'
    """
    if name not in SEPARATIONS:
        raise SettingsError(f"separation {name!r}: unknown{nearest(name, SEPARATIONS)}; choose {_all(SEPARATIONS)}.")
    if name == "none":
        return NoSeparation()
    from emofuse.speech.spleeter import Spleeter

    vocals, accompaniment = weights.fetch_set(weights.known("spleeter"))
    return Spleeter(vocals, accompaniment, engine=engine)


def choose_speech_detector(name: str) -> ChosenSpeechDetector:
    """The voice activity detector of a name; `auto` takes Silero where its net is, and energy otherwise.

    Raises:
        SettingsError: no such detector.
        WeightsError: "silero" is wanted, but its net is not here, or what is here is another.
    """
    if name not in SPEECH_DETECTORS:
        raise SettingsError(
            f"voice activity {name!r}: unknown{nearest(name, SPEECH_DETECTORS)}; choose {_all(SPEECH_DETECTORS)}."
        )
    if name == "none":
        return ChosenSpeechDetector(AlwaysActive())
    if name == "energy":
        return ChosenSpeechDetector(EnergyDetector())
    from emofuse.speech.silero import SileroDetector

    try:
        return ChosenSpeechDetector(SileroDetector(weights.fetch(weights.known("silero"))))
    except WeightsError as error:
        if name == "silero":
            raise
        return ChosenSpeechDetector(
            EnergyDetector(), f"voice is found by its energy, since Silero is not here: {error}"
        )


def _all(names: tuple[str, ...]) -> str:
    return ", ".join(names)
