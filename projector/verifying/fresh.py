"""Folds of one place that nobody keeps: what a replica has to hold of it; no I/O and no clock.

A fold goes on as far as it is told, and says at any position which value a key has to have, and
which score a member of a list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import chain as chained
from typing import Final, NamedTuple, Protocol

from projector.catalog_folding import fold_catalog_batch
from projector.catalog_loading import load_catalog
from projector.catalog_projection import CHUNK_RECORDS
from projector.catalog_reading import read_catalog
from projector.changes import places as lists_of
from projector.folding import elapsed_after
from projector.loaded import remembered
from projector.read_model.keys import CATALOG, FROZEN, Keys
from projector.read_model.memory import MemoryReadModel
from projector.reading import LogRecord
from projector.rebuild.bulk import BulkFold
from projector.rebuild.rendering import Rendering
from projector.views.digests import NOTHING, Digests, Weigher, read_digests
from projector.views.documents import Head, license_document, machine_document
from projector.views.set_aside import set_aside_member

_BREATH: Final = 1_000


class Item(NamedTuple):
    """What is compared: a key by its name without partition and generation, or a list's member."""

    name: str
    member: bytes | None = None


class UnfoldableError(Exception):
    """A record can't be folded by this software; the text says which one, and why."""


class Fresh(Protocol):
    """A fold of one place.

    `head`: where it stands, level-at apart. `size`: how many documents it has.
    """

    @property
    def head(self) -> Head: ...  # noqa: D102 - said above

    @property
    def size(self) -> int: ...  # noqa: D102 - said above

    async def fold_on(self, records: Sequence[LogRecord]) -> None:
        """Fold some more. Raises `UnfoldableError`, `LostRecordError`, `UnknownRulesError`."""
        ...

    def expected(self, item: Item) -> bytes | int | None:
        """Value of a key, score of a member; None: it must not be there."""
        ...

    def items(self) -> Iterator[Item]:
        """All that it has, as of the call; it may be folded on meanwhile."""
        ...

    def owner(self, item: Item) -> str:
        """Whose an item is: the license, or of the catalog the key's own id."""
        ...

    async def digests(self) -> Digests:
        """Digests of all that it has, summed anew; `cut` isn't told."""
        ...


class FreshPartition:
    """The fold of a license partition; see `Fresh`."""

    def __init__(self, keys: Keys, weigher: Weigher, folding: BulkFold) -> None:
        self._keys = keys
        self._weigher = weigher
        self._folding = folding
        self._held = folding.held
        self._aside: dict[str, tuple[int, dict[bytes, int]]] = {}

    @property
    def head(self) -> Head:
        """See `Fresh.head`."""
        return self._folding.head

    @property
    def size(self) -> int:
        """See `Fresh.size`."""
        return self._held.size

    async def fold_on(self, records: Sequence[LogRecord]) -> None:
        """See `Fresh.fold_on`."""
        self._folding.take(records)

    def expected(self, item: Item) -> bytes | int | None:
        """See `Fresh.expected`."""
        kind, _, id_ = item.name.partition(":")
        if item.member is None:
            return self._value(kind, id_)
        try:
            return self._score(kind, id_, item.member)
        except ValueError:
            # No fold writes such a member.
            return None

    def items(self) -> Iterator[Item]:
        """See `Fresh.items`."""
        held = self._held
        # Licenses stay for ever; what is younger than the call is left to whoever calls again.
        return chained(
            self._of_licenses(list(held.licenses)),
            self._of_machines(list(held.machines)),
            self._of_memories(list(held.memories)),
            self._of_those_aside(list(held.aside)),
        )

    def owner(self, item: Item) -> str:
        """See `Fresh.owner`."""
        kind, _, id_ = item.name.partition(":")
        if kind in {"A", "P", "V"} or item.name == f"Q:{FROZEN}":
            return (item.member or b"").decode(errors="backslashreplace")
        if kind in {"F", "T"}:
            machine_id = (item.member or b"").decode(errors="backslashreplace").rpartition(":")[2]
            machine = self._held.machines.get(machine_id)
            return machine_id if machine is None else machine.license
        if kind == "M":
            machine = self._held.machines.get(id_)
            return id_ if machine is None else machine.license
        return id_.partition(":")[0]

    async def digests(self) -> Digests:
        """See `Fresh.digests`."""
        rendering = Rendering(self._held, self._keys, self._weigher)
        for count, _ in enumerate(chained(rendering.strings(), rendering.sorted_sets())):
            if count % _BREATH == 0:
                await asyncio.sleep(0)
        return rendering.digests(self.head.position)

    def _value(self, kind: str, id_: str) -> bytes | None:
        held = self._held
        if kind == "L":
            license_ = held.licenses.get(id_)
            return None if license_ is None else license_document(license_)
        if kind == "M":
            machine = held.machines.get(id_)
            return None if machine is None else machine_document(machine)
        if kind == "C":
            owner, _, command = id_.partition(":")
            kept = held.memories.get(owner, {}).get(command)
            return None if kept is None else kept.document
        return None

    def _score(self, kind: str, id_: str, member: bytes) -> int | None:
        held = self._held
        if kind == "K":
            told = remembered(member, 0)
            kept = held.memories.get(id_, {}).get(told.command)
            return kept.offset if kept is not None and kept.elapsed_ms == told.elapsed_ms else None
        if kind == "Q" and id_ != FROZEN:
            return self._waiting(id_).get(member)
        name = member.decode()
        if kind == "Q":
            license_ = held.licenses.get(name)
            return None if license_ is None else license_.frozen_at
        if kind in {"A", "P", "V"}:
            places = lists_of(self._keys, held.licenses.get(name))
            return places.get(f"{self._keys.prefix}{kind}:{id_}")
        return self._score_of_machine(kind, id_, name)

    def _score_of_machine(self, kind: str, id_: str, member: str) -> int | None:
        digest, _, machine_id = member.rpartition(":")
        machine = self._held.machines.get(machine_id)
        if machine is None or digest != (machine.fingerprint_digest if kind == "F" else ""):
            return None
        if kind == "I":
            return machine.activated_offset if machine.license == id_ else None
        if self._held.licenses[machine.license].account != id_:
            return None
        return {"F": 0, "T": machine.activated_ms}.get(kind)

    def _waiting(self, owner: str) -> dict[bytes, int]:
        """Members of the list of an owner's records set aside, which only grows."""
        records = self._held.aside.get(owner, [])
        count, members = self._aside.get(owner, (0, {}))
        if count < len(records):
            members |= {set_aside_member(one): one.offset for one in records[count:]}
            self._aside[owner] = len(records), members
        return members

    def _of_licenses(self, ids: Sequence[str]) -> Iterator[Item]:
        for id_ in ids:
            license_, member = self._held.licenses[id_], id_.encode()
            yield Item(f"L:{id_}")
            for name in lists_of(self._keys, license_):
                yield Item(self._keys.short(name), member)
            if license_.frozen_at is not None:
                yield Item(f"Q:{FROZEN}", member)

    def _of_machines(self, ids: Sequence[str]) -> Iterator[Item]:
        for id_ in ids:
            machine = self._held.machines.get(id_)
            if machine is None:
                continue
            account = self._held.licenses[machine.license].account
            yield Item(f"M:{id_}")
            yield Item(f"I:{machine.license}", id_.encode())
            yield Item(f"F:{account}", f"{machine.fingerprint_digest}:{id_}".encode())
            yield Item(f"T:{account}", id_.encode())

    def _of_memories(self, ids: Sequence[str]) -> Iterator[Item]:
        for id_ in ids:
            for command, kept in list(self._held.memories[id_].items()):
                yield Item(f"C:{id_}:{command}")
                yield Item(f"K:{id_}", f"{kept.elapsed_ms}:{command}".encode())

    def _of_those_aside(self, owners: Sequence[str]) -> Iterator[Item]:
        for owner in owners:
            for member in list(self._waiting(owner)):
                yield Item(f"Q:{owner}", member)


