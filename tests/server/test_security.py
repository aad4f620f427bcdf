"""Who may ask what."""

from __future__ import annotations

import pytest
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from emofuse.errors import SettingsError
from emofuse.server.security import JSON_BYTES, checked_token
from support.servers import LIVE

OWN = "http://127.0.0.1:8765"
TOKEN = "abcdefgh12345678"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.7:8765", "", "[", "a@localhost"])
def test_a_name_that_leads_here_from_elsewhere_is_refused(client, host):
    response = client.get("/api/status", headers={"Host": host})
    assert (response.status_code, list(response.json())) == (403, ["error"])


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_names_of_this_machine_are_served(client, host):
    assert client.get("/api/status", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": OWN, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_change_nothing(client, headers):
    assert client.post("/api/jobs?name=a.mp4", content=b"a", headers=headers).status_code == 403
    assert client.delete("/api/results/talk", headers=headers).status_code == 403
    with (
        pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)),
        client.websocket_connect(LIVE, headers=headers),
    ):
        pass


def test_pages_of_other_sites_may_link_to_it_but_not_embed_anything(client):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert client.get("/api/results/talk/export/annotated-video", headers=headers).status_code == 403
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/api/status", headers=headers).status_code == 200


def test_the_own_page_may(client):
    headers = {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}
    assert client.delete("/api/jobs/none", headers=headers).status_code == 404


def test_no_other_site_may_read_answers(client):
    headers = client.get("/api/status", headers={"Origin": "http://evil.example"}).headers
    assert not [name for name in headers if name.startswith("access-control")]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_on_another_address_everybody_needs_the_token(make_client):
    client = make_client(host="192.168.0.7", token=TOKEN)
    assert client.get("/api/status").status_code == 401
    assert client.get("/api/status", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/api/status", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    with pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)), client.websocket_connect(LIVE):
        pass
    local = client.post("/api/jobs/local", json={"path": "/"}, headers={"Authorization": f"Bearer {TOKEN}"})
    assert local.status_code == 403


def test_opening_the_printed_address_keeps_the_token_in_a_cookie(make_client):
    client = make_client(host="0.0.0.0", token=TOKEN)
    assert client.get("/?token=wrong").status_code == 401
    response = client.get(f"/?token={TOKEN}", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/api/status").json()["local_paths"] is False


def test_a_new_token_is_made_for_other_addresses_only():
    assert checked_token(None, "127.0.0.1") is None
    assert len(checked_token(None, "0.0.0.0") or "") > 40
    with pytest.raises(SettingsError, match="at least 16"):
        checked_token("short", "0.0.0.0")


@pytest.mark.parametrize("content", [b" " * (JSON_BYTES + 1), iter([b" " * 60_000] * 2)], ids=["stated", "not stated"])
def test_a_body_that_is_no_upload_is_small(client, content):
    response = client.patch("/api/results/two/persons", content=content)
    assert (response.status_code, list(response.json())) == (413, ["error"])


@pytest.mark.parametrize("content", [b"{", b"[" * 60_000, b'{"names": {"x": "y"}}', b'{"more": 1}', b"\xff"])
def test_bodies_that_are_not_as_documented_are_errors_of_one_line(client, content):
    response = client.patch("/api/results/two/persons", content=content, headers={"Content-Type": "application/json"})
    assert 400 <= response.status_code < 500
    assert "\n" not in response.json()["error"]


@pytest.mark.parametrize("path", ["/api/nothing", "/etc/passwd", "/static/../app.py", "/docs"])
def test_other_paths_do_not_exist(client, path):
    response = client.get(path)
    assert (response.status_code, list(response.json())) == (404, ["error"])
