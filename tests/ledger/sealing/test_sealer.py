from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.identifiers import partition_of
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import AppendUnknown, EventLog, Record, Topic
from ledger.sealing.data_key import DataKey
from ledger.sealing.erasure import erase
from ledger.sealing.key_ring import KeyRing
from ledger.sealing.records import ERASED, decode, record_key
from ledger.sealing.sealer import Hidden, Sealer
from tests.ledger.sealing.replica import Replica, records

ACCOUNT = "4f5b8f3a-51f5-5f0e-9a39-0a4a3c8a1b11"
LICENSE = "9b2d7f00-1a2b-8c3d-9e4f-5a6b7c8d9e0f"
OTHER = "9b2d7f00-1a2b-8c3d-9e4f-5a6b7c8d900f"
PARTITIONS = 16
RING = KeyRing((("k1", b"\x11" * 32),))
NEWER_RING = KeyRing((("k2", b"\x22" * 32), ("k1", b"\x11" * 32)))
LOST_RING = KeyRing((("k3", b"\x33" * 32),))


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(PARTITIONS)


@pytest.fixture
def replica(log: MemoryLog) -> Replica:
    return Replica(log)


def sealer_of(log: EventLog, replica: Replica, *, ring: KeyRing = RING, size: int = 8) -> Sealer:
    return Sealer(ring=ring, log=log, partitions=PARTITIONS, stored=replica.stored, opened_max=size)


async def data_keys(log: EventLog, license_: str = LICENSE) -> list[Record]:
    return await records(log, Topic.LICENSE_DATA_KEYS, partition_of(license_, PARTITIONS))


async def test_a_new_data_key_is_in_the_log_sealed_before_it_is_returned(
    log: MemoryLog, replica: Replica
) -> None:
    data_key = await sealer_of(log, replica).data_key_for_new(ACCOUNT, LICENSE)
    (record,) = await data_keys(log)
    assert record.key == record_key(LICENSE, data_key.dk)
    assert record.value is not None
    assert decode(record.value).account == ACCOUNT
    unwrapped = RING.unwrap(record.value, account=ACCOUNT, license_=LICENSE, dk=data_key.dk)
    assert unwrapped.secret == data_key.secret
    assert data_key.secret not in record.value


async def test_a_data_key_that_may_not_have_landed_is_not_returned(
    log: MemoryLog, replica: Replica
) -> None:
    log.lose_acknowledgements = 2
    with pytest.raises(AppendUnknown):
        await sealer_of(log, replica).data_key_for_new(ACCOUNT, LICENSE)
    with pytest.raises(AppendUnknown):
        await sealer_of(log, replica).data_key_for(ACCOUNT, LICENSE, None)


async def test_the_existing_data_key_is_used_by_every_worker(
    log: MemoryLog, replica: Replica
) -> None:
    first = await sealer_of(log, replica).data_key_for_new(ACCOUNT, LICENSE)
    await replica.take_over()
    another_worker = sealer_of(log, replica, ring=NEWER_RING)
    second = await another_worker.data_key_for(ACCOUNT, LICENSE, first.dk)
    assert (second.dk, second.secret) == (first.dk, first.secret)
    assert len(await data_keys(log)) == 1


@pytest.mark.parametrize("case", ["no hint", "unknown", "erased", "seal key lost", "altered"])
async def test_a_new_data_key_is_made_where_the_named_one_cannot_be_used(
    log: MemoryLog, replica: Replica, case: str
) -> None:
    first = await sealer_of(log, replica).data_key_for_new(ACCOUNT, LICENSE)
    if case != "unknown":
        await replica.take_over()
    if case == "erased":
        replica.values[LICENSE, first.dk] = ERASED
    if case == "altered":
        replica.values[LICENSE, first.dk] = b"{}"
    ring = LOST_RING if case == "seal key lost" else RING
    hint = None if case == "no hint" else first.dk
    worker = sealer_of(log, replica, ring=ring)
    second = await worker.data_key_for(ACCOUNT, LICENSE, hint)
    assert second.dk != first.dk
    assert [record.key for record in await data_keys(log)] == [
        record_key(LICENSE, first.dk),
        record_key(LICENSE, second.dk),
    ]


async def test_an_erased_data_key_is_never_served_from_memory(
    log: MemoryLog, replica: Replica
) -> None:
    sealer = sealer_of(log, replica)
    data_key = await sealer.data_key_for_new(ACCOUNT, LICENSE)
    sealed = data_key.seal(ACCOUNT, LICENSE, "node-17")
    await replica.take_over()
    stored = await replica.stored(LICENSE, data_key.dk)
    for _ in range(2):
        assert sealer.open_text(sealed, stored, account=ACCOUNT, license_=LICENSE) == "node-17"
    assert (await sealer.data_key_for(ACCOUNT, LICENSE, data_key.dk)).dk == data_key.dk

    await erase(log, LICENSE, partitions=PARTITIONS)
    await replica.take_over()
    stored = await replica.stored(LICENSE, data_key.dk)
    assert sealer.open_text(sealed, stored, account=ACCOUNT, license_=LICENSE) is None
    assert (await sealer.data_key_for(ACCOUNT, LICENSE, data_key.dk)).dk != data_key.dk


