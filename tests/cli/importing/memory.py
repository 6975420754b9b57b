"""A ledger in memory for importers: the log, and a replica that has folded all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from cli.connection import Connection
from cli.history import History
from cli.importing.run import FeatureResult, Importer
from cli.importing.scan import Form, Scan, scan
from cli.replica import Replicas
from ledger.domain.catalog.entities import Policy
from ledger.domain.clocks import Now, producer_now
from ledger.domain.events import RULES_VERSION
from ledger.domain.identifiers import partition_of, slug_id
from ledger.domain.license import License, Machine
from ledger.domain.terms import Terms
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import Appended, EventLog, Headers, Topic
from ledger.sealing.key_ring import KeyRing
from ledger.sealing.records import read_record_key
from ledger.sealing.sealer import Sealer
from ledger.settings import Settings, read_settings
from ledger.sources.activity_csv import COLUMNS, FORM, CsvParser

LEDGER = "0f9619ff-8b86-4011-b42d-00cf4fc964ff"
SETTINGS = read_settings(
    {
        "LEDGER_KAFKA": "127.0.0.1:1",
        "LEDGER_REPLICAS": "redis://127.0.0.1:1/0",
        "LEDGER_LOCAL": "1",
        "LEDGER_PEPPER": "ab" * 32,
        "LEDGER_SEAL_KEYS": f"k1:{'cd' * 32}",
        "LEDGER_PARTITIONS": "4",
    }
)
POLICY = "00000000-0000-8000-8000-0000000000a1"
ALLOWING = "00000000-0000-8000-8000-0000000000a2"
ANOTHERS = "00000000-0000-8000-8000-0000000000a3"
_PRODUCT = "00000000-0000-8000-8000-0000000000b1"
_ACCOUNT = slug_id(LEDGER, "account", SETTINGS.catalog.account)
POLICIES = {
    id_: Policy(
        id=id_,
        account=account,
        created_ms=0,
        changed_ms=0,
        offset=0,
        product=_PRODUCT,
        name="P",
        terms=terms,
        version=version,
    )
    for id_, account, terms, version in (
        (POLICY, _ACCOUNT, SETTINGS.catalog.terms, 0),
        (ALLOWING, _ACCOUNT, Terms(max_machines=3, expiration_strategy="ALLOW_ACCESS"), 4),
        (ANOTHERS, _PRODUCT, SETTINGS.catalog.terms, 0),
    )
}
"""What the catalog has; the last one is another account's."""
CSV = Form(name=FORM, parser=CsvParser)
HEADER = ",".join(COLUMNS)
NOW_MS = 1_800_000_000_000


class KilledError(Exception):
    """Stands for kill -9: nothing of the importer runs on."""


class KillingLog(MemoryLog):
    """Kills whoever appends to it, before or after the append with a certain number."""

    def __init__(self, partitions: int) -> None:
        super().__init__(partitions)
        self.kill_after: int | None = None

    async def append(
        self,
        topic: Topic,
        partition: int,
        *,
        key: bytes,
        value: bytes | None,
        headers: Headers = (),
    ) -> Appended:
        await asyncio.sleep(0)
        if self.kill_after == 0:
            raise KilledError
        if self.kill_after is not None:
            self.kill_after -= 1
        return await super().append(topic, partition, key=key, value=value, headers=headers)


class MemoryReplicas(Replicas):
    """A replica that is always level with a log in memory."""

    def __init__(self, log: EventLog, settings: Settings) -> None:
        self.clocks_ms: list[int] = [NOW_MS, NOW_MS]
        self.active_rules = RULES_VERSION
        self._log = log
        self._settings = settings

    async def now(self) -> Now:
        return producer_now(NOW_MS, self.clocks_ms)

    async def licenses(self, ids: Sequence[str]) -> list[License | None]:
        return [(await history(self._log, id_, self._settings)).license for id_ in ids]

    async def machines(self, ids: Sequence[str]) -> list[Machine | None]:
        partitions = {partition_of(id_, self._settings.partitions) for id_ in ids}
        histories = [one for at in partitions for one in await self._histories(at)]
        return [next(filter(None, (one.machine(id_) for one in histories)), None) for id_ in ids]

    async def _histories(self, partition: int) -> list[History]:
        names = set()
        async for records in self._log.read(Topic.LICENSE_EVENTS, partition, start=0):
            names |= {(record.key or b"").decode() for record in records}
        return [await history(self._log, name, self._settings) for name in sorted(names)]

    async def policies(self, ids: Sequence[str]) -> list[Policy | None]:
        return [POLICIES.get(id_) for id_ in ids]

    async def rules(self) -> int:
        return self.active_rules

    async def data_key(self, license_: str, dk: str) -> bytes | None:
        found = None
        partition = partition_of(license_, self._settings.partitions)
        async for records in self._log.read(Topic.LICENSE_DATA_KEYS, partition, start=0):
            for record in records:
                if read_record_key(record.key) == (license_, dk):
                    found = record.value or b""
        return found

    async def positions(self) -> list[list[int]]:
        ends = await self._log.ends(Topic.LICENSE_EVENTS)
        return [[ends[partition] for partition in sorted(ends)]]


async def history(log: EventLog, id_: str, settings: Settings) -> History:
    """The license's history, folded from the log."""
    found = History(id_)
    partition = partition_of(id_, settings.partitions)
    async for records in log.read(Topic.LICENSE_EVENTS, partition, start=0):
        found.take(records)
    return found


@dataclass(kw_only=True)
class Ledger:
    """A ledger in memory, and imports into it."""

    log: KillingLog = field(default_factory=lambda: KillingLog(SETTINGS.partitions))
    settings: Settings = SETTINGS

    def __post_init__(self) -> None:
        self.replicas = MemoryReplicas(self.log, self.settings)

    def importer(self) -> Importer:
        """A new process' importer."""
        ring = KeyRing(self.settings.seal_keys)
        return Importer(
            settings=self.settings,
            ledger=LEDGER,
            log=self.log,
            sealer=Sealer(
                ring=ring,
                log=self.log,
                partitions=self.settings.partitions,
                stored=self.replicas.data_key,
            ),
            replicas=self.replicas,
        )

    async def take(
        self, path: Path, seats: dict[str, int] | None = None
    ) -> dict[str, FeatureResult]:
        """Import a file to its end; what the ledger says of each feature."""
        importer, found = self.importer(), scan(path, CSV, SETTINGS.pepper)
        features = await importer.features(found, seats or {})
        await importer.send(found, features)
        return {one.feature: one for one in await importer.results(found, features)}

    def connection(self) -> Connection:
        """What a new process has of the ledger."""
        sealer = Sealer(
            ring=KeyRing(self.settings.seal_keys),
            log=self.log,
            partitions=self.settings.partitions,
            stored=self.replicas.data_key,
        )
        return Connection(
            settings=self.settings,
            ledger=LEDGER,
            log=cast("KafkaLog", self.log),
            replicas=self.replicas,
            sealer=sealer,
        )

    async def size(self) -> int:
        """How many records the log has."""
        return sum((await self.log.ends(Topic.LICENSE_EVENTS)).values())

    async def history(self, license_: str) -> History:
        """A license's history."""
        return await history(self.log, license_, self.settings)


def write_csv(path: Path, rows: Sequence[str]) -> Scan:
    """Write a file of activity and scan it."""
    path.write_text("".join(f"{row}\n" for row in (HEADER, *rows)))
    return scan(path, CSV, SETTINGS.pepper)
