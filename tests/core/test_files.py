from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.core.files import (
    RECORDS,
    atomic,
    atomic_folder,
    decoded,
    digest,
    file_digest,
    locked,
    own_outputs,
    remove_abandoned,
    shortened,
    write_bytes,
    write_json,
)
from emofuse.errors import OutputError, SettingsError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
definitions = st.dictionaries(st.text(max_size=5), values, max_size=4)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def shuffled(value: object) -> object:
    if isinstance(value, dict):
        return {k: shuffled(v) for k, v in reversed(value.items())}
    return [shuffled(v) for v in value] if isinstance(value, list) else value


# A file is written whole


def test_a_file_is_written_into_folders_that_do_not_exist_yet(tmp_path):
    write_bytes(tmp_path / "a" / "b" / "result", b"new")
    assert (tmp_path / "a" / "b" / "result").read_bytes() == b"new"
    assert names(tmp_path / "a" / "b") == ["result"]


def test_the_old_file_is_kept_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "result"
    path.write_bytes(b"old")
    with atomic(path) as partial:
        partial.write_bytes(b"half of the n")
        assert path.read_bytes() == b"old"
        partial.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["result"]


def test_the_temporary_file_has_the_same_suffix_and_folder(tmp_path):
    with atomic(tmp_path / "result.npz") as partial:
        assert (partial.suffix, partial.parent) == (".npz", tmp_path)
        partial.touch()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError, MemoryError])
@pytest.mark.parametrize("old", [b"old", None])
def test_an_error_while_writing_keeps_the_old_file(tmp_path, error, old):
    path = tmp_path / "result"
    if old is not None:
        path.write_bytes(old)

    def interrupted() -> None:
        with atomic(path) as partial:
            partial.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert names(tmp_path) == (["result"] if old else [])
    assert not old or path.read_bytes() == old


def test_a_partial_file_of_a_killed_run_is_not_reused(tmp_path):
    with atomic(tmp_path / "result") as partial:
        pass_by = partial
        partial.write_bytes(b"x")
    pass_by.write_bytes(b"a long rest of a killed run")
    with atomic(tmp_path / "result") as partial, partial.open("ab") as file:
        file.write(b"new")
    assert (tmp_path / "result").read_bytes() == b"new"
    assert names(tmp_path) == ["result"]


