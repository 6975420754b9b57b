"""Noticing checks: the ledger learns of them behind the answer, once a day, and none waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api import noticing
from api.ending import end
from ledger.domain.events import Event, Validated
from ledger.event_log.codec import UndecodableError, decode
from ledger.event_log.port import Topic
from tests.api.conftest import LocalLedger, Worker
from tests.api.fanning import change, issue
from tests.api.ordering import append, until
from tests.api.test_catalog import a_policy

BY_KEY = "/v1/licenses/actions/validate-key"
DURATION_S = 86_400


@asynccontextmanager
async def listening(*workers: Worker) -> AsyncIterator[None]:
    """The workers write of the checks that they take in, as they do in a process."""
    tasks = [asyncio.create_task(worker.services.noticing.run()) for worker in workers]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        await end(tasks)


async def check(worker: Worker, license_: dict[str, Any], **scope: object) -> str:
    """Check by key; the answer's code."""
    body = {"meta": {"key": license_["attributes"]["key"], "scope": scope}}
    answer = await worker.stranger.post(BY_KEY, json=body)
    assert answer.status_code == 200, answer.text
    code: str = answer.json()["meta"]["code"]
    return code


async def noticed(ledger: LocalLedger) -> list[Event]:
    """Events of checks in the log."""
    found: list[Event] = []
    for partition in await ledger.ends():
        async for batch in ledger.log.read(Topic.LICENSE_EVENTS, partition, start=0):
            for record in batch:
                try:
                    event = decode(record.key, record.value)
                except UndecodableError:
                    continue
                if isinstance(event.data, Validated):
                    found.append(event)
    return found


async def attributes_of(worker: Worker, license_: dict[str, Any]) -> dict[str, Any]:
    read = await worker.client.get(f"/v1/licenses/{license_['id']}")
    attributes: dict[str, Any] = read.json()["data"]["attributes"]
    return attributes


async def _until_validated(worker: Worker, license_: dict[str, Any]) -> None:
    async def validated() -> bool:
        return (await attributes_of(worker, license_))["lastValidated"] is not None

    await until(validated, what="lastValidated")


async def _until_begun(worker: Worker, license_: dict[str, Any]) -> None:
    async def begun() -> bool:
        return (await attributes_of(worker, license_))["expiry"] is not None

    await until(begun, what="an expiry")


async def _drained(worker: Worker) -> None:
    await until(lambda: worker.services.noticing.waiting == 0, what="nothing waiting")
    await asyncio.sleep(0.1)


async def test_the_first_valid_check_begins_the_duration(
    ledger: LocalLedger, worker: Worker
) -> None:
    policy = await a_policy(worker, duration=DURATION_S, expirationBasis="FROM_FIRST_VALIDATION")
    license_ = await issue(worker, policy["id"])
    assert (await attributes_of(worker, license_))["expiry"] is None
    async with listening(worker):
        assert await check(worker, license_, product="another") == "PRODUCT_SCOPE_MISMATCH"
        await _until_validated(worker, license_)
        # Not valid, so nothing has begun; and a valid one is not held up by it.
        assert (await attributes_of(worker, license_))["expiry"] is None
        assert await check(worker, license_) == "VALID"
        await _until_begun(worker, license_)
        expiry = (await attributes_of(worker, license_))["expiry"]
        await asyncio.sleep(0.05)
        assert await check(worker, license_) == "VALID"
        await _drained(worker)
    assert (await attributes_of(worker, license_))["expiry"] == expiry
    assert [event.data.valid for event in await noticed(ledger)] == [False, True]  # type: ignore[union-attr]


async def test_a_duration_may_begin_later_on_a_day_with_an_event(worker: Worker) -> None:
    policy = (await a_policy(worker, duration=DURATION_S))["id"]
    license_ = await issue(worker, policy)
    async with listening(worker):
        assert await check(worker, license_) == "VALID"
        await _until_validated(worker, license_)
        version = await change(worker, policy, expirationBasis="FROM_FIRST_VALIDATION")
        fanning = asyncio.create_task(worker.services.fan_out.run())
        try:
            await until(lambda: _has_no_expiry(worker, license_), what=f"terms of {version}")
        finally:
            await end([fanning])
        assert await check(worker, license_) == "VALID"
        await _until_begun(worker, license_)


async def _has_no_expiry(worker: Worker, license_: dict[str, Any]) -> bool:
    return (await attributes_of(worker, license_))["expiry"] is None


