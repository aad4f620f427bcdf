"""The audio of a file is scored beside its video, at most one block behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import active_count, current_thread

import numpy as np
import pytest

from emofuse.core.time import ticks
from emofuse.errors import MediaError
from emofuse.inference.audio_feed import AudioFeed
from emofuse.inference.audio_stages import AudioWindowScore
from emofuse.inference.session import SessionOutput
from emofuse.media.audio import AudioBlock
from emofuse.media.container import MediaFile
from emofuse.speech.energy import EnergyDetector
from support.media_files import write_pcm

RATE = 1000


@dataclass
class Recorder:
    """Takes the place of the session: the output of a block is its end."""

    threads: set[str] = field(default_factory=set)
    fails_after: float = 1e9

    def push_audio(self, block: AudioBlock, modality: str) -> SessionOutput:
        self.threads.add(current_thread().name)
        if block.end > ticks(self.fails_after):
            raise MediaError("the tape broke")
        return SessionOutput(audio_windows=[AudioWindowScore(block.start, block.end, None)])


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    return write_pcm(tmp_path / "a.wav", [(0, np.zeros(34 * RATE))], rate=RATE)


def feed_of(file: MediaFile, session: Recorder) -> AudioFeed:
    return AudioFeed(file, session, EnergyDetector(), RATE)


def ends(feed: AudioFeed, until: float | None) -> list[float]:
    outputs = list(feed.outputs(None if until is None else ticks(until)))
    return [window.end / ticks(1) for output in outputs for window in output.audio_windows]


def test_blocks_are_handed_over_once_the_video_is_a_block_ahead(audio):
    with MediaFile(audio) as file:
        feed = feed_of(file, session := Recorder())
        assert [ends(feed, time) for time in (0, 1, 9.9, 10, 19, 31)] == [[], [], [], [10], [], [20, 30]]
        assert ends(feed, None) == [34]
        assert (feed.reached, feed.error, feed.warnings) == (ticks(34), None, [])
        assert not session.threads & {current_thread().name}


def test_what_ends_the_audio_early_is_kept_for_later(audio):
    with MediaFile(audio) as file:
        feed = feed_of(file, Recorder(fails_after=25))
        assert ends(feed, None) == [10, 20]
        assert str(feed.error) == "the tape broke"
        assert feed.reached == ticks(20)


def test_closing_ends_the_thread(audio):
    before = active_count()
    with MediaFile(audio) as file:
        feed = feed_of(file, Recorder())
        assert ends(feed, 0) == []
        assert active_count() == before + 1
        feed.close()
    assert active_count() == before
