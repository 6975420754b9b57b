"""One place of a replica beside a fold that comes along (`projector.verifying.beside` says how)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ledger.event_log.port import LostRecords
from projector.pieces import pieces
from projector.read_model.keys import FROZEN, Keys, tag
from projector.rebuild.differences import (
    DOCUMENTS,
    SHOWN_MAX,
    Difference,
    license_of,
    same_state,
)
from projector.rebuild.store import Snapshot
from projector.rebuild.watching import AGE_MAX_MS
from projector.verifying.fresh import Fresh, Item
from projector.verifying.patience import patiently
from projector.verifying.reading import Replica, Source
from projector.views.digests import VIEW, Digests, digests_at
from projector.views.documents import Head, read_head, read_license

PIECE: Final = 1_000
"""Keys and members read at one moment."""
LISTS: Final = 100
"""Lists of which a page is read at one moment."""
PAUSE_S: Final = 0.002
HOLD_S: Final = 0.25
"""Between two pieces, while what serves is older than it may be."""
_KEPT_MAX: Final = 10_000
_LISTS: Final = frozenset("AFIKNPQTV")

Tell = Callable[[int], None]


class Beside(Struct, frozen=True, kw_only=True):
    """What came of a place.

    `generation`: which one serves it; `position`: where the comparison ended. `read`: keys and
    members compared. `wrong`: in words. `differences`: documents and members, at most `SHOWN_MAX`;
    a member's name is its list's, a space, and the member, and its forms are scores.
    `differing`: how many there are. `frozen`: licenses that are frozen here and not there, or the
    other way round, which were left out. `notes`: what was compared less closely, in words.
    """

    place: int
    generation: str
    position: int
    read: int
    wrong: Sequence[str] = ()
    differences: Sequence[Difference] = ()
    differing: int = 0
    frozen: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def equal(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong and not self.differences


class MovedError(Exception):
    """Another generation serves, or the replica stands at an earlier position than before."""


class _WrongError(Exception):
    """Something is wrong that makes further comparing idle; the text says what."""


class Comparison:
    """One place, once. `whole`: nothing is left out, also not what is frozen in one only."""

    def __init__(
        self,
        replica: Replica,
        source: Source,
        keys: Keys,
        fresh: Fresh,
        tell: Tell,
        *,
        whole: bool = False,
    ) -> None:
        self._replica = replica
        self._source = source
        self._keys = keys
        self._fresh = fresh
        self._tell = tell
        self._whole = whole
        self._found: dict[Item, Difference] = {}
        self._notes: list[str] = []
        self._read = 0

    async def run(self) -> Beside:
        """Compare it all. Raises `MovedError`, and what folding, the log and the replica raise."""
        wrong: list[str] = []
        try:
            await self._snapshot()
            await self._what_has_to_be()
            await self._what_is()
            stored, digests = await self._digests()
        except _WrongError as error:
            wrong.append(str(error))
            stored = digests = None
        differing = self._owned()
        frozen = set() if self._whole else _frozen(differing)
        found = [one for one in differing if one.owner not in frozen]
        if not wrong and (stored is None or stored.view != VIEW):
            # Another release has rendered answers: what they are made of is compared.
            found = [one for one in found if not same_state(one)]
        if stored is not None and digests is not None and not frozen:
            wrong += _apart(stored, digests)
        return Beside(
            place=self._keys.partition,
            generation=self._keys.generation,
            position=self._fresh.head.position,
            read=self._read,
            wrong=wrong,
            differences=found[:SHOWN_MAX],
            differing=len(found),
            frozen=sorted(frozen),
            notes=self._notes,
        )

    async def _what_has_to_be(self) -> None:
        """Look in the replica for all that the fold has."""
        total, done = self._fresh.head.position, 0.0
        share = total / max(1, self._fresh.size)
        for piece in pieces(self._fresh.items(), PIECE):
            await self._compare(piece)
            before = round(done)
            done = min(total, done + share * sum(one.member is None for one in piece))
            self._tell(round(done) - before)
        self._tell(total - round(done))

    async def _what_is(self) -> None:
        """Ask the fold of all names, and all members of lists, that the replica has."""
        suspects: list[Item] = []
        lists: list[tuple[str, int]] = []
        async with aclosing(
            self._replica.scanned(f"{tag(self._keys.partition)}:{self._keys.generation}:*")
        ) as scanned:
            async for names in scanned:
                for name in dict.fromkeys(names):
                    short = self._keys.short(name.decode(errors="backslashreplace"))
                    kind = short.partition(":")[0]
                    if short in {"head", "digests"}:
                        continue
                    if kind in _LISTS:
                        lists.append((self._keys.prefix + short, 0))
                    elif kind not in DOCUMENTS:
                        self._differs(Item(short), b"", None)
                    elif self._fresh.expected(Item(short)) is None:
                        suspects.append(Item(short))
                await asyncio.sleep(PAUSE_S)
                while len(lists) >= LISTS:
                    lists = [*lists[LISTS:], *await self._pages(lists[:LISTS])]
        while lists:
            lists = [*lists[LISTS:], *await self._pages(lists[:LISTS])]
        for piece in pieces(suspects, PIECE):
            await self._compare(piece)

    async def _digests(self) -> tuple[Digests | None, Digests]:
        """Those that the replica keeps of its position, and the fold's of the same."""
        snapshot = await self._snapshot([Item("digests")])
        digests = await self._fresh.digests()
        try:
            stored = digests_at(self._fresh.head.position, snapshot.values[0])
        except ValueError:
            raise _WrongError("its digests can't be read") from None
        if stored is None:
            self._notes.append("it keeps no digests of its position: an older release folded on")
        elif stored.view != VIEW:
            self._notes.append("another release has rendered some answers: their state is compared")
        return stored, digests

    async def _compare(self, items: Sequence[Item]) -> None:
        """Read some at one moment, fold on to there, and compare."""
        snapshot = await self._snapshot(items)
        values, scores = iter(snapshot.values), iter(snapshot.scores)
        for item in items:
            there = next(values) if item.member is None else next(scores)
            expected = self._fresh.expected(item)
            if there != expected:
                self._differs(item, there, expected)
        self._read += len(items)

    async def _pages(self, lists: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """Ask of a page of each list; gives those that go on, each with its cursor."""
        snapshot = await self._snapshot(scans=lists)
        left = []
        for (name, _), page in zip(lists, snapshot.pages, strict=True):
            short = self._keys.short(name)
            if page is None:
                self._differs(Item(short), b"(no sorted set)", None)
                continue
            cursor, members = page
            for member, score in members:
                item = Item(short, member)
                expected = self._fresh.expected(item)
                if score != expected:
                    self._differs(item, score, expected)
            if cursor:
                left.append((name, cursor))
        return left

    async def _snapshot(
        self, items: Sequence[Item] = (), scans: Sequence[tuple[str, int]] = ()
    ) -> Snapshot:
        """Read at one moment; the fold stands at its position then."""
        prefix = self._keys.prefix
        values = [prefix + one.name for one in items if one.member is None]
        scores = [(prefix + one.name, one.member) for one in items if one.member is not None]
        snapshot = await patiently(
            lambda: self._replica.snapshot(self._keys, values, scores, scans)
        )
        head = self._head_of(snapshot)
        await self._fold_to(head)
        old = head.level_at_ms and snapshot.now_ms - head.level_at_ms > AGE_MAX_MS
        await asyncio.sleep(HOLD_S if old else PAUSE_S)
        return snapshot

    def _head_of(self, snapshot: Snapshot) -> Head:
        if snapshot.serving not in {None, self._keys.generation}:
            raise MovedError
        try:
            head = Head() if snapshot.head is None else read_head(snapshot.head)
        except ValueError:
            raise _WrongError("its head can't be read") from None
        if head.position < self._fresh.head.position:
            raise MovedError
        return head

    async def _fold_to(self, head: Head) -> None:
        """Fold on to where the replica stands, and see that it has folded the same."""
        while self._fresh.head.position < head.position:
            before = self._fresh.head.position
            await patiently(lambda: self._fold_on(head.position))
            if self._fresh.head.position == before:
                raise _WrongError(f"it has folded to {head.position}, and the log ends at {before}")
        if head.position == 0:
            return
        expected = self._fresh.head
        if head.chain != expected.chain:
            raise _WrongError(f"it has folded another log up to {head.position}")
        if not head.before_last:
            expected = replace(expected, before_last="")
        if replace(head, level_at_ms=0) != expected:
            raise _WrongError(f"its head isn't what a fold to {head.position} has")

    async def _fold_on(self, stop: int) -> None:
        place, start = self._keys.partition, self._fresh.head.position
        first = start == 0
        try:
            async with aclosing(self._source.records(place, start=start, stop=stop)) as runs:
                async for records in runs:
                    await self._fresh.fold_on(records)
                    if first:
                        self._tell(len(records))
        except LostRecords as error:
            raise _WrongError(f"the log has lost records: {error}") from None

    def _differs(self, item: Item, there: bytes | int | None, expected: bytes | int | None) -> None:
        if len(self._found) < _KEPT_MAX:
            name = item.name
            if item.member is not None:
                name += f" {item.member.decode(errors='backslashreplace')}"
            self._found[item] = Difference(
                place=self._keys.partition,
                name=name,
                owner=self._fresh.owner(item),
                there=_form(there),
                expected=_form(expected),
            )

    def _owned(self) -> list[Difference]:
        """What differs; machines that only the replica knows are their documents' licenses'."""
        machines = {
            one.owner: license_of(one.there) or one.owner
            for one in self._found.values()
            if one.name.startswith("M:") and one.expected is None
        }
        return [
            replace(one, owner=machines.get(one.owner, one.owner)) for one in self._found.values()
        ]


def _frozen(differences: Sequence[Difference]) -> set[str]:
    """Licenses that are frozen in one of the two only: by their documents, and by the list."""
    listed = {one.owner for one in differences if one.name.startswith(f"Q:{FROZEN} ")}
    return {
        one.owner
        for one in differences
        if one.name.startswith("L:")
        and one.owner in listed
        and _is_frozen(one.there) != _is_frozen(one.expected)
    }


def _apart(stored: Digests, digests: Digests) -> Iterator[str]:
    pairs = [("state", stored.state, digests.state)]
    if stored.view == VIEW:
        pairs.append(("documents", stored.documents, digests.documents))
    for name, kept, summed in pairs:
        if kept != summed:
            yield f"it keeps {kept} as the digest of the {name}, and a fresh fold has {summed}"


def _form(value: bytes | int | None) -> bytes | None:
    return b"%d" % value if isinstance(value, int) else value


def _is_frozen(document: bytes | None) -> bool:
    try:
        return document is not None and read_license(document).frozen_at is not None
    except ValueError:
        return False
