"""The voice in sound: taken out of what else is heard (separation), and found in time (activity).

Both work on live streams of `emofuse.media.audio.AudioBlock`, in constant memory.
"""

from emofuse.speech.activity import ActivitySegment, ActivityStream, AlwaysActive, EnergyDetector, SpeechDetector
from emofuse.speech.stream import NoSeparation, SeparationStream, VoiceSeparator

__all__ = [
    "ActivityStream",
    "SpeechDetector",
    "EnergyDetector",
    "AlwaysActive",
    "VoiceSeparator",
    "ActivitySegment",
    "NoSeparation",
    "SeparationStream",
]
