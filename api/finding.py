"""Finding licenses and machines by what paths and bodies name them: an id, a key, a fingerprint."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from api.catalog import Catalog
from api.checks import holds
from api.problems import replica_behind
from api.replicas import Reading, Replicas
from ledger.domain import identifiers
from ledger.domain.identifiers import Pepper, is_id, partition_of
from ledger.domain.license import License, Machine
from projector.read_model.keys import Keys
from projector.views.documents import read_license, read_machine

MACHINES_MAX: Final = 1000
"""Machines of one fingerprint that are looked at for the oldest."""
Held = tuple[License, Machine]


class Found:
    """A live license, its document, and the reading that it came with."""

    __slots__ = ("document", "license", "reading")

    def __init__(self, license_: License, document: bytes, reading: Reading) -> None:
        self.license = license_
        self.document = document
        self.reading = reading


class Finder:
    """Looks things up in the replicas. What isn't there is None; what can't be told is a 503."""

    def __init__(self, *, catalog: Catalog, pepper: Pepper, replicas: Replicas) -> None:
        self._catalog = catalog
        self._pepper = pepper
        self._replicas = replicas

    def id_of_key(self, key: str) -> str:
        """Id of the license with this key."""
        return identifiers.license_id(self._pepper, self._catalog.account, key)

    def license_ids(self, named: str) -> list[str]:
        """Ids that a license named by id or key may have, the id first."""
        by_key = self.id_of_key(named)
        return [named.lower(), by_key] if is_id(named.lower()) else [by_key]

    async def license(self, named: str) -> Found | None:
        """Live license of this id or key."""
        for id_ in self.license_ids(named):
            reading = await self._license_reading(id_)
            document = reading.values[0]
            if document is None:
                continue
            license_ = read_license(document)
            if license_.status == "live" and license_.account == self._catalog.account:
                return Found(license_, document, reading)
        return None

    async def license_if_there(self, id_: str) -> License | None:
        """License of this id, live or revoked."""
        return (await self.license_and(id_, ()))[0]

    async def license_and(
        self, id_: str, extra: Sequence[str]
    ) -> tuple[License | None, Sequence[bytes | None]]:
        """License of this id, live or revoked, and the values of keys outside the generations."""
        document, *values = (await self._license_reading(id_, extra)).values
        return None if document is None else read_license(document), values

    async def machine(self, named: str) -> Held | None:
        """Machine of this id or fingerprint and its license; of several the oldest."""
        if is_id(named.lower()):
            held = await self._held(named.lower())
            if held is not None:
                return held
        digest = identifiers.fingerprint_digest(self._pepper, self._catalog.account, named)
        ids = await self._with_fingerprint(digest)
        found = await asyncio.gather(*(self._held(id_) for id_ in ids))
        return min((held for held in found if held is not None), key=_age, default=None)

    async def _held(self, id_: str) -> Held | None:
        """Machine of this id and its license, if it holds seats now."""
        partition = partition_of(id_, self._replicas.partitions)
        machine = await self._replicas.read(
            partition, lambda keys: (keys.machine(id_),), absent=_is_absent
        )
        _sure(machine)
        [document] = machine.values
        if document is None:
            return None
        held = read_machine(document)
        license_ = await self.license_if_there(held.license)
        if license_ is None or license_.account != self._catalog.account:
            return None
        return (license_, held) if holds(license_, held) else None

    async def _with_fingerprint(self, digest: str) -> list[str]:
        """Machine ids of a fingerprint, in every partition; some may hold nothing any more."""

        def ranges(keys: Keys) -> Mapping[str, tuple[str, str]]:
            index = keys.machines_by_fingerprint(self._catalog.account)
            return {index: (f"[{digest}:", f"[{digest};")}

        members, sure = await self._replicas.members(ranges)
        if not members and not sure:
            raise replica_behind()
        return [member.decode().partition(":")[2] for member in members[:MACHINES_MAX]]

    async def _license_reading(self, id_: str, extra: Sequence[str] = ()) -> Reading:
        partition = partition_of(id_, self._replicas.partitions)
        reading = await self._replicas.read(
            partition, lambda keys: (keys.license(id_),), extra, absent=_is_absent
        )
        _sure(reading)
        return reading


def _is_absent(values: Sequence[bytes | None]) -> bool:
    return values[0] is None


def _sure(reading: Reading) -> None:
    """Raise a 503 `Problem` where something may be missing since the replica is behind."""
    if reading.behind and _is_absent(reading.values):
        raise replica_behind()


def _age(held: Held) -> tuple[int, int]:
    machine = held[1]
    return machine.activated_ms, machine.activated_offset
