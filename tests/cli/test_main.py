"""Commands as a user types them: output, files and exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emofuse.media.images import encode_jpeg
from emofuse.systems import SYSTEMS
from emofuse.testing.writers import prediction
from support.media_files import moving_bar, set_display_matrix, write_media


def one_line(message: str, *parts: str) -> None:
    assert len(message.strip().splitlines()) == 1, message
    for part in parts:
        assert part in message


def test_predict_prints_the_timeline_and_the_paths_of_the_results(run, talk):
    code, out, _ = run("predict", talk, "--plot")
    assert code == 0
    assert re.search(r"talk\.mp4: 6\.0 s, 1 person, faces by the default detector", out)
    assert "wrote emofuse-results/talk.csv" in out
    assert Path("emofuse-results/talk.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv("emofuse-results/talk.csv")) == 30


def test_predicting_again_reports_that_it_is_already_done(run, talk):
    run("predict", talk)
    code, out, _ = run("predict", talk)
    assert code == 0
    assert "was already done." in out


SLOW = pytest.mark.slow


@pytest.mark.parametrize("form", ["csv", pytest.param("parquet", marks=SLOW), pytest.param("json", marks=SLOW)])
def test_every_frame_writes_a_row_per_frame_in_every_format(run, talk, form):
    code, out, _ = run("predict", talk, "--every-frame", "--format", form, "--json")
    assert code == 0
    entry = json.loads(out)["files"][0]
    assert entry["rows"] == entry["steps"] == 180
    assert Path(f"emofuse-results/talk.{form}").is_file()


def cut_off(folder: Path, talk: Path) -> Path:
    path = folder / "cut.mp4"
    path.write_bytes(talk.read_bytes()[: talk.stat().st_size // 2])
    return path


def empty(folder: Path, _: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def text(folder: Path, _: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("dear diary\n" * 100)
    return path


def photograph(folder: Path, _: Path) -> Path:
    path = folder / "image.mp4"
    path.write_bytes(encode_jpeg(np.zeros((40, 40, 3), np.uint8)))
    return path


def missing(folder: Path, _: Path) -> Path:
    return folder / "missing.mp4"


BAD = [
    (missing, ["missing.mp4: ", "no such file"]),
    (empty, ["empty.mp4: ", "empty"]),
    (text, ["text.mp4: "]),
    (photograph, ["image.mp4: is a photograph (jpeg) with the name of a video; rename it to image.jpg"]),
    (cut_off, ["cut.mp4: ", "cut off"]),
]


@pytest.mark.parametrize(("make", "parts"), BAD, ids=lambda v: getattr(v, "__name__", ""))
def test_a_bad_file_is_reported_in_one_line_with_exit_code_2(run, talk, tmp_path, make, parts):
    code, out, err = run("predict", make(tmp_path, talk))
    assert code == 2
    assert out == ""
    one_line(err, *parts)


def test_bad_files_have_distinct_messages_and_do_not_stop_the_good_one(run, talk, tmp_path):
    bad = [make(tmp_path, talk) for make, _ in BAD]
    code, out, err = run("predict", *bad, talk)
    assert code == 2
    assert f"1 of {len(bad) + 1} files predicted, {len(bad)} failed" in out
    lines = err.strip().splitlines()  # each file once
    reasons = {line.removeprefix("failed: ").split(": ", 1)[1] for line in lines}
    assert len(reasons) == len(lines) == len(bad)
    assert Path("emofuse-results/talk.csv").is_file()


def no_face(folder: Path) -> Path:
    return write_media(folder / "odd one.mkv", moving_bar(30, 160, 120), audio=np.zeros(44100, np.float32))


def no_audio(folder: Path) -> Path:
    return write_media(folder / "silent.mp4", moving_bar(10))


def one_frame(folder: Path) -> Path:
    return write_media(folder / "one.mp4", moving_bar(1))


def tiny(folder: Path) -> Path:
    return write_media(folder / "tiny.mp4", moving_bar(10, 16, 16))


def odd_sizes(folder: Path) -> Path:
    return write_media(folder / "odd.mkv", moving_bar(10, 33, 17), codec="ffv1", pix_fmt="bgr0")


def variable_rate(folder: Path) -> Path:
    return write_media(folder / "vfr.mp4", moving_bar(6), times=[0, 1, 2, 30, 31, 60])


def rotated(folder: Path) -> Path:
    path = write_media(folder / "turned.mp4", moving_bar(10))
    set_display_matrix(path, (0, 1, -1, 0))
    return path


@pytest.mark.parametrize("make", [no_face, no_audio, one_frame, tiny, odd_sizes, variable_rate, rotated])
def test_an_unusual_video_yields_a_table_without_faces_and_no_error(run, tmp_path, make):
    path = make(tmp_path)
    code, _, err = run("predict", path)
    assert (code, err) == (0, "")
    table = pd.read_csv(Path("emofuse-results") / f"{path.stem}.csv")
    assert set(table.status) == {"no_face"}
    assert table.start.iloc[0] == 0
    assert (table.start.to_numpy()[1:] == table.end.to_numpy()[:-1]).all()


def test_an_unwritable_output_folder_is_reported_in_one_line(run, talk, tmp_path):
    (tmp_path / "taken").write_text("")
    code, _, err = run("predict", talk, "--out", tmp_path / "taken")
    assert code == 2
    one_line(err, "taken", "choose another")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--bundle", "defualt"), "did you mean 'default'"),
        (("--detector", "yunett"), "did you mean 'yunet'"),
        (("--format", "parqet"), "did you mean 'parquet'"),
        (("--rate", "0"), "above 0"),
        (("--device", "tpu"), "choose one of"),
        (("--max-yaw", "0"), "give degrees above 0 and up to 90"),
    ],
)
def test_an_invalid_option_value_is_reported_in_one_line_with_a_remedy(run, talk, words, part):
    code, _, err = run("predict", talk, *words)
    assert code == 2
    one_line(err, part)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("pedict", "x.mp4"), "Did you mean 'predict'? See"),
        (("predict", "x.mp4", "--min-confidence", "50%"), "'--min-confidence': give a number, such as 0.5. See"),
        (("predict", "x.mp4", "--jobs", "1.5"), "'--jobs': give a whole number. See"),
        (("weights", "fetsh"), "Did you mean 'fetch'"),
        (("predict",), "Missing argument"),
        (("predict", "x.mp4", "--jobs", "many"), "--jobs"),
        (("predict", "x.mp4", "--plto"), "--plto"),
    ],
)
def test_wrong_usage_is_reported_in_one_line(run, words, part):
    code, _, err = run(*words)
    assert code == 2
    one_line(err, part, "See `emofuse", "--help`")


@pytest.mark.parametrize("name", ["-5.mp4", "--five.mp4"])
def test_a_file_whose_name_looks_like_an_option_is_recognised(run, tmp_path, name):
    (tmp_path / name).touch()
    code, _, err = run("predict", name)
    assert code == 2
    one_line(err, f"Write ./{name} for the file")
    assert "Write" not in run("predict", "-6.mp4")[2]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("report", "two.csv", "--out", "out/report.html"), "report.html"),
        (("stats", "two.csv", "--out", "out"), "stats.csv"),
        (("stats", "two.csv", "--out", "out"), "stats.html"),
        (("export", "two.csv", "--format", "srt", "--out", "out"), "two.srt"),
        (("data", "sample", "out/sample.mp4", "--seconds", "6"), "sample.mp4"),
        (("predict", "talk.mp4", "--out", "out"), "talk.csv"),
        (("predict", "talk.mp4", "--out", "out"), "summary.json"),
    ],
)
def test_no_command_replaces_a_file_that_emofuse_did_not_write(run, tmp_path, words, name):
    prediction().save(tmp_path / "two.csv")
    (tmp_path / "talk.mp4").write_bytes(b"any")
    path = tmp_path / "out" / name
    path.parent.mkdir()
    path.write_text("{}")
    code, out, error = run(*words)
    assert (code, path.read_text()) == (2, "{}")
    assert f"{name}: is there already, was not written by emofuse, and is not replaced" in error
    assert error.count("\n") == 1
    assert "wrote" not in out


def test_systems_lists_what_can_be_trained(run):
    code, out, _ = run("systems")
    assert code == 0
    assert re.search(r"^vggface2-svm +face +Visual 2", out, re.MULTILINE)
    assert {row["name"] for row in json.loads(run("systems", "--json")[1])} >= set(SYSTEMS)


def test_doctor_finds_everything_that_predict_needs(run):
    code, out, _ = run("doctor")
    assert code == 0, out
    assert "default bundle" in out


def test_weights_list_contains_yunet_and_path_prints_the_folders(run, monkeypatch, tmp_path):
    monkeypatch.setenv("EMOFUSE_WEIGHTS", str(tmp_path))
    rows = json.loads(run("weights", "list", "--json")[1])
    assert (rows[0]["name"], len(rows[0]["sha256"])) == ("yunet", 64)
    assert run("weights", "path")[1].splitlines()[0] == str(tmp_path)


def test_fetching_unknown_weights_is_reported_in_one_line(run):
    code, _, err = run("weights", "fetch", "yunit")
    assert code == 2
    one_line(err, "did you mean 'yunet'")


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("module", ["emofuse", "emofuse.cli.main"])
def test_importing_loads_no_heavy_package(module):
    loaded = _python(f"import sys, {module}; print(*sys.modules)").split()
    heavy = {"torch", "cv2", "av", "onnxruntime", "pandas", "scipy", "matplotlib", "numpy"}
    assert heavy & set(loaded) == set()


def test_predicting_loads_no_torch(talk):
    code = f"import sys, emofuse; emofuse.predict({os.fspath(talk)!r}); print('torch' in sys.modules)"
    assert _python(code).strip() == "False"
