"""Whose ledger it is: told by the log, or by a replica while the log is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace
from redis import Redis

from api.replicas import Replicas
from api.settings import read_api_settings
from api.start import Gatekeeper, NotReadyError, Origin
from ledger.event_log import genesis
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import AppendRefused, ForeignLog, Topic
from projector.read_model import keys
from tests.api.conftest import PARTITIONS, LocalLedger

LIMIT_S = 20.0


@pytest.fixture
async def replicas(ledger: LocalLedger) -> AsyncIterator[Replicas]:
    replicas = Replicas([server.url for server in ledger.servers], PARTITIONS)
    await replicas.start()
    yield replicas
    await replicas.stop()


def origin(ledger: LocalLedger, replicas: Replicas, **more: str) -> Origin:
    return Origin(ledger.log, replicas, read_api_settings(ledger.environment(**more)).ledger)


async def test_the_log_tells(ledger: LocalLedger, replicas: Replicas) -> None:
    for server in ledger.servers:
        with Redis(port=server.port, socket_timeout=5) as client:
            client.flushall()
    found = origin(ledger, replicas)
    async with asyncio.timeout(LIMIT_S):
        assert (await found.told()).ledger == ledger.first.ledger
        assert (await found.verified()).ledger == ledger.first.ledger
    await found.close()


async def test_a_replica_tells_while_the_log_is_away(
    ledger: LocalLedger, replicas: Replicas
) -> None:
    ledger.log.unreachable = True
    found = origin(ledger, replicas)
    async with asyncio.timeout(LIMIT_S):
        assert (await found.told()).ledger == ledger.first.ledger
    verified = asyncio.create_task(found.verified())
    await asyncio.sleep(0.05)
    assert not verified.done()
    ledger.log.unreachable = False
    async with asyncio.timeout(LIMIT_S):
        assert (await verified).ledger == ledger.first.ledger
    await found.close()


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize(
    ("name", "value"), [("LEDGER_PEPPER", "cd" * 32), ("LEDGER_PARTITIONS", "8")]
)
async def test_another_pepper_or_n_refuses_to_start(
    ledger: LocalLedger,
    replicas: Replicas,
    name: str,
    value: str,
    away: bool,  # noqa: FBT001 - a column of the table
) -> None:
    ledger.log.unreachable = away
    found = origin(ledger, replicas, **{name: value})
    with pytest.raises(ForeignLog, match=name) as caught:
        async with asyncio.timeout(LIMIT_S):
            await found.told()
    assert value not in str(caught.value) or name == "LEDGER_PARTITIONS"
    await found.close()


async def test_a_log_that_is_another_ledger_s_ends_the_worker(
    ledger: LocalLedger, replicas: Replicas
) -> None:
    other = MemoryLog(PARTITIONS)
    settings = read_api_settings(ledger.environment()).ledger
    await genesis.initialize(other, pepper_check=settings.pepper.check_value, partitions=PARTITIONS)
    other.unreachable = True
    found = Origin(other, replicas, settings)
    async with asyncio.timeout(LIMIT_S):
        await found.told()
        other.unreachable = False
        with pytest.raises(ForeignLog, match=ledger.first.ledger):
            await found.verified()
    await found.close()


async def test_replicas_of_two_ledgers_refuse_to_start(
    ledger: LocalLedger, replicas: Replicas
) -> None:
    ledger.log.unreachable = True
    foreign = genesis.encode(replace(ledger.first, ledger="0b7e5a3c-1111-4222-8333-444455556666"))
    with Redis(port=ledger.servers[1].port, socket_timeout=5) as client:
        client.set(keys.genesis(0), foreign)
    found = origin(ledger, replicas)
    with pytest.raises(ForeignLog, match="two ledgers"):
        await found.told()
    await found.close()


async def test_where_nobody_tells_it_ends_and_says_what_is_missing(
    ledger: LocalLedger, replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.start.START_LIMIT_S", 0.3)
    ledger.log.unreachable = True
    for server in ledger.servers:
        server.kill()
    found = origin(ledger, replicas)
    with pytest.raises(NotReadyError, match="unreachable"):
        await found.told()
    await found.close()


async def test_nothing_is_appended_before_the_log_is_known(
    ledger: LocalLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.start.OPEN_S", 0.1)
    gatekeeper = Gatekeeper(ledger.log)
    for _ in range(2):
        with pytest.raises(AppendRefused):
            await gatekeeper.append(Topic.LICENSE_EVENTS, 0, key=b"k", value=b"v")
    assert await gatekeeper.ends(Topic.LICENSE_EVENTS) == dict.fromkeys(range(PARTITIONS), 1)
    gatekeeper.open()
    assert gatekeeper.closed is None
    appended = await gatekeeper.append(Topic.LICENSE_EVENTS, 0, key=b"k", value=b"v")
    assert appended.offset == 1
    batches = gatekeeper.read(Topic.LICENSE_EVENTS, 0, start=1)
    assert [record.value async for batch in batches for record in batch] == [b"v"]
    await gatekeeper.close()


async def test_a_write_at_the_start_waits_for_the_log(
    ledger: LocalLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.start.OPEN_S", LIMIT_S)
    gatekeeper = Gatekeeper(ledger.log)
    async with asyncio.timeout(LIMIT_S):
        appending = asyncio.create_task(
            gatekeeper.append(Topic.LICENSE_EVENTS, 0, key=b"k", value=b"v")
        )
        await asyncio.sleep(0.05)
        assert not appending.done()
        gatekeeper.open()
        assert (await appending).offset == 1
