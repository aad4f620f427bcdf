"""From a file to its report in a browser."""

from __future__ import annotations

import base64
import re
import time
from shutil import copyfile


def entry(page, name):
    return page.locator("#analyse li.job", has_text=name)


def test_an_upload_shows_its_progress_and_leads_to_a_report_that_plays(serving, open_page, talk, tmp_path):
    with serving(tmp_path / "results") as server:
        page = open_page(server.url).page
        states = watch(page)
        page.set_input_files("#files", talk)
        report_link = entry(page, "talk.mp4").get_by_role("link", name="Open report: talk.mp4")
        report_link.wait_for(timeout=120_000)
        shown = page.evaluate(states)
        assert shown[-1] == "done"
        assert any(re.fullmatch(r"uploading, \d+%", text) for text in shown)
        assert any(text.startswith("in progress") for text in shown)
        assert page.locator("#news").text_content() == "talk.mp4: done"
        with page.context.expect_page() as found:
            report_link.click()
        report = found.value
        report.wait_for_selector("h2:has-text('Timeline')")
        assert "talk.mp4" in report.title()
        report.wait_for_function("() => document.querySelector('video').readyState > 0")
        assert report.evaluate("document.querySelector('video').duration") > 5
        assert report.locator(".u-over").count() > 0
        assert report.evaluate("[...document.querySelectorAll('.card img')].every((image) => image.naturalWidth > 0)")


def watch(page):
    """Collects the states that the queue shows; returns the expression that reads them."""
    page.evaluate(
        """() => {
            window.seen = [];
            new MutationObserver(() => {
                for (const { textContent } of document.querySelectorAll("#analyse .state"))
                    if (window.seen.at(-1) !== textContent) window.seen.push(textContent);
            }).observe(document.querySelector("#analyse ul.jobs"), { childList: true, subtree: true });
        }"""
    )
    return "window.seen"


def test_an_empty_file_is_named_at_once_and_not_to_be_tried_again(served, open_page):
    page = open_page(served.url).page
    page.wait_for_selector("#queue-title")
    page.set_input_files("#files", {"name": "empty.mp4", "mimeType": "video/mp4", "buffer": b""})
    failed = entry(page, "empty.mp4")
    failed.get_by_text("This file is empty (0 bytes).").wait_for()
    assert failed.get_by_role("button").all_text_contents() == ["Remove from list"]


def test_several_files_are_uploaded_in_turn_and_a_damaged_one_fails_alone(serving, open_page, talk, tmp_path):
    with serving(tmp_path / "results") as server:
        page = open_page(server.url).page
        requests = []
        for event in ("request", "requestfinished"):
            page.on(event, lambda request, event=event: "/api/jobs?" in request.url and requests.append(event))
        damaged = {"name": "damaged.mp4", "mimeType": "video/mp4", "buffer": b"no video" * 5000}
        same = {"name": "talk.mp4", "mimeType": "video/mp4", "buffer": talk.read_bytes()}
        page.set_input_files("#files", [damaged, same])
        page.wait_for_selector("#analyse li[data-kind=failed]", timeout=60_000)
        page.wait_for_selector("#analyse li[data-kind=done]", timeout=120_000)
        assert requests == ["request", "requestfinished"] * 2
        failed = entry(page, "damaged.mp4")
        assert "damaged.mp4" in failed.locator(".detail").text_content()
        failed.get_by_role("button", name="Remove from list").click()
        failed.wait_for(state="detached")
        page.get_by_role("button", name="Remove finished ones from list").click()
        page.wait_for_selector("text=Nothing is being analysed")
        assert server.get("/jobs") == []
        assert [result["status"] for result in server.get("/results")["results"] if result["file"] == "talk.mp4"]


def test_a_job_that_waits_can_be_cancelled_and_tried_again(serving, open_page, talk, tmp_path):
    with serving(tmp_path / "results") as server:
        page = open_page(server.url).page
        folder = tmp_path / "recordings"
        folder.mkdir()
        for name in ("1.mp4", "2.mp4", "3.mp4"):
            copyfile(talk, folder / name)
        page.fill("#path", str(folder))
        page.get_by_role("button", name="Add").click()
        entry(page, "3.mp4").get_by_text("waiting", exact=True).wait_for()
        page.get_by_role("button", name="Cancel: 3.mp4").click()
        entry(page, "3.mp4").get_by_text("cancelled").wait_for()
        page.get_by_role("button", name="Try again: 3.mp4").click()
        page.get_by_role("link", name="Open report: 3.mp4").wait_for(timeout=120_000)


def test_a_cancelled_upload_leaves_nothing_behind(serving, open_page, tmp_path):
    with serving(tmp_path / "results") as server:
        page = open_page(server.url).page
        page.wait_for_selector("text=Nothing is being analysed")
        slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 500_000}
        page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
        page.set_input_files("#files", {"name": "long.mp4", "mimeType": "video/mp4", "buffer": bytes(10_000_000)})
        page.wait_for_function("() => document.querySelector('#analyse progress')?.value > 0.1")
        page.get_by_role("button", name="Cancel: long.mp4").click()
        page.wait_for_selector("text=Nothing is being analysed")
        assert server.get("/jobs") == []
        deadline = time.monotonic() + 30
        while (left := list((tmp_path / "results" / ".emofuse" / "uploads").iterdir())) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left == []


def test_files_can_be_dropped(serving, open_page, talk, tmp_path):
    with serving(tmp_path / "results") as server:
        page = open_page(server.url).page
        page.wait_for_selector("text=Nothing is being analysed")
        page.evaluate(
            """(text) => {
                const dropped = new DataTransfer();
                dropped.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], "talk.mp4"));
                const event = { bubbles: true, cancelable: true, dataTransfer: dropped };
                document.querySelector(".drop").dispatchEvent(new DragEvent("drop", event));
            }""",
            base64.b64encode(talk.read_bytes()).decode(),
        )
        page.get_by_role("link", name="Open report: talk.mp4").wait_for(timeout=120_000)


def test_a_path_of_this_machine_is_analysed_in_place(serving, open_page, talk, tmp_path):
    with serving(tmp_path / "results") as server:
        page = open_page(server.url).page
        page.fill("#path", str(talk))
        page.press("#path", "Enter")
        page.wait_for_selector("#analyse li[data-kind=done]", timeout=120_000)
        assert not list((tmp_path / "results").rglob("talk.mp4"))


def test_the_language_is_remembered_and_set_in_the_document(served, open_page):
    page = open_page(served.url).page
    assert page.get_attribute("html", "lang") == "en"
    page.select_option("#language", "de")
    page.wait_for_selector("h1:has-text('Aufnahmen auswerten')")
    page.reload()
    page.wait_for_selector("h1:has-text('Aufnahmen auswerten')")
    assert page.get_attribute("html", "lang") == "de"


def test_the_views_are_links_that_work_with_the_keyboard(served, open_page):
    page = open_page(served.url).page
    page.goto(served.url)  # a fragment would move the start of the keyboard to its section
    page.wait_for_selector("#analyse-title")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    for name in ("Analyse", "Live", "Results"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == name
    page.keyboard.press("Enter")
    page.wait_for_selector("#results-title")
    assert page.evaluate("document.activeElement.id") == "results-title"
    assert page.evaluate("[location.hash, document.title]") == ["#results", "Results \u2013 emofuse"]
    assert page.get_attribute("#tab-results", "aria-current") == "page"
    page.go_back()
    page.wait_for_selector("#analyse-title")
