"""Replicas beside an independent fold of the log; and of two releases, what has to be equal."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from redis import Redis

from ledger.event_log.port import Topic
from projector.read_model.keys import CATALOG, Keys
from projector.views.digests import Digests, read_digests
from tests.activity import Record
from tests.faults.writing import Write
from tests.projector.independent import Stored, independent_fold, stored_in_redis
from tests.projector.independent_catalog import independent_catalog
from tests.projector.replica import read_all
from tests.servers import wait_until
from tests.system import System

Log = Mapping[int, Sequence[Record]]
"""Records by partition, the catalog's under `CATALOG`."""
_EQUAL_S: Final = 30.0


async def whole_log(system: System) -> Log:
    """Read all that is in the log, by none of our own code."""
    log: dict[int, Sequence[Record]] = {
        partition: await read_all(system.kafka, Topic.LICENSE_EVENTS, partition)
        for partition in range(system.settings.partitions)
    }
    log[CATALOG] = await read_all(system.kafka, Topic.CATALOG_EVENTS, 0)
    return log


def expected(system: System, log: Log) -> Stored:
    """What a replica has to hold that this release alone has folded."""
    settings, found = system.settings, independent_catalog(log[CATALOG], system.settings.pepper)
    for partition in range(settings.partitions):
        found |= independent_fold(log[partition], partition, settings.partitions, settings.pepper)
    return found


def held(system: System, replica: int, generation: str = "1") -> Stored:
    """What a replica holds."""
    found: Stored = {}
    for place in (*range(system.settings.partitions), CATALOG):
        found |= stored_in_redis(system.replicas[replica].url, place, generation)
    return found


def state_of(stored: Stored) -> Stored:
    """What doesn't depend on how licenses are rendered: of each its first line."""
    return {name: _state_of(name, value) for name, value in stored.items()}


def _state_of(name: str, value: bytes | dict[bytes, int]) -> bytes | dict[bytes, int]:
    if isinstance(value, bytes) and name.endswith(":digests"):
        digests = read_digests(value)
        return f"{digests.position} {digests.state}".encode()
    if isinstance(value, bytes) and ":L:" in name:
        return value[: value.index(b"\n")]
    return value


def unlike(found: Stored, wanted: Stored) -> list[str]:
    """Names of what isn't the same in both, with both values."""
    return [
        f"{name}: {found.get(name)!r:.300} / {wanted.get(name)!r:.300}"
        for name in sorted({*found, *wanted})
        if found.get(name) != wanted.get(name)
    ][:5]


def views(stored: Stored) -> dict[int, list[str]]:
    """Partitions by the view that their digests name."""
    found: dict[int, list[str]] = defaultdict(list)
    for name, value in stored.items():
        if isinstance(value, bytes) and name.endswith(":digests"):
            found[read_digests(value).view].append(name)
    return found


async def assert_level_side_by_side(system: System) -> None:
    """See that both replicas have folded on, in each partition, and are of one state there.

    Wherever they stand at the same position; records come in meanwhile.
    """
    names = [Keys(partition).digests for partition in range(system.settings.partitions)]
    clients = [Redis.from_url(replica.url, socket_timeout=5) for replica in system.replicas]
    began = [one.position for one in _digests(clients[0], names)]
    equal: dict[int, str] = {}

    def all_seen() -> bool:
        both = zip(*(_digests(client, names) for client in clients), strict=True)
        for partition, (first, second) in enumerate(both):
            if first.position == second.position > began[partition]:
                assert first.state == second.state, f"{names[partition]}: {first} / {second}"
                equal[partition] = first.state
        return len(equal) == len(names)

    try:
        await asyncio.to_thread(
            wait_until, all_seen, what="all partitions at one position", timeout_s=_EQUAL_S
        )
    finally:
        for client in clients:
            client.close()


def _digests(client: Redis, names: Sequence[str]) -> list[Digests]:
    found = []
    for value in client.mget(names):
        assert isinstance(value, bytes)
        found.append(read_digests(value))
    return found


class _Data(msgspec.Struct, frozen=True):
    machine: str = ""


class _Envelope(msgspec.Struct, frozen=True):
    id: str
    type: str
    data: _Data


def assert_once_in_the_log(log: Log, settled: Sequence[Write]) -> None:
    """See that each activation is one command in the log, written no oftener than it was sent."""
    written: dict[str, list[str]] = defaultdict(list)
    for partition, records in log.items():
        for record in records:
            if partition == CATALOG or record.key == b"genesis":
                continue
            assert record.value is not None
            event = msgspec.json.decode(record.value, type=_Envelope)
            if event.type == "license.activation-requested":
                written[event.data.machine].append(event.id)
    activations = [write for write in settled if write.what == "activate"]
    assert activations
    for write in activations:
        commands = written.pop(write.machine)
        assert len(set(commands)) == 1
        assert len(commands) <= write.sent
    assert not written, "the log has activations that nobody has asked for"
