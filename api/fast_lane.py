"""The fast lane: the check by key, answered in front of everything that other requests need.

A check that is plain (no credential, no query, no header that asks for more) and whose answer is
sure at once is answered here: one read of the replica that is level, the stored bytes spliced.
Everything else, and whatever goes wrong, goes on to the ordinary way with its body given back, so
there is one place that refuses, one that looks twice, and one that says why.
"""

from __future__ import annotations

import time
from itertools import chain
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.bodies import BODY_BYTES_MAX, read_body, validate_key_bodies
from api.exchange import (
    JSON_API,
    MEDIA_TYPES,
    VERSION,
    VERSIONS,
    host_of,
    request_id_of,
)
from api.gate import HEADER_BYTES_MAX, Gate
from api.logs import AccessLog
from api.problems import Problem
from api.requests import check_key_size, check_scope
from api.services import Services

ROUTE: Final = "/v1/licenses/actions/validate-key"
_PATH: Final = ROUTE.encode()
_BEFORE: Final = b"/v1/accounts/"
_AFTER: Final = b"/licenses/actions/validate-key"
_OK: Final = 200
_LENGTH_DIGITS_MAX: Final = len(str(BODY_BYTES_MAX))
_JSON: Final = JSON_API.encode()
_MEDIA: Final = frozenset(each.encode() for each in MEDIA_TYPES)
_VERSION: Final = VERSION.encode()
_VERSIONS: Final = frozenset(each.encode() for each in VERSIONS)
_ASKS_MORE: Final = frozenset(
    {
        *(b"authorization", b"keygen-environment", b"ledger-at-least", b"origin"),
        b"transfer-encoding",
    }
)
"""Headers of a check that is not plain: what they ask for, the ordinary way does."""


class Plain(NamedTuple):
    """What the headers of a plain check say."""

    version: bytes
    length: int
    host: str
    request_id: str


class FastLane:
    """Wraps the gate."""

    def __init__(self, gate: Gate, services: Services, access_log: AccessLog) -> None:
        self._gate: ASGIApp = gate
        self._crowd = gate.crowd
        self._services = services
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a plain check, and let everything else go on."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
            await self._gate(scope, receive, send)
            return
        path: bytes = scope["raw_path"]
        if path != _PATH and not (path.startswith(_BEFORE) and path.endswith(_AFTER)):
            await self._gate(scope, receive, send)
            return
        plain = _plain(scope)
        account = None if plain is None else self._account(path, plain.host)
        if plain is None or account is None or not self._may_enter(scope):
            await self._gate(scope, receive, send)
            return
        message = await receive()
        if len(message.get("body", b"")) != plain.length:
            await self._gate(scope, _given_back(message, receive), send)
            return
        started = time.monotonic()
        with self._crowd:
            content = await self._answer(account, message["body"])
        if content is None:
            await self._gate(scope, _given_back(message, receive), send)
            return
        headers = [
            (b"content-length", b"%d" % len(content)),
            (b"content-type", _JSON),
            (b"x-request-id", plain.request_id.encode()),
            (b"keygen-version", plain.version),
        ]
        await send({"type": "http.response.start", "status": _OK, "headers": headers})
        await send({"type": "http.response.body", "body": content})
        self._tell(plain.request_id, time.monotonic() - started)

    def _account(self, path: bytes, host: str) -> str | None:
        """Account that the check is about, where that is known without a read."""
        catalog = self._services.catalog
        if path == _PATH:
            return catalog.host_at_hand(host)
        named = path[len(_BEFORE) : -len(_AFTER)].decode("latin-1")
        return None if "%" in named or "/" in named else catalog.account_at_hand(named)

    def _may_enter(self, scope: Scope) -> bool:
        """Whether nothing is to be counted or refused before the check."""
        throttle = self._services.throttle
        if throttle.counts_addresses or throttle.guessing(scope) is not None:
            return False
        return self._crowd.has_room

    async def _answer(self, account: str, body: bytes) -> bytes | None:
        """Document of a check's answer; None where it isn't sure at once."""
        services = self._services
        try:
            meta = read_body(validate_key_bodies, body).meta
            check_key_size(meta.key)
            check_scope(meta.scope)
            license_ = services.finder.id_of_key(account, meta.key)
            check = await services.checker.check_at_once(account, license_, meta.scope.scope())
        except Problem:
            return None
        if check is None:
            return None
        services.noticing.note(check)
        return services.checker.answered(check, meta, meta.key)

    def _tell(self, request_id: str, seconds: float) -> None:
        self._services.metrics.answered(ROUTE, "POST", _OK, seconds)
        self._access_log.line(
            route=ROUTE,
            method="POST",
            status=_OK,
            ms=round(seconds * 1000, 2),
            request_id=request_id,
        )


def _plain(scope: Scope) -> Plain | None:
    """Read the headers of a check; None for one that isn't plain."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    given = dict(headers)
    if not _ASKS_MORE.isdisjoint(given) or given.get(b"content-type", _JSON) not in _MEDIA:
        return None
    length = given.get(b"content-length", b"")
    version = given.get(b"keygen-version", _VERSION).removeprefix(b"v")
    size = len(scope["raw_path"]) + sum(map(len, chain.from_iterable(headers)))
    if not length.isdigit() or len(length) > _LENGTH_DIGITS_MAX or int(length) > BODY_BYTES_MAX:
        return None
    if size > HEADER_BYTES_MAX or version not in _VERSIONS:
        return None
    return Plain(
        version,
        int(length),
        host_of(given.get(b"host", b"").decode("latin-1")),
        request_id_of(given.get(b"x-request-id", b"").decode("latin-1")),
    )


def _given_back(message: Message, receive: Receive) -> Receive:
    """Return what receives a message again that was taken, and then the rest."""
    taken = [message]

    async def again() -> Message:
        return taken.pop() if taken else await receive()

    return again
