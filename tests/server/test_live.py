"""Live sessions over the WebSocket."""

from __future__ import annotations

import multiprocessing
import struct
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from starlette.websockets import WebSocketDisconnect

from emofuse.media.images import encode_jpeg
from emofuse.media.video import VideoReader
from emofuse.server.live import InvalidMessageError, LiveProcess, read_input
from emofuse.server.live_results import speaker_warnings
from emofuse.server.live_worker import AudioInput, FrameInput, StopInput
from support.servers import LIVE

START = {"type": "start", "record": True, "name": "VP 3/12"}


def frame(time_ms: float, content: bytes) -> bytes:
    return struct.pack("<Bd", 1, time_ms) + content


def audio(time_ms: float, samples: np.ndarray, rate_hz: int = 16_000) -> bytes:
    return struct.pack("<BdI", 2, time_ms, rate_hz) + samples.astype("<f4").tobytes()


def jpegs(path: Any) -> Iterator[tuple[float, bytes]]:
    """Frames of a video as a browser sends them, ten per second for two seconds."""
    with VideoReader(path) as video:
        for found in video.frames():
            time_ms = found.start / 705_600
            if time_ms > 2000:
                return
            if found.index % 3 == 0:
                yield time_ms, encode_jpeg(found.rgb())


def until(socket: Any, kind: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The next message of a kind, and those before it."""
    before = []
    while (message := socket.receive_json())["type"] != kind:
        assert message["type"] != "error", message
        before.append(message)
    return message, before


@pytest.fixture(scope="module")
def session(client, talk):
    """What a recorded session said: the first message, frames, rows and the last message."""
    frames, rows = [], []
    with client.websocket_connect(LIVE) as socket:
        socket.send_json(START)
        ready, _ = until(socket, "ready")
        with client.websocket_connect(LIVE) as second, pytest.raises(WebSocketDisconnect) as refused:
            second.receive_json()
        assert refused.value.code == 4409
        assert client.get("/api/status").json()["live"] == {"available": True, "busy": True}
        socket.send_bytes(frame(0, b"\xff\xd8\xff damaged"))
        damaged, _ = until(socket, "damaged")
        assert damaged["error"].startswith("the frame at 0 ms: is damaged")
        socket.send_bytes(audio(0, np.zeros(1600)))
        for time_ms, content in jpegs(talk):
            socket.send_bytes(frame(time_ms, content))
            found, before = until(socket, "frame")
            frames.append(found)
            rows += [row for message in before for row in message["rows"]]
        socket.send_json({"type": "stop"})
        stopped, before = until(socket, "stopped")
        rows += [row for message in before for row in message["rows"]]
    return ready, frames, rows, stopped


def test_the_first_message_names_labels_and_colours(session):
    ready = session[0]
    assert ready["rate"] == 10
    assert list(ready["colours"]) == ready["labels"]


def test_every_processed_frame_is_answered_with_its_time_and_faces(session, talk):
    frames = session[1]
    assert [found["time_ms"] for found in frames] == [time_ms for time_ms, _ in jpegs(talk)]
    assert frames[0]["dropped"] == 1  # the damaged one
    last = frames[-1]["faces"][0]
    assert (last["person"], last["status"]) == (1, "ok")
    assert sum(last["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def test_final_rows_are_written_as_a_result(session, client, folder):
    _, _, rows, stopped = session
    assert stopped["result"] == "VP 3_12"
    table = pd.read_csv(folder / "VP 3_12.csv")
    assert table[["start", "status", "emotion"]].to_dict("records") == [
        {name: row[name] for name in ("start", "status", "emotion")} for row in rows
    ]
    result = client.get("/api/results/VP 3_12").json()
    assert (result["file"], len(result["persons"]), result["media"]) == ("VP 3_12", 1, False)
    assert client.get("/api/results/VP 3_12/report").status_code == 200


def test_without_a_camera_rows_do_not_wait_for_frames(client):
    with client.websocket_connect(LIVE) as socket:
        socket.send_json({"type": "start", "camera": False})
        until(socket, "ready")
        for block in range(48):  # 4.8 s, where sessions with a camera wait up to 10 s for a frame
            socket.send_bytes(audio(100 * block, np.zeros(1600)))
        rows, _ = until(socket, "rows")
        assert rows["rows"][0]["start"] == 0


@pytest.mark.parametrize(
    ("first", "error"),
    [("{}", "the first message"), ("[" * 10_000, "the first message"), ('{"type": "start", "more": 1}', "the first")],
)
def test_a_session_begins_with_a_start(client, first, error):
    with client.websocket_connect(LIVE) as socket:
        socket.send_text(first)
        assert socket.receive_json()["error"].startswith(error)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"\x01", "the message is too short"),
        (b"\x07" + frame(0, b"x")[1:], "the kind is neither"),
        (frame(1e9, b"x"), "the time is not that of now"),
        (frame(float("nan"), b"x"), "the time is not that of now"),
        (frame(0, bytes(5 << 20)), "the frame is too large"),
        (audio(0, np.zeros(16), 1), "the sample rate"),
        (audio(0, np.zeros(16))[:-1], "the audio has a wrong length"),
    ],
)
def test_wrong_messages_are_named_in_one_line(content, error):
    with pytest.raises(InvalidMessageError, match=error):
        read_input(content, now_ms=0)


def test_a_wrong_message_ends_the_session(client):
    with client.websocket_connect(LIVE) as socket:
        socket.send_json({"type": "start"})
        until(socket, "ready")
        socket.send_text("{}")
        assert socket.receive_json()["error"] == 'the text is not {"type": "stop"}.'
        assert socket.receive_json() == {"type": "stopped", "result": None}
    with client.websocket_connect(LIVE) as socket:  # the next one may begin at once
        socket.send_text("{}")
        assert socket.receive_json()["error"].startswith("the first message")


def test_a_session_in_which_no_frame_can_be_decoded_ends_in_one_line(client):
    with client.websocket_connect(LIVE) as socket:
        socket.send_json({"type": "start"})
        until(socket, "ready")
        for n in range(10):
            socket.send_bytes(frame(100 * n, b"no image"))
            assert socket.receive_json()["type"] == "damaged"
        assert socket.receive_json()["error"].startswith("10 frames in a row cannot be decoded")
        assert until(socket, "stopped")[0]["result"] is None


def table_of_two(speaking: list[float]) -> pd.DataFrame:
    """Rows of two persons who share the voice."""
    steps = range(len(speaking))
    rows = [(n / 10, person, 0.3, value, 0.5) for n, value in zip(steps, speaking, strict=True) for person in (1, 2)]
    return pd.DataFrame(rows, columns=["start", "person", "x", "speaking", "voice_weight"])


def test_a_result_of_several_persons_without_knowledge_of_who_speaks_has_a_warning():
    unknown, known = table_of_two([np.nan] * 10), table_of_two([0.0] * 10)
    (line,) = speaker_warnings([unknown, known.assign(start=known["start"] + 1)])
    assert line.startswith("in 50% of the time with several persons frames came too slowly to show who speaks (12 per")
    assert speaker_warnings([known]) == []
    assert speaker_warnings([unknown[unknown["person"] == 1]]) == []
    assert speaker_warnings([unknown.assign(voice_weight=np.nan)]) == []
    assert speaker_warnings([unknown.assign(x=np.nan)]) == []  # a voice while nobody is in view


def test_a_session_whose_process_dies_ends_in_one_line(client):
    with client.websocket_connect(LIVE) as socket:
        socket.send_json({"type": "start"})
        until(socket, "ready")
        (process,) = [child for child in multiprocessing.active_children() if child.name == "live"]
        process.kill()
        error = socket.receive_json()["error"]
    assert error == "the live session ended: its process crashed, perhaps on a damaged frame; start it again."
    assert client.get("/api/status").json()["live"]["busy"] is False


@pytest.fixture
def idle(monkeypatch) -> LiveProcess:
    """A session whose process is not started, to see what it would be given."""
    monkeypatch.setattr(LiveProcess, "__init__", lambda self: None)
    process = LiveProcess()  # type: ignore[call-arg]
    process._condition = threading.Condition()
    process._frame, process._audio, process._stop = None, deque(), None
    process._audio_seconds, process._audio_is_next, process._killed, process._dropped = 0.0, True, False, 0
    return process


def test_of_frames_the_newest_waits_and_audio_comes_in_turn(idle):
    for n in range(3):
        idle.put_frame(FrameInput(n, b""))
        idle.put_audio(AudioInput(n, 8000, bytes(400)))
    idle.stop(3)
    given = [idle._next() for _ in range(5)]
    assert [(type(each), each.time_ms) for each in given] == [
        (AudioInput, 0), (FrameInput, 2), (AudioInput, 1), (AudioInput, 2), (StopInput, 3),
    ]  # fmt: skip
    assert idle._dropped == 2


def test_of_more_than_ten_seconds_of_audio_the_oldest_is_dropped(idle):
    for n in range(12):
        idle.put_audio(AudioInput(n, 8000, bytes(4 * 8000)))
    assert [audio.time_ms for audio in idle._audio] == list(range(2, 12))
