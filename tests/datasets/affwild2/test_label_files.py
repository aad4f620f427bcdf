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
def test_labels_survive_writing_and_reading(v1, eight, labels):
    label_set = AFFWILD2_8 if eight else AFFWILD2
    write_labels(v1, np.array(labels, np.int64), label_set)
    file = read_labels(v1)
    assert file.label_set == label_set
    assert file.labels.tolist() == labels
    assert file.labels.dtype == np.int64


def test_the_header_has_the_official_spelling(v1):
    write_labels(v1, np.array([0, 7, -1]), AFFWILD2_8)
    assert v1.read_bytes() == f"{HEADER},Other\n0\n7\n-1\n".encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(names=st.permutations(AFFWILD2.names), numbers=st.lists(st.integers(-1, 6), min_size=1, max_size=20))
def test_the_header_defines_the_class_of_each_number(v1, names, numbers):
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
def test_equivalent_spellings_are_accepted(v1, content):
    v1.write_bytes(content.encode())
    assert read_labels(v1).labels.tolist() == [1, -1, 4]


def test_eight_classes_become_seven_by_name_with_other_unlabelled():
    assert rename(np.array([0, 7, 6, -1]), AFFWILD2_8, AFFWILD2).tolist() == [0, -1, 6, -1]


def test_seven_classes_become_eight_by_name():
    assert rename(np.array([0, 6, -1]), AFFWILD2, AFFWILD2_8).tolist() == [0, 6, -1]


def problems(path: Path) -> list[tuple[str, int | None, str]]:
    return [(p.code, p.line, p.found) for p in scan_labels(path).problems]


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
def test_a_wrong_header_is_a_problem(v1, header, found):
    ((code, line, message),) = problems(written(v1, header, "0", "1"))
    assert (code, line) == ("wrong-header", 1)
    assert message.endswith(found)


def test_without_a_header_the_first_line_belongs_to_a_frame(v1):
    assert len(scan_labels(written(v1, "0", "1", "2")).labels) == 3


@pytest.mark.parametrize(
    ("row", "code", "found"),
    [
        ("7", "unknown-label", "label 7 is out of range (0 to 6, or -1)"),
        ("-2", "unknown-label", "label -2 is out of range (0 to 6, or -1)"),
        ("9" * 30, "unknown-label", f"label {'9' * 30} is out of range (0 to 6, or -1)"),
        ("", "missing-label", "empty line"),
        ("happy", "not-a-number", "'happy' is not a whole number"),
        ("3.0", "not-a-number", "'3.0' is not a whole number"),
        ("1_0", "not-a-number", "'1_0' is not a whole number"),
        ("0,1", "not-a-number", "'0,1' is not a whole number"),
    ],
)
def test_an_invalid_line_is_a_problem_with_its_number(v1, row, code, found):
    assert problems(written(v1, HEADER, "0", "1", row, "2")) == [(code, 4, found)]


def test_every_problem_of_a_file_is_found(v1):
    path = written(v1, HEADER, "0", "x", "1", "9", "", "", "2.5", "3")
    assert [(code, line) for code, line, _ in problems(path)] == [
        ("not-a-number", 3),
        ("unknown-label", 5),
        ("missing-label", 6),
        ("not-a-number", 8),
    ]


def test_consecutive_lines_with_the_same_problem_are_reported_once(v1):
    assert problems(written(v1, HEADER, *["0.5"] * 5000)) == [
        ("not-a-number", 2, "'0.5' is not a whole number and 4999 more in the lines after it")
    ]


def test_an_invalid_line_leaves_its_frame_unlabelled(v1):
    file = scan_labels(written(v1, HEADER, "0", "x", "2"))
    assert file.labels.tolist() == [0, -1, 2]
    assert file.wrong.tolist() == [False, True, False]


def test_a_faulty_file_is_refused_with_the_first_problem_and_the_number_of_others(v1):
    written(v1, HEADER, "0", "9", "x")
    with pytest.raises(DataError) as error:
        read_labels(v1)
    assert str(error.value) == (
        f"{v1}:3: label 9 is out of range (0 to 6, or -1); the entry is left out until it is corrected (and 1 more)."
    )


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"], ids=["no bytes", "empty lines", "mark alone"])
def test_an_empty_file_is_a_problem(v1, content):
    v1.write_bytes(content)
    assert problems(v1) == [("wrong-header", None, "the file is empty")]


def test_a_file_that_is_not_text_is_a_problem_with_its_line(v1):
    v1.write_bytes(f"{HEADER}\n0\n".encode() + b"\xff\xfe\n")
    assert problems(v1) == [("not-text", 3, "is not UTF-8 text")]


def test_a_missing_file_is_a_problem(v1):
    assert problems(v1) == [("unreadable-file", None, "cannot be read (No such file or directory)")]


def test_another_label_set_cannot_be_written(v1):
    with pytest.raises(LabelError, match=r"does not allow neutral, calm, .*; convert the labels to AFFWILD2"):
        write_labels(v1, np.array([0]), RAVDESS)


def test_a_label_outside_the_set_is_not_written(v1):
    with pytest.raises(LabelError, match="run from 0 to 7"):
        write_labels(v1, np.array([0, 7]), AFFWILD2)
    assert not v1.exists()


def test_a_folder_in_the_place_of_the_file_is_an_error(v1):
    v1.mkdir()
    with pytest.raises(OutputError, match=r"v1\.txt"):
        write_labels(v1, np.array([0]), AFFWILD2)
