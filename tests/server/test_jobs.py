"""Jobs: uploads and files of this machine become results; cancelled, failed and interrupted ones."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from xml.etree import ElementTree

import pytest

from emofuse.cli.main import main
from emofuse.core.files import RECORDS, write_json
from support.servers import finished, uploaded

STORED = {"upload": False, "keep": False, "rate": 5.0, "persons": "auto", "created": "2026-11-29T12:00:00Z"}
STORED |= {"error": None, "result": None, "warnings": []}


@pytest.fixture(scope="module")
def kept(client, talk):
    """The job of an upload whose file is kept."""
    return finished(client, uploaded(client, talk.read_bytes(), name="../../talk.mp4")["id"])


def test_an_upload_becomes_a_result_and_is_kept(client, folder, kept, talk):
    assert (kept["status"], kept["progress"], kept["name"], kept["result"]) == ("done", 1.0, "talk.mp4", "talk")
    assert (folder / "media" / "talk.mp4").read_bytes() == talk.read_bytes()
    assert not list((folder / RECORDS / "uploads").iterdir())
    result = client.get("/api/results/talk").json()
    assert (result["file"], result["media"], len(result["persons"])) == ("talk.mp4", True, 1)


def test_the_report_plays_the_media_and_allows_its_own_scripts_only(client, kept):
    response = client.get("/api/results/talk/report")
    policy = response.headers["content-security-policy"]
    assert '"media":"media"' in response.text
    assert "unsafe-inline" not in policy
    assert policy.count("sha256-") == 3
    part = client.get("/api/results/talk/media", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")


def test_a_thumbnail_is_a_jpeg(client, kept):
    (person,) = client.get("/api/results/talk").json()["persons"]
    response = client.get(person["thumbnail"])
    assert response.headers["content-type"] == "image/jpeg"
    assert response.content.startswith(b"\xff\xd8\xff")


def test_pictures_of_results_of_the_command_line_are_cut_when_they_are_asked_for(client, folder, kept):
    (folder / RECORDS / "pictures" / "talk.json").unlink()
    assert client.get("/api/results/talk/persons/1/thumbnail").content.startswith(b"\xff\xd8\xff")
    assert client.get("/api/results/talk/persons/2/thumbnail").status_code == 404


@pytest.mark.parametrize("form", ["csv", "elan", "annotated-video"])
def test_results_are_exported(client, kept, folder, form):
    response = client.get(f"/api/results/talk/export/{form}")
    assert response.status_code == 200, response.text
    assert response.headers["content-disposition"].startswith("attachment")
    assert not list((folder / RECORDS / "exports").iterdir())


def test_an_export_of_several_files_holds_nothing_else_and_finds_the_media_beside_it(client, kept, folder):
    response = client.get("/api/results/talk/export/elan")
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.namelist() == ["talk.eaf", "talk_series.txt", "talk_tsconf.xml"]
        header = ElementTree.fromstring(archive.read("talk.eaf")).find("HEADER")
    assert header is not None
    media, *linked = [dict(child.attrib) for child in header if child.tag.endswith("DESCRIPTOR")]
    assert media["MEDIA_URL"] == (folder / "media" / "talk.mp4").as_uri()
    assert media["RELATIVE_MEDIA_URL"] == "./talk.mp4"
    assert {link["LINK_URL"] for link in linked} == {"./talk_series.txt", "./talk_tsconf.xml"}


def test_the_command_line_finds_the_result_of_the_server(client, kept, folder, capsys):
    with pytest.raises(SystemExit) as end:
        main(["predict", str(folder / "media" / "talk.mp4"), "--out", str(folder)])
    assert not end.value.code
    assert "was already done" in capsys.readouterr().out
    assert client.get("/api/results").json()["total"] == 1


def test_an_upload_of_a_name_that_is_taken_gets_a_number_and_is_not_kept_if_that_is_not_wanted(
    client, folder, kept, talk
):
    before = (folder / "talk.csv").read_bytes()
    job = finished(client, uploaded(client, talk.read_bytes(), keep=False)["id"])
    assert (job["name"], job["result"]) == ("talk-2.mp4", "talk-2")
    assert (folder / "talk.csv").read_bytes() == before
    assert [path.name for path in (folder / "media").iterdir()] == ["talk.mp4"]
    result = client.get("/api/results/talk-2").json()
    assert (result["media"], client.get("/api/results/talk-2/media").status_code) == (False, 404)
    assert client.get(result["persons"][0]["thumbnail"]).status_code == 200
    assert "data:image/jpeg" in client.get("/api/results/talk-2/report").text
    client.delete("/api/results/talk-2")
    assert not list((folder / RECORDS / "pictures").glob("talk-2*"))


def test_a_damaged_upload_fails_in_one_line_and_can_be_retried(client, folder):
    job = finished(client, uploaded(client, b"no video", name="bad.mp4")["id"])
    assert (job["status"], job["retryable"]) == ("failed", False)  # it would fail again
    assert job["error"].startswith("bad.mp4: ")
    assert "\n" not in job["error"]
    again = client.post(f"/api/jobs/{job['id']}/retry").json()
    assert finished(client, again["id"])["status"] == "failed"
    assert client.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert not list((folder / RECORDS / "uploads").iterdir())
    assert client.get(f"/api/jobs/{job['id']}").status_code == 404


def test_a_failed_upload_keeps_no_name_and_gets_another_when_it_is_retried(client, folder, talk):
    failed = finished(client, uploaded(client, b"no subtitles", name="name.srt")["id"])
    other = finished(client, uploaded(client, b"no video", name="name.mp4")["id"])
    assert (failed["status"], other["status"], other["name"]) == ("failed", "failed", "name.mp4")
    done = finished(client, uploaded(client, talk.read_bytes(), name="name.mp4")["id"])
    assert (done["name"], done["result"]) == ("name.mp4", "name")
    again = client.post(f"/api/jobs/{other['id']}/retry").json()
    assert again["name"] == "name-2.mp4"
    assert finished(client, other["id"])["error"].startswith("name-2.mp4: ")
    assert (folder / "media" / "name.mp4").read_bytes() == talk.read_bytes()
    for job in (failed, other, done):
        client.delete(f"/api/jobs/{job['id']}")
    client.delete("/api/results/name")


def test_a_transcript_that_waits_does_not_take_the_name_of_its_recording(make_client):
    with make_client(jobs=0) as client:
        names = [uploaded(client, b"x", name=name)["name"] for name in ("a.srt", "a.mp4", "a.mkv")]
    assert names == ["a.srt", "a.mp4", "a-2.mkv"]


def test_a_job_forgets_its_result_when_that_is_deleted(client, talk):
    job = finished(client, uploaded(client, talk.read_bytes(), name="brief.mp4")["id"])
    assert client.get("/api/results/brief").json()["kept_media"]
    client.delete("/api/results/brief")
    after = client.get(f"/api/jobs/{job['id']}").json()
    assert (after["status"], after["result"]) == ("done", None)
    client.delete(f"/api/jobs/{job['id']}")


def test_a_job_that_runs_is_cancelled_and_its_upload_removed(client, folder, talk):
    job = uploaded(client, talk.read_bytes(), name="cancelled.mp4", rate=1000)
    client.post(f"/api/jobs/{job['id']}/cancel")
    assert finished(client, job["id"])["status"] == "cancelled"
    assert client.post(f"/api/jobs/{job['id']}/cancel").status_code == 409
    assert "send the file again" in client.post(f"/api/jobs/{job['id']}/retry").json()["error"]
    assert not list((folder / RECORDS / "uploads").iterdir())
    assert not (folder / "cancelled.csv").exists()


def test_a_file_of_this_machine_becomes_a_job_and_stays_where_it_is(client, tmp_path, talk):
    place = shutil.copy(talk, tmp_path / "here.mp4")
    (job,) = client.post("/api/jobs/local", json={"path": str(tmp_path)}).json()
    assert finished(client, job["id"])["result"] == "here"
    result = client.get("/api/results/here").json()
    assert (result["media"], result["kept_media"]) == (True, False)
    client.delete("/api/results/here")
    assert place.exists()


def test_a_path_that_does_not_exist_is_an_error(client):
    response = client.post("/api/jobs/local", json={"path": "/nowhere/talk.mp4"})
    assert (response.status_code, response.json()["error"]) == (404, "/nowhere/talk.mp4: no such file or folder.")


def test_a_full_queue_takes_no_more(make_client, tmp_path, talk):
    jobs = [{"id": str(n), "name": "a.mp4", "path": str(talk), "status": "queued", **STORED} for n in range(3)]
    write_json(tmp_path / RECORDS / "jobs" / "queue.json", {"jobs": jobs})
    with make_client(queued_jobs=3, jobs=0) as client:
        response = client.post("/api/jobs?name=b.mp4", content=b"b")
        assert (response.status_code, len(client.get("/api/jobs").json())) == (429, 3)
        client.post("/api/jobs/0/cancel")
        assert client.post("/api/jobs?name=b.mp4", content=b"b").status_code == 201


def test_a_server_that_was_killed_resumes_its_jobs(make_client, tmp_path, talk):
    records = tmp_path / RECORDS
    upload = records / "uploads" / "1" / "talk.mp4"
    upload.parent.mkdir(parents=True)
    shutil.copy(talk, upload)
    (records / "uploads" / "2").mkdir()
    job = {
        "id": "1",
        "name": "talk.mp4",
        "path": str(upload),
        "status": "running",
        **STORED,
        "upload": True,
        "keep": True,
    }
    write_json(records / "jobs" / "queue.json", {"jobs": [job, {"id": "of another version"}]})
    with make_client() as client:
        assert finished(client, "1")["result"] == "talk"
    assert not list((records / "uploads").iterdir())
    assert (tmp_path / "media" / "talk.mp4").exists()


def test_a_job_that_runs_when_the_server_ends_stays_in_the_queue(make_client, tmp_path, talk):
    with make_client() as client:
        uploaded(client, talk.read_bytes(), rate=1000)
    (job,) = json.loads((tmp_path / RECORDS / "jobs" / "queue.json").read_text("utf-8"))["jobs"]
    assert job["status"] in ("queued", "running")


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"rate": 0}, "rate: give a number above 0."),
        ({"rate": 10_000}, "rate: give a number of at most 1000."),
        ({"persons": "many"}, "persons: give auto, largest or a number from 1 to 9999."),
        ({"name": ""}, "name: is empty; give some text."),
        ({"keep": "maybe"}, "keep: give true or false."),
    ],
)
def test_wrong_parameters_are_errors_of_one_line_in_plain_words(client, parameters, problem):
    response = client.post("/api/jobs", params={"name": "a.mp4", **parameters}, content=b"a")
    assert response.status_code == 422
    assert response.json()["error"] == problem


def test_the_status_names_the_limits(client, folder):
    status = client.get("/api/status").json()
    assert status["limits"] == {"upload_bytes": 3_000_000, "queued_jobs": 6}
    assert (status["results"], status["local_paths"]) == (folder.name, True)
