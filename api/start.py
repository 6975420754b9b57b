"""The start of a worker: whose ledger this is, told by the log or, while that is away, a replica.

It refuses to run on a foreign log, another N or another pepper: every check would say NOT_FOUND.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Final

from api.ending import end
from api.log_end import LogBehindError
from api.logs import say
from api.replicas import Replicas
from ledger.event_log import genesis
from ledger.event_log.genesis import Genesis
from ledger.event_log.port import (
    Appended,
    AppendRefused,
    EventLog,
    ForeignLog,
    Headers,
    LogError,
    Record,
    Topic,
)
from ledger.settings import Settings
from projector.read_model import keys

START_LIMIT_S: Final = 60.0
TRY_S: Final = 0.2
SAY_EVERY_S: Final = 10.0
OPEN_S: Final = 1.0
"""A worker serves before it has reached the log: so long after that its writes wait for it."""

_log: Final = logging.getLogger(__name__)


class NotReadyError(Exception):
    """What the worker needs at its start isn't there; the text says what."""


class Gatekeeper:
    """Lets nothing into the log before it is known to be this ledger's.

    Whoever appends in the first second waits for that, so that a worker that is restarted while the
    log is there refuses nobody; later ones are refused at once.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._opened = asyncio.Event()
        self._shut: str | None = None
        self._began = time.monotonic()

    @property
    def closed(self) -> str | None:
        """Why nothing may be appended; None where it may."""
        if self._opened.is_set():
            return None
        return self._shut or "the log was not reached yet"

    def open(self) -> None:
        """Let appends through from now on."""
        self._opened.set()

    def shut(self, why: str) -> None:
        """Let none through from now on."""
        self._shut = why
        self._opened.clear()

    async def append(
        self,
        topic: Topic,
        partition: int,
        *,
        key: bytes,
        value: bytes | None,
        headers: Headers = (),
    ) -> Appended:
        """See `EventLog.append`."""
        if self.closed is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._began + OPEN_S - time.monotonic()):
                    await self._opened.wait()
        if self.closed is not None:
            raise LogBehindError(self.closed) if self._shut else AppendRefused(self.closed)
        return await self._log.append(topic, partition, key=key, value=value, headers=headers)

    async def ends(self, topic: Topic) -> dict[int, int]:
        """See `EventLog.ends`."""
        return await self._log.ends(topic)

    def read(
        self, topic: Topic, partition: int, *, start: int, stop: int | None = None
    ) -> AsyncGenerator[Sequence[Record], None]:
        """See `EventLog.read`."""
        return self._log.read(topic, partition, start=start, stop=stop)

    async def close(self) -> None:
        """See `EventLog.close`."""
        await self._log.close()


class Origin:
    """Finds out whose ledger this is. Use it in one event loop, then `close`."""

    def __init__(self, log: EventLog, replicas: Replicas, settings: Settings) -> None:
        self._log = log
        self._replicas = replicas
        self._pepper_check = settings.pepper.check_value
        self._partitions = settings.partitions
        self._first: Genesis | None = None
        self._missing = "the log does not answer"
        self._verifying = asyncio.create_task(self._verify())

    async def told(self) -> Genesis:
        """Wait until the log or a replica has told; at most 60 s.

        Raises `ForeignLog`, and `NotReadyError` after that time.
        """
        started = said = time.monotonic()
        while not self._verifying.done():
            first = await self._ask_replicas()
            if first is not None:
                return first
            await asyncio.wait((self._verifying,), timeout=TRY_S)
            now = time.monotonic()
            if now - started > START_LIMIT_S:
                raise NotReadyError(f"neither the log nor a replica told: {self._missing}")
            if now - said > SAY_EVERY_S:
                said = now
                say(_log, logging.INFO, f"waiting for the log or a replica: {self._missing}")
        return self._verifying.result()

    async def verified(self) -> Genesis:
        """Wait until the log's genesis records are compared. Raises `ForeignLog`."""
        return await asyncio.shield(self._verifying)

    async def close(self) -> None:
        """Compare no more."""
        await end((self._verifying,))

    async def _verify(self) -> Genesis:
        while True:
            try:
                found = await genesis.verify(
                    self._log, pepper_check=self._pepper_check, partitions=self._partitions
                )
            except ForeignLog:
                raise
            except LogError as error:
                self._missing = str(error)
                await asyncio.sleep(TRY_S)
                continue
            if self._first is not None and self._first.ledger != found.ledger:
                raise ForeignLog(
                    f"the log is ledger {found.ledger}, and the replicas were filled from "
                    f"{self._first.ledger}: check LEDGER_KAFKA and LEDGER_REPLICAS"
                )
            return found

    async def _ask_replicas(self) -> Genesis | None:
        """Read what the projectors have kept of the log's beginning. Raises `ForeignLog`."""
        for value in await self._replicas.everywhere(keys.genesis(0)):
            found = genesis.decode(value)
            genesis.check(found, pepper_check=self._pepper_check, partitions=self._partitions)
            if self._first is not None and self._first != found:
                raise ForeignLog(
                    f"the replicas were filled from two ledgers, {self._first.ledger} and "
                    f"{found.ledger}: check LEDGER_REPLICAS"
                )
            self._first = found
        return self._first
