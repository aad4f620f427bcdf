"""What is said, in the report of results."""

from __future__ import annotations

from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe

from emofuse.report.results import write_results_page
from support.result_tables import result

ROWS = [[0.6, 0.3, 0.1], [0.2, 0.1, 0.7], [0.8, 0.1, 0.1], [0.8, 0.1, 0.1]]
SAID = {"words": ["I <b>like</b> it.", None, "Gut.", "Gut."], "words_status": ["ok", None, *["other_language"] * 2]}


@pytest.fixture
def page(browser, tmp_path):
    given = result({1: ROWS, 2: ROWS})
    spoken = replace(given, blocks=[block.assign(**SAID) for block in given.blocks])
    path = write_results_page([spoken], tmp_path / "report.html")
    opened = browser.new_page()
    opened.goto(path.as_uri())
    opened.wait_for_selector(".lane span")
    yield opened
    opened.close()


def test_sentences_stand_below_the_timelines_at_their_times(page):
    spans = page.locator(".lane span")
    assert spans.all_inner_texts() == ["I <b>like</b> it.", "Gut."]
    lane, first, second = (found.bounding_box() for found in (page.locator(".lane"), spans.nth(0), spans.nth(1)))
    assert first["x"] - lane["x"] == pytest.approx(0, abs=2)
    assert second["x"] - lane["x"] == pytest.approx(lane["width"] / 2, abs=2)
    assert second["width"] == pytest.approx(2 * first["width"], abs=2)


def test_a_sentence_in_the_table_leads_to_its_time_and_is_shown_there(page):
    row = page.get_by_role("region", name="Words").get_by_role("row").nth(2)
    assert row.inner_text().split("\t") == ["0:02.0", "Gut.", "other language"]
    row.get_by_role("button").click()
    assert page.locator(".said").inner_text() == "“Gut.”"


def test_the_page_with_words_is_accessible(page):
    assert Axe().run(page).response["violations"] == []