async def test_why_a_value_is_hidden_is_told(log: MemoryLog, replica: Replica) -> None:
    sealer = sealer_of(log, replica)
    data_key = await sealer.data_key_for_new(ACCOUNT, LICENSE)
    sealed = data_key.seal(ACCOUNT, LICENSE, "node-17")
    value = (await data_keys(log))[0].value
    lost = sealer_of(log, replica, ring=LOST_RING)
    wrong = sealer_of(log, replica, ring=KeyRing((("k1", b"\x44" * 32),)))
    for by, text, stored, expected in (
        (sealer, sealed, value, "node-17"),
        (sealer, sealed, ERASED, Hidden.ERASED),
        (sealer, sealed, None, Hidden.UNKNOWN),
        (lost, sealed, value, Hidden.SEAL_KEY_LOST),
        (wrong, sealed, value, Hidden.BROKEN),
        (sealer, sealed, b"no record", Hidden.BROKEN),
        (sealer, sealed[:-4], value, Hidden.BROKEN),
        (sealer, "no sealed value", value, Hidden.BROKEN),
    ):
        assert by.open_or_hide(text, stored, account=ACCOUNT, license_=LICENSE) == expected
        shown = by.open_text(text, stored, account=ACCOUNT, license_=LICENSE)
        assert shown == (expected if isinstance(expected, str) else None)


async def test_a_remembered_key_opens_nothing_of_another_license_or_account(
    log: MemoryLog, replica: Replica
) -> None:
    sealer = sealer_of(log, replica)
    data_key = await sealer.data_key_for_new(ACCOUNT, LICENSE)
    sealed = data_key.seal(ACCOUNT, LICENSE, "node-17")
    value = (await data_keys(log))[0].value
    assert sealer.open_text(sealed, value, account=ACCOUNT, license_=LICENSE) == "node-17"
    for account, license_ in ((ACCOUNT, OTHER), (OTHER, LICENSE)):
        hidden = sealer.open_or_hide(sealed, value, account=account, license_=license_)
        assert hidden is Hidden.BROKEN


@given(order=st.lists(st.integers(0, 9), max_size=60), size=st.integers(1, 5))
def test_what_is_remembered_is_bounded_and_changes_no_answer(order: list[int], size: int) -> None:
    log = MemoryLog(PARTITIONS)
    sealer = sealer_of(log, Replica(log), size=size)
    keys = [DataKey.new() for _ in range(10)]
    values = [RING.wrap(key, account=ACCOUNT, license_=LICENSE) for key in keys]
    sealed = [key.seal(ACCOUNT, LICENSE, f"node-{at}") for at, key in enumerate(keys)]
    for at in order:
        text = sealer.open_text(sealed[at], values[at], account=ACCOUNT, license_=LICENSE)
        assert text == f"node-{at}"
        assert sealer.remembered <= size


async def test_the_least_recently_used_is_forgotten_first(
    log: MemoryLog, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealer = sealer_of(log, replica, size=2)
    keys = [DataKey.new() for _ in range(3)]
    values = [RING.wrap(key, account=ACCOUNT, license_=LICENSE) for key in keys]

    def open_(at: int) -> object:
        return sealer.open_data_key(values[at], account=ACCOUNT, license_=LICENSE, dk=keys[at].dk)

    first, _, again, _ = open_(0), open_(1), open_(0), open_(2)
    assert first is again
    assert open_(0) is first, "used lately, so it was kept"
    assert isinstance(open_(1), DataKey)


async def test_nothing_that_is_printed_tells_a_secret_or_a_text(
    log: MemoryLog, replica: Replica
) -> None:
    sealer = sealer_of(log, replica)
    data_key = await sealer.data_key_for_new(ACCOUNT, LICENSE)
    sealed = data_key.seal(ACCOUNT, LICENSE, "canary-node")
    shown = [repr(sealer), str(sealer), repr(data_key), repr(RING)]
    for broken in (sealed + "A", sealed[:-1], f"{data_key.dk}.canary-node", "canary-node"):
        try:
            data_key.open(ACCOUNT, LICENSE, broken)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not tell
            shown += traceback.format_exception(error)
    for hidden in ("canary", data_key.secret.hex(), repr(data_key.secret), "11111111"):
        assert not any(hidden in text for text in shown)
