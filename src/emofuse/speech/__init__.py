"""Speech in audio: separated from other audio (voice separation), and detected in time (speech detection).

Both process live streams of `emofuse.media.audio.AudioBlock` in constant memory. Methods register themselves in
`SEPARATORS` and `SPEECH_DETECTORS`, each in a file of its own.
"""

from emofuse.speech import energy, silero, spleeter
from emofuse.speech.stream import (
    SEPARATORS,
    SPEECH_DETECTORS,
    ActivitySegment,
    ActivityStream,
    AlwaysActive,
    NoSeparation,
    SeparationStream,
    SpeechDetector,
    VoiceSeparator,
)

__all__ = [
    "SEPARATORS",
    "SPEECH_DETECTORS",
    "ActivitySegment",
    "ActivityStream",
    "AlwaysActive",
    "NoSeparation",
    "SeparationStream",
    "SpeechDetector",
    "VoiceSeparator",
    "energy",
    "silero",
    "spleeter",
]
