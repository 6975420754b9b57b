"""From records to what they name: decode a run of records, say which documents they need; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from ledger.domain.catalog.entities import FIRST_RULES
from ledger.domain.events import Event
from ledger.domain.identifiers import is_id, partition_of
from ledger.event_log import genesis
from ledger.event_log.codec import UnknownRulesError, decode

ROUTES_MAX: Final = 100_000
"""Record keys whose license is kept at hand."""
TROUBLE: Final = (MemoryError, OSError, TimeoutError)
"""Not the record's fault: these stop the process, they freeze nothing."""


class LogRecord(Protocol):
    """A record of the log, as the client of Kafka gives it; `timestamp` in milliseconds."""

    @property
    def offset(self) -> int:
        """Where it stands."""

    @property
    def timestamp(self) -> int:
        """The broker's time of it."""

    @property
    def key(self) -> bytes | None:
        """License id, `genesis`, or whatever a stranger wrote."""

    @property
    def value(self) -> bytes | None:
        """The event."""


Entry = tuple[LogRecord, str | None, Event | None]
"""A record, its license (None: its key is no license id of the partition), its event (None: it
does not decode). A record that nothing is folded of, genesis or discarded, has neither and
`GENESIS` in place of the license."""

GENESIS: Final = "genesis"


@dataclass(slots=True, kw_only=True)
class Reading:
    """A run of records, decoded, and the names of all documents that they need.

    `licenses`: with the number of its commands that may be new. `unknown_rules`: the run ends
    before a record that asks for them.
    """

    entries: list[Entry] = field(default_factory=list)
    licenses: dict[str, int] = field(default_factory=dict)
    machines: dict[str, None] = field(default_factory=dict)
    commands: dict[tuple[str, str], None] = field(default_factory=dict)
    unknown_rules: UnknownRulesError | None = None

    def name(self, license_: str, event: Event | None) -> None:
        """Enter what one event needs; None is one that does not decode."""
        licenses = self.licenses
        if event is None or event.sequence is not None:
            licenses.setdefault(license_, 0)
        else:
            licenses[license_] = licenses.get(license_, 0) + 1
            self.commands[license_, event.id] = None
        machine = None if event is None else getattr(event.data, "machine", None)
        if machine is not None:
            self.machines[machine] = None


class Reader:
    """Decodes the records of one partition of a ledger with `partitions` of them.

    `discarded`: offsets of records that are left out unread.
    """

    def __init__(
        self, partition: int, partitions: int, discarded: frozenset[int] = frozenset()
    ) -> None:
        self.partitions = partitions
        self.discarded = discarded
        self._partition = partition
        self._routes: dict[bytes | None, str | None] = {}

    def read(self, records: Sequence[LogRecord]) -> Reading:
        """Decode `records`, up to the first that asks for rules unknown here."""
        reading = Reading()
        routes, discarded = self._routes, self.discarded
        if len(routes) > ROUTES_MAX:
            routes.clear()
        for record in records:
            key = record.key
            license_ = routes[key] if key in routes else routes.setdefault(key, self._route(key))
            if discarded and record.offset in discarded:
                license_ = GENESIS
            if license_ is None or license_ is GENESIS:
                reading.entries.append((record, license_, None))
                continue
            try:
                event = decoded(record)
            except UnknownRulesError as error:
                reading.unknown_rules = error
                break
            reading.entries.append((record, license_, event))
            reading.name(license_, event)
        return reading

    def _route(self, key: bytes | None) -> str | None:
        return route(key, self._partition, self.partitions)


def route(key: bytes | None, partition: int, partitions: int) -> str | None:
    """License of a record's key; None where no check would ever look for it in the partition."""
    if key == genesis.RECORD_KEY:
        return GENESIS
    try:
        text = (key or b"").decode("ascii")
    except UnicodeDecodeError:
        return None
    return text if is_id(text) and partition_of(text, partitions) == partition else None


def decoded(record: LogRecord, rules: int = FIRST_RULES) -> Event | None:
    """Event of a record, None where it twice doesn't decode. Raises `UnknownRulesError`.

    `rules`: those that one of earlier rules is taken for, in a rehearsal.
    """
    for _ in range(2):
        try:
            return decode(record.key, record.value, rules)
        except (*TROUBLE, UnknownRulesError):
            raise
        except Exception:  # noqa: BLE001, S112 - whatever it is, it is that record's: poison
            continue
    return None
