"""The open loop: checks at a fixed rate by the clock, whatever becomes of them.

A check is due at its time and sent then, also while a thousand others wait: so a stall is counted
by all who would have met it. Its delay counts from when it was due.

The one rule that a client of the product has to know: where the connection to a worker is refused
or breaks, the check is asked at another worker, as any balancer does. It has `LIMIT_S` in all;
after that it is unanswered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec

from tests.faults.asking import Broken, Peer, Reply, request
from tests.faults.truth import Check, Said, Story

LIMIT_S: Final = 5.0
"""A check that isn't answered by then is unanswered: ten times what a worker may take at most."""
AT_ONCE_MAX: Final = 20
"""Sent in one go where the loop is late, so that its own lateness doesn't become a flood."""
UNAVAILABLE: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
PATH: Final = "/v1/licenses/actions/validate-key"


class Question(NamedTuple):
    """What is asked: the license's story, its key, and the machine that asks, if one does."""

    story: Story
    key: str
    fingerprint: str | None


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    valid: bool
    code: str
    position: str
    age_ms: int
    source: str


class _Document(msgspec.Struct, frozen=True):
    meta: _Meta


_documents: Final = msgspec.json.Decoder(_Document)


def said(reply: Reply | None, ledger: str) -> Said | None:
    """What a 200 says, else None. A position of another ledger is no partition of ours."""
    if reply is None or reply.status != HTTPStatus.OK:
        return None
    try:
        meta = _documents.decode(reply.body).meta
    except msgspec.MsgspecError:
        return None
    named, _, place = meta.position.rpartition(":")
    partition, _, offset = place.partition(".")
    return Said(
        code=meta.code,
        valid=meta.valid,
        partition=int(partition) if named == ledger else -2,
        offset=int(offset),
        age_ms=meta.age_ms,
        source=meta.source,
    )


class OpenLoop:
    """Asks `rate` checks a second, drawn by `draw`, at the peers in turn; keeps all of `checks`."""

    def __init__(
        self, peers: Sequence[Peer], ledger: str, draw: Callable[[], Question], *, rate: float
    ) -> None:
        self.checks: list[Check] = []
        self.sent = 0
        self._turn = 0
        self._peers = peers
        self._ledger = ledger
        self._draw = draw
        self._rate = rate
        self._open: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send until cancelled."""
        began, at = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * self._rate) + 1
            for number in range(at, min(due, at + AT_ONCE_MAX)):
                self._send(began + number / self._rate)
            at = min(due, at + AT_ONCE_MAX)
            wait_s = began + at / self._rate - time.monotonic()
            await asyncio.sleep(max(0.0, wait_s))

    async def finish(self) -> None:
        """Wait for what is still open: each has its limit."""
        while self._open:
            await asyncio.wait(self._open)

    def _send(self, due: float) -> None:
        self._turn += 1
        task = asyncio.create_task(self._ask(self._draw(), due, self._turn))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _ask(self, question: Question, due: float, number: int) -> None:
        story, key, fingerprint = question
        scope = {} if fingerprint is None else {"fingerprint": fingerprint}
        content = request("POST", PATH, {"meta": {"key": key, "scope": scope}})
        self.sent += 1
        sent, sent_ms = time.monotonic(), time.time() * 1000
        over, reply = -1, None
        for turn in range(len(self._peers)):
            over, worker = over + 1, (number + turn) % len(self._peers)
            try:
                left_s = sent + LIMIT_S - time.monotonic()
                reply = await self._peers[worker].ask(content, left_s)
                break
            except Broken:
                continue
            except TimeoutError:
                break
        answered = time.monotonic()
        self.checks.append(
            Check(
                story=story,
                fingerprint=fingerprint,
                sent=sent,
                sent_ms=sent_ms,
                answered=answered,
                late_ms=(answered - due) * 1000,
                said=said(reply, self._ledger),
                unavailable=reply is not None and reply.status in UNAVAILABLE,
                over=over > 0,
                worker=worker,
            )
        )