class FreshCatalog:
    """The fold of the catalog; see `Fresh`."""

    def __init__(self, generation: str, weigher: Weigher) -> None:
        self._keys = Keys(CATALOG, generation)
        self._weigher = weigher
        self._model = MemoryReadModel()
        self._own = {self._keys.head, self._keys.digests, self._keys.serving}
        self._digests: Digests | None = NOTHING
        self._head = Head()

    @property
    def head(self) -> Head:
        """See `Fresh.head`."""
        return self._head

    @property
    def size(self) -> int:
        """See `Fresh.size`."""
        return len(self._model.strings)

    async def fold_on(self, records: Sequence[LogRecord]) -> None:
        """See `Fresh.fold_on`."""
        for at in range(0, len(records), CHUNK_RECORDS):
            await self._fold(records[at : at + CHUNK_RECORDS])

    def expected(self, item: Item) -> bytes | int | None:
        """See `Fresh.expected`."""
        name = self._keys.prefix + item.name
        if item.member is None:
            return self._model.strings.get(name)
        return self._model.sorted_sets.get(name, {}).get(item.member)

    def items(self) -> Iterator[Item]:
        """See `Fresh.items`."""
        names = [self._keys.short(one) for one in self._model.strings if one not in self._own]
        lists = [
            Item(self._keys.short(name), member)
            for name, members in self._model.sorted_sets.items()
            for member in members
        ]
        return chained(map(Item, names), lists)

    def owner(self, item: Item) -> str:
        """See `Fresh.owner`."""
        if item.name.startswith("N:"):
            return (item.member or b"").decode(errors="backslashreplace")
        return item.name.partition(":")[2]

    async def digests(self) -> Digests:
        """See `Fresh.digests`."""
        stored = self._model.strings.get(self._keys.digests)
        return NOTHING if stored is None else read_digests(stored)

    async def _fold(self, records: Sequence[LogRecord]) -> None:
        reading = read_catalog(records)
        at_hand = await load_catalog(
            self._model, self._keys, reading, elapsed_after(reading.entries, self._head)
        )
        at_hand.digests = self._digests
        folding = fold_catalog_batch(reading, self._head, at_hand, self._keys, self._weigher)
        if folding.batch.end > folding.batch.start:
            await self._model.apply(folding.batch)
            self._model.published.clear()
            self._digests, self._head = at_hand.digests, folding.batch.head
        if folding.poison is not None:
            raise UnfoldableError(
                f"the record at offset {folding.poison} of the catalog can't be folded"
            )
        if reading.unknown_rules is not None:
            raise reading.unknown_rules
