"""What was asked to be appended and has no outcome yet: queues, limits, deadlines.

An entry is handed over when its bytes go to a socket. Until then it can be refused with
certainty; from then on only the broker's answer tells.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from ledger.event_log.kafka.wire import Place
from ledger.event_log.port import (
    APPEND_TIMEOUT_S,
    IN_FLIGHT_MAX,
    Appended,
    AppendRefused,
    AppendUnknown,
    Headers,
    LogError,
    TooManyAppends,
)

IN_FLIGHT_BYTES_MAX: Final = 32 * 1024 * 1024

ANSWER_TIME_S: Final = 0.25
"""An entry is handed over only while this much of its time is left for the answer: one that
could only become unknown is better refused, and spares the producer its end."""


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """One append. `deadline`: by the loop's clock."""

    place: Place
    key: bytes
    value: bytes | None
    headers: Headers
    deadline: float
    outcome: asyncio.Future[Appended]
    handed_over: bool = False
    size: int = field(init=False)

    def __post_init__(self) -> None:
        headers = sum(len(name) + len(content) for name, content in self.headers)
        self.size = len(self.key) + len(self.value or b"") + headers

    @property
    def open(self) -> bool:
        """Whether its outcome is not known yet (nor its caller gone)."""
        return not self.outcome.done()

    def fail(self, error: LogError) -> None:
        """Tell the caller, unless that was done."""
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def give_up(self, reason: str) -> None:
        """Tell the caller all that can be known without an answer."""
        if self.handed_over:
            self.fail(AppendUnknown(f"{reason}: the record may be stored, or may be later"))
        else:
            self.fail(AppendRefused(f"{reason}: the record was not sent"))


class Outbox:
    """All entries without an outcome, in the order of their partition's calls.

    `waiting` is called when an entry was put, `expired` when one that was handed over reaches its
    deadline.
    """

    def __init__(self, *, waiting: Callable[[], None], expired: Callable[[], None]) -> None:
        self._waiting = waiting
        self._expired = expired
        self._queues: dict[Place, deque[Entry]] = {}
        # All deadlines are equally far, so the order of calls is theirs too.
        self._by_deadline: deque[Entry] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._count = 0
        self._bytes = 0

    @property
    def places(self) -> list[Place]:
        """Partitions with entries to be handed over."""
        return list(self._queues)

    async def put(
        self, place: Place, *, key: bytes, value: bytes | None, headers: Headers
    ) -> Appended:
        """Queue a record and wait for its outcome. Raises what the outcome is, if not stored."""
        loop = asyncio.get_running_loop()
        entry = Entry(
            place=place,
            key=key,
            value=value,
            headers=headers,
            deadline=loop.time() + APPEND_TIMEOUT_S,
            outcome=loop.create_future(),
        )
        if self._count >= IN_FLIGHT_MAX or self._bytes + entry.size > IN_FLIGHT_BYTES_MAX:
            raise TooManyAppends(f"{self._count} appends have no outcome yet: try again")
        self._queues.setdefault(place, deque()).append(entry)
        self._watch(entry, loop)
        self._count += 1
        self._bytes += entry.size
        self._waiting()
        try:
            return await entry.outcome
        finally:
            self._count -= 1
            self._bytes -= entry.size

    def take(self, place: Place, fits: Callable[[Entry], bool]) -> list[Entry]:
        """Take the first entries of a partition for as long as they fit, to be handed over."""
        queue = self._queues.get(place, deque())
        too_late = asyncio.get_running_loop().time() + ANSWER_TIME_S
        taken: list[Entry] = []
        while queue:
            entry = queue[0]
            if entry.deadline < too_late:
                entry.give_up("no broker took it in time")
            elif entry.open:
                if not fits(entry):
                    break
                entry.handed_over = True
                taken.append(entry)
            queue.popleft()
        if not queue:
            self._queues.pop(place, None)
        return taken

    def put_back(self, place: Place, entries: Iterable[Entry]) -> None:
        """Put entries that were certainly not stored before those that came after them."""
        queue = self._queues.setdefault(place, deque())
        for entry in reversed(list(entries)):
            entry.handed_over = False
            queue.appendleft(entry)

    def refuse(self, place: Place, error: LogError) -> None:
        """Refuse all that waits for a partition."""
        for entry in self._queues.pop(place, ()):
            entry.fail(type(error)(*error.args))

    def give_up(self, reason: str) -> None:
        """Give up all entries, those handed over and the queues behind them."""
        self._queues.clear()
        for entry in self._by_deadline:
            entry.give_up(reason)
        self._by_deadline.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self, entry: Entry, loop: asyncio.AbstractEventLoop) -> None:
        while self._by_deadline and not self._by_deadline[0].open:
            self._by_deadline.popleft()
        self._by_deadline.append(entry)
        if self._timer is None:
            self._timer = loop.call_at(entry.deadline, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        while self._by_deadline:
            first = self._by_deadline[0]
            if first.open and first.deadline > loop.time():
                self._timer = loop.call_at(first.deadline, self._sweep, loop)
                return
            if first.open and first.handed_over:
                self._expired()
                return
            self._by_deadline.popleft()
            first.give_up("no broker took it in time")
