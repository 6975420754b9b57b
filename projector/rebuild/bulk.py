"""The fold of a whole partition in memory; pure, no I/O and no clock.

The same laws as the live fold (`projector.folding`), driven the other way round: nothing is loaded,
since all that was made is at hand, and a license is rendered once, at the end, however many events
it has. What comes of it is byte for byte what the live fold would have stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from ledger.domain.catalog.entities import FIRST_RULES
from ledger.domain.clocks import PartitionClock
from ledger.domain.events import Event
from ledger.domain.license import (
    FORGOTTEN_MAX,
    MEMORY_COMMANDS,
    MEMORY_MS,
    Folded,
    License,
    Machine,
    fold,
)
from ledger.domain.state import Loaded
from ledger.domain.verdicts import Remembered, Verdict
from ledger.event_log import chain
from projector.folding import LostRecordError, as_set_aside, render_once
from projector.read_model import keys
from projector.reading import GENESIS, ROUTES_MAX, TROUBLE, LogRecord, decoded, route
from projector.views.documents import Head, verdict_document
from projector.views.set_aside import SetAside


class Kept(NamedTuple):
    """A remembered verdict, and the elapsed clock at which its memory began."""

    verdict: Verdict
    elapsed_ms: int

    @property
    def document(self) -> bytes:
        """Its stored form."""
        return verdict_document(self.verdict)

    @property
    def offset(self) -> int:
        """Where its memory began."""
        return self.verdict.offset


@dataclass(slots=True)
class Held:
    """All that a partition holds: licenses, machines, memories (oldest first), records aside.

    `memories`: by license, then by command. `aside`: by license, or `keys.UNROUTABLE`.
    """

    licenses: dict[str, License] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    memories: dict[str, dict[str, Kept]] = field(default_factory=dict)
    aside: dict[str, list[SetAside]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many documents it has."""
        return len(self.licenses) + len(self.machines) + self.commands

    @property
    def commands(self) -> int:
        """How many commands are remembered."""
        return sum(map(len, self.memories.values()))