WRITER = """
import os, sys, time
from emofuse.core.files import atomic
for n in range(1, 10**6):
    with atomic(sys.argv[1]) as partial, partial.open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(b"%7d\\n" % n)
            if n == 2:
                print("in the middle", flush=True)
                time.sleep(60)
"""


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    # Only the store is loaded, so a child starts quickly.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_a_run_killed_while_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / "result"
    with run(WRITER, path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "in the middle\n"
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"      1\n" * 50
    write_bytes(path, b"new")  # and the next run clears away what the killed one left
    assert names(tmp_path) == ["result"]


def test_runs_killed_at_any_moment_leave_a_complete_file(tmp_path):
    path, code = tmp_path / "result", WRITER.replace("if n == 2", "if n == 9").replace("time.sleep(60)", "")
    for _ in range(3):
        with run(code, path) as child:
            assert child.stdout is not None
            child.stdout.readline()
            child.send_signal(signal.SIGKILL)
        lines = path.read_bytes().splitlines()
        assert len(lines) == 50
        assert len(set(lines)) == 1


def test_two_writers_of_one_file_never_share_a_temporary_file(tmp_path):
    path = tmp_path / "result"
    with atomic(path) as first:
        first.write_bytes(b"first")
        with atomic(path) as second:
            second.write_bytes(b"second")
            remove_abandoned(tmp_path)
            assert first != second
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["result"]


def test_two_writers_of_one_folder_never_share_a_temporary_folder(tmp_path):
    path = tmp_path / "result"
    with atomic_folder(path) as first:
        (first / "a").touch()
        with atomic_folder(path) as second:
            (second / "b").touch()
        assert names(path) == ["b"]
    assert names(path) == ["a"]
    assert names(tmp_path) == ["result"]


def test_processes_that_write_one_file_all_succeed(tmp_path):
    code = WRITER.replace("10**6", "40").replace("n == 2", "n == 99")
    children = [run(code, tmp_path / "result") for _ in range(3)]
    errors = [child.communicate()[1] for child in children]
    assert errors == [""] * 3
    assert names(tmp_path) == ["result"]


def test_leftovers_of_killed_runs_are_removed_and_files_of_running_ones_are_kept(tmp_path):
    (tmp_path / ".partial-old.csv").touch()
    (tmp_path / ".partial-old").mkdir()
    with run(WRITER, tmp_path / "result") as child:
        assert child.stdout is not None
        child.stdout.readline()
        remove_abandoned(tmp_path)
        assert names(tmp_path) == [".partial-result", "result"]
        child.send_signal(signal.SIGKILL)
    remove_abandoned(tmp_path)
    assert names(tmp_path) == ["result"]


def test_file_systems_without_locks_have_random_temporary_names(tmp_path, monkeypatch):
    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", flock)
    with atomic(tmp_path / "result") as first, atomic(tmp_path / "result") as second, locked(tmp_path / "lock"):
        assert first != second
        first.write_bytes(b"1")
        second.write_bytes(b"2")
    assert (tmp_path / "result").read_bytes() == b"1"


@pytest.mark.parametrize("letter", ["x", "é", "ओ", "😀"])
def test_a_name_of_any_length_is_written(tmp_path, letter):
    name = shortened(letter * 300 + ".csv")
    write_bytes(tmp_path / name, b"new")
    assert names(tmp_path) == [name]
    assert 240 < len(os.fsencode(name)) <= 255
    assert name.endswith(".csv")
    assert shortened(letter * 301 + ".csv") != name


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
def test_undecodable_names_are_written_and_are_json(tmp_path):
    name = os.fsdecode(b"d\xe9j\xc3\xa0")
    write_json(tmp_path / name, {"file": name})
    assert json.loads((tmp_path / name).read_bytes()) == {"file": name}
    assert decoded(name) == "d\\xe9jà"
    assert digest({"file": name}) != digest({"file": decoded(name)})
    assert len(os.fsencode(shortened(name * 90))) <= 255


# What a user sees when writing fails


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_reported_in_one_line_and_the_old_file_is_kept(tmp_path):
    path = tmp_path / "result"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"result: the disk is full; no partial file was left\.") as error:
        write_bytes(path, b"new")
    assert "\n" not in str(error.value)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["result"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_fills_up_while_writing_is_reported(tmp_path):
    # /dev/full fails as a full disk does: at the write, with no file name in the error.
    def write() -> None:
        with atomic(tmp_path / "result") as partial, Path("/dev/full").open("wb") as full, partial.open("wb"):
            full.write(b"x" * 100_000)

    with pytest.raises(OutputError, match="result: the disk is full"):
        write()
    assert names(tmp_path) == []


@contextmanager
def small_files() -> Iterator[None]:
    """Files may grow to 4096 bytes; beyond that, a write fails half-way."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_file_beyond_the_size_limit_is_reported_and_the_old_one_is_kept(tmp_path):
    path = tmp_path / "result"
    path.write_bytes(b"old")
    with small_files(), pytest.raises(OutputError, match=r"result: cannot be written \(File too large\)"):
        write_bytes(path, b"x" * 10_000)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["result"]


@pytest.mark.parametrize("inner", ["result", "deep/er/result"])
def test_a_file_where_a_folder_is_needed_is_reported(tmp_path, inner):
    (tmp_path / "out").write_text("mine")
    message = "result: there is a file where a folder is needed.*choose another with --out"
    with pytest.raises(OutputError, match=message):
        write_bytes(tmp_path / "out" / inner, b"new")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_folder_where_a_file_is_needed_is_reported(tmp_path):
    (tmp_path / "result").mkdir()
    with pytest.raises(OutputError, match="or a folder where a file is; choose another with --out"):
        write_bytes(tmp_path / "result", b"new")
    assert names(tmp_path) == ["result"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("inner", ["result", "deep/er/result"])
def test_a_folder_without_permission_is_reported(tmp_path, inner):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="result: no permission to write here; choose another folder with --out"):
        write_bytes(tmp_path / inner, b"new")


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_missing_permission_for_any_parent_folder_is_reported(tmp_path, monkeypatch, depth):
    # As mkdir fails for one who is not root; the tests may run as root.
    path = tmp_path / "a" / "b" / "result"
    refused = path.parents[depth - 1]

    def mkdir(self: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(refused))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(OutputError, match="result: no permission to write here; choose another folder with --out"):
        write_bytes(path, b"new")


def test_a_record_that_cannot_be_written_is_reported_by_the_folder_of_results(tmp_path, monkeypatch):
    def mkdir(self: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "out"))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(OutputError, match="out: no permission to write here; choose another folder with --out"):
        write_json(tmp_path / "out" / RECORDS / "format.json", {})


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "weights.onnx"),
        PermissionError(errno.EACCES, "Permission denied", b"weights.onnx"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        TimeoutError("timed out"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_an_error_that_is_not_about_the_output_is_raised_unchanged(tmp_path, error):
    def write() -> None:
        with atomic(tmp_path / "result") as partial:
            partial.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)) as caught:
        write()
    assert caught.value is error
    assert names(tmp_path) == []


# JSON


@settings(deadline=None, max_examples=30)
@given(values)
def test_json_is_read_as_it_was_written(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert json.loads(path.read_text(encoding="utf-8")) == value


def test_json_is_indented_and_not_escaped(tmp_path):
    write_json(tmp_path / "v.json", {"b": "Zoë", "a": [1]})
    assert (tmp_path / "v.json").read_bytes() == '{\n  "b": "Zoë",\n  "a": [\n    1\n  ]\n}\n'.encode()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused_and_nothing_is_written(tmp_path, number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "v.json", {"cpm": number})
    assert names(tmp_path) == []


# Digests


def test_a_digest_is_the_sha256_of_compact_sorted_json():
    definition = {"seed": 0, "net": {"name": "cnn14", "lr": 0.1}, "tags": ["é", None, True]}
    # printf '{"net":{"lr":0.1,"name":"cnn14"},"seed":0,"tags":["é",null,true]}' | sha256sum
    assert digest(definition) == "3e4ffafc8145ccc40245a9b548afc78058785414485d8dbe1fb515e1a6f78f49"


@given(definitions)
def test_the_order_of_keys_never_changes_a_digest(definition):
    assert digest(shuffled(definition)) == digest(definition)  # type: ignore[arg-type]


@given(definitions, definitions)
def test_only_equal_definitions_have_equal_digests(one, two):
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert (digest(one) == digest(two)) == same


def test_the_order_of_a_list_changes_the_digest():
    assert digest({"a": [1, 2]}) != digest({"a": [2, 1]})


def test_a_definition_with_nan_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest({"lr": float("nan")})


@pytest.mark.parametrize("size", [0, 3, (1 << 20), (1 << 20) + 1])
def test_the_digest_of_a_file_is_the_sha256_of_its_bytes(tmp_path, size):
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "f").write_bytes(content[:size])
    assert file_digest(tmp_path / "f") == hashlib.sha256(content[:size]).hexdigest()


def test_an_output_of_somebody_else_is_never_replaced(tmp_path):
    path = tmp_path / "talk.csv"
    path.write_text("theirs")
    refused = pytest.raises(SettingsError, match=r"talk\.csv: is there already, was not written by emofuse.*--out")
    with refused, own_outputs([tmp_path / "new.csv", path]):
        pytest.fail("the block runs")
    assert path.read_text() == "theirs"
    path.unlink()
    for content in ("first", "second"):
        with own_outputs([path]):
            path.write_text(content)
    assert path.read_text() == "second"


def test_an_output_that_was_not_written_leaves_its_name_free(tmp_path):
    path = tmp_path / "talk.csv"
    with pytest.raises(OSError, match="full"), own_outputs([path]):
        raise OSError("full")
    path.write_text("theirs")
    with pytest.raises(SettingsError), own_outputs([path]):
        pytest.fail("the block runs")


def test_outputs_that_other_records_name_are_replaced(tmp_path):
    (tmp_path / "talk.csv").write_text("of an earlier version")
    with own_outputs([tmp_path / "talk.csv"], known={"talk.csv"}):
        pass
