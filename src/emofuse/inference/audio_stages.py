"""What a bundle listens with: separation of the voice and voice activity, chosen once for any number of recordings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emofuse.core.windows import Windows
from emofuse.inference.voice_windows import Floats, Listener
from emofuse.models.voice_stages import choose_separation, choose_speech_detector
from emofuse.runtime import Engine
from emofuse.speech import SpeechDetector, VoiceSeparator


@dataclass(frozen=True)
class AudioStages:
    """How sound is listened to. note: what a user should know of what was chosen, or ""."""

    separation: VoiceSeparator
    activity: SpeechDetector
    note: str = ""

    @property
    def identity(self) -> dict[str, str]:
        """The names of both in results."""
        return {"separation": self.separation.identity, "voice_activity": self.activity.identity}

    def listener(self, windows: Windows, scorer: Callable[[Floats], Floats]) -> Listener:
        """A new listener for one recording."""
        rate = windows.rate_hz
        return Listener(windows, scorer, voice=self.separation.stream(rate), activity=self.activity.stream(rate))


def choose_audio_stages(separation: str, activity: str, engine: Engine) -> AudioStages:
    """The stages of these names.

    Raises:
        SettingsError: there is no stage of a name.
        WeightsError: the weights of one are not here, or are not what they should be.
    """
    chosen = choose_speech_detector(activity)
    return AudioStages(choose_separation(separation, engine), chosen.detector, chosen.note)
