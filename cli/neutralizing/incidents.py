"""What the ledger knows of emergency orders: its entries, put together by order and worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import aclosing
from typing import Any

import msgspec
from msgspec import Struct

from ledger.domain.clocks import rfc3339
from ledger.emergency.entries import (
    Entry,
    OrderOver,
    OrderTaken,
    UndecodableEntryError,
    decode_entry,
)
from ledger.emergency.orders import Signed
from ledger.event_log.port import EventLog, Topic


class AtWorker(Struct, kw_only=True):
    """An order at a worker: when it was taken and was over, by its clock, and what it answered."""

    worker: str
    taken: Entry | None = None
    over: Entry | None = None

    def shown(self) -> dict[str, Any]:
        """For programs."""
        taken = None if self.taken is None else self.taken.data
        over = None if self.over is None else self.over.data
        return {
            "worker": self.worker,
            "taken": None if self.taken is None else rfc3339(self.taken.time_ms),
            "way": taken.way if isinstance(taken, OrderTaken) else None,
            "leftS": taken.left_s if isinstance(taken, OrderTaken) else None,
            "over": None if self.over is None else rfc3339(self.over.time_ms),
            "why": over.why if isinstance(over, OrderOver) else None,
            "known": over.known if isinstance(over, OrderOver) else None,
            "unknown": over.unknown if isinstance(over, OrderOver) else None,
        }


class Incident(Struct, kw_only=True):
    """An order: as it was signed, by the key of which name, what ended it, and each worker's."""

    id: str
    signed: Signed | None = None
    key: str = ""
    end: Signed | None = None
    workers: dict[str, AtWorker] = {}

    def shown(self) -> dict[str, Any]:
        """For programs."""
        return {
            "id": self.id,
            "key": self.key or None,
            "order": None if self.signed is None else _plain(self.signed),
            "end": None if self.end is None else _plain(self.end),
            "workers": [one.shown() for one in self.workers.values()],
        }


async def read_incidents(log: EventLog) -> list[Incident]:
    """Orders of which the ledger knows, in the order of its entries. Raises `LogError`."""
    entries: list[Entry] = []
    async with aclosing(log.read(Topic.INCIDENT_EVENTS, 0, start=0)) as batches:
        async for batch in batches:
            for record in batch:
                try:
                    entries.append(decode_entry(record.key, record.value))
                except UndecodableEntryError:
                    # Genesis, or of a type that came later.
                    continue
    return incidents(entries)


def incidents(entries: Iterable[Entry]) -> list[Incident]:
    """Put entries together; one that is there twice was repeated."""
    found: dict[str, Incident] = {}
    seen: set[str] = set()
    for entry in entries:
        if entry.id in seen:
            continue
        seen.add(entry.id)
        incident = found.setdefault(entry.order, Incident(id=entry.order))
        data = entry.data
        at = incident.workers.setdefault(data.worker, AtWorker(worker=data.worker))
        if isinstance(data, OrderTaken):
            at.taken = entry
            incident.signed, incident.key = data.order, data.key
        else:
            at.over = entry
            incident.end = data.end or incident.end
    return list(found.values())


def _plain(signed: Signed) -> Mapping[str, Any]:
    plain: Mapping[str, Any] = msgspec.to_builtins(signed)
    return plain
