"""Who speaks, in the report of results."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emofuse.report.results import write_results_page
from support.result_tables import LABELS, result

ROWS = [[0.6, 0.3, 0.1], [0.2, 0.1, 0.7]]
VOICE = {f"voice_{name}": [0.5, 0.5] for name in LABELS}


@pytest.fixture
def lines(browser, tmp_path):
    """The legend of lines and the row of who speaks, of two persons with a voice."""

    def shown(*speaking: list[float | None]) -> tuple[list[str], list[str]]:
        given = result({1: ROWS, 2: ROWS})
        blocks = [b.assign(**VOICE, speaking=values) for b, values in zip(given.blocks, speaking, strict=True)]
        page = browser.new_page()
        page.goto(write_results_page([replace(given, blocks=blocks)], tmp_path / "report.html").as_uri())
        legend = page.get_by_label("Statuses and lines").get_by_role("listitem").all_inner_texts()
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="speaking")).first
        cells = row.get_by_role("cell").all_inner_texts()
        page.close()
        return legend[-2:], cells

    return shown


def test_the_voice_of_another_person_is_not_drawn_for_who_is_silent(lines):
    assert lines([0.9, 0.9], [0.1, 0.1]) == (["confidence", "speaking"], ["0.90", "0.10"])


def test_a_voice_of_which_it_is_not_known_whose_it_is_has_a_line_of_its_own(lines):
    assert lines([None, None], [None, None]) == (["voice, unknown whose", "speaking"], ["\u2013", "\u2013"])
