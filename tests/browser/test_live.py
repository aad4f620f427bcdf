"""Live sessions in a browser whose camera and microphone play a file, or are missing."""

from __future__ import annotations

import json
import time

import pytest

from support.fake_camera import Traffic, capture_of, reference

EMOTIONS = range(1, 7)  # of one speaker, in the names of the clips
LEAST_AGREEMENT = 0.75  # 0.95 where the machine keeps up; frames that are left out hide who speaks
WARM_UP_SECONDS = 1.0


def start(page):
    page.get_by_role("button", name="Start", exact=True).click()


def stop(page):
    page.get_by_role("button", name="Stop", exact=True).click()


def wait_for_answers(page):
    page.wait_for_selector("#live .figures dd:has-text('ms')", timeout=90_000)


@pytest.fixture(autouse=True)
def free(served):
    """No session of an earlier test goes on."""
    while served.get("/status")["live"]["busy"]:
        time.sleep(0.1)


@pytest.fixture
def spoken(clips, tmp_path):
    """Six clips of one speaker, one after the other, as camera and microphone."""
    return capture_of([clips / f"01-01-0{n}_01.mp4" for n in EMOTIONS], tmp_path)


def test_live_rows_agree_with_those_of_predict(spoken, served, chromium, open_page, tmp_path, record_property):
    import emofuse

    with chromium(*spoken.options) as browser:
        traffic = Traffic()
        page = open_page(served.url, "live", using=browser).page
        traffic.listen(page)
        start(page)
        wait_for_answers(page)
        page.wait_for_timeout(1000 * spoken.seconds)
        stop(page)
        page.wait_for_selector("#live .notice:has-text('Stopped')", timeout=60_000)
    messages = [json.loads(text) for text in traffic.received]
    rate = next(message["rate"] for message in messages if message["type"] == "ready")
    live = {round(row["start"], 2): row for message in messages if message["type"] == "rows" for row in message["rows"]}
    seconds = max(row["end"] for row in live.values())
    file = reference(traffic, spoken, tmp_path / "same.mkv", seconds=seconds)
    table = emofuse.predict(file, rate_hz=rate).table()
    pairs = [
        (live[moment]["emotion"], emotion)
        for moment, emotion in zip(table["start"].round(2), table["emotion"], strict=True)
        if moment in live and moment >= WARM_UP_SECONDS and isinstance(emotion, str)
    ]
    agreement = sum(ours == theirs for ours, theirs in pairs) / len(pairs)
    record_property("agreement", agreement)
    print(f"{agreement:.3f} of {len(pairs)} rows")
    assert len(pairs) > 0.8 * rate * spoken.seconds
    assert agreement >= LEAST_AGREEMENT


def test_a_box_is_drawn_on_the_very_frame_that_was_scored(served, open_page):
    page = open_page(served.url, "live").page
    page.evaluate(
        """() => {
            const draw = CanvasRenderingContext2D.prototype.drawImage;
            window.sent = new Map();
            window.drawn = [];
            CanvasRenderingContext2D.prototype.drawImage = function (source, ...rest) {
                if (source instanceof HTMLVideoElement) window.grabbed = this.canvas;
                else window.drawn.push(source);
                return draw.call(this, source, ...rest);
            };
            const send = WebSocket.prototype.send;
            WebSocket.prototype.send = function (data) {
                if (data instanceof Uint8Array && data[0] === 1)
                    window.sent.set(new DataView(data.buffer).getFloat64(1, true), window.grabbed);
                return send.call(this, data);
            };
            window.answered = [];
            const parse = JSON.parse;
            JSON.parse = (text) => {
                const found = parse(text);
                if (found?.type === "frame") window.answered.push(window.sent.get(found.time_ms));
                return found;
            };
        }"""
    )
    start(page)
    wait_for_answers(page)
    page.wait_for_function("() => window.drawn.length > 10")
    drawn, same = page.evaluate("[drawn.length, drawn.filter((canvas, n) => canvas === answered[n]).length]")
    assert same == drawn


def test_labels_of_faces_are_shorter_where_they_would_meet_and_never_overlap(served, open_page):
    page = open_page(served.url, "live").page
    place = """async ([faces, width]) => {
        const { placeLabels } = await import("/static/overlay.js");
        return placeLabels(faces, { width, height: 300 }, (text) => 7 * text.length);
    }"""

    def face(person: int, x: float) -> dict[str, object]:
        return {"person": person, "name": None, "box": [x, 0.3, 0.2, 0.4], "probabilities": {"anger": 0.8}}

    apart = page.evaluate(place, [[face(1, 0.1), face(2, 0.6)], 800])
    near = page.evaluate(place, [[face(1, 0.1), face(2, 0.4)], 340])
    touching = page.evaluate(place, [[face(n, 0.1) for n in (1, 2, 3)], 340])
    assert [label["text"] for label in apart] == ["Person 1: anger 80%", "Person 2: anger 80%"]
    assert [label["text"] for label in near] == ["1 anger", "2 anger"]
    assert len({label["top"] for label in near}) == 1
    assert len({label["top"] for label in touching}) == 3


def test_never_more_than_two_frames_are_in_flight(served, open_page):
    page = open_page(served.url, "live").page
    page.evaluate(
        """() => {
            window.most = window.flying = 0;
            const send = WebSocket.prototype.send;
            WebSocket.prototype.send = function (data) {
                if (data instanceof Uint8Array && data[0] === 1) window.most = Math.max(window.most, ++window.flying);
                return send.call(this, data);
            };
            const parse = JSON.parse;
            JSON.parse = (text) => {
                const found = parse(text);
                if (["frame", "used"].includes(found?.type)) window.flying -= 1;
                return found;
            };
        }"""
    )
    start(page)
    wait_for_answers(page)
    page.wait_for_timeout(3000)
    assert 1 <= page.evaluate("most") <= 2


