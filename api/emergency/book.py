"""The emergency orders that a worker has taken. No clock and no I/O: who asks says when it is.

An order's end is found out once, when it is taken, by the calendar; from then on it runs by the
monotonic clock. So no clock that is set meanwhile makes it longer or shorter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from ledger.emergency.orders import (
    DURATION_S_MAX,
    FUTURE_MS_MAX,
    End,
    Refusal,
    Signed,
    Start,
    signer,
)

RUNNING_MAX: Final = 16
T = TypeVar("T")

REMEMBERED_MAX: Final = 256
"""Orders that are over, and ends: kept so that none of these runs again."""


class Way(StrEnum):
    """How an order came to a worker."""

    FILE = "FILE"
    POST = "POST"


class Over(StrEnum):
    """Why an order runs no more."""

    ENDED = "ENDED"
    TIME = "TIME"
    STOPPED = "STOPPED"


@dataclass(slots=True, kw_only=True)
class Taken:
    """An order that was taken: by which key it came, until when it runs, what it has answered.

    `until_s`: of the monotonic clock; `left_s`: so much it had when it was taken. `known`,
    `unknown`: checks of licenses that were read, and of keys that nothing was known of. `over`:
    why it runs no more, `over_by`: by which order.
    """

    signed: Signed
    order: Start
    key: str
    way: Way
    until_s: float
    left_s: int
    known: int = 0
    unknown: int = 0
    over: Over | None = None
    over_by: Signed | None = None

    def covers(self, account: str, product: str | None) -> bool:
        """Whether it is for this product (None: one that nobody has named) of this account."""
        order = self.order
        return account == order.account and order.product in {None, product}


class Book:
    """Orders by their ids. `keys`: names of the keys that are obeyed, by public key, as hex."""

    def __init__(self, ledger: str, keys: Mapping[str, str]) -> None:
        self._ledger = ledger
        self._keys = keys
        self._running: dict[str, Taken] = {}
        self._over: dict[str, Taken] = {}
        self._ends: dict[str, Signed] = {}
        self._changed: list[Taken] = []

    @property
    def names(self) -> list[str]:
        """Names of the keys that are obeyed."""
        return sorted(self._keys.values())

    @property
    def has_running(self) -> bool:
        """Whether any order may run."""
        return bool(self._running)

    def take(self, signed: Signed, way: Way, *, now_ms: int, at_s: float) -> Refusal | None:
        """Take an order, at the calendar's `now_ms` and the monotonic clock's `at_s`.

        One that was taken already is taken again, and nothing changes.
        """
        order, key = signed.order, signer(signed, self._keys)
        if isinstance(key, Refusal):
            return key
        if order.ledger != self._ledger:
            return Refusal.OF_ANOTHER_LEDGER
        if order.issued_ms > now_ms + FUTURE_MS_MAX:
            return Refusal.FROM_THE_FUTURE
        if isinstance(order, End):
            return self._end(signed, order, now_ms)
        taken = self._start(order, now_ms)
        if not isinstance(taken, float):
            return taken
        self._running[order.id] = Taken(
            signed=signed, order=order, key=key, way=way, until_s=at_s + taken, left_s=int(taken)
        )
        self._changed.append(self._running[order.id])
        return None

    def running(self, at_s: float) -> list[Taken]:
        """Orders that run at this moment of the monotonic clock."""
        for id_, taken in list(self._running.items()):
            if taken.until_s <= at_s:
                self._finish(id_, Over.TIME, None)
        return list(self._running.values())

    def over(self) -> list[Taken]:
        """Orders that ran here and run no more, the latest last."""
        return list(self._over.values())

    def stop(self) -> None:
        """Let all orders be over: the worker ends."""
        for id_ in list(self._running):
            self._finish(id_, Over.STOPPED, None)

    def changes(self) -> list[Taken]:
        """Orders that were taken, or are over, since this was asked last."""
        changed, self._changed = self._changed, []
        return changed

    def _start(self, order: Start, now_ms: int) -> Refusal | float | None:
        """Seconds that an order is to run from now on; None where it was taken before."""
        known = self._running.get(order.id) or self._over.get(order.id)
        left_ms = order.issued_ms + order.duration_s * 1000 - now_ms
        if order.duration_s > DURATION_S_MAX:
            return Refusal.TOO_LONG
        if known is not None and known.order != order:
            return Refusal.ID_TAKEN
        if order.id in self._ends or order.id in self._over:
            return Refusal.ENDED
        if known is not None:
            return None
        if left_ms <= 0:
            return Refusal.EXPIRED
        if len(self._running) >= RUNNING_MAX:
            return Refusal.TOO_MANY
        return min(float(order.duration_s), left_ms / 1000)

    def _end(self, signed: Signed, order: End, now_ms: int) -> Refusal | None:
        if order.issued_ms + DURATION_S_MAX * 1000 + FUTURE_MS_MAX <= now_ms:
            return Refusal.EXPIRED
        if order.ends not in self._ends:
            _remember(self._ends, order.ends, signed)
        if order.ends in self._running:
            self._finish(order.ends, Over.ENDED, signed)
        return None

    def _finish(self, id_: str, why: Over, by: Signed | None) -> None:
        taken = self._running.pop(id_)
        taken.over, taken.over_by = why, by
        _remember(self._over, id_, taken)
        self._changed.append(taken)


def _remember(memory: dict[str, T], id_: str, what: T) -> None:
    """Keep something, and forget what was kept first where that is too much."""
    if len(memory) >= REMEMBERED_MAX:
        del memory[next(iter(memory))]
    memory[id_] = what
