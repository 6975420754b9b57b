"""Reading back all that a generation holds: its digests summed anew, its lists compared.

Nothing of it may be written meanwhile. Every key of the generation is looked at: what no license
leads to is found by counting. A scan may name a key twice while a Redis makes its table smaller:
who finds something wrong reads once more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from random import getrandbits
from typing import Final
from zlib import crc32

import msgspec
from msgspec import Struct

from ledger.domain.catalog.entities import RULES_ID
from ledger.domain.identifiers import PARTITIONS_MAX
from ledger.domain.license import License
from ledger.domain.verdicts import Remembered
from projector.catalog_folding import LISTED_IN_THE_LEDGER
from projector.changes import places as lists_of
from projector.loaded import remembered
from projector.read_model.keys import CATALOG, FROZEN, Keys, tag
from projector.rebuild.found import Found
from projector.rebuild.rendering import UNRENDERABLE
from projector.rebuild.store import Store
from projector.views.catalog import read_entity, read_scope
from projector.views.digests import Weigher, digests_at
from projector.views.documents import (
    license_document,
    read_head,
    read_license,
    read_machine,
)

NAMES: Final = 5_000
"""Names looked at together: a scan brings few at a time of one generation among two."""
PIECE: Final = 200
"""Licenses read at a time."""
SAMPLE: Final = 100
"""One license in so many is rendered anew, and the first one of each place."""
_TAGS: Final = {tag(place): place for place in (CATALOG, *range(PARTITIONS_MAX))}


class _Decided(Struct):
    """All that is asked of a remembered verdict: where it was decided."""

    offset: int


_decided: Final = msgspec.json.Decoder(_Decided)


class ReadingBack:
    """Reads one generation of some places. `read` is told how many keys were looked at.

    `salt`: picks the sample of licenses that are rendered anew, by chance unless given; `also`:
    those that are rendered in any case.
    """

    def __init__(
        self,
        store: Store,
        weigher: Weigher,
        generation: str,
        places: Sequence[int],
        read: Callable[[int], None] = lambda _: None,
        *,
        salt: int | None = None,
        also: Collection[str] = (),
    ) -> None:
        self._store = store
        self._weigher = weigher
        self._generation = generation
        self._keys = {place: Keys(place, generation) for place in places}
        self._found = {place: Found(place) for place in places}
        self._tell = read
        self._salt = getrandbits(32) if salt is None else salt
        self._also = frozenset(also)

    async def run(self) -> dict[int, Found]:
        """Read it all. Raises `ReadModelUnavailableError`."""
        await self._heads()
        async with aclosing(self._names()) as pieces:
            async for names in pieces:
                await self._take(names)
                self._tell(len(names))
        return self._found

    async def key_s(self, for_s: float) -> float:
        """Seconds that it takes for a key just now, by reading some for about `for_s` seconds.

        What is found counts for nothing: it may be written meanwhile.
        """
        began, count = time.monotonic(), 0
        async with aclosing(self._names()) as pieces:
            async for names in pieces:
                await self._take(names)
                count += len(names)
                if time.monotonic() - began > for_s:
                    break
        return (time.monotonic() - began) / max(1, count)

    async def _names(self) -> AsyncGenerator[list[str], None]:
        """All names of the generation, in pieces that are worth a round trip."""
        held: dict[bytes, None] = {}
        async with aclosing(self._store.scanned(f"{{*}}:{self._generation}:*")) as pieces:
            async for names in pieces:
                held.update(dict.fromkeys(names))
                if len(held) >= NAMES:
                    yield [name.decode() for name in held]
                    held = {}
        if held:
            yield [name.decode() for name in held]

    async def _heads(self) -> None:
        for place, keys in self._keys.items():
            head, digests = await self._store.get([keys.head, keys.digests])
            found = self._found[place]
            if head is None:
                found.wrong.append("it has no head")
                continue
            try:
                found.head = read_head(head)
                kept = digests_at(found.head.position, digests)
            except ValueError:
                found.wrong.append("its head or its digests can't be read")
                continue
            if kept is None:
                found.wrong.append("it has no digests of its position")
            else:
                found.kept = (kept.state, kept.documents)

    async def _take(self, names: Sequence[str]) -> None:
        """Look at some keys; what a license leads to is read with the license."""
        licenses: list[tuple[int, str]] = []
        scopes: list[tuple[int, str]] = []
        singles: list[tuple[int, str]] = []
        lists: list[tuple[int, str]] = []
        for name in names:
            tag_, _, rest = name.split(":", 2)
            place = _TAGS.get(tag_)
            if place not in self._keys:
                continue
            kind, _, id_ = rest.partition(":")
            if kind in {"head", "digests"}:
                continue
            self._found[place].counted[kind] += 1
            if kind == "L":
                licenses.append((place, id_))
            elif kind == "S":
                scopes.append((place, id_))
            elif kind in {"E", "U"}:
                singles.append((place, rest))
            elif kind in {"A", "P", "V", "F", "T", "N", "Q"}:
                lists.append((place, rest))
        for at in range(0, len(licenses), PIECE):
            await self._licenses(licenses[at : at + PIECE])
        await self._scopes(scopes)
        await self._singles(singles)
        await self._lists(lists)

    async def _licenses(self, named: Sequence[tuple[int, str]]) -> None:
        keys = self._keys
        documents, memories, machines = await asyncio.gather(
            self._store.get([keys[place].license(id_) for place, id_ in named]),
            self._store.members([keys[place].commands(id_) for place, id_ in named]),
            self._store.members([keys[place].machines_of_license(id_) for place, id_ in named]),
        )
        accounts = {
            id_: self._license(place, id_, document, held)
            for (place, id_), document, held in zip(named, documents, machines, strict=True)
        }
        await self._commands(
            [
                (place, id_, member, offset)
                for (place, id_), memory in zip(named, memories, strict=True)
                for member, offset in memory
            ]
        )
        for (place, _), memory, held in zip(named, memories, machines, strict=True):
            self._found[place].reached["K"] += bool(memory)
            self._found[place].reached["I"] += bool(held)
        await self._machines(
            [
                (place, id_, member.decode(errors="backslashreplace"), offset)
                for (place, id_), held in zip(named, machines, strict=True)
                for member, offset in held
            ],
            accounts,
        )

    def _license(
        self, place: int, id_: str, document: bytes | None, held: Sequence[tuple[bytes, int]]
    ) -> str:
        """Look at a license; gives its account, nothing where that can't be read."""
        found, keys = self._found[place], self._keys[place]
        found.reached["L"] += 1
        try:
            state, whole = self._weigher.weigh_license(f"L:{id_}", document or b"")
            found.state_weight += state
            found.documents_weight += whole
            license_ = read_license(document or b"")
        except ValueError:
            found.wrong.append(f"the document of license {id_} can't be read")
            return ""
        if license_.id != id_:
            found.wrong.append(f"the document of license {id_} says that it is {license_.id}'s")
        if license_.status == "live" and license_.machines > len(held):
            found.wrong.append(
                f"license {id_} has {license_.machines} machines, and {len(held)} are listed"
            )
        if not found.rendered or self._is_sampled(id_):
            found.rendered += 1
            if not _is_rendered(license_, document):
                found.stale.append(id_)
        for name, score in lists_of(keys, license_).items():
            found.wanted[keys.short(name)] += hash((id_, score))
        if license_.frozen_at is not None:
            found.frozen[id_] = license_.frozen_at
            found.wanted[f"Q:{FROZEN}"] += hash((id_, license_.frozen_at))
        return license_.account

    def _is_sampled(self, id_: str) -> bool:
        return crc32(id_.encode(), self._salt) % SAMPLE == 0 or id_ in self._also

    async def _commands(self, named: Sequence[tuple[int, str, bytes, int]]) -> None:
        kept: list[tuple[Found, str, Remembered, str]] = []
        names: list[str] = []
        for place, owner, member, offset in named:
            found = self._found[place]
            try:
                one = remembered(member, offset)
            except ValueError:
                found.wrong.append(f"of {owner} a remembered command can't be read")
                continue
            name = f"C:{owner}:{one.command}"
            kept.append((found, owner, one, name))
            names.append(self._keys[place].prefix + name)
        values = await self._values(names)
        weigh, decode = self._weigher.weigh_command, _decided.decode
        for (found, owner, one, name), document in zip(kept, values, strict=True):
            if document is None:
                found.wrong.append(f"of {owner} the verdict on {one.command} is missing")
                continue
            found.reached["C"] += 1
            found.state_weight += weigh(name, one.elapsed_ms, document)
            try:
                offset = decode(document).offset
            except ValueError:
                found.wrong.append(f"of {owner} the verdict on {one.command} can't be read")
                continue
            if offset != one.offset:
                found.wrong.append(
                    f"of {owner} the verdict on {one.command} is remembered at {one.offset}, and "
                    f"was decided at {offset}"
                )

    async def _machines(
        self, named: Sequence[tuple[int, str, str, int]], accounts: Mapping[str, str]
    ) -> None:
        values = await self._values([self._keys[place].machine(id_) for place, _, id_, _ in named])
        for (place, license_, id_, offset), document in zip(named, values, strict=True):
            found, keys = self._found[place], self._keys[place]
            if document is None:
                found.wrong.append(f"machine {id_} of license {license_} is missing")
                continue
            found.reached["M"] += 1
            found.state_weight += self._weigher.weigh(f"M:{id_}", document)
            try:
                machine = read_machine(document)
            except ValueError:
                found.wrong.append(f"the document of machine {id_} can't be read")
                continue
            if machine.license != license_ or machine.activated_offset != offset:
                found.wrong.append(f"machine {id_} is listed wrong at license {license_}")
            account = accounts[license_]
            by_fingerprint = keys.short(keys.machines_by_fingerprint(account))
            found.wanted[by_fingerprint] += hash((f"{machine.fingerprint_digest}:{id_}", 0))
            by_time = keys.short(keys.machines_of_account(account))
            found.wanted[by_time] += hash((id_, machine.activated_ms))

    async def _scopes(self, named: Sequence[tuple[int, str]]) -> None:
        keys = self._keys
        values = await self._values([keys[place].scope(id_) for place, id_ in named])
        memories = await self._store.members([keys[place].commands(id_) for place, id_ in named])
        for (place, id_), document, memory in zip(named, values, memories, strict=True):
            found = self._found[place]
            found.reached["S"] += 1
            found.reached["K"] += bool(memory)
            found.state_weight += self._weigher.weigh(f"S:{id_}", document or b"")
            try:
                commands = read_scope(document or b"").commands
            except ValueError:
                found.wrong.append(f"the count of scope {id_} can't be read")
                commands = len(memory)
            if commands != len(memory):
                found.wrong.append(f"scope {id_} counts other commands than it remembers")
            await self._commands([(place, id_, member, offset) for member, offset in memory])

    async def _singles(self, named: Sequence[tuple[int, str]]) -> None:
        values = await self._values([self._keys[place].prefix + rest for place, rest in named])
        for (place, rest), document in zip(named, values, strict=True):
            found, keys = self._found[place], self._keys[place]
            kind = rest[0]
            found.reached[kind] += 1
            found.state_weight += self._weigher.weigh(rest, document or b"")
            if kind == "E" and document is not None:
                try:
                    entity = read_entity(document)
                except ValueError:
                    found.wrong.append(f"the document of entity {rest[2:]} can't be read")
                    continue
                sort = str(type(entity).__struct_config__.tag)
                account = RULES_ID if sort == LISTED_IN_THE_LEDGER else entity.account
                name = keys.short(keys.entities(account, sort))
                found.wanted[name] += hash((entity.id, entity.offset))

    async def _lists(self, named: Sequence[tuple[int, str]]) -> None:
        names = [self._keys[place].prefix + rest for place, rest in named]
        for (place, rest), name in zip(named, names, strict=True):
            found = self._found[place]
            found.reached[rest[0]] += 1
            [members] = await self._store.members([name])
            aside = rest[0] == "Q" and rest != f"Q:{FROZEN}"
            for member, score in members:
                if aside:
                    found.state_weight += self._weigher.weigh_set_aside(rest, score, member)
                else:
                    text = member.decode(errors="backslashreplace")
                    found.listed[rest] += hash((text, score))

    async def _values(self, names: Sequence[str]) -> list[bytes | None]:
        values: list[bytes | None] = []
        for piece in _pieces(names):
            values += await self._store.get(piece)
        return values


def _is_rendered(license_: License, document: bytes | None) -> bool:
    """Whether a document is what is rendered now."""
    try:
        return document == license_document(license_)
    except UNRENDERABLE:
        return False


def _pieces(names: Sequence[str], size: int = 1_000) -> Iterator[Sequence[str]]:
    for at in range(0, len(names), size):
        yield names[at : at + size]
