from __future__ import annotations

from pathlib import Path

import pytest

from emofuse.inference.stems import claim_stems


@pytest.fixture
def video(tmp_path):
    """Creates an empty file."""

    def create(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    return create


def test_files_with_equal_stems_get_different_names(video, tmp_path):
    def stems(*names: str) -> list[str]:
        return claim_stems([video(name) for name in names], tmp_path / "-".join(names).replace("/", "_"))

    assert stems("a.mp4", "b.mp4") == ["a", "b"]
    assert stems("a.mp4", "a.avi") == ["a.mp4", "a.avi"]
    assert stems("p/a.mp4", "q/a.mp4") == ["p__a.mp4", "q__a.mp4"]
    assert stems("A.mp4", "a.MP4", "b.mp4") == ["0001-A.mp4", "0002-a.MP4", "b"]


def test_a_later_run_never_takes_the_name_of_another_file(video, tmp_path):
    found = [claim_stems([video(f"{folder}/a.mp4")], tmp_path) for folder in ("p", "q", "r/x", "s/x", "t/x")]
    assert found[:4] == [["a"], ["a.mp4"], ["x__a.mp4"], ["0001-a.mp4"]]
    assert len({stem for stems in found for stem in stems}) == 5


def test_a_file_keeps_its_name_in_later_runs(video, tmp_path):
    files = [video("p/a.mp4"), video("q/a.mp4")]
    assert claim_stems(files[:1], tmp_path) == ["a"]
    assert claim_stems(files, tmp_path) == ["a", "a.mp4"]
    assert claim_stems(files[1:], tmp_path) == ["a.mp4"]


def test_a_file_that_was_moved_keeps_its_name(video, tmp_path):
    claim_stems([video("p/a.mp4")], tmp_path)
    (tmp_path / "p").rename(tmp_path / "q")
    assert claim_stems([tmp_path / "q" / "a.mp4"], tmp_path) == ["a"]


def test_a_damaged_list_of_names_is_written_again(video, tmp_path):
    (tmp_path / "names.json").write_text("[")
    assert claim_stems([video("a.mp4")], tmp_path) == ["a"]
    assert claim_stems([video("p/a.mp4")], tmp_path) == ["a.mp4"]
