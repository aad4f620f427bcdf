"""Persons, exports and deletion in a browser."""

from __future__ import annotations

import csv
import urllib.request

import pytest


@pytest.fixture
def opened(serving, open_page, two_persons, tmp_path):
    with serving(tmp_path / "results") as server:
        server.add(two_persons)
        page = open_page(server.url, "results").page
        page.wait_for_selector("#results li.person >> nth=1")
        yield server, page


def rows_of_export(page):
    page.get_by_role("button", name="Export: pair.mp4").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV table").click()
    page.get_by_role("button", name="Close").click()
    with open(download.value.path(), newline="", encoding="utf-8-sig") as file:
        return download.value.suggested_filename, list(csv.DictReader(file))


def test_names_and_joined_persons_are_in_the_export_and_can_be_undone(opened):
    _, page = opened
    _, before = rows_of_export(page)
    assert {row["person"] for row in before} == {"1", "2"}
    page.get_by_role("button", name="Name or join persons: pair.mp4").click()
    page.fill("#person-1-name", "Anna")
    page.select_option("#person-2-same", "1")
    assert page.is_disabled("#person-2-name")
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector("dialog [role=status]:has-text('Person 1 and Person 2 are both visible at the same time')")
    page.get_by_role("button", name="Join all the same").click()
    page.wait_for_selector("dialog", state="detached")
    page.wait_for_selector("#results li.person:has-text('Anna'):has-text('with Person 2')")
    assert page.locator("#results li.person").count() == 1
    name, after = rows_of_export(page)
    assert name == "pair.csv"
    assert {row["person"] for row in after} == {"1"}
    assert {row["name"] for row in after} == {"Anna"}
    times = [row["start"] for row in after]
    assert len(times) == len(set(times))
    page.get_by_role("button", name="Name or join persons: pair.mp4").click()
    page.fill("#person-1-name", "")
    page.select_option("#person-2-same", "")
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector("dialog", state="detached")
    _, undone = rows_of_export(page)
    assert [(row["person"], row["start"]) for row in undone] == [(row["person"], row["start"]) for row in before]


def test_persons_who_are_visible_together_are_joined_only_if_that_is_confirmed(opened):
    server, page = opened
    page.get_by_role("button", name="Name or join persons: pair.mp4").click()
    page.select_option("#person-2-same", "1")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Join all the same").wait_for()
    page.select_option("#person-2-same", "")
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector("dialog", state="detached")
    assert [person["merged_into"] for person in server.get("/results/pair")["persons"]] == [None, None]


def test_a_result_that_was_deleted_has_no_report_in_the_queue_and_a_page_that_says_so(opened):
    server, page = opened
    page.get_by_role("link", name="Analyse").click()
    page.get_by_role("link", name="Open report: pair.mp4").wait_for()
    request = urllib.request.Request(f"{server.url}api/results/pair", method="DELETE")
    urllib.request.urlopen(request).close()
    page.wait_for_selector("#analyse li:has-text('Its result was deleted.')")
    assert page.get_by_role("link", name="Open report: pair.mp4").count() == 0
    page.goto(f"{server.url}api/results/pair/report")
    assert page.text_content("h1") == "This report cannot be shown"
    page.get_by_role("link", name="All results").click()
    page.wait_for_selector("#results-title")


def test_persons_that_refer_to_each_other_are_refused(opened):
    _, page = opened
    page.get_by_role("button", name="Name or join persons: pair.mp4").click()
    page.select_option("#person-1-same", "2")
    page.select_option("#person-2-same", "1")
    page.get_by_role("button", name="Save").click()
    assert "refer to each other" in page.locator("dialog [role=alert]").text_content()


def test_persons_joined_in_a_row_become_the_last_one(opened):
    _, page = opened
    resolved = page.evaluate(
        "async () => (await import('/static/persons.js')).resolveMerges({ 1: null, 2: 1, 3: 2, 4: null })"
    )
    assert resolved == {"1": None, "2": 1, "3": 1, "4": None}


def test_a_dialog_returns_the_focus_and_closes_with_escape(opened):
    _, page = opened
    button = page.get_by_role("button", name="Name or join persons: pair.mp4")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("document.activeElement.id") == "dialog-title"
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Name or join persons: pair.mp4"


def test_a_result_is_deleted_only_after_a_confirmation(opened):
    server, page = opened
    page.get_by_role("button", name="Delete: pair.mp4").click()
    page.get_by_role("button", name="Cancel").click()
    assert server.get("/results")["total"] == 1
    page.get_by_role("button", name="Delete: pair.mp4").click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_selector("text=There are no results yet")
    assert server.get("/results")["total"] == 0
    assert page.evaluate("document.activeElement.id") == "results-title"


def test_the_search_finds_files_by_their_names(opened):
    _, page = opened
    page.fill("#search", "nothing like it")
    page.wait_for_selector("text=No result has these words")
    page.fill("#search", "PAIR")
    page.wait_for_selector("#results h2:has-text('pair.mp4')")
