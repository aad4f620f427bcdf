from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from emofuse.errors import SettingsError, WeightsError
from emofuse.models import weights
from emofuse.models.detectors import choose_detector
from emofuse.models.weights import Weights
from emofuse.runtime import Engine

CONTENT = b"weights" * 1000


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A file server on this machine that has one file of weights."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "net.onnx").write_bytes(CONTENT)
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(weights, "cache", lambda: tmp_path / "cache")
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    return tmp_path / "cache"


def entry(url: str, content: bytes = CONTENT) -> Weights:
    return Weights("net", "net.onnx", url, hashlib.sha256(content).hexdigest(), "none", "a test")


def test_weights_are_fetched_once_and_then_found(server, own_cache):
    wanted = entry(f"{server}/net.onnx")
    assert weights.locate(wanted) is None
    path = weights.fetch(wanted)
    assert path == own_cache / "net.onnx"
    assert path.read_bytes() == CONTENT
    assert weights.fetch(entry("http://127.0.0.1:9/nowhere")) == path


def test_what_has_another_checksum_is_not_kept(server, own_cache):
    with pytest.raises(WeightsError, match="nothing was saved"):
        weights.fetch(entry(f"{server}/net.onnx", b"other"))
    assert list(own_cache.iterdir()) == []


def test_without_network_the_message_says_what_to_do():
    with pytest.raises(WeightsError, match=r"Are you offline\? Put net\.onnx into a folder and set EMOFUSE_WEIGHTS"):
        weights.fetch(entry("http://127.0.0.1:9/net.onnx"))


def test_a_file_the_server_does_not_have_says_so(server):
    with pytest.raises(WeightsError, match="File not found"):
        weights.fetch(entry(f"{server}/other.onnx"))


def test_a_folder_of_the_user_comes_first(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "net.onnx").write_bytes(CONTENT)
    monkeypatch.setenv(weights.VARIABLE, str(tmp_path / "mine"))
    assert weights.locate(entry("")) == tmp_path / "mine" / "net.onnx"


def test_a_damaged_file_is_named_with_the_remedy(own_cache):
    own_cache.mkdir()
    (own_cache / "net.onnx").write_bytes(b"half")
    with pytest.raises(WeightsError, match="delete the file and run `emofuse weights fetch net`"):
        weights.locate(entry(""))


def test_a_mistyped_name_suggests_the_nearest():
    with pytest.raises(WeightsError, match="did you mean 'yunet'"):
        weights.known("yunnet")


def test_yunet_by_name_is_an_error_if_it_cannot_be_fetched(monkeypatch):
    monkeypatch.setitem(weights.KNOWN, "yunet", entry("http://127.0.0.1:9/net.onnx"))
    with pytest.raises(WeightsError, match="offline"):
        choose_detector("yunet", Engine(1))


def test_an_unknown_detector_suggests_the_nearest():
    with pytest.raises(SettingsError, match="did you mean 'yunet'"):
        choose_detector("yunett", Engine(1))