def test_a_recording_becomes_a_result_with_its_video(serving, open_page, tmp_path):
    with serving(tmp_path / "results") as server:
        page = open_page(server.url, "live").page
        page.check("#record")
        page.check("#record-video")
        page.fill("#live-name", "session 1")
        start(page)
        wait_for_answers(page)
        page.wait_for_timeout(4000)
        stop(page)
        link = page.locator("#live .notice a", has_text="Open report")
        link.wait_for(timeout=60_000)
        page.wait_for_selector("text=The video is saved with the result.")
        (result,) = server.get("/results")["results"]
        assert result["file"].startswith("session 1")
        assert result["media"]
        with page.context.expect_page() as found:
            link.click()
        found.value.wait_for_selector("h2:has-text('Timeline')")
        found.value.wait_for_function("() => document.querySelector('video').readyState > 0")


def test_without_recording_nothing_is_kept(serving, open_page, tmp_path):
    with serving(tmp_path / "results") as server:
        page = open_page(server.url, "live").page
        start(page)
        wait_for_answers(page)
        stop(page)
        page.wait_for_selector("text=Stopped. Nothing was kept.", timeout=60_000)
        assert server.get("/results")["total"] == 0
        assert not [path for path in (tmp_path / "results").rglob("*") if path.suffix in (".csv", ".jpg", ".webm")]


def test_nothing_is_asked_before_start(served, open_page):
    page = open_page(served.url, "live").page
    page.add_init_script(
        """
        window.asked = 0;
        MediaDevices.prototype.getUserMedia = async () => {
            window.asked += 1;
            throw new DOMException("", "NotAllowedError");
        };
        """
    )
    page.reload()
    page.get_by_role("button", name="Start", exact=True).wait_for()
    assert page.evaluate("asked") == 0
    start(page)
    page.wait_for_function("() => window.asked === 1")


def test_a_refused_permission_is_explained(served, chromium, open_page):
    with chromium("--use-fake-device-for-media-stream", "--deny-permission-prompts") as browser:
        opened = open_page(served.url, "live", using=browser)
        start(opened.page)
        opened.page.wait_for_selector("#live [role=alert]:has-text('does not allow this page')")
        opened.shoot("live-denied")
        assert opened.page.get_by_role("button", name="Start", exact=True).is_enabled()


def test_without_camera_and_microphone_the_page_says_so(served, chromium, open_page):
    with chromium() as browser:
        opened = open_page(served.url, "live", using=browser)
        opened.page.evaluate("navigator.mediaDevices.enumerateDevices = async () => []")
        start(opened.page)
        opened.page.wait_for_selector("#live [role=alert]:has-text('No camera and no microphone were found')")
        opened.shoot("live-missing")


def test_a_microphone_alone_scores_the_voice(spoken, served, chromium, open_page):
    no_camera = "--use-fake-device-for-media-stream=device-count=0"
    with chromium(*spoken.options[1:2], *spoken.options[3:], no_camera) as browser:
        opened = open_page(served.url, "live", using=browser)
        start(opened.page)
        opened.page.wait_for_selector("text=No camera was found: only the voice is analysed.", timeout=90_000)
        opened.page.wait_for_selector("#live .faces li:has-text('Voice'):has-text('%')", timeout=60_000)
        opened.page.wait_for_selector("#live .timelines canvas")
        opened.shoot("live-voice")


def test_a_camera_alone_scores_the_face(served, open_page):
    page = open_page(served.url, "live").page
    page.select_option("#microphone", "none")
    start(page)
    page.wait_for_selector("text=Without the microphone only faces are analysed.", timeout=90_000)
    wait_for_answers(page)


def test_a_second_session_is_told_that_the_server_is_busy(served, open_page):
    first, second = (open_page(served.url, "live").page for _ in range(2))
    start(first)
    wait_for_answers(first)
    start(second)
    second.wait_for_selector("#live [role=alert]:has-text('Somebody else has a live session')", timeout=60_000)
    stop(first)
    first.wait_for_selector("#live .notice:has-text('Stopped')", timeout=60_000)


def test_a_session_ends_with_a_reason_when_the_server_is_killed(serving, open_page, tmp_path):
    with serving(tmp_path / "results") as server:
        opened = open_page(server.url, "live")
        page = opened.page
        page.check("#record")
        page.check("#record-video")
        start(page)
        wait_for_answers(page)
        page.wait_for_timeout(2000)
        server.kill()
        page.wait_for_selector("#live [role=alert]:has-text('The connection to emofuse was lost')")
        opened.shoot("live-killed")
        with page.expect_download() as download:
            page.get_by_role("button", name="Save the recorded video as a file").click()
        assert download.value.path().stat().st_size > 10_000
        server.start()
        page.wait_for_selector("#offline", state="hidden")
        start(page)
        wait_for_answers(page)


def test_an_unsuitable_browser_is_told_so(served, open_page):
    opened = open_page(served.url, "live")
    opened.page.add_init_script("delete window.AudioWorkletNode")
    opened.page.reload()
    opened.page.wait_for_selector("#live [role=alert]:has-text('This browser cannot do this')")
    opened.shoot("live-unsupported")
    assert opened.page.get_by_role("button", name="Start", exact=True).is_disabled()
