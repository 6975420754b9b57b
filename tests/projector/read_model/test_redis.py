"""What only a real Redis does: it fills up, freezes, forgets scripts and starts anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable

import pytest
import redis
from redis.asyncio import Connection

from projector.read_model import keys
from projector.read_model.calls import SHARED_MAX
from projector.read_model.port import LevelMark, ReadModelUnavailableError
from projector.read_model.redis import RedisReadModel
from tests.projector.read_model.samples import (
    INDEX,
    LICENSE,
    MACHINE,
    batch,
    head_of,
    members,
    positions,
)
from tests.servers import RedisServer


@pytest.fixture
async def model(redis_server: RedisServer) -> AsyncIterator[RedisReadModel]:
    store = RedisReadModel(redis_server.url, call_timeout_s=0.5)
    yield store
    await store.close()


async def test_a_batch_is_published_where_it_was_written(
    model: RedisReadModel, redis_server: RedisServer
) -> None:
    with redis.Redis.from_url(redis_server.url, socket_timeout=5) as listener:
        channel = listener.pubsub(ignore_subscribe_messages=True)
        channel.subscribe(keys.positions(3))
        assert channel.get_message(timeout=5) is None
        await model.apply(batch(changed=["l1", "l2"]))
        await model.apply(batch(changed=["too late"]))
        await model.apply(batch(0, 4, generation="2", changed=["in a shadow"]))
        await model.apply(batch(5, 6))
        heard = [channel.get_message(timeout=5) for _ in range(2)]
        channel.close()
    assert [message["data"] for message in heard if message] == [b"0 5 l1 l2", b"5 6"]


@pytest.mark.parametrize("changed", [{LICENSE: b"y", MACHINE: None}, {MACHINE: None}], ids=str)
async def test_a_full_memory_refuses_a_batch_whole(
    model: RedisReadModel, redis_server: RedisServer, changed: dict[str, bytes | None]
) -> None:
    await model.apply(batch(strings={MACHINE: b"m" * 2_000_000}))
    late = batch(5, 6, strings=changed, sorted_sets={INDEX: {"a": 1}})
    with redis.Redis.from_url(redis_server.url) as admin:
        admin.config_set("maxmemory", "1mb")
        with pytest.raises(ReadModelUnavailableError, match="memory is full"):
            await model.apply(late)
        assert await model.get([LICENSE, MACHINE]) == [None, b"m" * 2_000_000]
        assert await members(model, INDEX) == []
        assert (await head_of(model)).position == 5
        admin.config_set("maxmemory", "64mb")
    assert await model.apply(late) is None
    assert await model.get([LICENSE, MACHINE]) == [changed.get(LICENSE), None]
    assert await members(model, INDEX) == [(b"a", 1)]


async def test_scripts_are_taught_again(model: RedisReadModel, redis_server: RedisServer) -> None:
    await model.apply(batch())
    with redis.Redis.from_url(redis_server.url) as admin:
        admin.script_flush()
        assert await positions(model, LevelMark(partition=3, end=5, at_ms=7)) == [5]
        admin.script_flush()
        assert await model.apply(batch(5, 6)) is None
    assert (await head_of(model)).level_at_ms == 7


async def test_every_call_to_a_frozen_server_ends(
    model: RedisReadModel, redis_server: RedisServer
) -> None:
    await model.apply(batch())
    redis_server.freeze()
    try:
        started = time.monotonic()
        calls = [
            model.apply(batch(5, 6, strings={MACHINE: b"m"})),
            model.get([LICENSE]),
            model.time_ms(),
            model.level([LevelMark(partition=3, end=5, at_ms=7)]),
            model.fronts({INDEX: 8}),
            model.hold("slot", "a", 1000),
        ]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in ended] == [ReadModelUnavailableError] * 6
        assert time.monotonic() - started < 30
    finally:
        redis_server.thaw()
    # The batch was on its way: whether the thawed server still read it, only the position says.
    position = (await head_of(model)).position
    assert position in {5, 6}
    assert await model.get([MACHINE]) == [b"m" if position == 6 else None]


def mgets(server: RedisServer) -> int:
    with redis.Redis.from_url(server.url) as admin:
        return int(admin.info("commandstats").get("cmdstat_mget", {"calls": 0})["calls"])


async def test_reads_of_one_turn_share_an_mget_and_each_gets_its_own(
    model: RedisReadModel, redis_server: RedisServer
) -> None:
    names = [f"name {number}" for number in range(60)]
    await model.apply(batch(strings={name: name.encode() for name in names[::2]}))
    before = mgets(redis_server)
    asked = [names[start : start + 3] for start in range(0, 60, 3)]
    found = await asyncio.gather(*(model.get(each) for each in asked))
    for wanted, values in zip(asked, found, strict=True):
        assert values == [name.encode() if name in names[::2] else None for name in wanted]
    assert mgets(redis_server) - before == 1


async def test_reads_share_an_mget_up_to_a_limit(
    model: RedisReadModel, redis_server: RedisServer
) -> None:
    await model.get([LICENSE])
    before = mgets(redis_server)
    asked = [[f"{reader} {number}" for number in range(SHARED_MAX)] for reader in range(4)]
    found = await asyncio.gather(*(model.get(each) for each in asked))
    assert [len(values) for values in found] == [SHARED_MAX] * 4
    assert mgets(redis_server) - before == 4


async def test_who_gives_up_a_call_harms_nobody_else(model: RedisReadModel) -> None:
    await model.apply(batch(strings={LICENSE: b"1"}))
    given_up = asyncio.create_task(model.get([MACHINE]))
    others = [asyncio.create_task(model.get([LICENSE])) for _ in range(3)]
    await asyncio.sleep(0)
    given_up.cancel()
    assert await asyncio.gather(*others) == [[b"1"]] * 3
    assert await model.get([LICENSE, MACHINE]) == [b"1", None]


async def test_a_server_that_is_away_and_comes_back(
    new_redis: Callable[[], RedisServer],
) -> None:
    server = new_redis()
    store = RedisReadModel(server.url)
    await store.apply(batch(strings={LICENSE: b"1"}))
    server.stop()
    with pytest.raises(ReadModelUnavailableError, match="does not answer"):
        await store.apply(batch(5, 6))
    server.start()
    assert await store.apply(batch(5, 6)) is None
    assert await store.get([LICENSE]) == [b"1"]
    await store.close()


async def test_errors_tell_no_names_and_no_values(
    model: RedisReadModel, redis_server: RedisServer
) -> None:
    with redis.Redis.from_url(redis_server.url) as admin:
        admin.acl_setuser("default", enabled=True, commands=["-evalsha"])
    with pytest.raises(ReadModelUnavailableError) as refused:
        await model.apply(batch(strings={LICENSE: b"secret value"}))
    assert "secret" not in str(refused.value)
    assert LICENSE not in str(refused.value)
    assert "refuses this user" in str(refused.value)


async def test_who_is_cancelled_just_as_a_command_is_sent_hears_of_it(
    model: RedisReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending = Connection._send_packed_command  # noqa: SLF001 - no public place is there
    asked: list[asyncio.Task[int]] = []

    async def cancelling(self: Connection, command: Iterable[bytes]) -> None:
        await sending(self, command)
        asked.pop().cancel()

    await model.time_ms()
    with monkeypatch.context() as patched:
        patched.setattr(Connection, "_send_packed_command", cancelling)
        asked.append(asyncio.create_task(model.time_ms()))
        [task] = asked
        await asyncio.wait([task], timeout=5)
    assert not asked
    assert task.cancelled()
    assert await model.time_ms() > 0
