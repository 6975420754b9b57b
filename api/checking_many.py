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

from api.bodies import UNSCOPED, OneOfMany
from api.checking import AT_LEAST_S, is_sure, judged, machines_of
from api.checks import NOT_FOUND, VALID, Answer, Scope
from api.clock import Clock
from api.crowd import Crowd
from api.metrics import Metrics
from api.positions import Place, position_of
from api.problems import Problem
from api.replica import Names, Reading
from api.replicas import Replicas
from api.resources import UNTOLD_ENTRY, Said, checks_document, one_of_many
from ledger.domain.identifiers import (
    ROUTING_DIGITS,
    ROUTING_SUFFIXES,
    Pepper,
    license_ids,
    partition_of,
)
from ledger.domain.license import License
from projector.read_model.keys import Keys
from projector.read_model.wire import Away

PART_MAX: Final = 128
"""Documents of a part: to judge them takes a millisecond or two."""
AT_ONCE: Final = 8
"""Requests that a worker works on at once; others wait for their turn."""
WAITING_MAX: Final = 64
"""Of those that it works on and that wait: their bodies are 125 MiB at most."""
UNTOLD: Final = "UNAVAILABLE"
"""In place of a code: it can't be told now, which says nothing about the license."""
_NOBODY: Final = "NONE"
"""In place of a source."""
_ANY: Final = Scope()
_NO_MACHINES: Final[list[str]] = []
Note = Callable[[License, Answer, int], None]
_Wanted = tuple[int, str, Scope, Sequence[str]]
"""A check to be made: how many come before it in its request, license, scope, and machines."""
_Groups = dict[int, list[_Wanted]]
"""Checks by the partition of their license."""


class Asker(Struct, frozen=True, kw_only=True):
    """Who has checks made: of which account, what they may see, and what has to be known.

    `surely`: whether the account is theirs, so that what isn't there isn't there. `note`: is told
    of each check of a license that they see.
    """

    account: str
    sees: Callable[[License], bool]
    note: Note
    surely: bool = True
    at_least: Place | None = None


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
        self._partitions = {
            suffix: partition_of(suffix, replicas.partitions) for suffix in ROUTING_SUFFIXES
        }
        self.crowd: Final = Crowd(WAITING_MAX)
        """To be entered before the body is read: so many are held at most."""
        self.turn: Final = asyncio.Semaphore(AT_ONCE)
        """To be held while checks are made: parts of many at once would be one long turn of the
        loop, and delay the replies of the replicas past their limit."""

    async def check(self, asker: Asker, asked: Sequence[OneOfMany]) -> bytes:
        """Make checks, all judged for the same time; gives the document of the answers."""
        now_ms = self._clock.check_ms
        batch = _Batch(self._ledger, asker, self._replicas, now_ms, len(asked))
        rest: list[tuple[int, _Wanted]] = []
        for part in self._parts(asker.account, asked):
            rest += await batch.at_once(part)
        if rest:
            await batch.again(rest)
        for (code, source), times in batch.tally().items():
            self._metrics.checked(code, source, times)
        return checks_document(batch.entries, now_ms)

    def _parts(self, account: str, asked: Iterable[OneOfMany]) -> Iterator[_Groups]:
        """Parts of about `PART_MAX` documents, each made when it is asked for."""
        id_of, partitions = license_ids(self._pepper, account), self._partitions
        groups: _Groups = {}
        size = 0
        for place, one in enumerate(asked):
            license_ = id_of(one.key) if one.key is not UNSET else str(one.id).lower()
            scope, machines = _ANY, _NO_MACHINES
            if one.scope is not UNSCOPED:
                scope = one.scope.scope()
                machines = machines_of(self._pepper, license_, scope)
            partition = partitions[license_[-ROUTING_DIGITS:]]
            groups.setdefault(partition, []).append((place, license_, scope, machines))
            size += 1 + len(machines)
            if size >= PART_MAX:
                yield groups
                groups, size = {}, 0
        if groups:
            yield groups


