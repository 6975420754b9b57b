"""Lists of licenses and of machines, newest first, each page from one replica."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from api.checks import holds
from api.crowd import Crowd
from api.listing import Page, no_such_cursor
from api.newest import Ask, Index, Place, newest
from api.problems import malformed
from api.redis_link import Link
from api.replicas import Replicas
from ledger.domain.identifiers import is_id, partition_of
from ledger.domain.license import License, Machine
from projector.read_model.keys import Keys
from projector.views.documents import read_license, read_machine

T = TypeVar("T")

AT_ONCE: Final = 4
"""Pages that a worker makes at once; others wait for their turn."""
WAITING_MAX: Final = 64
"""Of those that it makes and that wait: a page that comes too late nobody wants any more."""
BATCH_MAX: Final = 200
EXAMINED_MAX: Final = 20_000
"""Entries that one request looks at for those that its filters want."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[T]):
    """A page: its entries, whether more follow, and the id that the next page comes after."""

    entries: list[T]
    more: bool
    last_id: str | None


@dataclass(frozen=True, slots=True)
class _One:
    """One replica: names of its partitions, and what asks it."""

    names: Sequence[Keys]
    ask: Ask

    def partition(self, id_: str) -> int:
        """Partition of a license or machine."""
        return partition_of(id_, len(self.names))

    async def values(
        self, ids: Sequence[str], key: Callable[[Keys, str], str]
    ) -> list[bytes | None]:
        """Value for each id, one MGET a partition, all in one pipeline."""
        at: dict[int, list[int]] = {}
        for place, id_ in enumerate(ids):
            at.setdefault(self.partition(id_), []).append(place)
        replies = await self.ask(
            [
                ("MGET", *(key(self.names[partition], ids[place]) for place in places))
                for partition, places in at.items()
            ]
        )
        values: list[bytes | None] = [None] * len(ids)
        for places, reply in zip(at.values(), replies, strict=True):
            for place, value in zip(places, reply, strict=True):
                values[place] = value
        return values


Load = Callable[[_One, Sequence[str]], Awaitable[list[T | None]]]
"""Loads entries by their ids; None for what is not of the list any more."""
Locate = Callable[[_One, str], Awaitable[Place | None]]
"""Tells where an entry stands; None where it is none of the account's."""
Wanted = Callable[[T], bool]


class Lists:
    """Reads pages of lists. Every call raises a 503 `Problem` where no replica can be read."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self.crowd: Final = Crowd(WAITING_MAX)
        """To be entered by each request for a page."""
        self.turn: Final = asyncio.Semaphore(AT_ONCE)
        """To be held while a page is made: many at once would delay every reply of the replicas
        past its limit, and then those of checks too."""

    async def licenses(
        self, account: str, index: Index, page: Page, wanted: Wanted[License] | None = None
    ) -> Found[tuple[License, bytes]]:
        """Page of the account's licenses in an index, of those that are `wanted`."""

        async def load(one: _One, ids: Sequence[str]) -> list[tuple[License, bytes] | None]:
            documents = await one.values(ids, Keys.license)
            return [_license(document, account) for document in documents]

        async def locate(one: _One, id_: str) -> Place | None:
            [document] = await one.values([id_], Keys.license)
            license_ = None if document is None else read_license(document)
            if license_ is None or license_.account != account:
                return None
            return Place(license_.issued_ms, id_)

        fits: Wanted[tuple[License, bytes]] | None = None
        if wanted is not None:
            fits = lambda entry: wanted(entry[0])  # noqa: E731 - as short as it gets
        return await self._page(index, page, load, locate, fits)

    async def machines(
        self,
        account: str,
        index: Index,
        page: Page,
        wanted: Wanted[tuple[License, Machine]] | None = None,
    ) -> Found[tuple[License, Machine]]:
        """Page of the account's machines in an index, of those that are `wanted`.

        An index holds machines of ended incarnations too: what counts is what is loaded.
        """

        async def load(one: _One, ids: Sequence[str]) -> list[tuple[License, Machine] | None]:
            documents = await one.values(ids, Keys.machine)
            machines = [None if each is None else read_machine(each) for each in documents]
            wanted_licenses = sorted({each.license for each in machines if each is not None})
            found = await one.values(wanted_licenses, Keys.license)
            licenses = dict(zip(wanted_licenses, found, strict=True))
            return [
                None if each is None else _machine(each, licenses[each.license], account)
                for each in machines
            ]

        async def locate(one: _One, id_: str) -> Place | None:
            [entry] = await load(one, [id_])
            return None if entry is None else Place(entry[1].activated_ms, id_)

        return await self._page(index, page, load, locate, wanted or (lambda _: True))

    async def _page(
        self,
        index: Index,
        page: Page,
        load: Load[T],
        locate: Locate,
        wanted: Wanted[T] | None,
    ) -> Found[T]:
        async def read(names: Sequence[Keys], link: Link) -> Found[T]:
            one = _One(names, link.ask)
            indexes = [key for keys in names for key in index(keys)]
            below = None
            if page.after is not None:
                below = await locate(one, page.after) if is_id(page.after) else None
                if below is None:
                    raise no_such_cursor()
            return await _Reading(one, page, partial(load, one), wanted).read(indexes, below)

        return await self._replicas.from_one(read)


