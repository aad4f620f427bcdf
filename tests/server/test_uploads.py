"""Names and bodies of uploads."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.core.files import RECORDS
from emofuse.server.uploads import free_name, safe_name


@given(st.text())
def test_a_name_is_never_a_path_nor_hidden_nor_too_long(name):
    safe = safe_name(name)
    assert safe == os.path.basename(safe)
    assert not safe.startswith(".")
    assert safe.isprintable()
    assert 0 < len(os.fsencode(safe)) <= 255 - 40
    assert safe_name(safe) == safe


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("..\\..\\talk.mp4", "talk.mp4"),
        ("/etc/passwd", "passwd"),
        ("a\0b\n.mp4", "ab.mp4"),
        (".hidden.mp4", "hidden.mp4"),
        ("COM1.mp4", "_COM1.mp4"),
        ("talk\u202e4pm.mp4", "talk4pm.mp4"),
        ("Ångström 1.mp4", "Ångström 1.mp4"),
        ("/", "upload"),
    ],
)
def test_names_of_uploads_are_made_safe(name, safe):
    assert safe_name(name) == safe


def test_a_long_name_keeps_its_extension():
    assert safe_name("ओ" * 300 + ".mp4").endswith(".mp4")


def test_numbers_come_before_the_extension():
    assert free_name("a.b.mp4", lambda name: name == "a.b.mp4") == "a.b-2.mp4"


def chunks(size: int) -> Iterator[bytes]:
    """A body whose length is not stated."""
    for _ in range(size // 100_000):
        yield bytes(100_000)


@pytest.mark.parametrize("content", [bytes(3_000_001), chunks(3_100_000)], ids=["stated", "not stated"])
def test_an_upload_that_is_too_large_is_refused_and_leaves_nothing(client, folder, content):
    response = client.post("/api/jobs?name=a.mp4", content=content)
    assert response.status_code == 413
    assert "--max-upload" in response.json()["error"]
    assert not list((folder / RECORDS).glob("uploads/*"))


def test_an_empty_upload_is_refused(client):
    response = client.post("/api/jobs?name=a.mp4")
    assert (response.status_code, response.json()["error"][:27]) == (400, "a.mp4: is empty (0 bytes). ")


def test_a_limit_is_stated_in_its_own_unit(make_client):
    with make_client(upload_bytes=100_000) as client:
        response = client.post("/api/jobs?name=a.mp4", content=bytes(100_001))
    assert response.json()["error"].startswith("the file has more than 100 KB;")
