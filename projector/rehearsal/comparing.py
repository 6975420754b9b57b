"""A partition folded in memory beside what a replica holds of it, which is folded on meanwhile.

What is read of the replica comes with its position, at one moment; the fold in memory goes on to
exactly there before anything is compared. So no verdict and no license is taken for another one
only because somebody asked for something just then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from collections.abc import (
    Set as AbstractSet,
)
from contextlib import aclosing
from itertools import chain
from typing import Final

from projector.pieces import pieces
from projector.read_model.keys import Keys, tag
from projector.rebuild.bulk import BulkFold, Held
from projector.rebuild.rendering import Rendering
from projector.rehearsal.changes import (
    Change,
    Compared,
    Kind,
    license_state,
    machine_state,
    state_of,
)
from projector.rehearsal.reading import History, Replica
from projector.rehearsal.spool import Spool
from projector.verifying.patience import patiently
from projector.views.digests import Weigher, digests_at
from projector.views.documents import read_head, read_machine

PIECE: Final = 500
"""Documents of a replica that are read at one moment."""
PAUSE_S: Final = 0.002
"""Between two pieces, at least."""
TRIES: Final = 3
_KINDS: Final[dict[str, Kind]] = {"L": "license", "M": "machine", "C": "verdict"}


class ReplicaMovedError(Exception):
    """A replica went back, or serves another generation than it did; or it is ahead of the log."""


class Comparing:
    """Compares partitions of a replica. `tell`: is told how many records were folded since."""

    def __init__(
        self,
        replica: Replica,
        history: History,
        weigher: Weigher,
        *,
        partitions: int,
        tell: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._replica = replica
        self._history = history
        self._weigher = weigher
        self._partitions = partitions
        self._tell = tell

    async def compare(
        self, partition: int, discarded: frozenset[int] = frozenset(), *, careful: bool = False
    ) -> Compared:
        """Fold a partition to where the replica is, and compare all that is there.

        Raises `ReplicaMovedError`, `LostRecordError`, `UnknownRulesError`, and what reading raises.
        """
        for left in reversed(range(TRIES)):
            fold = BulkFold(partition, self._partitions, careful=careful, discarded=discarded)
            try:
                side = await self._side(fold, partition)
                return await side.compared()
            except ReplicaMovedError:
                if not left:
                    raise
        raise AssertionError  # pragma: no cover - the last try returns or raises

    async def _side(self, fold: BulkFold, partition: int) -> _Side:
        [serving] = await self._replica.get([Keys(partition).serving])
        if serving is None:
            raise ReplicaMovedError(f"partition {partition} isn't served from any generation")
        keys = Keys(partition, serving.decode())
        return _Side(self._replica, self._history, self._weigher, fold, keys, self._tell)


class _Side:
    """One generation of a partition, and the fold beside it."""

    def __init__(
        self,
        replica: Replica,
        history: History,
        weigher: Weigher,
        fold: BulkFold,
        keys: Keys,
        tell: Callable[[int], None],
    ) -> None:
        self._replica = replica
        self._history = history
        self._weigher = weigher
        self._fold = fold
        self._keys = keys
        self._tell = tell
        self._changes = Spool()
        self._told: AbstractSet[tuple[str, str, str]] = frozenset()
        """Kinds, licenses and ids of changes that are not told again."""

    async def compared(self) -> Compared:
        """Compare all that the fold makes, then look for what it doesn't make."""
        await self._read(())
        held, head = self._fold.held, self._fold.head
        # What is made meanwhile comes after the rehearsal's end.
        names = list(_names(held))
        verdicts, licenses, machines = held.commands, len(held.licenses), len(held.machines)
        await self._compare(names)
        alike = await self._digests_alike()
        if not alike:
            await self._compare_others()
        return Compared(
            partition=self._keys.partition,
            head=head,
            verdicts=verdicts,
            licenses=licenses,
            machines=machines,
            changes=self._changes,
            apart=alike is False and not self._changes,
        )

    async def _read(self, names: Sequence[str]) -> list[bytes | None]:
        """Read documents by their short names, and fold on to where they were read."""
        keys = self._keys
        asked = [keys.serving, keys.head, *(keys.prefix + name for name in names)]
        began = time.monotonic()
        serving, head, *values = await patiently(lambda: self._replica.get(asked))
        # What serves comes first: a Redis that is slow to answer is asked as much less.
        await asyncio.sleep(max(PAUSE_S, time.monotonic() - began))
        if head is None or serving is None or serving.decode() != keys.generation:
            raise ReplicaMovedError(f"partition {keys.partition} is served from elsewhere now")
        await self._fold_to(read_head(head).position)
        return values

    async def _fold_to(self, position: int) -> None:
        fold, partition = self._fold, self._keys.partition
        if position < fold.position:
            raise ReplicaMovedError(f"the replica went back in partition {partition}")
        if position > fold.position:
            runs = self._history.messages(partition, start=fold.position, stop=position)
            async with aclosing(runs):
                async for records in runs:
                    fold.take(records)
                    self._tell(len(records))
        if fold.position != position:
            raise ReplicaMovedError(
                f"the replica has folded partition {partition} to {position}, and the log ends at "
                f"{fold.position}: see `ledger verify --replicas`"
            )

    async def _compare(self, names: Iterable[str]) -> None:
        for piece in pieces(names, PIECE):
            stored = await self._read(piece)
            for name, document in zip(piece, stored, strict=True):
                self._compare_one(name, document)

    def _compare_one(self, name: str, stored: bytes | None) -> None:
        kind, id_, *command = name.split(":")
        before = stored if stored is None or kind != "L" else state_of(stored)
        after = _expected(self._fold.held, kind, id_, *command)
        if before == after:
            return
        change = Change(
            partition=self._keys.partition,
            license=self._owner(id_, stored) if kind == "M" else id_,
            kind=_KINDS[kind],
            id=command[0] if command else id_,
            before=before,
            after=after,
        )
        if (change.kind, change.license, change.id) not in self._told:
            self._changes.append(change)

    def _owner(self, machine: str, stored: bytes | None) -> str:
        """License of a machine: the fold's word, else the replica's."""
        held = self._fold.held.machines.get(machine)
        if held is not None:
            return held.license
        try:
            return machine if stored is None else read_machine(stored).license
        except ValueError:
            return machine

    async def _digests_alike(self) -> bool | None:
        """Whether the digests of all that is stored are the fold's; None: none are kept there."""
        [document] = await self._read([self._keys.short(self._keys.digests)])
        position = self._fold.position
        stored = digests_at(position, document)
        if stored is None:
            return None
        rendering = Rendering(self._fold.held, self._keys, self._weigher)
        for _ in chain[object](rendering.strings(), rendering.sorted_sets()):
            pass
        return rendering.digests(position).state == stored.state

    async def _compare_others(self) -> None:
        """Compare what the replica holds and the fold has not made."""
        others: dict[str, None] = {}
        async for name in self._scanned():
            kind, id_, *command = name.split(":")
            if _expected(self._fold.held, kind, id_, *command) is None:
                others[name] = None
        self._told = {(change.kind, change.license, change.id) for change in self._changes}
        await self._compare(others)

    async def _scanned(self) -> AsyncGenerator[str, None]:
        """Short names of all documents of the generation."""
        match = f"{tag(self._keys.partition)}:{self._keys.generation}:[LMC]:*"
        async with aclosing(self._replica.scanned(match)) as scanned:
            async for names in scanned:
                for name in names:
                    yield self._keys.short(name.decode())
                await asyncio.sleep(PAUSE_S)


def _names(held: Held) -> Iterator[str]:
    """Short names of all documents of a fold."""
    yield from (f"L:{id_}" for id_ in held.licenses)
    yield from (f"M:{id_}" for id_ in held.machines)
    for id_, memory in held.memories.items():
        yield from (f"C:{id_}:{command}" for command in memory)


def _expected(held: Held, kind: str, id_: str, command: str = "") -> bytes | None:
    """State that the fold makes; None where it makes none."""
    if kind == "L":
        return license_state(held, id_)
    if kind == "M":
        return machine_state(held, id_)
    kept = held.memories.get(id_, {}).get(command)
    return None if kept is None else kept.document
