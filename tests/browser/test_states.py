"""Every state of the page: no serious finding of axe-core, in light and dark, and no wider than a telephone."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

WEB = files("emofuse.server") / "web"
TEXTS = {name: json.loads((WEB / "texts" / f"{name}.json").read_text("utf-8")) for name in ("en", "de")}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
Say = Callable[[str], str]
SIZES = {"desktop": {"width": 1280, "height": 900}, "telephone": {"width": 390, "height": 844}}
JOB = {
    "progress": 0.0, "seconds_left": None, "error": None, "result": None, "warnings": [], "kept_media": True,
    "retryable": True, "created": "2026-11-29T12:00:00Z",
}  # fmt: skip
JOBS = [
    JOB | {"id": "a", "name": "interview with a long name, second part.mp4", "status": "running", "progress": 0.4}
    | {"seconds_left": 130.0},
    JOB | {"id": "b", "name": "talk.mp4", "status": "running"},
    JOB | {"id": "c", "name": "lesson.mov", "status": "queued"},
    JOB | {"id": "d", "name": "group.mp4", "status": "done", "result": "talk", "progress": 1.0}
    | {"warnings": ["the audio ends 3.2 s before the video"]},
    JOB | {"id": "e", "name": "notes.mp4", "status": "failed"}
    | {"error": "notes.mp4: it has neither video nor audio; give a file that a player can open."},
    JOB | {"id": "f", "name": "old.avi", "status": "cancelled"},
]  # fmt: skip
PERSON = {"name": None, "seconds": 64.2, "thumbnail": None, "merged_into": None}
MEANS = {
    "neutral": 0.4,
    "happiness": 0.3,
    "anger": 0.1,
    "surprise": 0.1,
    "sadness": 0.05,
    "fear": 0.03,
    "disgust": 0.02,
}


def fulfil(page: Any, pattern: str, body: Any, status: int = 200) -> None:
    page.route(pattern, lambda route: route.fulfill(status=status, json=body))


def empty_queue(page: Any, say: Say) -> None:
    fulfil(page, "**/api/jobs", [])
    page.reload()
    page.wait_for_selector(f"text={say('queue.empty')}")


def loading_queue(page: Any, say: Say) -> None:
    page.route("**/api/jobs", lambda route: None)
    page.reload()
    page.wait_for_selector(f"text={say('queue.loading')}")


def long_queue(page: Any, say: Say) -> None:
    fulfil(page, "**/api/jobs", JOBS)
    page.reload()
    page.wait_for_selector("text=old.avi")


def uploading(page: Any, say: Say) -> None:
    """Uploads that do not arrive, one that is too large, and one of which the browser was told so too late."""
    fulfil(page, "**/api/jobs", [])
    page.route("**/api/status", lambda route: limited(route, upload_bytes=5000))
    page.reload()
    page.wait_for_selector(f"text={say('queue.empty')}")
    page.route("**/api/jobs?*first*", lambda route: route.fulfill(status=413, json={"error": "first.mp4: too large."}))
    page.route("**/api/jobs?*second*", lambda route: None)
    files = [("first.mp4", 3000), ("second.mp4", 4000), ("third.mp4", 3000), ("fourth.mp4", 9000)]
    page.set_input_files("#files", [{"name": n, "mimeType": "video/mp4", "buffer": b"x" * s} for n, s in files])
    page.wait_for_selector("#analyse li:has-text('fourth.mp4')[data-kind=failed]")
    page.wait_for_selector("text=first.mp4: too large.")
    page.wait_for_selector(f"text={say('job.waiting')}")


def full_queue(page: Any, say: Say) -> None:
    fulfil(page, "**/api/jobs", JOBS[:3])
    page.route("**/api/status", lambda route: limited(route, queued_jobs=2))
    page.reload()
    page.wait_for_selector("text=lesson.mov")
    page.set_input_files("#files", [{"name": "more.mp4", "mimeType": "video/mp4", "buffer": b"x" * 100}])
    page.wait_for_selector(f"text={say('job.full')}")


def limited(route: Any, **limits: int) -> None:
    status = json.loads(route.fetch().text())
    status["limits"] |= limits
    route.fulfill(json=status)


def wrong_path(page: Any, say: Say) -> None:
    page.fill("#path", "/nowhere/at/all")
    page.click(".path button")
    page.wait_for_selector("form [role=alert]:visible")


def results(page: Any, say: Say) -> None:
    page.wait_for_selector("#results li.person")
    page.wait_for_function("() => [...document.querySelectorAll('#results img')].every((image) => image.complete)")


def no_results(page: Any, say: Say) -> None:
    fulfil(page, "**/api/results?*", {"total": 0, "results": []})
    page.reload()
    page.wait_for_selector(f"text={say('results.empty')}")


def nothing_found(page: Any, say: Say) -> None:
    page.fill("#search", "nothing has this name")
    page.wait_for_selector(f"text={say('results.not-found')}")


def many_results(page: Any, say: Say) -> None:
    persons = [PERSON | {"number": n, "mean_emotion": MEANS if n < 4 else None} for n in range(1, 6)]
    persons[2] |= {"merged_into": 1}
    persons[0] |= {"name": "Anna with a second name"}
    one = {
        "id": "x", "file": "lesson.mp4", "status": "done", "duration": 3725.0, "bundle": "default 5", "persons": [],
        "warnings": [], "formats": ["csv"], "media": True, "kept_media": True, "created": "2026-11-29T12:00:00Z",
    }  # fmt: skip
    listed = [one | {"id": f"x{n}", "file": f"lesson {n}.mp4"} for n in range(20)]
    fulfil(page, "**/api/results?*", {"total": 45, "results": listed})
    fulfil(page, "**/api/results/x*", one | {"persons": persons, "warnings": ["the audio ends 3.2 s before the video"]})
    page.reload()
    page.wait_for_selector("text=Anna with a second name")
    page.wait_for_selector("#results nav:visible")


def failing_results(page: Any, say: Say) -> None:
    fulfil(page, "**/api/results?*", {"error": "emofuse-results cannot be read; check its permissions."}, 422)
    page.reload()
    page.wait_for_selector("text=cannot be read")


def dialog(action: str) -> Callable[[Any, Say], None]:
    def opened(page: Any, say: Say) -> None:
        results(page, say)
        page.locator("#results li", has_text="pair.mp4").get_by_role("button", name=say(f"action.{action}")).click()
        page.wait_for_selector("dialog[open]")

    return opened


def live_ready(page: Any, say: Say) -> None:
    page.get_by_role("button", name=say("live.start"), exact=True).wait_for()


def live_running(page: Any, say: Say) -> None:
    start_live(page, say)
    page.wait_for_selector("#live .figures dd:has-text('ms')", timeout=60_000)
    page.wait_for_selector("#live .timelines canvas", timeout=60_000)
    page.wait_for_timeout(1000)  # for the picture


def live_slow(page: Any, say: Say) -> None:
    """A session of two persons whose frames come too slowly to know who speaks."""

    def session(socket: Any) -> None:
        row = MEANS | {
            "status": "ok",
            "emotion": "neutral",
            "name": None,
            "x": 0.3,
            "speaking": None,
            "voice_weight": 0.5,
        }
        moments = [{"start": n / 10, "end": (n + 1) / 10} for n in range(20)]
        rows = [row | moment | {"person": person} for moment in moments for person in (1, 2)]
        faces = [face(1, 0.15), face(2, 0.45)]
        answers = [
            {"type": "ready", "labels": list(MEANS), "colours": {}, "rate": 10},
            {"type": "rows", "rows": rows},
        ]

        def received(message: str | bytes) -> None:
            if isinstance(message, str):
                for answer in answers:
                    socket.send(json.dumps(answer))
            elif message[0] == 1:
                time_ms = struct.unpack_from("<d", message, 1)[0]
                found = {"type": "frame", "time_ms": time_ms, "faces": faces, "voice": MEANS, "processing_ms": 1}
                socket.send(json.dumps(found | {"dropped": 0}))

        socket.on_message(received)

    def face(person: int, x: float) -> dict[str, Any]:
        found = {"person": person, "name": None, "box": [x, 0.3, 0.25, 0.4], "probabilities": MEANS, "status": "ok"}
        return found | {"emotion": "neutral", "confidence": 0.4}

    page.route_web_socket("**/api/live", session)
    start_live(page, say)
    page.wait_for_selector(f"text={say('live.slow')}")
    page.wait_for_selector(f"#live .faces li:has-text('{say('person.number').format(number=2)}')")


def live_options(page: Any, say: Say) -> None:
    page.check("#record")
    page.wait_for_selector("#record-video:visible")


def live_stopped(page: Any, say: Say) -> None:
    page.check("#record")
    live_running(page, say)
    page.get_by_role("button", name=say("live.stop"), exact=True).click()
    page.wait_for_selector("#live .notice a", timeout=60_000)


def live_busy(page: Any, say: Say) -> None:
    page.route_web_socket("**/api/live", lambda socket: socket.close(code=4409, reason="busy"))
    start_live(page, say)
    page.wait_for_selector(f"text={say('live.busy')}")


def live_lost(page: Any, say: Say) -> None:
    page.route_web_socket("**/api/live", lambda socket: socket.close(code=3000))
    start_live(page, say)
    page.wait_for_selector(f"text={say('live.lost')}")


def start_live(page: Any, say: Say) -> None:
    page.get_by_role("button", name=say("live.start"), exact=True).click()


STATES: dict[str, tuple[str, Callable[[Any, Say], None]]] = {
    "queue-empty": ("analyse", empty_queue),
    "queue-loading": ("analyse", loading_queue),
    "queue": ("analyse", long_queue),
    "queue-full": ("analyse", full_queue),
    "uploading": ("analyse", uploading),
    "path-wrong": ("analyse", wrong_path),
    "results": ("results", results),
    "results-none": ("results", no_results),
    "results-not-found": ("results", nothing_found),
    "results-many": ("results", many_results),
    "results-failing": ("results", failing_results),
    "persons": ("results", dialog("persons")),
    "export": ("results", dialog("export")),
    "delete": ("results", dialog("delete")),
    "live": ("live", live_ready),
    "live-options": ("live", live_options),
    "live-running": ("live", live_running),
    "live-slow": ("live", live_slow),
    "live-stopped": ("live", live_stopped),
    "live-busy": ("live", live_busy),
    "live-lost": ("live", live_lost),
}


@pytest.mark.parametrize(("scheme", "language"), [("light", "en"), ("dark", "de")])
@pytest.mark.parametrize("state", STATES)
def test_a_state_is_accessible_and_fits_a_telephone(state, scheme, language, served, open_page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    view, reach = STATES[state]
    opened = open_page(served.url, view, color_scheme=scheme, locale=language, viewport=SIZES["desktop"])
    reach(opened.page, TEXTS[language].__getitem__)
    opened.shoot(f"{state}-{scheme}")
    found = axe.Axe().run(opened.page, options={"runOnly": RULES})
    serious = [v for v in found.response["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in serious] == []
    opened.page.set_viewport_size(SIZES["telephone"])
    opened.page.wait_for_timeout(300)
    opened.shoot(f"{state}-{scheme}-telephone")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= SIZES["telephone"]["width"]
    other = axe.Axe().run(opened.page, options={"runOnly": RULES})
    assert [v["id"] for v in other.response["violations"] if v["impact"] in ("serious", "critical")] == []
