"""The voice in sound: taken out of what else is heard (separation), and found in time (activity).

Both work on live streams of `emofuse.media.audio.Sound`, in constant memory.
"""

from emofuse.speech.activity import Activity, ActivityDetector, EnergyDetector, Everywhere, Stretch
from emofuse.speech.stream import Separation, Unseparated, Voice

__all__ = [
    "Activity",
    "ActivityDetector",
    "EnergyDetector",
    "Everywhere",
    "Separation",
    "Stretch",
    "Unseparated",
    "Voice",
]
