"""Finding licenses and machines by what paths and bodies name them: an id, a key, a fingerprint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from api.checks import holds
from api.problems import replica_behind
from api.redis_link import Link
from api.replica import Reading
from api.replicas import Replicas
from ledger.domain import identifiers
from ledger.domain.identifiers import Pepper, is_id, partition_of
from ledger.domain.license import License, Machine
from projector.read_model.keys import Keys
from projector.views.documents import read_license, read_machine

MACHINES_MAX: Final = 1000
"""Machines of one fingerprint that are looked at for the oldest."""
EXAMINED_AT_ONCE: Final = 2_000
"""Entries of an index that Redis looks at in one go: well under a millisecond."""
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

    def __init__(self, *, pepper: Pepper, replicas: Replicas) -> None:
        self._pepper = pepper
        self._replicas = replicas

    def id_of_key(self, account: str, key: str) -> str:
        """Id of the license with this key."""
        return identifiers.license_id(self._pepper, account, key)

    def license_ids(self, account: str, named: str) -> list[str]:
        """Ids that a license named by id or key may have, the id first."""
        by_key = self.id_of_key(account, named)
        return [named.lower(), by_key] if is_id(named.lower()) else [by_key]

    async def license(self, account: str, named: str) -> Found | None:
        """Live license of this id or key."""
        for id_ in self.license_ids(account, named):
            found = await self._live(account, id_)
            if found is not None:
                return found
        return None

    async def _live(self, account: str, id_: str) -> Found | None:
        reading = await self._license_reading(id_)
        document = reading.values[0]
        if document is None:
            return None
        license_ = read_license(document)
        if license_.status != "live" or license_.account != account:
            return None
        return Found(license_, document, reading)

    async def license_by_key(self, account: str, key: str) -> Found | None:
        """Live license with this key."""
        return await self._live(account, self.id_of_key(account, key))

    async def license_if_there(self, id_: str) -> License | None:
        """License of this id, live or revoked."""
        return (await self.license_and(id_, ()))[0]

    async def license_and(
        self, id_: str, extra: Sequence[str]
    ) -> tuple[License | None, Sequence[bytes | None]]:
        """License of this id, live or revoked, and the values of keys outside the generations."""
        document, *values = (await self._license_reading(id_, extra)).values
        return None if document is None else read_license(document), values

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return self._replicas.partitions

    async def licenses_routed_as(self, account: str, machine: str) -> list[str]:
        """Live licenses of the account that a machine of this id may be of: one in 4,096.

        They are picked from the index by the digits that route both. Raises a 503 `Problem`.
        """
        partition = partition_of(machine, self._replicas.partitions)
        pattern = f"*{machine[-identifiers.ROUTING_DIGITS :]}"

        async def read(names: Sequence[Keys], link: Link) -> list[str]:
            index = names[partition].licenses_of_account(account)
            found: set[bytes] = set()
            cursor, started = 0, False
            while cursor or not started:
                started = True
                [(cursor, members)] = await link.ask(
                    [("ZSCAN", index, cursor, "MATCH", pattern, "COUNT", EXAMINED_AT_ONCE)]
                )
                found |= {member for member, _ in members}
            return sorted(member.decode() for member in found)

        return await self._replicas.from_one(read)

    async def has_licenses(self, policy: str) -> bool:
        """Whether any live license has the policy. Raises a 503 `Problem`."""
        return await self._replicas.count(lambda keys: keys.licenses_of_policy(policy)) > 0

    async def machine(
        self, account: str, named: str, *, sees: Callable[[License], bool]
    ) -> Held | None:
        """Machine of this id or fingerprint and its license; the oldest of those that they see."""
        if is_id(named.lower()):
            held = await self._held(account, named.lower())
            if held is not None and sees(held[0]):
                return held
        found = await self.machines_with(account, named)
        return min((held for held in found if sees(held[0])), key=_age, default=None)

    async def machines_with(self, account: str, fingerprint: str) -> list[Held]:
        """Machines with this fingerprint, each with its license."""
        digest = identifiers.fingerprint_digest(self._pepper, account, fingerprint)
        ids = await self._with_fingerprint(account, digest)
        found = await asyncio.gather(*(self._held(account, id_) for id_ in ids))
        return [held for held in found if held is not None]

    async def _held(self, account: str, id_: str) -> Held | None:
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
        if license_ is None or license_.account != account:
            return None
        return (license_, held) if holds(license_, held) else None

    async def _with_fingerprint(self, account: str, digest: str) -> list[str]:
        """Machine ids of a fingerprint, in every partition; some may hold nothing any more."""

        def ranges(keys: Keys) -> Mapping[str, tuple[str, str]]:
            index = keys.machines_by_fingerprint(account)
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
