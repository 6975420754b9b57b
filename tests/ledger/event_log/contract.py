"""What every EventLog promises: one suite, run on memory and on Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest

from ledger.event_log.port import (
    HEADERS_BYTES_MAX,
    IN_FLIGHT_MAX,
    KEY_BYTES_MAX,
    VALUE_BYTES_MAX,
    Appended,
    AppendRefused,
    EventLog,
    Headers,
    LogUnavailable,
    LostRecords,
    MissingTopic,
    Record,
    RecordTooLarge,
    TimedLog,
    Topic,
)

PARTITIONS = 4
LIMIT_S = 30.0
"""No promise: a limit for what may never hang."""
EVENTS = Topic.LICENSE_EVENTS
KEYS = Topic.LICENSE_DATA_KEYS


async def records(
    log: EventLog,
    partition: int = 0,
    *,
    topic: Topic = EVENTS,
    start: int = 0,
    stop: int | None = None,
) -> list[Record]:
    async with asyncio.timeout(LIMIT_S):
        batches = log.read(topic, partition, start=start, stop=stop)
        return [record async for batch in batches for record in batch]


async def append_numbers(log: EventLog, count: int, *, partition: int = 0) -> list[Appended]:
    return [
        await log.append(EVENTS, partition, key=b"k", value=b"%d" % number)
        for number in range(count)
    ]


class LogContract:
    """A suite gives the fixtures `log`, empty and of 4 partitions, and `unreachable_log`."""

    async def test_a_record_comes_back_as_it_was_from_where_it_was_put(self, log: EventLog) -> None:
        headers = (("traceparent", b"00-ab-cd-01"), ("traceparent", b""))
        at = await log.append(EVENTS, 2, key=b"key", value=b"\x00value\xff", headers=headers)
        assert await records(log, 2) == [
            Record(
                partition=2,
                offset=0,
                timestamp_ms=at.timestamp_ms,
                key=b"key",
                value=b"\x00value\xff",
                headers=headers,
            )
        ]
        assert (at.partition, at.offset) == (2, 0)

    async def test_offsets_have_no_gap_and_are_each_partition_s_own(self, log: EventLog) -> None:
        for partition in (1, 3):
            appended = await append_numbers(log, 5, partition=partition)
            assert [at.offset for at in appended] == [0, 1, 2, 3, 4]
        assert await log.ends(EVENTS) == {0: 0, 1: 5, 2: 0, 3: 5}
        assert await log.ends(Topic.CATALOG_EVENTS) == {0: 0}

    async def test_the_order_of_calls_is_the_order_of_the_log(self, log: EventLog) -> None:
        """Also while the first wait for a connection, and while they wait for room in a batch."""
        tasks: list[asyncio.Task[Appended]] = []

        async def call(size: int) -> None:
            # A new caller at each step of the loop: one comes in at the moment others wake up.
            value = b"%d " % len(tasks) + b"." * size
            append = log.append(EVENTS, len(tasks) % 2, key=b"k", value=value)
            tasks.append(asyncio.create_task(append))
            await asyncio.sleep(0)

        while not (tasks and tasks[0].done()) and len(tasks) < IN_FLIGHT_MAX - 500:
            await call(10)
        for _ in range(400):
            await call(40_000)
        async with asyncio.timeout(LIMIT_S):
            appended = await asyncio.gather(*tasks)
        for partition in (0, 1):
            found = [int((one.value or b"").split()[0]) for one in await records(log, partition)]
            assert found == list(range(partition, len(tasks), 2))
            assert [at.offset for at in appended[partition::2]] == list(range(len(found)))

    @pytest.mark.parametrize(
        ("start", "stop", "expected"),
        [(0, None, range(6)), (2, 5, range(2, 5)), (5, 99, range(5, 6)), (6, None, ()), (3, 3, ())],
    )
    async def test_a_reading_has_its_bounds(
        self, log: EventLog, start: int, stop: int | None, expected: Sequence[int]
    ) -> None:
        await append_numbers(log, 6)
        found = await records(log, start=start, stop=stop)
        assert [one.offset for one in found] == list(expected)

    async def test_a_reading_ends_where_the_log_ended_when_it_began(self, log: EventLog) -> None:
        await append_numbers(log, 3)
        found: list[Record] = []
        async with asyncio.timeout(LIMIT_S):
            async for batch in log.read(EVENTS, 0, start=0):
                await append_numbers(log, 1)
                found += batch
        assert len(found) == 3

    async def test_to_read_from_behind_the_end_is_a_loss(self, log: EventLog) -> None:
        """Who has a position that the log doesn't reach has seen records that are gone."""
        await append_numbers(log, 3)
        with pytest.raises(LostRecords):
            await records(log, start=4)

    async def test_only_data_keys_take_tombstones(self, log: EventLog) -> None:
        await log.append(KEYS, 1, key=b"dk", value=b"sealed")
        await log.append(KEYS, 1, key=b"dk", value=None)
        assert [one.value for one in await records(log, 1, topic=KEYS)] == [b"sealed", None]
        for topic in (EVENTS, Topic.CATALOG_EVENTS):
            with pytest.raises(ValueError, match="tombstone"):
                await log.append(topic, 0, key=b"k", value=None)
            assert (await log.ends(topic))[0] == 0

    @pytest.mark.parametrize(
        ("key", "value", "headers"),
        [
            (b"k", b"v" * (VALUE_BYTES_MAX + 1), ()),
            (b"k" * (KEY_BYTES_MAX + 1), b"v", ()),
            (b"k", b"v", (("h", b"x" * HEADERS_BYTES_MAX),)),
        ],
        ids=["value", "key", "headers"],
    )
    async def test_too_large_a_record_is_refused(
        self, log: EventLog, key: bytes, value: bytes, headers: Headers
    ) -> None:
        with pytest.raises(RecordTooLarge):
            await log.append(EVENTS, 0, key=key, value=value, headers=headers)
        await append_numbers(log, 1)
        assert [one.value for one in await records(log)] == [b"0"]

    async def test_the_largest_records_are_taken(self, log: EventLog) -> None:
        value, key = b"v" * VALUE_BYTES_MAX, b"k" * KEY_BYTES_MAX
        headers = (("h", b"x" * (HEADERS_BYTES_MAX - 1)),)
        appends = [log.append(EVENTS, 0, key=key, value=value, headers=headers) for _ in range(40)]
        appended = await asyncio.gather(*appends)
        assert [at.offset for at in appended] == list(range(40))
        assert {one.value for one in await records(log)} == {value}

    async def test_a_partition_that_is_not_there_is_named(self, log: EventLog) -> None:
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(MissingTopic, match=str(PARTITIONS)):
                await log.append(EVENTS, PARTITIONS, key=b"k", value=b"v")
            with pytest.raises(MissingTopic, match=str(PARTITIONS)):
                await records(log, PARTITIONS)
        await append_numbers(log, 1)

    async def test_a_cancelled_append_harms_no_other(self, log: EventLog) -> None:
        cancelled = asyncio.create_task(log.append(EVENTS, 0, key=b"k", value=b"cancelled"))
        await asyncio.sleep(0)
        cancelled.cancel()
        with suppress(asyncio.CancelledError):
            await cancelled
        await append_numbers(log, 5)
        found = [one.value for one in await records(log)]
        assert found[-5:] == [b"%d" % number for number in range(5)]
        assert found[:-5] in ([], [b"cancelled"])

    async def test_out_of_reach_it_refuses_and_tells_nothing(
        self, unreachable_log: EventLog
    ) -> None:
        for _ in range(3):
            async with asyncio.timeout(LIMIT_S):
                with pytest.raises(AppendRefused):
                    await unreachable_log.append(EVENTS, 0, key=b"k", value=b"v")
                with pytest.raises(LogUnavailable):
                    await unreachable_log.ends(EVENTS)
                with pytest.raises(LogUnavailable):
                    await records(unreachable_log)

    async def test_a_time_begins_at_its_first_record_or_at_the_end(self, log: TimedLog) -> None:
        [first, *_, last] = await append_numbers(log, 3)
        assert (await log.since(EVENTS, 0))[0] == 0
        assert (await log.since(EVENTS, first.timestamp_ms))[0] == 0
        found = await log.since(EVENTS, last.timestamp_ms + 1)
        assert found == await log.ends(EVENTS)
