"""The log while its only broker is stopped, dead, frozen, and back: what was said stays true."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Appended, AppendRefused, AppendUnknown, LogUnavailable, Topics
from ledger.event_log.topics import create_topics
from tests.ledger.event_log.load import (
    EVENTS,
    OUTCOME_LIMIT_S,
    PARTITIONS,
    Load,
    check,
    eventually,
    outcome,
    stored,
)
from tests.servers import KafkaServer


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """One for the module's tests, which break it and put it right again."""
    server = KafkaServer(tmp_path_factory.mktemp("broken-kafka"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
async def log(broker: KafkaServer, topics: Topics) -> AsyncIterator[KafkaLog]:
    if not broker.running:
        await asyncio.to_thread(broker.start)
    await create_topics(broker.bootstrap, partitions=PARTITIONS, topics=topics)
    log = KafkaLog(broker.bootstrap, topics)
    yield log
    broker.thaw()
    await log.close()


async def begin(log: KafkaLog) -> None:
    """Append "before"; a broker that has just started takes nothing for a moment."""
    async with asyncio.timeout(30):
        while not isinstance(await outcome(log, 0, b"before"), Appended):
            await asyncio.sleep(0.05)


async def break_it(broker: KafkaServer, how: str) -> None:
    if how == "frozen":
        broker.freeze()
    else:
        await asyncio.to_thread(broker.kill if how == "dead" else broker.stop)


async def put_it_right(broker: KafkaServer, how: str) -> None:
    if how == "frozen":
        broker.thaw()
    else:
        await asyncio.to_thread(broker.start)


@pytest.mark.parametrize(("how", "times"), [("stopped", 1), ("dead", 1), ("frozen", 3)])
async def test_what_was_said_of_each_append_stays_true(
    log: KafkaLog, broker: KafkaServer, how: str, times: int
) -> None:
    load = Load(log)
    await load.goes_on()
    for _ in range(times):
        await break_it(broker, how)
        await load.is_refused()
        await put_it_right(broker, how)
        await load.goes_on()
    await load.end()
    assert load.count(Appended) > 50
    if how == "frozen":
        assert load.count(AppendUnknown) > 0
    # Whatever lands late is there before this.
    assert isinstance(await outcome(log, 0, b"last"), Appended)
    found = await stored(log)
    del found[b"last"]
    check(load.told, found)


async def test_a_frozen_broker_stores_what_was_unknown_after_its_thaw(
    log: KafkaLog, broker: KafkaServer
) -> None:
    await begin(log)
    broker.freeze()
    late = [b"late %d" % number for number in range(3)]
    handed = await asyncio.gather(*(outcome(log, 0, value) for value in late))
    assert {type(one) for one in handed} <= {AppendUnknown, AppendRefused}
    assert isinstance(handed[0], AppendUnknown)
    broker.thaw()
    seen: set[bytes] = set()
    async with asyncio.timeout(60):
        while late[0] not in seen:
            try:
                seen = set(await stored(log))
            except LogUnavailable:
                await asyncio.sleep(0.05)
    refused = {
        value for value, one in zip(late, handed, strict=True) if isinstance(one, AppendRefused)
    }
    assert not seen & refused


@pytest.mark.parametrize("how", ["dead", "frozen"])
async def test_while_it_is_known_to_be_away_appends_are_refused_and_never_sent(
    log: KafkaLog, broker: KafkaServer, how: str
) -> None:
    await begin(log)
    await break_it(broker, how)
    assert isinstance(await outcome(log, 0, b"first"), AppendUnknown | AppendRefused)
    refused = [await outcome(log, at % PARTITIONS, b"away %d" % at) for at in range(200)]
    assert {type(one) for one in refused} == {AppendRefused}
    with pytest.raises(LogUnavailable):
        async with asyncio.timeout(OUTCOME_LIMIT_S):
            await log.ends(EVENTS)
    with pytest.raises(LogUnavailable):
        async with asyncio.timeout(OUTCOME_LIMIT_S):
            await stored(log)
    await put_it_right(broker, how)
    after = await outcome(log, 0, b"after 0")
    count = 0
    async with asyncio.timeout(60):
        while not isinstance(after, Appended):
            count += 1
            await asyncio.sleep(0.02)
            after = await outcome(log, 0, b"after %d" % count)
    async with asyncio.timeout(60):
        found: set[bytes] | None = None
        while found is None:
            try:
                found = set(await stored(log))
            except LogUnavailable:
                await asyncio.sleep(0.05)
    assert {b"before", b"after %d" % count} <= found
    assert not any(value.startswith(b"away") for value in found)


async def test_the_queue_behind_a_lost_batch_is_refused_and_not_sent_after_the_thaw(
    log: KafkaLog, broker: KafkaServer
) -> None:
    await begin(log)
    broker.freeze()
    first = asyncio.create_task(outcome(log, 0, b"first"))
    await asyncio.sleep(0.2)
    queued = [asyncio.create_task(outcome(log, 0, b"queued %d" % at)) for at in range(50)]
    assert isinstance(await first, AppendUnknown)
    assert {type(one) for one in await asyncio.gather(*queued)} == {AppendRefused}
    broker.thaw()
    said = await outcome(log, 0, b"after")
    while not isinstance(said, Appended):
        await asyncio.sleep(0.02)
        said = await outcome(log, 0, b"after")
    found: dict[bytes, object] = {}
    while b"after" not in found:
        try:
            found = dict(await stored(log))
        except LogUnavailable:
            await asyncio.sleep(0.05)
    assert not any(value.startswith(b"queued") for value in found)


async def test_closing_the_log_of_a_frozen_broker_ends_and_says_unknown(
    log: KafkaLog, broker: KafkaServer
) -> None:
    await begin(log)
    sockets = open_sockets()
    broker.freeze()
    waiting = [asyncio.create_task(outcome(log, at, b"waiting")) for at in range(PARTITIONS)]
    await asyncio.sleep(0.1)
    async with asyncio.timeout(10):
        await log.close()
        outcomes = await asyncio.gather(*waiting)
    assert AppendUnknown in {type(one) for one in outcomes}
    assert not [one for one in outcomes if isinstance(one, Appended)]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await eventually(lambda: open_sockets() < sockets, "closed sockets")


def open_sockets() -> int:
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"  # noqa: PTH112
    found = 0
    for name in os.listdir(folder):  # noqa: PTH208
        try:
            found += os.readlink(f"{folder}/{name}").startswith("socket:")  # noqa: PTH115
        except OSError:
            continue
    return found
