from __future__ import annotations

import numpy as np
import pytest

from emofuse.core.time import ticks
from emofuse.errors import MediaError
from emofuse.media.stills import Stills
from emofuse.media.video import VideoReader


def test_a_still_is_the_frame_of_its_time(talk):
    with VideoReader(talk) as video:
        frame = next(iter(video.frames(np.array([40]))))
        expected, start = frame.rgb(), frame.start
    with Stills(talk) as stills:
        found = stills.near(start, lambda time: time >= start)
    assert found is not None
    assert found.start == start
    assert np.array_equal(found.rgb(), expected)


def test_a_time_that_is_never_accepted_has_no_still(talk):
    with Stills(talk) as stills:
        assert stills.near(0, lambda time: False) is None
        assert stills.near(ticks(1e6), lambda time: time >= ticks(1e6)) is None


def test_a_file_that_is_no_video_is_one_line(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"x")
    with pytest.raises(MediaError):
        Stills(tmp_path / "x.mp4")
