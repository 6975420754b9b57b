"""Keeps a session to append with: opened when first needed, replaced when it has ended."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from enum import Enum, auto
from typing import Final

from ledger.event_log.kafka.outbox import Outbox
from ledger.event_log.kafka.session import Session
from ledger.event_log.kafka.wire import Place, Wire
from ledger.event_log.port import APPEND_TIMEOUT_S, Appended, AppendRefused, Headers

OPEN_TIMEOUT_S: Final = 2.0
BACKOFF_S: Final = 0.1
BACKOFF_MAX_S: Final = 0.5

_log: Final = logging.getLogger(__name__)


class _State(Enum):
    OPENING = auto()
    OPEN = auto()
    UNREACHABLE = auto()
    CLOSED = auto()


class Producer:
    """Appends records, with a known outcome for each in bounded time.

    While the first session is being opened, appends wait for it; once no broker could be reached
    they are refused at once, until a new session is there.
    """

    def __init__(self, bootstrap: str, names: frozenset[str]) -> None:
        self._bootstrap = bootstrap
        self._names = names
        self._outbox = Outbox(waiting=self._wake, expired=self._expired)
        self._state = _State.OPENING
        self._session: Session | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def append(
        self, place: Place, *, key: bytes, value: bytes | None, headers: Headers
    ) -> Appended:
        """Append a record; see EventLog.append."""
        if self._state is _State.UNREACHABLE:
            raise AppendRefused("no broker can be reached: the record was not sent")
        if self._state is _State.CLOSED:
            raise AppendRefused("the log is closed: the record was not sent")
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        return await self._outbox.put(place, key=key, value=value, headers=headers)

    async def close(self) -> None:
        """End everything, in bounded time; entries without an outcome get what is known."""
        self._state = _State.CLOSED
        self._end("the log was closed")
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper

    def _wake(self) -> None:
        if self._session is not None:
            self._session.wake()

    def _expired(self) -> None:
        self._end("no broker answered in time")

    def _end(self, reason: str) -> None:
        if self._session is not None:
            self._session.end(reason)
        else:
            self._outbox.give_up(reason)

    async def _keep(self) -> None:
        backoff_s = BACKOFF_S
        while True:
            session = await self._open()
            if session is None:
                self._unreachable("no broker can be reached")
                # Many processes lose a broker at the same moment.
                await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
                continue
            backoff_s = BACKOFF_S
            try:
                self._state, self._session = _State.OPEN, session
                session.wake()
                self._unreachable(await session.ended)
            finally:
                self._session = None
                await session.closed()

    def _unreachable(self, reason: str) -> None:
        if self._state is not _State.CLOSED:
            if self._state is not _State.UNREACHABLE:
                _log.warning("appends are refused until a broker takes them: %s", reason)
            self._state = _State.UNREACHABLE
        self._outbox.give_up(reason)

    async def _open(self) -> Session | None:
        wire = Wire(self._bootstrap, self._names, request_timeout_s=APPEND_TIMEOUT_S)
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await wire.open()
                producer = await wire.producer_id()
        except asyncio.CancelledError:
            await wire.abort()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, no append may wait for it
            _log.debug("no session: %s", type(error).__name__)
            await wire.abort()
            return None
        return Session(wire, producer, self._outbox)
