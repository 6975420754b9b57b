from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.identifiers import partition_of
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import Appended, AppendUnknown, Topic
from ledger.sealing.erasure import PASSES_MAX, ErasureUnfinishedError, erase
from ledger.sealing.key_ring import KeyRing
from ledger.sealing.records import ERASED, record_key
from ledger.sealing.sealer import Sealer
from tests.ledger.sealing.replica import Replica, records

ACCOUNT = "4f5b8f3a-51f5-5f0e-9a39-0a4a3c8a1b11"
LICENSE = "9b2d7f00-1a2b-8c3d-9e4f-5a6b7c8d9e0f"
NEIGHBOR = "1b2d7f00-1a2b-8c3d-9e4f-5a6b7c8d9e0f"
"""Of the same partition."""
PARTITIONS = 16
PARTITION = partition_of(LICENSE, PARTITIONS)
RING = KeyRing((("k1", b"\x11" * 32),))


def sealer_of(log: MemoryLog) -> Sealer:
    return Sealer(ring=RING, log=log, partitions=PARTITIONS, stored=Replica(log).stored)


async def alive(log: MemoryLog, license_: str) -> int:
    replica = Replica(log)
    await replica.take_over()
    return sum(value != ERASED for (owner, _), value in replica.values.items() if owner == license_)


@given(own=st.integers(0, 5), others=st.integers(0, 3), before=st.integers(0, 3))
def test_every_data_key_of_the_license_is_erased_and_no_other(
    own: int, others: int, before: int
) -> None:
    async def story() -> None:
        log = MemoryLog(PARTITIONS)
        sealer = sealer_of(log)
        await log.append(Topic.LICENSE_DATA_KEYS, PARTITION, key=b"genesis", value=b"{}")
        erased_before = {
            (await sealer.data_key_for_new(ACCOUNT, LICENSE)).dk for _ in range(before)
        }
        await erase(log, LICENSE, partitions=PARTITIONS)
        for _ in range(others):
            await sealer.data_key_for_new(ACCOUNT, NEIGHBOR)
        made = {(await sealer.data_key_for_new(ACCOUNT, LICENSE)).dk for _ in range(own)}
        assert await alive(log, LICENSE) == own

        erasure = await erase(log, LICENSE, partitions=PARTITIONS)
        assert erasure.erased == own
        assert set(erasure.data_keys) == made | erased_before
        assert erasure.left_in_log == own + before, "memory compacts nothing"
        assert await alive(log, LICENSE) == 0
        assert await alive(log, NEIGHBOR) == others

        again = await erase(log, LICENSE, partitions=PARTITIONS)
        assert again.erased == 0
        assert again.data_keys == erasure.data_keys
        assert await alive(log, LICENSE) == 0

    asyncio.run(story())


async def test_an_unknown_license_gets_no_record() -> None:
    log = MemoryLog(PARTITIONS)
    await sealer_of(log).data_key_for_new(ACCOUNT, NEIGHBOR)
    erasure = await erase(log, LICENSE, partitions=PARTITIONS)
    assert (erasure.data_keys, erasure.erased, erasure.left_in_log) == ((), 0, 0)
    assert len(await records(log, Topic.LICENSE_DATA_KEYS, PARTITION)) == 1


async def test_a_data_key_that_lands_meanwhile_is_erased_too() -> None:
    """A second worker issues the same license while the tombstones are on their way."""

    class Racing(MemoryLog):
        racing = 3

        async def append(
            self,
            topic: Topic,
            partition: int,
            *,
            key: bytes,
            value: bytes | None,
            headers: tuple[tuple[str, bytes], ...] = (),
        ) -> Appended:
            if value is None and self.racing:
                self.racing -= 1
                await sealer_of(self).data_key_for_new(ACCOUNT, LICENSE)
            return await super().append(topic, partition, key=key, value=value, headers=headers)

    log = Racing(PARTITIONS)
    await sealer_of(log).data_key_for_new(ACCOUNT, LICENSE)
    erasure = await erase(log, LICENSE, partitions=PARTITIONS)
    assert erasure.erased == 4
    assert await alive(log, LICENSE) == 0


async def test_it_gives_up_aloud_where_data_keys_never_stop_coming() -> None:
    class Endless(MemoryLog):
        tombstones = 0

        async def append(
            self,
            topic: Topic,
            partition: int,
            *,
            key: bytes,
            value: bytes | None,
            headers: tuple[tuple[str, bytes], ...] = (),
        ) -> Appended:
            appended = await super().append(topic, partition, key=key, value=value, headers=headers)
            if value is None:
                self.tombstones += 1
                await sealer_of(self).data_key_for_new(ACCOUNT, LICENSE)
            return appended

    log = Endless(PARTITIONS)
    await sealer_of(log).data_key_for_new(ACCOUNT, LICENSE)
    with pytest.raises(ErasureUnfinishedError):
        await erase(log, LICENSE, partitions=PARTITIONS)
    assert log.tombstones == PASSES_MAX


async def test_run_again_after_an_unknown_outcome_it_finishes() -> None:
    log = MemoryLog(PARTITIONS)
    made = [await sealer_of(log).data_key_for_new(ACCOUNT, LICENSE) for _ in range(3)]
    log.lose_acknowledgements = 1
    with pytest.raises(AppendUnknown):
        await erase(log, LICENSE, partitions=PARTITIONS)
    erasure = await erase(log, LICENSE, partitions=PARTITIONS)
    assert erasure.erased == 2
    assert set(erasure.data_keys) == {data_key.dk for data_key in made}
    assert await alive(log, LICENSE) == 0


async def test_what_is_still_in_the_log_gets_its_tombstone_again() -> None:
    """That append is what makes Kafka close the segment, and so compact it."""
    log = MemoryLog(PARTITIONS)
    data_key = await sealer_of(log).data_key_for_new(ACCOUNT, LICENSE)
    for run in (1, 2, 3):
        await erase(log, LICENSE, partitions=PARTITIONS)
        found = await records(log, Topic.LICENSE_DATA_KEYS, PARTITION)
        tombstones = [record for record in found if record.value is None]
        assert [record.key for record in tombstones] == [record_key(LICENSE, data_key.dk)] * run
