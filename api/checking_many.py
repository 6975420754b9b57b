"""Many checks in one request: each judged as a single one is, read and judged in parts.

A part is small, so that no turn of the loop is long. What is sure by one read of the replicas that
are level is told; all the rest is looked at again in the end, in the manner of a single check. What
can't be told then is told as that, and the others are answered.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import UNSET, Struct

from api import checks
from api.bodies import UNSCOPED, OneOfMany
from api.checking import AT_LEAST_S, is_sure, judged, machines_of
from api.checks import Answer, Scope
from api.clock import Clock
from api.crowd import Crowd
from api.metrics import Metrics
from api.positions import Place, position_of
from api.problems import Problem
from api.redis_wire import Away
from api.replica import Names, Reading
from api.replicas import Replicas
from api.resources import Said, checks_document, one_of_many
from ledger.domain.identifiers import Pepper, license_ids, partition_of
from ledger.domain.license import License
from projector.read_model.keys import Keys

PART_MAX: Final = 256
"""Documents of a part: to judge them takes a few milliseconds."""
AT_ONCE: Final = 4
"""Requests that a worker works on at once; others wait for their turn."""
WAITING_MAX: Final = 64
"""Of those that it works on and that wait: their bodies are 125 MiB at most."""
UNTOLD: Final = "UNAVAILABLE"
"""In place of a code: it can't be told now, which says nothing about the license."""
_NOBODY: Final = "NONE"
"""In place of a source."""
_ANY: Final = Scope()
_Judged = tuple[Answer, License | None]


class Checked(Struct, frozen=True, kw_only=True):
    """A check's answer, its license where they see a live one, and what it was read from.

    `answer` None: it can't be told now.
    """

    answer: Answer | None = None
    license: License | None = None
    reading: Reading | None = None


class Asker(Struct, frozen=True, kw_only=True):
    """Who has checks made: of which account, what they may see, and what has to be known.

    `surely`: whether the account is theirs, so that what isn't there isn't there.
    """

    account: str
    sees: Callable[[License], bool]
    surely: bool = True
    at_least: Place | None = None


class _Wanted(Struct, frozen=True, kw_only=True):
    """A check to be made; `place`: how many come before it in its request."""

    place: int
    license: str
    scope: Scope
    machines: Sequence[str]


class ManyChecker:
    """Answers many checks at once from the replicas."""

    def __init__(
        self,
        *,
        ledger: str,
        pepper: Pepper,
        clock: Clock,
        replicas: Replicas,
        metrics: Metrics,
    ) -> None:
        self._ledger = ledger
        self._pepper = pepper
        self._clock = clock
        self._replicas = replicas
        self._metrics = metrics
        self.crowd: Final = Crowd(WAITING_MAX)
        """To be entered before the body is read: so many are held at most."""
        self.turn: Final = asyncio.Semaphore(AT_ONCE)
        """To be held while checks are made: parts of many at once would be one long turn of the
        loop, and delay the replies of the replicas past their limit."""

    async def check(
        self, asker: Asker, asked: Sequence[OneOfMany]
    ) -> tuple[int, Sequence[Checked]]:
        """Make checks; gives the time that all were judged for, and the answers in their order."""
        batch = _Batch(asker, self._replicas, self._clock.check_ms, len(asked))
        rest: list[_Wanted] = []
        for part in _parts(self._wanted(asker.account, asked)):
            rest += await batch.at_once(part)
        if rest:
            await batch.again(rest)
        self._count(batch.checked)
        return batch.now_ms, batch.checked

    def _wanted(self, account: str, asked: Iterable[OneOfMany]) -> Iterator[_Wanted]:
        id_of = license_ids(self._pepper, account)
        for place, one in enumerate(asked):
            license_ = id_of(one.key) if one.key is not UNSET else str(one.id).lower()
            if one.scope is UNSCOPED:
                yield _Wanted(place=place, license=license_, scope=_ANY, machines=())
                continue
            scope = one.scope.scope()
            machines = machines_of(self._pepper, license_, scope)
            yield _Wanted(place=place, license=license_, scope=scope, machines=machines)

    def _count(self, checked: Iterable[Checked]) -> None:
        tally = Counter(
            (UNTOLD, _NOBODY)
            if each.answer is None or each.reading is None
            else (each.answer.code, each.reading.source)
            for each in checked
        )
        for (code, source), times in tally.items():
            self._metrics.checked(code, source, times)

    def answered(self, checked: Iterable[Checked], now_ms: int) -> bytes:
        """Document of the answers."""
        members: dict[int, bytes] = {}
        entries = []
        for each in checked:
            reading = each.reading
            if reading is None:
                entries.append(one_of_many(None, None, b""))
                continue
            said = members.get(id(reading))
            if said is None:
                said = members[id(reading)] = self._said(reading)
            entries.append(one_of_many(each.answer, each.license, said))
        return checks_document(entries, now_ms)

    def _said(self, reading: Reading) -> bytes:
        position = position_of(self._ledger, reading.partition, reading.position - 1)
        return Said(position=position, age_ms=reading.age_ms, source=reading.source).members()


