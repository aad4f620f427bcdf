"""What is said: transcripts of other programs or of Whisper, their sentences, and sentences as rows of n-grams."""

from emofuse.words.transcript import Cue, Transcript, Word
from emofuse.words.transcript_files import read_transcript, transcript_beside

__all__ = ["Cue", "Transcript", "Word", "read_transcript", "transcript_beside"]
