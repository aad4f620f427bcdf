"""The server ends and starts again while the page is open."""

from __future__ import annotations

TOKEN = "atokenofthetest0123456789"


def test_the_page_connects_again_when_the_server_was_killed(serving, open_page, talk, tmp_path):
    with serving(tmp_path / "results") as server:
        opened = open_page(server.url)
        page = opened.page
        page.wait_for_selector("text=Nothing is being analysed")
        page.set_input_files("#files", talk)
        page.wait_for_selector("#analyse li[data-kind=running], #analyse li[data-kind=queued]")
        server.kill()
        page.wait_for_selector("#offline:visible")
        opened.shoot("offline")
        page.set_input_files("#files", {"name": "later.mp4", "mimeType": "video/mp4", "buffer": b"x" * 1000})
        later = page.locator("#analyse li.job", has_text="later.mp4")
        later.get_by_text("failed").wait_for()
        server.start()
        page.wait_for_selector("#offline", state="hidden")
        page.locator("#analyse li.job", has_text="talk.mp4").get_by_role("link", name="Open report").wait_for(
            timeout=120_000
        )
        later.get_by_role("button", name="Try again").click()
        later.get_by_text("later.mp4:").wait_for(timeout=60_000)


def test_a_missing_token_is_explained(serving, open_page, tmp_path):
    with serving(tmp_path / "results", "--token", TOKEN) as server:
        page = open_page(f"{server.url}?token={TOKEN}").page
        page.wait_for_selector("text=Nothing is being analysed")
        page.context.clear_cookies()
        server.kill()
        server.start()
        page.wait_for_selector("#offline:has-text('needs a key')", timeout=60_000)
