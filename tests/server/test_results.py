"""Results: the list, persons with names, merged persons, deletion."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from emofuse.core.files import RECORDS
from emofuse.export import read_results
from support.servers import stored_result


@pytest.fixture
def table(folder):
    path = stored_result(folder, "two")
    yield path
    for left in folder.glob("two*"):
        left.unlink()


def test_results_of_the_command_line_are_listed_newest_first_and_searched(client, folder, table):
    stored_result(folder, "other", file="/videos/Holiday.mp4")
    found = client.get("/api/results").json()
    assert [result["id"] for result in found["results"]] == ["other", "two"]
    assert client.get("/api/results?search=holi").json()["results"][0]["file"] == "Holiday.mp4"
    assert client.get("/api/results?limit=1&offset=1").json()["results"][0]["id"] == "two"
    client.delete("/api/results/other")


def test_names_of_persons_are_in_exports_and_in_the_search(client, table):
    client.patch("/api/results/two/persons", json={"names": {"2": "Béla"}})
    exported = client.get("/api/results/two/export/csv").text.splitlines()
    assert exported[0].startswith("file,person,name,start")
    assert sum(",2,Béla," in line for line in exported) > 0
    assert client.get("/api/results?search=béla").json()["total"] == 1
    result = client.patch("/api/results/two/persons", json={"names": {"2": None}}).json()
    assert result["persons"][1]["name"] is None
    assert not table.with_name("two.persons.json").exists()


def test_merged_persons_are_one_in_what_is_read(client, table):
    before = pd.concat(read_results([table])[0].blocks)
    result = client.patch("/api/results/two/persons", json={"merge": {"2": 1}}).json()
    assert [person["merged_into"] for person in result["persons"]] == [None, 1]
    (block,) = read_results([table])[0].blocks
    assert len(block) == before["start"].nunique()
    assert client.get("/api/results/two/report").status_code == 200


def test_persons_who_are_visible_at_the_same_time_are_named_with_how_long(client, table):
    assert client.get("/api/results/two/persons/overlaps").json() == []
    rows = pd.read_csv(table)
    rows.assign(x=rows["x"].where(rows["person"] == 1, 0.25)).to_csv(table, index=False)
    expected = [{"persons": [1, 2], "seconds": 1.5}]
    assert client.get("/api/results/two/persons/overlaps").json() == expected
    client.patch("/api/results/two/persons", json={"merge": {"2": 1}})  # which hides one of the two
    assert client.get("/api/results/two/persons/overlaps").json() == expected


def test_a_person_who_does_not_exist_is_an_error(client, table):
    response = client.patch("/api/results/two/persons", json={"names": {"7": "Anna"}})
    assert (response.status_code, response.json()["error"]) == (404, "there is no person 7; change the numbers.")


def test_persons_cannot_be_merged_in_a_circle(client, table):
    response = client.patch("/api/results/two/persons", json={"merge": {"1": 2, "2": 1}})
    assert response.status_code == 409
    assert "merged into itself" in response.json()["error"]


def test_damaged_changes_are_a_warning_of_the_result_and_an_error_of_its_exports(client, table):
    table.with_name("two.persons.json").write_text('{"names": 3}')
    assert "two.persons.json: is damaged" in client.get("/api/results/two").json()["warnings"][0]
    response = client.get("/api/results/two/export/csv")
    assert (response.status_code, "is damaged" in response.json()["error"]) == (409, True)


def test_a_deleted_result_leaves_nothing_but_files_that_were_elsewhere(client, folder, tmp_path):
    media = tmp_path / "gone.mp4"
    media.write_bytes(b"video")
    stored_result(folder, "gone", file=str(media))
    client.patch("/api/results/gone/persons", json={"names": {"1": "Anna"}})
    assert client.delete("/api/results/gone").status_code == 204
    assert not list(folder.rglob("*gone*"))
    assert media.exists()
    files = json.loads((folder / "summary.json").read_text("utf-8"))["files"]
    assert not [entry for entry in files if "gone" in entry["file"]]


def test_media_can_be_added_to_a_result_that_has_none(client, folder):
    stored_result(folder, "live")
    result = client.post("/api/results/live/media?name=x.webm", content=b"\x1aE\xdf\xa3").json()
    assert result["media"]
    assert (folder / "media" / "live.webm").exists()
    assert client.get("/api/results/live/media").headers["content-type"] == "video/webm"
    assert client.post("/api/results/live/media?name=x.webm", content=b"\x1aE").status_code == 409
    client.delete("/api/results/live")
    assert not (folder / "media" / "live.webm").exists()


def test_a_browser_that_opens_the_report_of_a_result_that_is_gone_is_shown_a_page(make_client):
    with make_client(api_only=False, jobs=0) as client:
        opened = client.get("/api/results/gone/report", headers={"Accept": "text/html,*/*;q=0.8"})
        asked = client.get("/api/results/gone/report")
        icon = client.get("/favicon.ico")
    assert (opened.status_code, opened.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "<p>There is no result of this id; it may have been deleted.</p>" in opened.text
    assert (asked.status_code, asked.json()) == (
        404,
        {"error": "there is no result of this id; it may have been deleted."},
    )
    assert icon.headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize("path", ["", "/report", "/media", "/persons/1/thumbnail", "/export/csv"])
@pytest.mark.parametrize("identifier", ["nothing", "..%2F..%2Fetc%2Fpasswd", "%2e%2e", "two.csv", RECORDS])
def test_an_id_is_looked_up_and_never_a_path(client, table, identifier, path):
    response = client.get(f"/api/results/{identifier}{path}")
    assert response.status_code == 404
    assert list(response.json()) == ["error"]


def test_the_name_of_a_file_is_no_header_and_no_markup(client, folder):
    stored_result(folder, "odd", file='/videos/<script>"\n.mp4')
    assert client.get("/api/results/odd").json()["file"] == '<script>"\n.mp4'
    assert "<script>&#34;" not in client.get("/api/results/odd/report").text
    client.delete("/api/results/odd")


@pytest.mark.parametrize("persons", ["1", [{"person": "x"}], [{}], [{"person": 1}] * 2])
def test_a_record_that_is_not_as_emofuse_writes_it_is_left_out(client, folder, persons):
    stored_result(folder, "strange", persons=persons)
    assert client.get("/api/results/strange").status_code == 404
    (folder / RECORDS / "strange.json").unlink()
    (folder / "strange.csv").unlink()


@pytest.mark.parametrize("name", ["", " ", "\u3000", "a\nb", "\x7f", "a" * 201])
def test_names_of_persons_are_one_line_that_can_be_read(client, table, name):
    assert client.patch("/api/results/two/persons", json={"names": {"1": name}}).status_code == 422


def test_a_name_that_is_a_formula_is_text_in_csv(client, table):
    client.patch("/api/results/two/persons", json={"names": {"1": "=1+1"}})
    assert ",=1+1," not in client.get("/api/results/two/export/csv").text
    client.patch("/api/results/two/persons", json={"names": {"1": None}})