class _Batch:
    """The checks of one request, and the entries of its answer so far."""

    def __init__(
        self, ledger: str, asker: Asker, replicas: Replicas, now_ms: int, count: int
    ) -> None:
        self.entries: Final = [UNTOLD_ENTRY] * count
        self._ledger = ledger
        self._asker = asker
        self._replicas = replicas
        self._now_ms = now_ms
        self._waits_for = asker.at_least
        self._codes: dict[str, list[str]] = {}
        """Codes that were told, by source."""

    def tally(self) -> Mapping[tuple[str, str], int]:
        """How often each code was told from each source; what wasn't told has a code, too."""
        counted = Counter(
            {
                (code, source): times
                for source, codes in self._codes.items()
                for code, times in Counter(codes).items()
            }
        )
        untold = len(self.entries) - counted.total()
        return counted + Counter({(UNTOLD, _NOBODY): untold})

    async def at_once(self, groups: _Groups) -> list[tuple[int, _Wanted]]:
        """Tell what is sure by one read of each replica; gives the rest, with its partitions."""
        await self._wait(groups)
        readings = await self._read_groups(groups)
        rest: list[tuple[int, _Wanted]] = []
        for partition, group in groups.items():
            reading = readings.get(partition)
            if reading is None or reading.position <= self._past(partition):
                left: Iterable[_Wanted] = group
            else:
                left = self._told(group, reading, _is_sure_at_once)
            rest += [(partition, one) for one in left]
        return rest

    async def _read_groups(self, groups: _Groups) -> dict[int, Reading]:
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

    async def again(self, rest: Iterable[tuple[int, _Wanted]]) -> None:
        """Look at the rest as a single check does, and tell what can be told."""
        groups: _Groups = {}
        for partition, one in rest:
            groups.setdefault(partition, []).append(one)
        looks = (
            self._look_again(partition, group[first : first + PART_MAX])
            for partition, group in groups.items()
            for first in range(0, len(group), PART_MAX)
        )
        await asyncio.gather(*looks)

    async def _look_again(self, partition: int, group: Sequence[_Wanted]) -> None:
        def absent(values: Sequence[bytes | None]) -> bool:
            return any(answer.rests_on_absence for _, answer, _ in self._judged(group, values))

        try:
            reading = await self._replicas.read(partition, _names(group), absent=absent)
        except Problem:
            return
        past = self._past(partition)
        self._told(group, reading, lambda answer: is_sure(answer, reading, past))

    def _told(
        self, group: Sequence[_Wanted], reading: Reading, sure: Callable[[Answer], bool]
    ) -> list[_Wanted]:
        """Tell what is sure by a reading; gives the rest."""
        asker, entries, rest = self._asker, self.entries, []
        said = self._said(reading)
        codes = self._codes.setdefault(reading.source, [])
        for one, answer, license_ in self._judged(group, reading.values):
            if not sure(answer):
                rest.append(one)
            elif license_ is not None and asker.sees(license_):
                entries[one[0]] = one_of_many(answer, license_, said)
                codes.append(answer.code)
                asker.note(license_, answer, self._now_ms)
            elif asker.surely:
                hidden = NOT_FOUND if license_ is not None else answer
                entries[one[0]] = one_of_many(hidden, None, said)
                codes.append(hidden.code)
        return rest

    def _judged(
        self, group: Iterable[_Wanted], values: Sequence[bytes | None]
    ) -> Iterator[tuple[_Wanted, Answer, License | None]]:
        account, now_ms, start = self._asker.account, self._now_ms, 0
        for one in group:
            end = start + 1 + len(one[3])
            answer, license_ = judged(account, values[start:end], one[2], now_ms)
            yield one, answer, license_
            start = end

    def _said(self, reading: Reading) -> bytes:
        position = position_of(self._ledger, reading.partition, reading.position - 1)
        return Said(position=position, age_ms=reading.age_ms, source=reading.source).members()

    async def _wait(self, partitions: Iterable[int]) -> None:
        """Wait once for what has to be known, where it matters to one of the partitions."""
        place = self._waits_for
        if place is not None and place.partition in partitions:
            self._waits_for = None
            await self._replicas.wait_past(place.partition, place.offset, AT_LEAST_S)

    def _past(self, partition: int) -> int:
        place = self._asker.at_least
        return -1 if place is None or place.partition != partition else place.offset


def _is_sure_at_once(answer: Answer) -> bool:
    return answer is VALID or not answer.rests_on_absence


def _names(group: Sequence[_Wanted]) -> Names:
    def names(keys: Keys) -> list[str]:
        wanted = []
        for _, license_, _, machines in group:
            wanted.append(keys.license(license_))
            if machines:
                wanted += map(keys.machine, machines)
        return wanted

    return names
