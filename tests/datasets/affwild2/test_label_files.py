from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emofuse.core.labels import AFFWILD2, AFFWILD2_8, RAVDESS
from emofuse.datasets.affwild2.label_files import read_labels, rename, scan_labels, write_labels
from emofuse.errors import DataError, LabelError, OutputError

HEADER = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise"


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    return tmp_path / "v1.txt"


def written(path: Path, *lines: str, end: str = "\n") -> Path:
    path.write_bytes((end.join(lines) + end).encode())
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(eight=st.booleans(), labels=st.lists(st.integers(-1, 6), max_size=50))
def test_labels_come_back_as_they_were_written(v1, eight, labels):
    label_set = AFFWILD2_8 if eight else AFFWILD2
    write_labels(v1, np.array(labels, np.int64), label_set)
    file = read_labels(v1)
    assert file.label_set == label_set
    assert file.labels.tolist() == labels
    assert file.labels.dtype == np.int64


def test_the_file_begins_with_the_names_as_the_organisers_spell_them(v1):
    write_labels(v1, np.array([0, 7, -1]), AFFWILD2_8)
    assert v1.read_bytes() == f"{HEADER},Other\n0\n7\n-1\n".encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(names=st.permutations(AFFWILD2.names), numbers=st.lists(st.integers(-1, 6), min_size=1, max_size=20))
def test_numbers_are_bound_to_classes_by_the_names_of_the_first_line(v1, names, numbers):
    file = read_labels(written(v1, ",".join(names), *map(str, numbers)))
    assert AFFWILD2.decode(file.labels) == [None if n < 0 else names[n] for n in numbers]


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeff{HEADER}\r\n1\r\n-1\r\n4\r\n",
        f"{HEADER.upper()}\n1\n-1\n4",
        f" {HEADER.replace(',', ', ')} \n 1 \n-1\t\n+4\n\n \n\n",
        f"{HEADER.replace(',', ';')},\n1\n-1\n4\n",
    ],
    ids=["byte order mark and Windows", "capitals", "spaces and empty lines at the end", "semicolons"],
)
def test_spellings_that_mean_the_same_are_no_fault(v1, content):
    v1.write_bytes(content.encode())
    assert read_labels(v1).labels.tolist() == [1, -1, 4]


def test_eight_classes_become_seven_by_name_with_other_not_labelled():
    assert rename(np.array([0, 7, 6, -1]), AFFWILD2_8, AFFWILD2).tolist() == [0, -1, 6, -1]


def test_seven_classes_become_eight_by_name():
    assert rename(np.array([0, 6, -1]), AFFWILD2, AFFWILD2_8).tolist() == [0, 6, -1]


def faults(path: Path) -> list[tuple[str, int | None, str]]:
    return [(p.kind, p.line, p.found) for p in scan_labels(path).problems]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("0", "the first line is '0', not the names of the classes"),
        ("valence,arousal", "the first line is 'valence,arousal', not the names of the classes"),
        (HEADER.replace("Happiness", "Happines"), "unknown class 'happines' (did you mean 'happiness'?)"),
        (HEADER.replace("Fear", "Blue"), "the first line names an unknown class 'blue'"),
        (HEADER.removesuffix(",Surprise"), "the first line lacks the class 'surprise'"),
        (f"{HEADER},Fear", "the first line names a class twice"),
    ],
)
def test_a_wrong_header_is_told(v1, header, found):
    ((kind, line, told),) = faults(written(v1, header, "0", "1"))
    assert (kind, line) == ("header", 1)
    assert told.endswith(found)


def test_without_a_header_the_first_line_is_a_frame(v1):
    assert len(scan_labels(written(v1, "0", "1", "2")).labels) == 3


@pytest.mark.parametrize(
    ("row", "kind", "found"),
    [
        ("7", "label", "label 7 is outside the set (0 to 6, or -1)"),
        ("-2", "label", "label -2 is outside the set (0 to 6, or -1)"),
        ("9" * 30, "label", f"label {'9' * 30} is outside the set (0 to 6, or -1)"),
        ("", "missing-label", "empty line"),
        ("happy", "text", "'happy' is no whole number"),
        ("3.0", "text", "'3.0' is no whole number"),
        ("1_0", "text", "'1_0' is no whole number"),
        ("0,1", "text", "'0,1' is no whole number"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(v1, row, kind, found):
    assert faults(written(v1, HEADER, "0", "1", row, "2")) == [(kind, 4, found)]


def test_every_fault_of_a_file_is_found(v1):
    path = written(v1, HEADER, "0", "x", "1", "9", "", "", "2.5", "3")
    assert [(kind, line) for kind, line, _ in faults(path)] == [
        ("text", 3),
        ("label", 5),
        ("missing-label", 6),
        ("text", 8),
    ]


def test_lines_with_the_same_fault_that_follow_each_other_are_one_problem(v1):
    assert faults(written(v1, HEADER, *["0.5"] * 5000)) == [
        ("text", 2, "'0.5' is no whole number and 4999 more in the lines after it")
    ]


def test_a_wrong_line_keeps_its_frame_without_a_label(v1):
    file = scan_labels(written(v1, HEADER, "0", "x", "2"))
    assert file.labels.tolist() == [0, -1, 2]
    assert file.wrong.tolist() == [False, True, False]


def test_a_file_with_faults_is_refused_with_the_first_and_the_number_of_others(v1):
    written(v1, HEADER, "0", "9", "x")
    with pytest.raises(DataError) as error:
        read_labels(v1)
    assert str(error.value) == (
        f"{v1}:3: label 9 is outside the set (0 to 6, or -1); the entry is left out until it is corrected (and 1 more)."
    )


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"], ids=["no bytes", "empty lines", "mark alone"])
def test_an_empty_file_is_told(v1, content):
    v1.write_bytes(content)
    assert faults(v1) == [("header", None, "the file is empty")]


def test_a_file_that_is_no_text_is_told_with_the_line(v1):
    v1.write_bytes(f"{HEADER}\n0\n".encode() + b"\xff\xfe\n")
    assert faults(v1) == [("text", 3, "is not UTF-8 text")]


def test_a_missing_file_is_told(v1):
    assert faults(v1) == [("unreadable", None, "cannot be read (No such file or directory)")]


def test_other_classes_cannot_be_written(v1):
    with pytest.raises(LabelError, match=r"no place for neutral, calm, .*; bring the labels into AFFWILD2"):
        write_labels(v1, np.array([0]), RAVDESS)


def test_a_label_outside_the_set_is_not_written(v1):
    with pytest.raises(LabelError, match="run from 0 to 7"):
        write_labels(v1, np.array([0, 7]), AFFWILD2)
    assert not v1.exists()


def test_a_folder_in_the_place_of_the_file_is_told(v1):
    v1.mkdir()
    with pytest.raises(OutputError, match=r"v1\.txt"):
        write_labels(v1, np.array([0]), AFFWILD2)
