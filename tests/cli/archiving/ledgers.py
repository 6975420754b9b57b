"""Small ledgers with all that a log may hold, in memory, and backups of them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

from cli.archiving.backup import BackedUp, Backup
from cli.archiving.stages import Stages
from cli.importing.progress import Quiet
from ledger.archive import manifest as manifests
from ledger.archive.folder import Folder
from ledger.archive.reading import Archive
from ledger.domain.identifiers import Pepper, partition_of
from ledger.event_log import genesis
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import EventLog, Record, Topic
from ledger.event_log.seeding import seed_catalog
from ledger.sealing.data_key import DataKey
from ledger.sealing.key_ring import KeyRing
from ledger.sealing.records import record_key
from ledger.settings import Settings, read_settings
from tests.activity import ACCOUNT, Activity

PARTITIONS = 4
PEPPER = secrets.token_hex(32)
RING = KeyRing([("k1", bytes.fromhex("73" * 32))])
BATCH_RECORDS = 10
"""Of what is read at once."""
DAY_MS = 86_400_000
QUIET = Stages(Quiet())


def settings(**changed: str) -> Settings:
    return read_settings(
        {
            "LEDGER_KAFKA": "127.0.0.1:1",
            "LEDGER_REPLICAS": "redis://127.0.0.1:1/0",
            "LEDGER_LOCAL": "1",
            "LEDGER_PARTITIONS": str(PARTITIONS),
            "LEDGER_PEPPER": PEPPER,
            "LEDGER_SEAL_KEYS": f"k1:{'73' * 32}",
            **changed,
        }
    )


def clock() -> Iterator[int]:
    """A broker's clock: it goes on, stands still, jumps a year ahead and comes back."""
    at = 1_650_000_000_000
    while True:
        yield from range(at, at + 70_000, 1_000)
        yield from [at + 71_000] * 10
        yield from range(at + 400 * DAY_MS, at + 400 * DAY_MS + 20, 1)
        at += 3 * DAY_MS


class CompactedLog(MemoryLog):
    """A log in memory whose data keys are compacted up to where `compact` was told."""

    def __init__(self, partitions: int = PARTITIONS) -> None:
        times = clock()
        super().__init__(partitions, clock=lambda: next(times))
        self.compacted_to: dict[int, int] = {}

    async def compact(self) -> None:
        """Drop what later records replace, but for the last record of a partition."""
        self.compacted_to = await self.ends(Topic.LICENSE_DATA_KEYS)

    async def read(
        self, topic: Topic, partition: int, *, start: int, stop: int | None = None
    ) -> AsyncGenerator[Sequence[Record], None]:
        """Read it without what was dropped."""
        upto = self.compacted_to.get(partition, 0) if topic.compacted else 0
        last: dict[bytes | None, int] = {}
        async for batch in super().read(topic, partition, start=0, stop=upto):
            last |= {one.key: one.offset for one in batch}
        async for batch in super().read(topic, partition, start=start, stop=stop):
            left = [one for one in batch if one.offset >= upto or last[one.key] == one.offset]
            for at in range(0, len(left), BATCH_RECORDS):
                yield left[at : at + BATCH_RECORDS]


async def begin(log: EventLog, these: Settings) -> str:
    """Make a ledger's beginning; return its id."""
    check = these.pepper.check_value
    first = await genesis.initialize(log, pepper_check=check, partitions=these.partitions)
    await seed_catalog(log, these, first.ledger)
    return first.ledger


async def live(log: EventLog, activity: Activity, count: int, partitions: int = PARTITIONS) -> None:
    """Append events, some with headers, and for each new license a data key before it."""
    known: set[bytes] = set()
    for number, one in enumerate(activity.appendables(count)):
        assert one.key is not None
        if one.key not in known:
            known.add(one.key)
            await append_data_key(log, one.key.decode(), partitions=partitions)
        headers = (("traceparent", b"00-%d" % number), ("empty", b"")) if number % 7 == 0 else ()
        await log.append(
            Topic.LICENSE_EVENTS, one.partition, key=one.key, value=one.value, headers=headers
        )


async def append_data_key(
    log: EventLog, license_: str, key: DataKey | None = None, *, partitions: int = PARTITIONS
) -> DataKey:
    """Append a sealed data key of a license: a new one, or one that there is, sealed anew."""
    key = key or DataKey.new()
    await log.append(
        Topic.LICENSE_DATA_KEYS,
        partition_of(license_, partitions),
        key=record_key(license_, key.dk),
        value=RING.wrap(key, account=ACCOUNT, license_=license_),
    )
    return key


async def erase(log: EventLog, license_: str, dk: str, *, partitions: int = PARTITIONS) -> None:
    partition = partition_of(license_, partitions)
    await log.append(Topic.LICENSE_DATA_KEYS, partition, key=record_key(license_, dk), value=None)


async def back_up(
    log: EventLog, folder: Path, pepper: Pepper, *, segment_bytes: int = 6_000
) -> BackedUp:
    where = Folder(folder)
    with where.held():
        run = Backup(log, where, pepper, PARTITIONS, segment_bytes=segment_bytes)
        return await run.run(QUIET)


def archive(folder: Path) -> Archive:
    return Archive(folder, Folder(folder).manifest())


def verified(folder: Path, pepper: Pepper) -> int:
    found = Folder(folder).manifest()
    manifests.check(found, pepper=pepper, partitions=PARTITIONS)
    return Archive(folder, found).verify(lambda _: None)


def in_backup(folder: Path) -> dict[tuple[Topic, int], list[Record]]:
    found = archive(folder)
    return {
        (one.topic, one.partition): [
            record for batch in found.batches(one.topic, one.partition) for record in batch
        ]
        for one in found.manifest.ends
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir()}


def names(folder: Path) -> set[str]:
    return set(contents(folder))


async def all_records(log: EventLog) -> dict[tuple[Topic, int], list[Record]]:
    """All that a log holds."""
    return {
        (topic, partition): [
            one async for batch in log.read(topic, partition, start=0) for one in batch
        ]
        for topic in Topic
        for partition in await log.ends(topic)
    }