class _Reading(Generic[T]):
    """One page in the making."""

    def __init__(
        self,
        one: _One,
        page: Page,
        load: Callable[[Sequence[str]], Awaitable[list[T | None]]],
        wanted: Wanted[T] | None,
    ) -> None:
        self._one = one
        self._page = page
        self._load = load
        self._wanted = wanted
        # With a filter only those count that fit, so none can be left out unread.
        self._skip = page.start if wanted is not None else 0
        self._entries: list[T] = []
        self._last_id: str | None = None

    async def read(self, indexes: Sequence[str], below: Place | None) -> Found[T]:
        """Read until the page is full, and see whether there is one more."""
        page, size = self._page, self._page.size
        start = 0 if self._wanted is not None else page.start
        batch: list[str] = []
        examined = 0
        places = newest(self._one.ask, indexes, start=start, below=below, size=size + 1)
        async with aclosing(places):
            async for place in places:
                batch.append(place.id)
                examined += 1
                if len(batch) < min(BATCH_MAX, size + 1):
                    continue
                if await self._full(batch):
                    return self._found(more=True)
                batch = []
                if examined >= EXAMINED_MAX:
                    return self._given_up(place.id)
        full = await self._full(batch)
        return self._found(more=full)

    async def _full(self, ids: list[str]) -> bool:
        """Take what fits; whether there is one more than the page takes."""
        for id_, entry in zip(ids, await self._load(ids), strict=True):
            if entry is None or not (self._wanted is None or self._wanted(entry)):
                continue
            if self._skip:
                self._skip -= 1
                continue
            if len(self._entries) == self._page.size:
                return True
            self._entries.append(entry)
            self._last_id = id_
        return False

    def _found(self, *, more: bool) -> Found[T]:
        return Found(entries=self._entries, more=more, last_id=self._last_id)

    def _given_up(self, last_id: str) -> Found[T]:
        """With a cursor the next page goes on from here; without one there is no going on."""
        if self._page.cursor is None:
            raise malformed(
                "LIST_TOO_LONG",
                f"None of these filters has an index, and {EXAMINED_MAX} entries were looked at. "
                "Ask with page[cursor]= and page[size], and follow the links.",
                {"parameter": "page[cursor]"},
            )
        return Found(entries=self._entries, more=True, last_id=last_id)


def _license(document: bytes | None, account: str) -> tuple[License, bytes] | None:
    license_ = None if document is None else read_license(document)
    if document is None or license_ is None:
        return None
    live = license_.status == "live" and license_.account == account
    return (license_, document) if live else None


def _machine(
    machine: Machine, document: bytes | None, account: str
) -> tuple[License, Machine] | None:
    license_ = None if document is None else read_license(document)
    if license_ is None or license_.account != account or not holds(license_, machine):
        return None
    return license_, machine