class _Batch:
    """The checks of one request, and what they have found so far."""

    def __init__(self, asker: Asker, replicas: Replicas, now_ms: int, count: int) -> None:
        self.now_ms: Final = now_ms
        self.checked: Final = [Checked()] * count
        self._asker = asker
        self._replicas = replicas
        self._waits_for = asker.at_least

    async def at_once(self, part: Sequence[_Wanted]) -> list[_Wanted]:
        """Tell what is sure by one read of each replica; gives the rest."""
        groups = self._by_partition(part)
        await self._wait(groups)
        readings = await self._read_groups(groups)
        rest: list[_Wanted] = []
        for partition, group in groups.items():
            reading = readings.get(partition)
            if reading is None or reading.position <= self._past(partition):
                rest += group
                continue
            for one, made in zip(group, self._judged(group, reading.values), strict=True):
                if made[0].rests_on_absence:
                    rest.append(one)
                else:
                    self._tell(one, made, reading)
        return rest

    async def _read_groups(self, groups: Mapping[int, Sequence[_Wanted]]) -> dict[int, Reading]:
        """Read for each partition from the replica that is level; all of it shares an MGET."""
        asked = [
            self._replicas.ask_at_once(partition, _names(group))
            for partition, group in groups.items()
        ]
        readings = {}
        for replica, read in filter(None, asked):
            try:
                values = await read.values
            except Away as away:
                self._replicas.lost(replica, away)
                continue
            reading = self._replicas.read_at_once(replica, read, values)
            if reading is not None:
                readings[read.partition] = reading
        return readings

    async def again(self, rest: Sequence[_Wanted]) -> None:
        """Look at the rest as a single check does, and tell what can be told."""
        groups = (
            (partition, part)
            for partition, group in self._by_partition(rest).items()
            for part in _parts(group)
        )
        await asyncio.gather(*(self._look_again(*group) for group in groups))

    async def _look_again(self, partition: int, group: Sequence[_Wanted]) -> None:
        def absent(values: Sequence[bytes | None]) -> bool:
            return any(answer.rests_on_absence for answer, _ in self._judged(group, values))

        try:
            reading = await self._replicas.read(partition, _names(group), absent=absent)
        except Problem:
            return
        for one, made in zip(group, self._judged(group, reading.values), strict=True):
            if is_sure(made[0], reading, self._past(partition)):
                self._tell(one, made, reading)

    def _tell(self, one: _Wanted, made: _Judged, reading: Reading) -> None:
        answer, license_ = made
        if license_ is not None and not self._asker.sees(license_):
            answer, license_ = checks.NOT_FOUND, None
        if license_ is not None or self._asker.surely:
            self.checked[one.place] = Checked(answer=answer, license=license_, reading=reading)

    def _judged(
        self, group: Sequence[_Wanted], values: Sequence[bytes | None]
    ) -> Iterator[_Judged]:
        account, start = self._asker.account, 0
        for one in group:
            end = start + 1 + len(one.machines)
            yield judged(account, values[start:end], one.scope, self.now_ms)
            start = end

    async def _wait(self, partitions: Iterable[int]) -> None:
        """Wait once for what has to be known, where it matters to one of the partitions."""
        place = self._waits_for
        if place is not None and place.partition in partitions:
            self._waits_for = None
            await self._replicas.wait_past(place.partition, place.offset, AT_LEAST_S)

    def _past(self, partition: int) -> int:
        place = self._asker.at_least
        return -1 if place is None or place.partition != partition else place.offset

    def _by_partition(self, wanted: Iterable[_Wanted]) -> dict[int, list[_Wanted]]:
        groups: dict[int, list[_Wanted]] = {}
        partitions = self._replicas.partitions
        for one in wanted:
            groups.setdefault(partition_of(one.license, partitions), []).append(one)
        return groups


def _parts(wanted: Iterable[_Wanted]) -> Iterator[list[_Wanted]]:
    """Divide into parts of about `PART_MAX` documents, each made when it is asked for."""
    part: list[_Wanted] = []
    size = 0
    for one in wanted:
        part.append(one)
        size += 1 + len(one.machines)
        if size >= PART_MAX:
            yield part
            part, size = [], 0
    if part:
        yield part


def _names(group: Sequence[_Wanted]) -> Names:
    def names(keys: Keys) -> list[str]:
        wanted = []
        for one in group:
            wanted.append(keys.license(one.license))
            if one.machines:
                wanted += map(keys.machine, one.machines)
        return wanted

    return names
