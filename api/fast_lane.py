"""The fast lane: the check by key, answered before a request is taken apart for anybody else.

A check that is plain (one whole request, no credential, no query, no header that asks for more)
and whose answer is sure at once is answered from its bytes: one read of the replica that is level,
the stored bytes spliced. Of everything else, and whatever goes wrong, the bytes go on as they
came, so there is one place that refuses, one that looks twice, and one that says why.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Final, NamedTuple

import httptools

from api.bodies import BODY_BYTES_MAX, ValidateKeyMeta, read_body, validate_key_bodies
from api.checking import Look
from api.crowd import Crowd
from api.exchange import JSON_API, MEDIA_TYPES, VERSION, VERSIONS, host_of, request_id_of
from api.gate import HEADER_BYTES_MAX
from api.logs import AccessLog
from api.problems import Problem
from api.requests import check_key_size, check_scope
from api.services import Services
from projector.read_model.asked import Values
from projector.read_model.wire import Away

ROUTE: Final = "/v1/licenses/actions/validate-key"
HEAD_BYTES_MAX: Final = 2048
HEADS_MAX: Final = 1024
"""Heads whose meaning is kept at hand: a client sends the same one each time."""
_BEFORE: Final = b"POST /v1/"
_TARGET: Final = re.compile(rb"/v1/(?:accounts/([^/%?#]+)/)?licenses/actions/validate-key")
_END: Final = b"\r\n\r\n"
_OK: Final = 200
_LENGTH_DIGITS_MAX: Final = len(str(BODY_BYTES_MAX))
_JSON: Final = JSON_API.encode()
_MEDIA: Final = frozenset(each.encode() for each in MEDIA_TYPES)
_VERSION: Final = VERSION.encode()
_VERSIONS: Final = frozenset(each.encode() for each in VERSIONS)
_ASKS_MORE: Final = frozenset(
    {
        *(b"authorization", b"keygen-environment", b"ledger-at-least", b"origin"),
        *(b"transfer-encoding", b"expect", b"upgrade"),
    }
)
"""Headers of a check that is not plain: what they ask for, the ordinary way does."""

_log: Final = logging.getLogger(__name__)
Client = tuple[str, int] | None
Done = Callable[[bytes | None], None]


class Plain(NamedTuple):
    """What the head of a plain check says. `named`: the account that its path names."""

    body_bytes: int
    named: str | None
    host: str
    version: bytes
    request_id: str
    headers: list[tuple[bytes, bytes]]


class _Asked(NamedTuple):
    """A check in progress."""

    look: Look
    meta: ValidateKeyMeta
    plain: Plain
    started: float
    done: Done


class FastLane:
    """Takes whole requests as they come from a connection."""

    def __init__(self, services: Services, crowd: Crowd, access_log: AccessLog) -> None:
        self._crowd = crowd
        self._services = services
        self._access_log = access_log
        self._heads: dict[bytes, Plain] = {}
        self._answers: list[tuple[Done, bytes | None]] = []

    def take(self, data: bytes, client: Client, done: Done) -> bool:
        """Begin to answer what a connection brought; False, and nothing done, where it can't be.

        `done` is called later with the headers and the content of a 200, or with None where the
        ordinary way has to answer `data` after all.
        """
        try:
            asked = self._asked(data, client, done)
        except Exception:  # noqa: BLE001 - the ordinary way finds out, and answers
            _log.exception("the fast lane failed")
            return False
        if asked is None:
            return False
        self._crowd.enter()
        asyncio.ensure_future(asked.look.asked.values).add_done_callback(partial(self._seen, asked))
        return True

    def _asked(self, data: bytes, client: Client, done: Done) -> _Asked | None:
        """Ask a replica for what a plain check needs; None where the lane can't answer it."""
        if not data.startswith(_BEFORE):
            return None
        end = data.find(_END, 0, HEAD_BYTES_MAX) + len(_END)
        plain = self._plain(data[:end])
        if plain is None or len(data) != end + plain.body_bytes:
            return None
        account = self._account(plain)
        if account is None or not self._may_enter(plain, client):
            return None
        services = self._services
        try:
            meta = read_body(validate_key_bodies, data[end:]).meta
            check_key_size(meta.key)
            check_scope(meta.scope)
        except Problem:
            return None
        license_ = services.finder.id_of_key(account, meta.key)
        look = services.checker.look_at_once(account, license_, meta.scope.scope())
        return None if look is None else _Asked(look, meta, plain, time.monotonic(), done)

    def _plain(self, head: bytes) -> Plain | None:
        plain = self._heads.get(head)
        if plain is None and len(head) >= len(_END):
            plain = read_head(head)
            if plain is not None and not plain.request_id:
                if len(self._heads) >= HEADS_MAX:
                    self._heads.clear()
                self._heads[head] = plain
        return plain

    def _account(self, plain: Plain) -> str | None:
        """Account that the check is about, where that is known without a read."""
        catalog = self._services.catalog
        if plain.named is None:
            return catalog.host_at_hand(plain.host)
        return catalog.account_at_hand(plain.named)

    def _may_enter(self, plain: Plain, client: Client) -> bool:
        """Whether nothing is to be counted or refused before the check."""
        throttle = self._services.throttle
        if throttle.counts_addresses or not self._crowd.has_room:
            return False
        return throttle.guessing({"client": client, "headers": plain.headers}) is None

    def _seen(self, asked: _Asked, values: asyncio.Future[Values]) -> None:
        """Answer with what was read."""
        self._crowd.leave()
        answer = None
        try:
            answer = self._answer(asked, values.result())
        except Away as away:
            self._services.replicas.lost(asked.look.replica, away)
        except Exception:  # noqa: BLE001 - the ordinary way finds out, and answers
            _log.exception("the fast lane failed")
        if not self._answers:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._answers.append((asked.done, answer))

    def _hand_over(self) -> None:
        """Send all answers of one read one right after the other.

        A write that finds its reader asleep has to wake it, which costs more than the write.
        """
        answers, self._answers = self._answers, []
        for done, answer in answers:
            done(answer)

    def _answer(self, asked: _Asked, values: Values) -> bytes | None:
        services, meta = self._services, asked.meta
        check = services.checker.seen_at_once(asked.look, values)
        if check is None:
            return None
        services.noticing.note(check)
        content = services.checker.answered(check, meta, meta.key)
        request_id = asked.plain.request_id or request_id_of("")
        self._tell(request_id, time.monotonic() - asked.started)
        return (
            b"content-length: %d\r\ncontent-type: %b\r\nx-request-id: %b\r\n"
            b"keygen-version: %b\r\n\r\n%b"
        ) % (len(content), _JSON, request_id.encode(), asked.plain.version, content)

    def _tell(self, request_id: str, seconds: float) -> None:
        self._services.metrics.answered(ROUTE, "POST", _OK, seconds)
        self._access_log.line(
            route=ROUTE,
            method="POST",
            status=_OK,
            seconds=seconds,
            request_id=request_id,
        )


