"""Genesis on any log: made once, compared always, foreign ones named."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from ledger.event_log import genesis
from ledger.event_log.genesis import Genesis, initialize, read_genesis, verify
from ledger.event_log.port import FOLDED, EventLog, ForeignLog, LostRecords, NotInitialized, Topic
from tests.ledger.event_log.contract import EVENTS, KEYS, PARTITIONS

PEPPER_CHECK = "0123456789abcdef" * 2
OTHER_PEPPER_CHECK = "fedcba9876543210" * 2
LEDGER = "11111111-2222-4333-8444-555555555555"
PLACES = [(topic, at) for topic in Topic for at in range(topic.partition_count(PARTITIONS))]


def of_ledger(partition: int, ledger: str = LEDGER) -> Genesis:
    return Genesis(
        ledger=ledger, partition=partition, partitions=PARTITIONS, pepper_check=PEPPER_CHECK
    )


async def append(log: EventLog, topic: Topic, value: Genesis) -> None:
    await log.append(topic, value.partition, key=genesis.RECORD_KEY, value=genesis.encode(value))


async def made(log: EventLog) -> Genesis:
    return await initialize(log, pepper_check=PEPPER_CHECK, partitions=PARTITIONS)


async def verified(log: EventLog) -> Genesis:
    return await verify(log, pepper_check=PEPPER_CHECK, partitions=PARTITIONS)


class GenesisContract:
    """A suite gives the fixture `log`, empty and of 4 partitions."""

    async def test_init_begins_every_partition_once(self, log: EventLog) -> None:
        first = await made(log)
        assert await made(log) == first == await verified(log)
        for topic, partition in PLACES:
            assert (await log.ends(topic))[partition] == 1
            assert await read_genesis(log, topic, partition) == replace(first, partition=partition)

    async def test_two_inits_at_once_agree(self, log: EventLog) -> None:
        one, other = await asyncio.gather(made(log), made(log))
        assert one == other == await verified(log)

    async def test_a_half_done_init_is_finished_for_the_same_ledger(self, log: EventLog) -> None:
        await append(log, EVENTS, of_ledger(0))
        await append(log, EVENTS, of_ledger(2))
        assert (await made(log)).ledger == LEDGER
        assert (await verified(log)).ledger == LEDGER

    async def test_a_topic_that_came_later_is_begun_on_a_ledger_in_use(self, log: EventLog) -> None:
        for topic, partition in PLACES:
            if topic in FOLDED:
                await append(log, topic, of_ledger(partition))
        await log.append(EVENTS, 1, key=b"license", value=b"event")
        assert (await verified(log)).ledger == LEDGER
        assert (await made(log)).ledger == LEDGER
        assert (await read_genesis(log, Topic.INCIDENT_EVENTS, 0)).ledger == LEDGER

    async def test_a_later_topic_of_another_ledger_is_named_and_stops_nobody(
        self, log: EventLog
    ) -> None:
        stranger = "99999999-2222-4333-8444-555555555555"
        await append(log, Topic.INCIDENT_EVENTS, of_ledger(0, ledger=stranger))
        with pytest.raises(ForeignLog, match=rf"{Topic.INCIDENT_EVENTS}.*{stranger}"):
            await made(log)
        assert (await verified(log)).ledger != stranger

    async def test_later_genesis_records_are_ignored(self, log: EventLog) -> None:
        first = await made(log)
        await append(log, EVENTS, of_ledger(0))
        assert await verified(log) == first

    async def test_a_log_without_genesis_is_not_run_on(self, log: EventLog) -> None:
        with pytest.raises(NotInitialized, match="ledger init"):
            await verified(log)

    async def test_another_number_of_partitions_is_named(self, log: EventLog) -> None:
        await made(log)
        for run in (verify, initialize):
            with pytest.raises(ForeignLog, match=r"has 4 partitions.*LEDGER_PARTITIONS says 8"):
                await run(log, pepper_check=PEPPER_CHECK, partitions=8)

    async def test_another_pepper_is_named_and_not_told(self, log: EventLog) -> None:
        await made(log)
        for run in (verify, initialize):
            with pytest.raises(ForeignLog, match="LEDGER_PEPPER") as raised:
                await run(log, pepper_check=OTHER_PEPPER_CHECK, partitions=PARTITIONS)
            assert OTHER_PEPPER_CHECK not in str(raised.value)

    @pytest.mark.parametrize("place", [(EVENTS, 3), (Topic.CATALOG_EVENTS, 0), (KEYS, 1)])
    async def test_partitions_of_two_ledgers_are_named(
        self, log: EventLog, place: tuple[Topic, int]
    ) -> None:
        topic, partition = place
        stranger = "99999999-2222-4333-8444-555555555555"
        await append(log, topic, of_ledger(partition, ledger=stranger))
        with pytest.raises(ForeignLog, match=rf"{topic}, partition {partition}.*{stranger}"):
            await made(log)
        # Nothing of it still reads when the caller goes on, and maybe closes the log.
        assert not [one for one in asyncio.all_tasks() if "compare" in str(one.get_coro())]

    async def test_a_log_that_begins_with_something_else_is_no_ledger_s(
        self, log: EventLog
    ) -> None:
        await log.append(EVENTS, 0, key=b"k", value=b"{}")
        with pytest.raises(ForeignLog):
            await made(log)

    async def test_a_partition_that_lost_everything_is_not_begun_again(self, log: EventLog) -> None:
        """A topic that was deleted comes back empty: nothing may hide that."""
        for topic, partition in PLACES:
            if topic is not KEYS:
                await append(log, topic, of_ledger(partition))
        await log.append(EVENTS, 1, key=b"license", value=b"event")
        with pytest.raises(LostRecords, match=KEYS):
            await made(log)
        assert set((await log.ends(KEYS)).values()) == {0}
