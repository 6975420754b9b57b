"""Pipelined appends that keep each partition's order, whatever the broker does.

The ledger keeps the highest sequence that it applied of a source and ignores the rest, so a line
that is stored after a later one of its license is lost. Hence: events of one partition go out in
runs; after any append that was not acknowledged the run is sent again from there, in order. What
was stored all the same is then ignored by its sequence.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, Self, TypeVar

from msgspec import Struct

from cli.patience import PATIENCE_S, PAUSE_MAX_S, PAUSE_S, BrokerAwayError
from ledger.event_log.port import (
    AppendRefused,
    AppendUnknown,
    EventLog,
    RecordTooLarge,
    Topic,
)

T = TypeVar("T")

RUN_MAX: Final = 32
"""Appends in flight in one partition: few enough to leave live traffic its turn."""
WAITING_MAX: Final = 4 * RUN_MAX


class ToAppend(Struct, frozen=True, kw_only=True):
    """One event on its way."""

    key: bytes
    value: bytes


class Pipeline:
    """Appends to `license-events`, one ordered stream a partition.

    `comfort` is awaited before each run: it returns once live traffic has room. `acknowledged`
    maps a partition to the end of what it acknowledged.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        comfort: Callable[[], Awaitable[None]],
        on_stored: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._log = log
        self._comfort = comfort
        self._on_stored = on_stored
        self._queues: dict[int, asyncio.Queue[ToAppend | None]] = {}
        self._senders: asyncio.TaskGroup | None = None
        self.acknowledged: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        """Open the streams."""
        self._senders = asyncio.TaskGroup()
        await self._senders.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Wait until all is acknowledged, or, on an exception, let go of what waits."""
        assert self._senders is not None  # noqa: S101 - entered
        if exception[0] is None:
            for queue in self._queues.values():
                await queue.put(None)
        await self._senders.__aexit__(*exception)  # type: ignore[arg-type]

    async def put(self, partition: int, event: ToAppend) -> None:
        """Take one event after all others of its partition; waits while its stream is full."""
        queue = self._queues.get(partition)
        if queue is None:
            assert self._senders is not None  # noqa: S101 - entered
            queue = self._queues[partition] = asyncio.Queue(WAITING_MAX)
            self._senders.create_task(self._send(partition, queue))
        await queue.put(event)

    async def _send(self, partition: int, queue: asyncio.Queue[ToAppend | None]) -> None:
        more = True
        while more:
            run = [await queue.get()]
            while len(run) < RUN_MAX and run[-1] is not None and not queue.empty():
                run.append(queue.get_nowait())
            more = run[-1] is not None
            events = [event for event in run if event is not None]
            if events:
                await self._comfort()
                await self._store(partition, events)

    async def _store(self, partition: int, run: list[ToAppend]) -> None:
        """Append a run until all of it is acknowledged."""
        loop = asyncio.get_running_loop()
        given_up_at = loop.time() + PATIENCE_S
        pause_s = PAUSE_S
        while run:
            stored = await self._append(partition, run)
            if stored:
                given_up_at, pause_s = loop.time() + PATIENCE_S, PAUSE_S
                self._on_stored(stored)
                run = run[stored:]
            elif loop.time() > given_up_at:
                msg = f"the broker acknowledged nothing for {PATIENCE_S:.0f} s"
                raise BrokerAwayError(msg)
            if run:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _append(self, partition: int, run: list[ToAppend]) -> int:
        """Append a run once; how many, from its beginning, are acknowledged.

        After the first that is not, no further one is begun: those under way are behind it in
        the same producer, which stores none of them without it.
        """
        broken = False

        async def append(event: ToAppend) -> bool:
            nonlocal broken
            if broken:
                return False
            try:
                at = await self._log.append(
                    Topic.LICENSE_EVENTS, partition, key=event.key, value=event.value
                )
            except RecordTooLarge:
                raise
            except (AppendRefused, AppendUnknown):
                broken = True
                return False
            self.acknowledged[partition] = max(self.acknowledged.get(partition, 0), at.offset + 1)
            return True

        outcomes = await asyncio.gather(*(append(event) for event in run))
        return outcomes.index(False) if False in outcomes else len(outcomes)
