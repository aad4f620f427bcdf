"""Who may ask what: every request passes here before a route sees it.

Against pages of other sites in the user's browser: the `Host` header must name this server (DNS rebinding), whatever
changes something and the WebSocket must come from its own page (`Origin`, `Sec-Fetch-Site`), and other pages may link
to this server, but not embed what it has. Programs send neither header and are let through; on another address than
that of the loopback everybody needs the token. Bodies are limited in size and in time, and every response says what a
browser may do with it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
from http import HTTPStatus
from urllib.parse import SplitResult, parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emofuse.errors import SettingsError
from emofuse.server.settings import ServerSettings, is_loopback

JSON_BYTES = 64_000  # of a body that is not an upload
STALL_SECONDS = 30.0  # without any byte of a body
COOKIE = "emofuse_token"
_TOKEN_LENGTH = 16  # of a token that is given
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_OWN_SITE = ("same-origin", "none")  # none: the user typed the address

PAGE_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=(), display-capture=()",
}


def checked_token(token: str | None, host: str) -> str | None:
    """The token that clients need: the given one, or a new one if others can reach the address.

    Raises:
        SettingsError: it is too short, or holds characters that no header may hold.
    """
    if token is None:
        return None if is_loopback(host) else secrets.token_urlsafe(32)
    if len(token) < _TOKEN_LENGTH or not token.isascii() or not token.isalnum():
        raise SettingsError(
            f"--token: give at least {_TOKEN_LENGTH} letters and digits, or leave it out for a new one."
        )
    return token


class RefusedError(Exception):
    """Why a request is refused: the status and one line."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error


class Guard:
    """The checks around an application."""

    def __init__(self, app: ASGIApp, *, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            headers = Headers(scope=scope)
            _check_host(headers.get("host", ""), self._settings)
            _check_origin(scope, headers)
            if (entry := self._entry(scope)) is not None:
                await entry(scope, receive, _with_headers(send))
                return
            self._check_token(headers)
            if scope["type"] == "http" and not is_upload(scope["method"], scope["path"]):
                receive = await _received(headers, receive)
        except RefusedError as refusal:
            await _refuse(refusal, scope, receive, send)
            return
        await self._app(scope, receive, _with_headers(send) if scope["type"] == "http" else send)

    def _entry(self, scope: Scope) -> RedirectResponse | None:
        """The answer to `/?token=T`, which brings the token into a cookie and out of the address bar."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        token = self._settings.token
        if token is None or scope["type"] != "http" or scope["path"] != "/" or not given:
            return None
        if not secrets.compare_digest(given[0].encode(), token.encode()):
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "the token in this address is wrong; copy it again.")
        response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        response.set_cookie(COOKIE, token, httponly=True, samesite="strict", path="/")
        return response

    def _check_token(self, headers: Headers) -> None:
        token = self._settings.token
        if token is None:
            return
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        given = bearer.strip() if kind.lower() == "bearer" else cookie
        if not secrets.compare_digest(given.encode(), token.encode()):
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED, "a token is needed; open the address that `emofuse serve` printed, or send it."
            )


def is_upload(method: str, path: str) -> bool:
    """Whether the body of a request is streamed to disk by its route, which limits it."""
    return method == "POST" and (path == "/api/jobs" or (path.startswith("/api/results/") and path.endswith("/media")))


def _check_host(host: str, settings: ServerSettings) -> None:
    """Refuse names that are not this server's: another site's name that leads here is DNS rebinding.

    An address of digits cannot be rebound, and ports are forwarded, so neither is compared.
    """
    name = _parts(f"//{host}").hostname or ""
    if is_loopback(name):
        return
    if not is_loopback(settings.host):
        if name in (settings.host.lower(), socket.gethostname().lower()):
            return
        try:
            ipaddress.ip_address(name)
            return
        except ValueError:
            pass
    raise RefusedError(HTTPStatus.FORBIDDEN, "the Host header does not name this server.")


def _check_origin(scope: Scope, headers: Headers) -> None:
    """Refuse what pages of other sites ask for, except to be opened by a link."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if scope["type"] == "http" and scope["method"] in _SAFE_METHODS:
        origin = None
        site = None if headers.get("sec-fetch-mode") == "navigate" else site
    own = origin is None or _parts(origin).netloc.lower() == headers.get("host", "").lower()
    if not own or (site is not None and site not in _OWN_SITE):
        raise RefusedError(HTTPStatus.FORBIDDEN, "the request comes from a page of another site.")


def _parts(address: str) -> SplitResult:
    """The parts of an address; empty if it is not one."""
    try:
        parts = urlsplit(address)
        return urlsplit("") if "@" in parts.netloc or parts.hostname is None else parts
    except ValueError:
        return urlsplit("")


async def _received(headers: Headers, receive: Receive) -> Receive:
    """The whole body, within the limits, and then what follows it."""
    body, more = b"", True
    if stated_length(headers) > JSON_BYTES:
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {JSON_BYTES} bytes.")
    waiting: list[Message] = []
    while more:
        try:
            message = await asyncio.wait_for(receive(), STALL_SECONDS)
        except TimeoutError:
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive.") from None
        waiting.append(message)
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
        if len(body) > JSON_BYTES:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {JSON_BYTES} bytes.")

    async def replay() -> Message:
        return waiting.pop(0) if waiting else await receive()

    return replay


def stated_length(headers: Headers) -> int:
    """The Content-Length; 0 if it is not stated."""
    text = headers.get("content-length", "")
    return int(text) if text.isdecimal() else 0


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Content-Security-Policy", PAGE_POLICY)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sent


async def _refuse(refusal: RefusedError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.error})
        return
    response = JSONResponse({"error": refusal.error}, refusal.status)
    await response(scope, receive, _with_headers(send))
