"""What a session does with records set aside: when, in what order, and what it tells."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from typing import cast

import pytest

from ledger.domain.catalog.entities import RULES_ID
from ledger.event_log.discards import DiscardList
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import EventLog, LogUnavailable, Record, Topic
from projector.discards import Discards
from projector.metrics import Metrics
from projector.projection import Projection
from projector.quarantine import release
from projector.quarantine_watch import QuarantineWatch
from projector.read_model.keys import UNROUTABLE, Keys, retry_answer, retry_order
from projector.read_model.memory import MemoryReadModel
from projector.reading import Reader
from projector.retry_orders import RetryAnswer, RetryOrder, read_answer, read_order, retry_document
from projector.views.digests import CUT_EVERY, read_digests
from projector.views.documents import read_license
from tests.activity import ACCOUNT, Activity, records
from tests.activity import Record as LogRecord
from tests.projector.in_memory import project, stored_in_memory
from tests.projector.independent import independent_fold
from tests.projector.quarantined import (
    Feeder,
    Said,
    discard_value,
    failing_at,
    session_on,
    settled,
    uncut,
)
from tests.projector.weighing import WEIGHER

NAMES = Keys(0)
GAUGE = "ledger_projector_frozen_licenses"
LOG = records(Activity(31, partitions=1, licenses=4).appendables(300))[0]


def _license_at(offset: int) -> str:
    return (LOG[offset].key or b"").decode()


def _frozen_at(model: MemoryReadModel, license_: str) -> int | None:
    return read_license(model.strings[NAMES.license(license_)]).frozen_at


async def test_a_new_session_retries_what_an_older_release_has_frozen() -> None:
    model, metrics = MemoryReadModel(), Metrics()
    with failing_at([50]):
        async with session_on(model, LOG, Said()):
            pass
        assert _frozen_at(model, _license_at(50)) == 50
        # The same release again finds the same, and writes nothing.
        before = dict(model.strings), len(model.published)
        async with session_on(model, LOG, Said()):
            pass
        assert (dict(model.strings), len(model.published)) == before
    async with session_on(model, LOG, Said(), metrics=metrics):
        pass
    assert uncut(stored_in_memory(model, 0)) == uncut(independent_fold(LOG, 0, 1))
    assert metrics.registry.get_sample_value(GAUGE, {"partition": "0"}) == 0
    # Who waits for positions hears of it, at the position that there was.
    channel, message = model.published[-1]
    assert message == f"{len(LOG)} {len(LOG)} {_license_at(50)}"
    assert channel == "{p00}:positions"


async def test_what_froze_behind_is_an_alarm_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    model = MemoryReadModel()
    license_ = _license_at(50)
    second = next(one.offset for one in LOG if one.offset > 120 and one.key == LOG[50].key)
    with failing_at([50, second]):
        async with session_on(model, LOG, Said()):
            pass
    caplog.clear()
    with failing_at([second]):
        async with session_on(model, LOG, Said()) as session:
            assert session.has_frozen
        assert _frozen_at(model, license_) == second
        assert uncut(stored_in_memory(model, 0)) == uncut(independent_fold(LOG, 0, 1))
    told = [vars(one)["fields"] for one in caplog.records if one.levelno == logging.ERROR]
    assert [one["offset"] for one in told if one["alarm"] == "poison-record"] == [second]


async def test_a_license_of_nothing_but_discarded_records_has_no_document() -> None:
    model, said = MemoryReadModel(), Said()
    license_ = _license_at(1)
    log = [LogRecord(offset=0, timestamp=5, key=license_.encode(), value=b"{")]
    async with session_on(model, log, said) as session:
        assert _frozen_at(model, license_) == 0
        said.add([0])
        session.look_up()
        await settled(session, 1)
    assert NAMES.license(license_) not in model.strings
    assert stored_in_memory(model, 0) == independent_fold(log, 0, 1, discarded={0})


async def test_a_record_of_no_license_goes_off_the_list() -> None:
    model, said = MemoryReadModel(), Said()
    strangers = [LogRecord(offset=at, timestamp=5, key=b"nobody", value=b"?") for at in range(3)]
    async with session_on(model, strangers, said) as session:
        assert len(model.sorted_sets[NAMES.set_aside(UNROUTABLE)]) == 3
        said.add([1])
        session.look_up()
        await settled(session, 3)
    assert stored_in_memory(model, 0) == independent_fold(strangers, 0, 1, discarded={1})


async def test_a_discard_of_what_was_folded_is_an_alarm(caplog: pytest.LogCaptureFixture) -> None:
    model, said = MemoryReadModel(), Said()
    async with session_on(model, LOG, said) as session:
        before = stored_in_memory(model, 0)
        said.add([40, len(LOG) + 5])
        session.look_up()
        await settled(session, len(LOG))
    alarms = [vars(one).get("fields", {}) for one in caplog.records]
    [told] = [one for one in alarms if one.get("alarm") == "discarded-too-late"]
    assert told["offsets"] == [40]
    assert stored_in_memory(model, 0) == before


async def test_what_is_discarded_before_it_comes_is_not_even_read() -> None:
    later = LogRecord(offset=0, timestamp=5, key=LOG[0].key, value=b'{"rules":99}')
    model = MemoryReadModel()
    async with session_on(model, [later, *LOG[1:]], Said([0])):
        pass
    log = [later, *LOG[1:]]
    assert stored_in_memory(model, 0) == independent_fold(log, 0, 1, discarded={0})


async def test_a_session_waits_until_the_discards_can_be_told() -> None:
    class Away(Said):
        away = True

        async def refresh(self) -> None:
            if self.away:
                msg = "away"
                raise LogUnavailable(msg)

    said, model = Away([7]), MemoryReadModel()
    feeder = Feeder(LOG)
    session = Projection(0, feeder, Metrics(), model, Reader(0, 1), _ours, WEIGHER, discards=said)
    feeder.session = session
    task = asyncio.create_task(session.run(lambda: None))
    await asyncio.sleep(0.2)
    assert session.position is None
    assert model.strings == {}
    said.away = False
    await settled(session, len(LOG))
    session.end()
    await task
    assert stored_in_memory(model, 0) == independent_fold(LOG, 0, 1, discarded={7})


async def test_a_retry_drops_the_cut_unless_it_stands_there() -> None:
    log = records(Activity(5, partitions=1, licenses=4).appendables(CUT_EVERY + 20))[0]
    for end, kept in ((CUT_EVERY + 9, False), (CUT_EVERY, True)):
        model = MemoryReadModel()
        with failing_at([50]):
            for at in range(0, end, 400):
                await project(model, log[at : min(at + 400, end)])
        async with session_on(model, log[:end], Said()):
            pass
        cut = read_digests(model.strings[NAMES.digests]).cut
        assert (cut is not None) == kept
        if kept:
            assert stored_in_memory(model, 0) == independent_fold(log[:end], 0, 1)


async def test_an_order_is_done_once_and_answered() -> None:
    model, said = MemoryReadModel(), Said()
    with failing_at([50, 70]):
        async with session_on(model, LOG, said) as session:
            mine, other = _license_at(50), _license_at(70)
            assert mine != other
            watch = QuarantineWatch(model, cast("Discards", said), lambda: [session])
            order = RetryOrder(id="first", license=mine)
            await model.put(retry_order(0), retry_document(order))
            await watch.look()
            await settled(session, len(LOG))
            assert _answer(model) == RetryAnswer(id="first", release=release(), frozen={mine: 50})
            await model.put(retry_answer(0), b"gone")
            await watch.look()
            await settled(session, len(LOG))
            assert model.strings[retry_answer(0)] == b"gone"
            with failing_at([70]):
                everything = retry_document(RetryOrder(id="second"))
                await model.put(retry_order(0), everything)
                await watch.look()
                await settled(session, len(LOG))
            answer = _answer(model)
            assert answer is not None
            assert (answer.id, answer.frozen) == ("second", {other: 70})
            assert _frozen_at(model, mine) is None


async def test_who_folds_another_generation_obeys_and_leaves_the_answer() -> None:
    model = MemoryReadModel()
    feeder = Feeder(LOG)
    session = Projection(
        0, feeder, Metrics(), model, Reader(0, 1), _ours, WEIGHER, lambda _: "7", discards=Said()
    )
    feeder.session = session
    with failing_at([50]):
        task = asyncio.create_task(session.run(lambda: None))
        await settled(session, len(LOG))
    session.look_up(RetryOrder(id="one"))
    await settled(session, len(LOG))
    session.end()
    await task
    assert not session.has_frozen
    assert retry_answer(0) not in model.strings


def test_what_is_no_order_is_none() -> None:
    assert read_order(None) is None
    assert read_order(b"?") is None
    assert read_answer(None) is None
    assert read_answer(b"[]") is None


def _answer(model: MemoryReadModel) -> RetryAnswer | None:
    return read_answer(model.strings.get(retry_answer(0)))


async def test_discards_are_read_from_the_log_and_read_on() -> None:
    log = MemoryLog(4)
    discards = Discards(log)
    await discards.refresh()
    assert discards.of(2) == frozenset()
    key = RULES_ID.encode()
    for value in (
        discard_value(2, 9),
        b'{"type":"catalog.record-discarded"}',
        discard_value(2, 9, 1),
        discard_value(3, 1, 2),
    ):
        await log.append(Topic.CATALOG_EVENTS, 0, key=key, value=value)
    # Another's key makes it no event.
    await log.append(Topic.CATALOG_EVENTS, 0, key=ACCOUNT.encode(), value=discard_value(1, 1))
    await discards.refresh()
    assert [sorted(discards.of(partition)) for partition in (1, 2, 3)] == [[], [9], [1]]
    before = discards.of(2)
    await log.append(Topic.CATALOG_EVENTS, 0, key=key, value=discard_value(3, 4, 3))
    await discards.refresh()
    assert discards.of(2) is before
    assert sorted(discards.of(3)) == [1, 4]
    log.unreachable = True
    with pytest.raises(LogUnavailable):
        await discards.refresh()


async def test_who_asks_meanwhile_shares_the_next_reading() -> None:
    class Slow(MemoryLog):
        begun = 0
        go_on = asyncio.Event()

        async def read(
            self, topic: Topic, partition: int, *, start: int, stop: int | None = None
        ) -> AsyncGenerator[Sequence[Record], None]:
            self.begun += 1
            await self.go_on.wait()
            async for found in super().read(topic, partition, start=start, stop=stop):
                yield found

    log = Slow(1)
    discards = Discards(cast("EventLog", log))
    first = asyncio.create_task(discards.refresh())
    await asyncio.sleep(0)
    assert log.begun == 1
    others = [asyncio.create_task(discards.refresh()) for _ in range(20)]
    await asyncio.sleep(0)
    log.go_on.set()
    await asyncio.gather(first, *others)
    assert log.begun == 2


def test_a_list_is_of_the_records_that_it_was_given() -> None:
    found = DiscardList()
    found.take(
        [
            Record(partition=0, offset=0, timestamp_ms=1, key=RULES_ID.encode(), value=None),
            Record(
                partition=0,
                offset=1,
                timestamp_ms=1,
                key=RULES_ID.encode(),
                value=discard_value(0, 3),
            ),
        ]
    )
    assert (found.position, sorted(found.of(0))) == (2, [3])


async def _ours(partition: int) -> None:
    del partition