async def test_a_day_s_checks_at_all_workers_are_one_change(
    ledger: LocalLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noticing, "AGAIN_S", 0.0)
    workers = [await ledger.worker(), await ledger.worker()]
    license_ = await workers[0].vendor.issue()
    async with listening(*workers):
        for _ in range(20):
            for worker in workers:
                assert await check(worker, license_) == "VALID"
                assert await check(worker, license_, product="another") != "VALID"
        for worker in workers:
            await _until_validated(worker, license_)
            await _drained(worker)
        last = (await attributes_of(workers[0], license_))["lastValidated"]
        written = await noticed(ledger)
        assert len({event.id for event in written}) == 1
        for worker in workers:
            assert await check(worker, license_) == "VALID"
            await _drained(worker)
    # Once it is known, nothing more is even written.
    assert await noticed(ledger) == written
    assert (await attributes_of(workers[0], license_))["lastValidated"] == last


async def test_a_worker_writes_once_of_what_it_hasn_t_seen_folded(
    ledger: LocalLedger, worker: Worker
) -> None:
    license_ = await worker.vendor.issue()
    for follower in ledger.followers:
        follower.still = True
    await asyncio.sleep(0.1)  # what they had begun they have done
    async with listening(worker):
        for _ in range(10):
            assert await check(worker, license_) == "VALID"
        await _drained(worker)
        assert len(await noticed(ledger)) == 1


async def test_the_next_day_is_noticed_again(
    ledger: LocalLedger, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    license_ = await worker.vendor.issue()
    async with listening(worker):
        await check(worker, license_)
        await _until_validated(worker, license_)
        # A shorter day stands in for waiting until tomorrow.
        monkeypatch.setattr(noticing, "DAY_MS", 50)
        await asyncio.sleep(0.1)
        await check(worker, license_)
        await until(lambda: _written(ledger, 2), what="the next day's event")
    assert len({event.id for event in await noticed(ledger)}) == 2


async def _written(ledger: LocalLedger, count: int) -> bool:
    return len(await noticed(ledger)) == count


async def test_while_the_log_is_away_checks_are_answered_and_let_go(
    ledger: LocalLedger, worker: Worker
) -> None:
    license_ = await worker.vendor.issue()
    ledger.log.unreachable = True
    async with listening(worker):
        for _ in range(5):
            assert await check(worker, license_) == "VALID"
        await _drained(worker)
        ledger.log.unreachable = False
        assert await noticed(ledger) == []
        page = (await worker.client.get("/metrics")).text
        assert 'checks_unnoticed_total{why="LOG_UNAVAILABLE"} 1.0' in page
        # Another license's is noticed, now that it is back.
        other = await worker.vendor.issue()
        assert await check(worker, other) == "VALID"
        await _until_validated(worker, other)


async def test_a_log_that_never_answers_holds_up_no_check(
    ledger: LocalLedger, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noticing, "WAITING_MAX", 3)
    few = await ledger.worker()
    issued = [await few.vendor.issue() for _ in range(10)]
    asked, answers = asyncio.Event(), asyncio.Event()
    append_ = ledger.log.append

    async def frozen(*arguments: Any, **named: Any) -> object:  # noqa: ANN401 - passed on as they are
        asked.set()
        await answers.wait()
        return await append_(*arguments, **named)

    monkeypatch.setattr(ledger.log, "append", frozen)
    async with listening(few):
        assert await check(few, issued[0]) == "VALID"
        await asked.wait()
        # One hangs in the log, three wait, and all others are let go: every check is answered.
        for license_ in issued[1:]:
            assert await check(few, license_) == "VALID"
        assert few.services.noticing.waiting == 3
        page = (await few.client.get("/metrics")).text
        assert 'checks_unnoticed_total{why="TOO_MANY"} 6.0' in page
        assert await noticed(ledger) == []
        answers.set()
        await until(lambda: _written(ledger, 4), what="those that waited")


async def test_it_goes_on_after_whatever_went_wrong(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await worker.vendor.issue(), await worker.vendor.issue()
    rules, failures = worker.catalog.rules, [RuntimeError("whatever")]

    async def failing() -> int:
        if failures:
            raise failures.pop()
        return await rules()

    async with listening(worker):
        monkeypatch.setattr(worker.catalog, "rules", failing)
        await check(worker, one)
        await check(worker, other)
        await _until_validated(worker, other)
    assert (await attributes_of(worker, one))["lastValidated"] is None


async def test_nothing_is_written_under_the_first_rules_nor_of_what_is_frozen_or_unknown(
    ledger: LocalLedger, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, early = await worker.vendor.issue(), await worker.vendor.issue()
    await append(ledger, worker, frozen["id"], b"poison")

    async def first_rules() -> int:
        return 1

    async with listening(worker):
        assert await check(worker, frozen) == "VALID"
        assert await check(worker, {"attributes": {"key": "nobody's"}}) == "NOT_FOUND"
        monkeypatch.setattr(worker.catalog, "rules", first_rules)
        assert await check(worker, early) == "VALID"
        await _drained(worker)
    assert await noticed(ledger) == []
