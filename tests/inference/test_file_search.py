"""Which files are predicted, and which are left out with a note."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emofuse.core.files import own_outputs
from emofuse.errors import MediaError
from emofuse.inference.file_search import find_files


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_folders_are_searched_recursively_without_hidden_files(tmp_path):
    for name in ("a/b/x.mp4", "a/y.MKV", "a/.hidden.mp4", "a/.git/z.mp4", "a/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert [p.name for p in find_files([tmp_path / "a"]).files] == ["x.mp4", "y.MKV"]


def test_files_that_are_named_twice_are_listed_once(tmp_path):
    for name in ("x1.mp4", "x2.mp4", "y.mp4"):
        (tmp_path / name).touch()
    found = find_files([str(tmp_path / "x*.mp4"), tmp_path / "x1.mp4"])
    assert [p.name for p in found.files] == ["x1.mp4", "x2.mp4"]


def test_a_folder_without_videos_is_an_error(tmp_path):
    with pytest.raises(MediaError, match=r"no video found\. Looked for"):
        find_files([tmp_path])


def test_an_empty_path_is_not_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.mp4").touch()
    with pytest.raises(MediaError, match=r"^an empty path was given; give a file, a folder or a glob\.$"):
        find_files([""])


@pytest.mark.parametrize("suffix", ["asf", "f4v", "3g2", "MOD", "dv", "divx", "ogm", "rmvb", "m2t", "tod"])
def test_videos_of_less_common_extensions_are_found(tmp_path, suffix):
    touch(tmp_path, f"x.{suffix}")
    assert [p.name for p in find_files([tmp_path]).files] == [f"x.{suffix}"]


def test_everything_that_is_left_out_of_a_folder_is_counted_by_reason(tmp_path):
    folder = touch(tmp_path / "in", "a.mp4", "b.txt", "c.TXT", "d", ".e.mp4", "f.wav")
    touch(tmp_path, "there/x.mp4")
    (folder / "gone.mp4").symlink_to("../.git/annex/gone.mp4")
    (folder / "linked").symlink_to("../there")
    (folder / "file-link.mp4").symlink_to("../there/x.mp4")
    os.mkfifo(folder / "pipe.mp4")
    found = find_files([folder])
    assert [p.name for p in found.files] == ["a.mp4", "file-link.mp4"]
    assert found.counts == {
        "audio file, which the bundle does not score": 1,
        "hidden": 1,
        "link to a folder": 1,
        "link to a missing file": 1,
        "not a regular file": 1,
        "other extension": 3,
    }
    assert found.note is not None
    assert "3 with another extension (.txt 2, none 1)" in found.note
    assert "1 link to a missing file" in found.note
    assert len(found.note.splitlines()) == 1


def test_photographs_are_found_beside_videos_but_not_the_plots_of_results(tmp_path):
    folder = touch(tmp_path, "a.mp4", "b.JPG", "sub/c.png", "out/b.png")
    with own_outputs([folder / "out" / "a.png"]):
        touch(folder, "out/a.png")
    found = find_files([folder], photographs=True)
    assert [p.relative_to(folder).as_posix() for p in found.files] == ["a.mp4", "b.JPG", "out/b.png", "sub/c.png"]
    assert found.counts == {"hidden": 1, "plot or annotated video of an earlier run": 1}
    assert find_files([folder]).counts == {"hidden": 1, "photograph, which the bundle does not score": 4}


def test_annotated_videos_are_not_predicted_again_unless_they_are_named(tmp_path):
    folder = touch(tmp_path, "a.mp4", "out/a.annotated.mp4")
    assert find_files([folder]).files == [folder / "a.mp4"]
    assert find_files([folder / "out/a.annotated.mp4"]).files == [folder / "out/a.annotated.mp4"]


def test_a_folder_without_permission_is_left_out_with_a_note(tmp_path, monkeypatch):
    folder = touch(tmp_path / "in", "a.mp4", "closed/b.mp4")
    scandir = os.scandir

    def closed(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    found = find_files([folder])
    assert (found.counts, [p.name for p in found.files]) == ({"folder without permission": 1}, ["a.mp4"])


def test_a_folder_of_recordings_has_no_note(tmp_path):
    assert find_files([touch(tmp_path, "a.mp4", ".hidden")]).note is None


def test_a_folder_with_nothing_but_dead_links_is_an_error_that_names_them(tmp_path):
    (tmp_path / "gone.mp4").symlink_to("nowhere")
    with pytest.raises(MediaError, match=r"no video found\. Left out of folders: 1 link to a missing file"):
        find_files([tmp_path])
