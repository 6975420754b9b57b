"""What is to be folded again in a partition, and what was tried already; no I/O."""

from __future__ import annotations

from collections.abc import Iterable

from ledger.event_log.discards import NONE
from projector.retry_orders import RetryOrder


class Waits:
    """Frozen licenses of a partition, as its session knows them, and what is due.

    `frozen`: the record that each stands before. `discarded`: what the fold leaves out. `sweep`:
    whether the list of records that are no license's may hold discarded ones.
    """

    def __init__(self) -> None:
        self.frozen: dict[str, int] = {}
        self.discarded: frozenset[int] = NONE
        self.sweep = False
        self.order: RetryOrder | None = None
        self._ordered = ""
        self._due: dict[str, None] = {}
        self._tried: dict[str, tuple[int, frozenset[int]]] = {}
        self._found: set[int] = set()
        self._new: frozenset[int] = NONE

    def begin(self, frozen: Iterable[tuple[bytes, int]], discarded: frozenset[int]) -> None:
        """Begin where the store stands: what this session hasn't tried is due.

        It may run a newer release than the one that froze a license.
        """
        self.frozen = {member.decode(): offset for member, offset in frozen}
        self.discarded, self.sweep = discarded, bool(discarded)
        self._new = NONE
        self._due = {
            license_: None
            for license_, offset in self.frozen.items()
            if self._tried.get(license_) != (offset, discarded)
        }

    def grow(self, discarded: frozenset[int], position: int) -> None:
        """More is discarded, by the time that the partition stands at `position`."""
        self._new = frozenset(one for one in discarded - self.discarded if one < position)
        self._found.clear()
        self.discarded, self.sweep = discarded, True
        self._due = dict.fromkeys(self.frozen)

    def take_order(self, order: RetryOrder) -> None:
        """Do what a person orders, once."""
        if order.id == self._ordered:
            return
        self._ordered, self.order = order.id, order
        for license_ in self.frozen:
            if order.license in {None, license_}:
                self._due[license_] = None

    @property
    def due(self) -> bool:
        """Whether there is anything to do."""
        return self.sweep or bool(self._due) or self.order is not None or bool(self._new)

    def next(self) -> str | None:
        """Return a license whose records are to be folded again; None: there is none left."""
        return next(iter(self._due), None)

    def tried(self, license_: str, frozen_at: int | None, taken: Iterable[int]) -> None:
        """Note what came of a license; None: it is frozen no more."""
        self._due.pop(license_, None)
        self._found.update(taken)
        if frozen_at is None:
            self.frozen.pop(license_, None)
            self._tried.pop(license_, None)
        else:
            self.frozen[license_] = frozen_at
            self._tried[license_] = (frozen_at, self.discarded)

    def swept(self, taken: Iterable[int]) -> None:
        """Note that the list of records that are no license's is done."""
        self.sweep = False
        self._found.update(taken)

    def too_late(self) -> list[int]:
        """Newly discarded records that didn't wait: they were folded before. Told once."""
        late, self._new = sorted(self._new - self._found), NONE
        return late

    def left(self, order: RetryOrder) -> dict[str, int]:
        """Return the licenses of an order that are frozen."""
        return {
            license_: offset
            for license_, offset in self.frozen.items()
            if order.license in {None, license_}
        }
