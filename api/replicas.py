"""The replicas: followed in the background, and read, A first and B where A isn't level.

Where no Redis answers, this host's own copy does: the last one, and never first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from api.ending import end
from api.local_copy import FRESH_MS, FileLink
from api.logs import say
from api.passing import Passing
from api.problems import Problem, unavailable
from api.redis_link import Link
from api.replica import Asked, Names, Reading, Replica
from api.standing import Standing, highest_seen, in_order
from ledger.domain.identifiers import partition_of
from projector.read_model import keys
from projector.read_model.asked import Values
from projector.read_model.keys import Keys
from projector.read_model.wire import Away
from projector.settings import LOCAL

SURVEY_S: Final = 0.1
TRIES: Final = 2
_RELISTEN_S: Final = 0.1

_log: Final = logging.getLogger(__name__)
T = TypeVar("T")


class Replicas:
    """All replicas of a worker. `passing`: who waits for them; `standings`: how they stand.

    `local_copy`: folder of this host's own copy, empty where it has none. Nobody waits for it, and
    no list is read from it.
    """

    def __init__(self, urls: Sequence[str], partitions: int, local_copy: str = "") -> None:
        names = [chr(ord("A") + number) for number in range(len(urls))]
        self._links = {name: Link(url) for name, url in zip(names, urls, strict=True)}
        self._replicas = {
            name: Replica(name, link, partitions, source=f"REPLICA_{name}")
            for name, link in self._links.items()
        }
        self._local: Replica | None = None
        if local_copy:
            link = FileLink(Path(local_copy))
            self._local = Replica(LOCAL, link, partitions, source="LOCAL_COPY")
        self.partitions: Final = partitions
        self.standings: Final = [each.standing for each in self._replicas.values()]
        self.passing: Final = Passing(self.standings)
        self._first: list[Replica | None] = [None] * (partitions + 1)
        """Of each place the replica that is read at once: found out in the background."""
        self._alone_since: float | None = None
        """Monotonic time since which no Redis answers; None while one does."""
        self._followers: list[asyncio.Task[object]] = []

    async def start(self) -> None:
        """Look at every replica once, then follow them in the background."""
        await asyncio.gather(*(self._survey(each) for each in self._all()))
        self._followers = [
            *(asyncio.create_task(self._survey_forever(each)) for each in self._all()),
            *(asyncio.create_task(self._listen_forever(each)) for each in self._replicas.values()),
        ]

    async def stop(self) -> None:
        """Follow them no more and end all connections."""
        await end(self._followers)
        for replica in self._all():
            await replica.link.close()

    def clocks_ms(self) -> list[int]:
        """The replicas' clocks now, those that were looked at lately."""
        return [standing.now_ms for standing in self.standings if standing.has_clock]

    def partition_of(self, id_: str) -> int:
        """Partition of a license or machine id."""
        return partition_of(id_, self.partitions)

    def can_check(self, partition: int) -> bool:
        """Whether checks of the partition can be answered, from however old a state."""
        standings = [replica.standing for replica in self._all()]
        return any(standing.has_level(partition) for standing in standings)

    @property
    def local_copy(self) -> Standing | None:
        """How this host's own copy stands; None where it has none."""
        return None if self._local is None else self._local.standing

    async def read(
        self,
        partition: int,
        names: Names,
        extra: Sequence[str] = (),
        *,
        absent: Callable[[Sequence[bytes | None]], bool] | None = None,
    ) -> Reading:
        """Read from the replica that is best for it, else from the next; never "not there".

        Values that are `absent` are looked for on the other replica too, if that answers: the
        higher position wins. Where none answers, or none may say "no", the local copy is read.
        Raises a 503 `Problem` where nothing can be read.
        """
        local = self._local if self._local and self._local.standing.has_level(partition) else None
        # All may come back at once with what was acknowledged last by one of them missing from the
        # other: then the copy knows better, though it is read last.
        seen = self.standings if local is None else [*self.standings, local.standing]
        highest = highest_seen(seen, partition)
        best: Reading | None = None
        for standing in islice(in_order(self.standings, partition), TRIES):
            if not standing.reachable and (best or local):
                break
            serving = standing.in_service(partition)
            reading = await self._try(self._replicas[standing.name], partition, names, extra)
            if reading is None:
                continue
            if not serving or reading.behind:
                reading = replace(reading, behind=reading.position < highest)
            if best is None or reading.position > best.position:
                best = reading
            if not best.behind and (absent is None or not absent(best.values)):
                return best
        if local is not None and (best is None or best.behind):
            read = await self._try(local, partition, names, extra)
            if read is not None and (best is None or read.position > best.position):
                knows_all = read.position >= highest and read.age_ms <= self._sure_ms
                best = replace(read, behind=not knows_all)
        if best is None:
            raise _nobody()
        return best

    def ask_at_once(self, partition: int, names: Names) -> tuple[Replica, Asked] | None:
        """Ask the replica that is read first, where it is level; else None."""
        first = self._first[partition]
        return None if first is None else (first, first.ask(partition, names))

    def read_at_once(self, replica: Replica, asked: Asked, values: Values) -> Reading | None:
        """Return what a replica answered, where it is past all that was seen; else None."""
        try:
            if not replica.still_serves(asked, values):
                return None
            reading = replica.reading(asked, values)
        except Away as away:
            self.lost(replica, away)
            return None
        if reading is None or reading.position < highest_seen(self.standings, asked.partition):
            return None
        return reading

    async def wait_past(self, partition: int, offset: int, timeout_s: float) -> None:
        """Wait until what is read is past `offset`, or for so long; what is read tells."""
        local = self.local_copy
        alone = not any(standing.reachable for standing in self.standings)
        if alone and local is not None and local.position[partition] > offset:
            return
        with suppress(TimeoutError):
            await self.passing.passed(partition, offset, timeout_s)

    async def read_past(self, partition: int, offset: int, names: Names) -> Reading | None:
        """Read from a replica that is past `offset`; None where none that is can be read now."""
        for standing in sorted(
            self.standings, key=lambda each: each.position[partition] > offset, reverse=True
        ):
            replica = self._replicas[standing.name]
            reading = await self._try(replica, partition, names, ())
            if reading is not None and reading.position > offset:
                return reading
        return None

    async def members(
        self, ranges: Callable[[Keys], Mapping[str, tuple[str, str]]]
    ) -> tuple[list[bytes], bool]:
        """Members of a sorted set of each partition, and whether none can be missing.

        Where a replica has none, another one is asked too. Raises a 503 `Problem`.
        """
        asked = sure = False
        for standing in sorted(self.standings, key=lambda each: each.serving, reverse=True):
            if not all(standing.has_level(each) for each in range(self.partitions)):
                continue
            serving = standing.serving == self.partitions
            found = await self._members(self._replicas[standing.name], ranges)
            if found is None:
                continue
            asked, sure = True, sure or serving
            if found:
                return found, sure
        if not asked:
            raise _nobody()
        return [], sure

    async def newest(
        self, partition: int, index: Callable[[Keys], str], start: int, count: int
    ) -> list[str]:
        """Members of a sorted set, highest score first, from a rank on. Raises a 503 `Problem`."""
        members = await self._asked(
            partition, lambda keys: ("ZREVRANGE", index(keys), start, start + count - 1)
        )
        return [member.decode() for member in members]

    async def rank(self, partition: int, index: Callable[[Keys], str], member: str) -> int | None:
        """Rank of a member, from the highest score; None where there is none such.

        Raises a 503 `Problem`.
        """
        found: int | None = await self._asked(
            partition, lambda keys: ("ZREVRANK", index(keys), member)
        )
        return found

    async def _asked(self, partition: int, command: Callable[[Keys], tuple[Any, ...]]) -> Any:  # noqa: ANN401 - a reply of Redis
        """Ask the replica that is best for a partition, else the next, for one command's reply."""
        for standing in islice(in_order(self.standings, partition), TRIES):
            if not standing.has_level(partition):
                continue
            keys = Keys(partition, standing.generation[partition])
            replica = self._replicas[standing.name]
            try:
                [reply] = await self._links[standing.name].ask([command(keys)])
            except Away as away:
                self.lost(replica, away)
                continue
            return reply
        raise _nobody()

    async def count(self, index: Callable[[Keys], str]) -> int:
        """Members of a sorted set in all partitions together. Raises a 503 `Problem`."""

        async def counted(names: Sequence[Keys], link: Link) -> int:
            replies = await link.ask([("ZCARD", index(keys)) for keys in names])
            return sum(int(reply) for reply in replies)

        return await self.from_one(counted)

    async def from_one(self, work: Callable[[Sequence[Keys], Link], Awaitable[T]]) -> T:
        """Have work done on one replica: the one that serves most partitions, else the next.

        `work` gets the names of each license partition and the link; it raises `Away` where the
        replica is lost, and is begun anew on the next. Raises a 503 `Problem`.
        """
        for standing in sorted(self.standings, key=lambda each: each.serving, reverse=True):
            if not all(standing.has_level(each) for each in range(self.partitions)):
                continue
            names = [Keys(each, standing.generation[each]) for each in range(self.partitions)]
            replica = self._replicas[standing.name]
            try:
                return await work(names, self._links[standing.name])
            except Away as away:
                self.lost(replica, away)
        raise _nobody()

    async def _members(
        self, replica: Replica, ranges: Callable[[Keys], Mapping[str, tuple[str, str]]]
    ) -> list[bytes] | None:
        wanted: dict[str, tuple[str, str]] = {}
        for partition in range(self.partitions):
            wanted |= ranges(Keys(partition, replica.standing.generation[partition]))
        try:
            found = await self._links[replica.standing.name].members(wanted)
        except Away as away:
            self.lost(replica, away)
            return None
        return [member for members in found for member in members]

    async def everywhere(self, name: str) -> list[bytes]:
        """Values of a key outside the generations, of each replica that answers and has it."""
        found = []
        for replica in self._all():
            try:
                [value] = await replica.link.read([name])
            except Away:
                continue
            if value is not None:
                found.append(value)
        return found

    def _all(self) -> list[Replica]:
        return [*self._replicas.values(), *([] if self._local is None else [self._local])]

    async def _try(
        self,
        replica: Replica,
        partition: int,
        names: Names,
        extra: Sequence[str],
    ) -> Reading | None:
        try:
            return await replica.read(partition, names, extra)
        except Away as away:
            self.lost(replica, away)
            return None

    def lost(self, replica: Replica, away: Away) -> None:
        """Take note that a replica did not answer."""
        standing = replica.standing
        if standing.reachable:
            say(_log, logging.WARNING, "replica lost", replica=standing.name, error=str(away))
        standing.lose()
        self._note_alone()
        self._choose()
        self.passing.changed(standing.places)

    async def _survey(self, replica: Replica) -> None:
        was_reachable = replica.standing.reachable
        try:
            changed = await replica.survey()
        except Away as away:
            self.lost(replica, away)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, checks go on from the other one
            _log.exception("a look at a replica failed")
            self.lost(replica, Away(type(error).__name__))
            return
        if not was_reachable:
            say(_log, logging.INFO, "replica answers", replica=replica.standing.name)
        self._note_alone()
        self._choose()
        self.passing.changed(changed)

    def _note_alone(self) -> None:
        """Note whether any Redis answers."""
        if any(standing.reachable for standing in self.standings):
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = time.monotonic()

    @property
    def _sure_ms(self) -> float:
        """How old a local copy may be that surely lacks nothing.

        What was acknowledged while a Redis answered may have come after the copy was level; since
        none does nothing is acknowledged here.
        """
        if self._alone_since is None:
            return -1
        return min(FRESH_MS, (time.monotonic() - self._alone_since) * 1000)

    def _choose(self) -> None:
        """Find out which replica is read at once: the first that is in service and level."""
        for place in self.standings[0].places:
            first = next(in_order(self.standings, place))
            level = first.in_service(place)
            self._first[place] = self._replicas[first.name] if level else None

    async def _survey_forever(self, replica: Replica) -> None:
        while True:
            started = time.monotonic()
            await self._survey(replica)
            await asyncio.sleep(max(0.0, started + SURVEY_S - time.monotonic()))

    async def _listen_forever(self, replica: Replica) -> None:
        """Follow what the replica publishes; what falls into a reconnect is read from its heads."""
        standing, link = replica.standing, self._links[replica.standing.name]
        channels = {keys.positions(partition).encode(): partition for partition in standing.places}
        names = [channel.decode() for channel in channels]
        while True:
            try:
                async with aclosing(link.publications(names)) as publications:
                    async for publication in publications:
                        if publication is None:
                            await self._survey(replica)
                            continue
                        channel, message = publication
                        partition = channels[channel]
                        if standing.note_applied(partition, _end(message)):
                            self.passing.changed((partition,))
            except Away:
                pass
            except Exception:  # noqa: BLE001 - whatever it is, the heads are read all the same
                _log.exception("listening to a replica failed")
            await asyncio.sleep(_RELISTEN_S)


def _end(message: bytes) -> int:
    """End of a published batch: `<from> <to> <license> …`. Raises `Away` for any other text."""
    try:
        return int(message.split(b" ", 2)[1])
    except (ValueError, IndexError):
        raise Away("a publication that can't be read") from None


def _nobody() -> Problem:
    return unavailable(
        "No replica of the ledger can be read. This says nothing about the license: "
        "go on with what you knew and repeat after a second."
    )
