"""The emergency orders of a worker: they come by a folder or a request, and run out by themselves.

Every change is told in the log, counted, and entered in the ledger. Nothing here needs Kafka,
Redis or the catalog.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from api.clock import Clock
from api.emergency.book import Book, Taken, Way
from api.emergency.entering import Entering
from api.emergency.folder import Folder, Found
from api.logs import alarm, say
from api.metrics import Metrics
from ledger.domain.clocks import rfc3339
from ledger.emergency.entries import Data, Entry, OrderOver, OrderTaken
from ledger.emergency.orders import Refusal, Signed
from ledger.event_log.port import EventLog

LOOK_S: Final = 1.0
KEEP_S: Final = 1.0
LAST_WORD_S: Final = 0.3
SHOWN_MAX: Final = 64
_HOST_LENGTH_MAX: Final = 128
_OLD: Final = (Refusal.EXPIRED, Refusal.ENDED)
"""What is said of each order of former days that lies in the folder: no news."""

_log: Final = logging.getLogger(__name__)


class EmergencyOrders:
    """Takes orders signed by one of `keys` (name, public key as hex); none: it takes no orders.

    `folder`: where orders are put; empty: nowhere.
    """

    def __init__(
        self,
        *,
        ledger: str,
        keys: Sequence[tuple[str, str]],
        folder: str,
        clock: Clock,
        metrics: Metrics,
        log: EventLog,
        writes_closed: Callable[[], str | None],
    ) -> None:
        self.ledger: Final = ledger
        self.worker: Final = f"{socket.gethostname()[:_HOST_LENGTH_MAX]}:{os.getpid()}"
        self.entering: Final = Entering(log, ledger, writes_closed)
        self._book = Book(ledger, {public: name for name, public in keys})
        self._folder = Folder(Path(folder)) if folder else None
        self._clock = clock
        self._metrics = metrics
        self._refused: dict[str, tuple[str, str]] = {}
        self._looking: asyncio.Task[list[Found]] | None = None

    @property
    def is_on(self) -> bool:
        """Whether it obeys any key."""
        return bool(self._book.names)

    def running(self) -> list[Taken]:
        """Orders that run now; empty nearly always, and then at no cost."""
        return self._book.running(time.monotonic()) if self._book.has_running else []

    async def take(self, signed: Signed) -> Refusal | None:
        """Take an order that a request has brought, and leave it to the host's other workers."""
        refusal = self._take(signed, Way.POST)
        if refusal is None and self._folder is not None:
            try:
                async with asyncio.timeout(KEEP_S):
                    await asyncio.to_thread(self._folder.keep, signed)
            except OSError as error:  # TimeoutError is one: a mounted folder may hang
                text = "an order can't be left in LEDGER_EMERGENCY_ORDERS"
                say(_log, logging.WARNING, text, order=signed.order.id, error=str(error))
        return refusal

    def count(self, taken: Taken, *, known: bool) -> None:
        """Count a check that an order has answered."""
        if known:
            taken.known += 1
        else:
            taken.unknown += 1
        self._metrics.emergency_answers.labels("yes" if known else "no").inc()

    async def run(self) -> None:
        """Look at the folder, see orders run out, enter what became of them; until cancelled."""
        entering = asyncio.create_task(self.entering.run())
        try:
            while self.is_on:
                try:
                    await self.look()
                except Exception:  # noqa: BLE001 - whatever it is, requests still bring orders
                    _log.exception("the folder of orders can't be looked at")
                await asyncio.sleep(LOOK_S)
        finally:
            entering.cancel()
            await asyncio.wait((entering,))

    async def look(self) -> None:
        """Look at the folder once, and see which orders have run out."""
        if self._folder is not None:
            found = await self._found(self._folder)
            if found is not None:
                self._take_all(found)
        self._book.running(time.monotonic())
        self._tell()

    async def stop(self) -> None:
        """Enter what its orders have answered until now, where the log takes that at once."""
        self._book.stop()
        self._tell()
        try:
            async with asyncio.timeout(LAST_WORD_S):
                await self.entering.flush()
        except TimeoutError:
            say(_log, logging.WARNING, "entries are lost", waiting=self.entering.waiting)

    def standing(self) -> dict[str, Any]:
        """Tell what this worker has taken and refused; not the reasons: anybody may ask."""
        at_s = time.monotonic()
        running = self._book.running(at_s)
        shown = [*running, *reversed(self._book.over()[-SHOWN_MAX:])]
        return {
            "worker": self.worker,
            "keys": self._book.names,
            "orders": [_shown(taken, at_s) for taken in shown],
            "refused": [
                {"file": name, "order": order or None, "code": code}
                for name, (order, code) in self._refused.items()
            ],
            "entriesWaiting": self.entering.waiting,
        }

    async def _found(self, folder: Folder) -> list[Found] | None:
        """What lies in the folder; None where it doesn't say so in time: it may hang.

        Then the next look waits for this one: one thread hangs, and no more.
        """
        if self._looking is None:
            self._looking = asyncio.create_task(asyncio.to_thread(folder.look))
        await asyncio.wait((self._looking,), timeout=LOOK_S)
        if not self._looking.done():
            return None
        looked, self._looking = self._looking, None
        return looked.result()

    def _take_all(self, found: Sequence[Found]) -> None:
        """Take the orders of files, and note which are refused."""
        refused: dict[str, tuple[str, str]] = {}
        for one in found:
            if one.signed is None:
                refused[one.name] = ("", "UNREADABLE")
            elif (refusal := self._take(one.signed, Way.FILE)) is not None:
                refused[one.name] = (one.signed.order.id, refusal.value)
        self._tell_refused(refused)

    def _take(self, signed: Signed, way: Way) -> Refusal | None:
        now_ms, at_s = self._clock.now.time_ms, time.monotonic()
        refusal = self._book.take(signed, way, now_ms=now_ms, at_s=at_s)
        self._tell()
        return refusal

    def _tell_refused(self, refused: dict[str, tuple[str, str]]) -> None:
        for name, (order, code) in refused.items():
            if self._refused.get(name) != (order, code) and code not in _OLD:
                text = "an order in LEDGER_EMERGENCY_ORDERS is refused"
                say(_log, logging.WARNING, text, order=order, code=code)
        self._refused = refused

    def _tell(self) -> None:
        """Say what has changed, where all who should know of it do."""
        for taken in self._book.changes():
            order = taken.order
            if taken.over is None:
                data: Data = OrderTaken(
                    worker=self.worker,
                    key=taken.key,
                    way=taken.way.value,
                    left_s=taken.left_s,
                    order=taken.signed,
                )
                alarm(
                    _log,
                    "emergency-order",
                    "an emergency order runs: checks that can't be answered are approved",
                    order=order.id,
                    account=order.account,
                    product=order.product,
                    unknown_keys=order.unknown_keys,
                    key=taken.key,
                    left_s=taken.left_s,
                    reason=order.reason,
                )
            else:
                data = OrderOver(
                    worker=self.worker,
                    account=order.account,
                    why=taken.over.value,
                    known=taken.known,
                    unknown=taken.unknown,
                    end=taken.over_by,
                )
                say(
                    _log,
                    logging.WARNING,
                    "an emergency order is over",
                    order=order.id,
                    why=taken.over.value,
                    known=taken.known,
                    unknown=taken.unknown,
                )
            time_ms = self._clock.now.time_ms
            self.entering.add(Entry(id=str(uuid4()), order=order.id, time_ms=time_ms, data=data))


def _shown(taken: Taken, at_s: float) -> dict[str, Any]:
    order = taken.order
    return {
        "id": order.id,
        "account": order.account,
        "product": order.product,
        "unknownKeys": order.unknown_keys,
        "issued": rfc3339(order.issued_ms),
        "key": taken.key,
        "way": taken.way.value,
        "running": taken.over is None,
        "over": None if taken.over is None else taken.over.value,
        "leftS": 0 if taken.over is not None else max(0, int(taken.until_s - at_s)),
        "known": taken.known,
        "unknown": taken.unknown,
    }