class _Head:
    """Takes a request's head apart."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.target = b""
        self.is_whole = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.is_whole = True


def read_head(head: bytes) -> Plain | None:
    """Read the head of a request; None for one that is no plain check."""
    read = _Head()
    parser = httptools.HttpRequestParser(read)
    try:
        parser.feed_data(head)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    if not read.is_whole or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
        return None
    target = _TARGET.fullmatch(read.target)
    return None if target is None else _plain(read, target[1])


def _plain(read: _Head, named: bytes | None) -> Plain | None:
    given = dict(read.headers)
    if not _ASKS_MORE.isdisjoint(given) or given.get(b"content-type", _JSON) not in _MEDIA:
        return None
    length = given.get(b"content-length", b"")
    if not length.isdigit() or len(length) > _LENGTH_DIGITS_MAX or int(length) > BODY_BYTES_MAX:
        return None
    version = given.get(b"keygen-version", _VERSION).removeprefix(b"v")
    size = len(read.target) + sum(map(len, chain.from_iterable(read.headers)))
    if size > HEADER_BYTES_MAX or version not in _VERSIONS:
        return None
    request_id = given.get(b"x-request-id", b"").decode("latin-1")
    return Plain(
        int(length),
        None if named is None else named.decode("latin-1"),
        host_of(given.get(b"host", b"").decode("latin-1")),
        version,
        request_id_of(request_id) if request_id else "",
        read.headers,
    )