class BulkFold:
    """Folds one partition of a ledger with `partitions` of them from its first record on.

    `careful` renders each result at once, so that what can't be rendered freezes its own license.
    `discarded`: offsets of records that are left out unread. `rules`: those that records of earlier
    rules are taken for, in a rehearsal.
    """

    def __init__(
        self,
        partition: int,
        partitions: int,
        *,
        careful: bool = False,
        discarded: frozenset[int] = frozenset(),
        rules: int = FIRST_RULES,
    ) -> None:
        self.held = Held()
        self._rules = rules
        self._discarded = discarded
        self._partition = partition
        self._partitions = partitions
        self._careful = careful
        self._position = 0
        self._timestamp_ms: int | None = None
        self._clock = PartitionClock()
        self._chain = chain.START
        self._before_last = b""
        self._routes: dict[bytes | None, str | None] = {}
        self._orders: dict[str, deque[str]] = {}
        """Commands of long memories, oldest first: the front of a dict is slow to find by then."""

    @property
    def position(self) -> int:
        """The next offset to fold."""
        return self._position

    @property
    def head(self) -> Head:
        """The partition's head at the position."""
        return Head(
            position=self._position,
            timestamp_ms=self._clock.timestamp_ms,
            elapsed_ms=self._clock.elapsed_ms,
            chain=self._chain.hex(),
            before_last=self._before_last.hex(),
        )

    def take(self, records: Sequence[LogRecord]) -> None:
        """Fold some more records.

        Raises `LostRecordError` at a gap, `UnknownRulesError` where later code is needed.
        """
        position, extended, extend = self._position, self._chain, chain.extend
        before_last = self._before_last
        routes, licenses, discarded = self._routes, self.held.licenses, self._discarded
        if len(routes) > ROUTES_MAX:
            routes.clear()
        for record in records:
            offset, timestamp_ms, key = record.offset, record.timestamp, record.key
            if offset != position:
                raise LostRecordError(position, offset)
            if timestamp_ms != self._clock.timestamp_ms:
                self._clock = self._clock.advance(timestamp_ms)
            license_id = routes[key] if key in routes else self._route(key)
            if discarded and offset in discarded:
                license_id = GENESIS
            if license_id is None:
                self._set_aside(keys.UNROUTABLE, record)
            elif license_id is not GENESIS:
                license_ = licenses.get(license_id)
                if license_ is not None and license_.frozen_at is not None:
                    self._set_aside(license_id, record)
                else:
                    event = decoded(record, self._rules)
                    if event is None or not self._folded(event, offset, license_):
                        self._freeze(license_id, license_, record)
            position += 1
            before_last = extended
            extended = extend(extended, offset, timestamp_ms, key, record.value)
        self._position, self._chain, self._before_last = position, extended, before_last

    def _route(self, key: bytes | None) -> str | None:
        license_id = self._routes[key] = route(key, self._partition, self._partitions)
        return license_id

    def _folded(self, event: Event, offset: int, license_: License | None) -> bool:
        """Fold an event; False where that twice fails: the record is poison."""
        held, id_ = self.held, event.license
        memory = held.memories.get(id_)
        machine_id: str | None = getattr(event.data, "machine", None)
        known = None if memory is None else memory.get(event.id)
        loaded = Loaded(
            license=license_,
            machine=None if machine_id is None else held.machines.get(machine_id),
            remembered=None if known is None else known.verdict,
            oldest=()
            if memory is None or len(memory) < MEMORY_COMMANDS
            else self._due(id_, memory),
        )
        folded = self._tried(event, offset, loaded)
        if folded is None:
            return False
        if not folded.changed:
            return True
        held.licenses[id_] = folded.license
        if folded.machine_changed and machine_id is not None:
            if folded.machine is None:
                held.machines.pop(machine_id, None)
            else:
                held.machines[machine_id] = folded.machine
        if folded.remember:
            self._remember(event, folded, memory)
        return True

    def _tried(self, event: Event, offset: int, loaded: Loaded) -> Folded | None:
        for _ in range(2):
            try:
                folded = fold(event, offset, self._clock.elapsed_ms, loaded)
                if self._careful:
                    render_once(folded)
                return folded
            except TROUBLE:
                raise
            except Exception:  # noqa: BLE001, S112 - whatever it is, it is that record's: poison
                continue
        return None

    def _due(self, id_: str, memory: dict[str, Kept]) -> Sequence[Remembered]:
        """The first of a long memory, where the very first is old enough to be forgotten."""
        order = self._orders.get(id_)
        if order is None:
            order = self._orders[id_] = deque(memory)
        if self._clock.elapsed_ms - memory[order[0]].elapsed_ms <= MEMORY_MS:
            return ()
        firsts = [(command, memory[command]) for command in islice(order, FORGOTTEN_MAX)]
        return [
            Remembered(offset=kept.offset, elapsed_ms=kept.elapsed_ms, command=command)
            for command, kept in firsts
        ]

    def _remember(self, event: Event, folded: Folded, memory: dict[str, Kept] | None) -> None:
        if memory is None:
            memory = self.held.memories[event.license] = {}
        memory[event.id] = Kept(folded.verdict, self._clock.elapsed_ms)
        order = self._orders.get(event.license)
        if order is not None:
            order.append(event.id)
            for old in folded.forget:
                del memory[old.command], order[0]

    def _freeze(self, license_id: str, license_: License | None, record: LogRecord) -> None:
        last_good = license_ or License(id=license_id)
        self.held.licenses[license_id] = replace(last_good, frozen_at=record.offset)
        self._set_aside(license_id, record)

    def _set_aside(self, license_id: str, record: LogRecord) -> None:
        waiting = as_set_aside(record, self._clock)
        self.held.aside.setdefault(license_id, []).append(waiting)
