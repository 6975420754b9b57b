"""Fan-out: a policy's changed terms reach every license below its version, each exactly once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api import fan_out
from api.ending import end
from api.problems import unprocessable
from ledger.domain.events import Event, TermsChanged, Transferred
from ledger.domain.identifiers import partition_of
from ledger.domain.terms import Terms
from ledger.domain.verdicts import Verdict
from ledger.event_log.codec import encode
from ledger.event_log.port import Topic
from tests.api.conftest import LocalLedger, Worker
from tests.api.fanning import (
    all_have_it,
    behind_the_api,
    change,
    changes,
    event_of,
    fanning_out,
    history,
    issue,
    limit_of,
    progress_of,
)
from tests.api.ordering import append, until
from tests.api.test_catalog import NOWHERE, a_policy, created
from tests.vendor import resource_body


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks are made often, so that no test waits for the next one."""
    monkeypatch.setattr(fan_out, "EVERY_S", 0.1)
    monkeypatch.setattr(fan_out, "LOOK_S", 0.02)
    monkeypatch.setattr(fan_out, "CALM_S", 0.0)


async def test_progress_counts_the_licenses_and_those_behind(worker: Worker) -> None:
    policy = (await a_policy(worker, maxMachines=1))["id"]
    assert await progress_of(worker, policy) == {"version": 0, "licenses": 0, "behind": 0}
    for _ in range(3):
        await issue(worker, policy)
    assert await progress_of(worker, policy) == {"version": 0, "licenses": 3, "behind": 0}
    assert await change(worker, policy, maxMachines=2) == 1
    await issue(worker, policy)
    assert await progress_of(worker, policy) == {"version": 1, "licenses": 4, "behind": 3}


async def test_progress_is_seen_by_who_sees_the_policy(worker: Worker) -> None:
    policy = (await a_policy(worker))["id"]
    path = f"/v1/policies/{policy}/progress"
    own = await created(worker.client, *_token_of(worker.catalog.product))
    product = await created(
        worker.client, "/v1/products", resource_body("products", {"name": "another"})
    )
    other = await created(worker.client, *_token_of(product["id"]))
    key = (await issue(worker, policy))["attributes"]["key"]
    for authorization, status in (
        (f"Bearer {own['attributes']['token']}", 200),
        (f"Bearer {other['attributes']['token']}", 404),
        (f"License {key}", 403),
    ):
        headers = {"Authorization": authorization}
        answer = await worker.stranger.get(path, headers=headers)
        assert answer.status_code == status, (authorization, answer.text)
    assert (await worker.stranger.get(path)).status_code == 401
    nowhere = await worker.client.get(f"/v1/policies/{NOWHERE}/progress")
    assert nowhere.status_code == 404


def _token_of(product: str) -> tuple[str, dict[str, Any]]:
    return f"/v1/products/{product}/tokens", resource_body("tokens", {})


async def test_a_change_reaches_all(ledger: LocalLedger, worker: Worker) -> None:
    policy = (await a_policy(worker, maxMachines=1))["id"]
    issued = await asyncio.gather(*(issue(worker, policy) for _ in range(150)))
    async with fanning_out(worker):
        version = await change(worker, policy, maxMachines=7)
        await all_have_it(worker, policy)
    for license_ in issued:
        assert await limit_of(worker, license_) == 7
    ids = [license_["id"] for license_ in issued]
    assert await changes(ledger, ids) == dict.fromkeys(((id_, version) for id_ in ids), 1)


async def test_two_workers_make_one_change_of_each_license(ledger: LocalLedger) -> None:
    workers = [await ledger.worker(), await ledger.worker()]
    policy = (await a_policy(workers[0]))["id"]
    issued = await asyncio.gather(*(issue(workers[0], policy) for _ in range(100)))
    version = await change(workers[0], policy, maxMachines=4)
    async with fanning_out(*workers):
        await all_have_it(workers[0], policy)
    ids = [license_["id"] for license_ in issued]
    assert await changes(ledger, ids) == dict.fromkeys(((id_, version) for id_ in ids), 1)


async def test_a_second_change_overtakes_the_first(ledger: LocalLedger) -> None:
    workers = [await ledger.worker(), await ledger.worker()]
    policy = (await a_policy(workers[0], maxMachines=1))["id"]
    issued = await asyncio.gather(*(issue(workers[0], policy) for _ in range(150)))
    async with fanning_out(*workers):
        first = await change(workers[0], policy, maxMachines=2)
        second = await change(workers[1], policy, maxMachines=3)
        await all_have_it(workers[0], policy)
    counted = await changes(ledger, [license_["id"] for license_ in issued])
    for license_ in issued:
        assert await limit_of(workers[0], license_) == 3
        assert counted[license_["id"], second] == 1
        assert counted[license_["id"], first] <= 1


async def test_a_license_issued_meanwhile_with_old_terms_is_found(
    ledger: LocalLedger, worker: Worker
) -> None:
    policy = (await a_policy(worker, maxMachines=1))["id"]
    await change(worker, policy, maxMachines=5)
    late = behind_the_api(worker, policy, "a late one", Terms(max_machines=1))
    async with fanning_out(worker):
        await append(ledger, worker, late.license, encode(late))
        await all_have_it(worker, policy)
    assert await limit_of(worker, {"id": late.license}) == 5


async def test_one_issued_anew_with_old_terms_follows_again(
    ledger: LocalLedger, worker: Worker
) -> None:
    policy = (await a_policy(worker, maxMachines=1))["id"]
    await change(worker, policy, maxMachines=5)
    async with fanning_out(worker):
        for times in (1, 2, 3):
            again = behind_the_api(worker, policy, "one and the same", Terms(max_machines=1))
            await append(ledger, worker, again.license, encode(again))
            await all_have_it(worker, policy)
            assert await limit_of(worker, {"id": again.license}) == 5
            assert sum((await changes(ledger, [again.license])).values()) == times
            revoked = await worker.client.delete(f"/v1/licenses/{again.license}/actions/revoke")
            assert revoked.status_code == 204


async def test_own_terms_win(worker: Worker) -> None:
    policy = (await a_policy(worker, maxMachines=1))["id"]
    own, other = await issue(worker, policy, maxMachines=9), await issue(worker, policy)
    async with fanning_out(worker):
        await change(worker, policy, maxMachines=5)
        await all_have_it(worker, policy)
    assert await limit_of(worker, own) == 9
    assert await limit_of(worker, other) == 5


async def test_a_frozen_license_is_passed_over_and_nothing_is_written_of_it(
    ledger: LocalLedger, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan_out, "BATCH", 2)
    monkeypatch.setattr(fan_out, "PATIENCE_S", 0.3)
    policy = (await a_policy(worker, maxMachines=1))["id"]
    issued = [await issue(worker, policy) for _ in range(40)]
    frozen, others = issued[:15], issued[15:]
    for license_ in frozen:
        await append(ledger, worker, license_["id"], b"poison")
    await change(worker, policy, maxMachines=5)
    async with fanning_out(worker):
        await all_have_it(worker, policy, behind=len(frozen))
        ends = await ledger.ends()
        await asyncio.sleep(1)  # patience has run out more than once
        assert await ledger.ends() == ends
    for license_ in others:
        assert await limit_of(worker, license_) == 5
    for license_ in frozen:
        assert await limit_of(worker, license_) == 1


async def test_a_transferred_license_isn_t_touched_by_its_old_policy(
    ledger: LocalLedger, worker: Worker
) -> None:
    old, new = [(await a_policy(worker, maxMachines=number))["id"] for number in (1, 2)]
    moved, stays = await issue(worker, old), await issue(worker, old)
    body = {"data": {"type": "policies", "id": new}}
    transferred = await worker.client.put(f"/v1/licenses/{moved['id']}/policy", json=body)
    assert transferred.status_code == 200, transferred.text
    async with fanning_out(worker):
        await change(worker, old, maxMachines=5)
        await all_have_it(worker, old)
    assert await limit_of(worker, moved) == 2
    assert await limit_of(worker, stays) == 5
    assert await changes(ledger, [moved["id"]]) == {}


async def test_a_change_that_comes_too_late_is_stale(ledger: LocalLedger, worker: Worker) -> None:
    old, new = [(await a_policy(worker, maxMachines=number))["id"] for number in (1, 2)]
    moved = await issue(worker, old)
    await change(worker, old, maxMachines=5)
    for follower in ledger.followers:
        follower.still = True
    await asyncio.sleep(0.1)  # what they had begun they have done
    partition = partition_of(moved["id"], worker.replicas.partitions)
    transfer = Transferred(policy=new, product=worker.catalog.product, terms=Terms(max_machines=2))
    event = event_of(worker, moved["id"], transfer, 0)
    await ledger.log.append(
        Topic.LICENSE_EVENTS, partition, key=moved["id"].encode(), value=encode(event)
    )
    before = (await ledger.ends())[partition]
    async with fanning_out(worker):
        await until(lambda: _grew(ledger, partition, before), what="the change in the log")
        for follower in ledger.followers:
            follower.still = False
        await all_have_it(worker, old)
    *_, (last, verdict, _) = await history(ledger, moved["id"])
    assert isinstance(last.data, TermsChanged)
    assert verdict.code == "stale-terms"
    assert await limit_of(worker, moved) == 2


async def _grew(ledger: LocalLedger, partition: int, before: int) -> bool:
    return (await ledger.ends())[partition] > before


async def test_nothing_is_written_by_rules_whose_events_name_no_policy(
    ledger: LocalLedger, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such an event may come after a transfer, and pass for newer terms of the new policy."""
    rules = [1]

    async def active() -> int:
        return rules[-1]

    monkeypatch.setattr(worker.catalog, "rules", active)
    monkeypatch.setattr(fan_out, "PATIENCE_S", 0.1)
    old, new = [(await a_policy(worker, maxMachines=limit))["id"] for limit in (1, 2)]
    moved, stayed = await issue(worker, old), await issue(worker, old)
    for limit in (7, 8, 9):
        await change(worker, old, maxMachines=limit)
    ends = await ledger.ends()
    async with fanning_out(worker):
        await asyncio.sleep(0.5)
        assert await ledger.ends() == ends
        rules.append(2)
        linked = {"data": {"type": "policies", "id": new}}
        path = f"/v1/licenses/{moved['id']}/policy"
        assert (await worker.client.put(path, json=linked)).status_code == 200
        await all_have_it(worker, old)
    assert [await limit_of(worker, license_) for license_ in (moved, stayed)] == [2, 9]
    for license_ in (moved, stayed):
        for event, _, _ in await history(ledger, license_["id"]):
            assert not isinstance(event.data, TermsChanged) or event.data.policy == old


async def test_terms_that_are_refused_hold_up_no_other_policy(
    ledger: LocalLedger, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = [(await a_policy(worker, maxMachines=1))["id"] for _ in range(3)]
    issued = [await issue(worker, policy) for policy in policies]
    decide = worker.services.fan_out._verdicts.decide  # noqa: SLF001 - where it writes

    async def refusing(event: Event, traceparent: str | None, deadline: float) -> Verdict:
        if isinstance(event.data, TermsChanged) and event.data.policy in policies[:2]:
            raise unprocessable("RULES_NOT_ACTIVE", "Activate the next rules: use them.", "/data")
        return await decide(event, traceparent, deadline)

    monkeypatch.setattr(worker.services.fan_out._verdicts, "decide", refusing)  # noqa: SLF001
    for policy in policies:
        await change(worker, policy, maxMachines=5)
    async with fanning_out(worker):
        await all_have_it(worker, policies[2])
        ends = await ledger.ends()
        await asyncio.sleep(0.5)
        assert await ledger.ends() == ends
        assert (await progress_of(worker, policies[0]))["behind"] == 1
    assert [await limit_of(worker, license_) for license_ in issued] == [1, 1, 5]


async def test_it_waits_out_a_log_that_takes_nothing(ledger: LocalLedger, worker: Worker) -> None:
    policy = (await a_policy(worker, maxMachines=1))["id"]
    issued = [await issue(worker, policy) for _ in range(5)]
    await change(worker, policy, maxMachines=5)
    ledger.log.unreachable = True
    async with fanning_out(worker):
        await asyncio.sleep(0.5)
        assert (await progress_of(worker, policy))["behind"] == len(issued)
        ledger.log.unreachable = False
        await all_have_it(worker, policy)


async def test_it_outlives_lost_acknowledgements(ledger: LocalLedger, worker: Worker) -> None:
    policy = (await a_policy(worker, maxMachines=1))["id"]
    issued = [await issue(worker, policy) for _ in range(20)]
    version = await change(worker, policy, maxMachines=5)
    ledger.log.lose_acknowledgements = 3
    async with fanning_out(worker):
        await all_have_it(worker, policy)
    ids = [license_["id"] for license_ in issued]
    assert await changes(ledger, ids) == dict.fromkeys(((id_, version) for id_ in ids), 1)


async def test_it_goes_on_after_whatever_went_wrong(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = (await a_policy(worker, maxMachines=1))["id"]
    await issue(worker, policy)
    await change(worker, policy, maxMachines=5)
    catalog, failures = worker.catalog, [RuntimeError("one"), KeyError("two")]
    policies = catalog.policies

    async def failing() -> object:
        if failures:
            raise failures.pop()
        return await policies()

    monkeypatch.setattr(catalog, "policies", failing)
    async with fanning_out(worker):
        await all_have_it(worker, policy)
    assert failures == []


async def test_it_writes_nothing_while_many_writes_wait(
    ledger: LocalLedger, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan_out, "REST_MAX_S", 0.05)
    policy = (await a_policy(worker, maxMachines=1))["id"]
    await issue(worker, policy)
    await change(worker, policy, maxMachines=5)
    crowd = [
        asyncio.create_task(worker.replicas.passing.passed(0, 10**9, 60))
        for _ in range(fan_out.WAITING_MAX)
    ]
    await asyncio.sleep(0)
    ends = await ledger.ends()
    async with fanning_out(worker):
        await asyncio.sleep(0.5)
        assert await ledger.ends() == ends
        await end(crowd)
        await all_have_it(worker, policy)


@pytest.mark.parametrize(("calm_s", "pace"), [(60.0, "BESIDE_OTHERS"), (0.0, "ALONE")])
async def test_it_makes_few_changes_at_once_beside_others(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, calm_s: float, pace: str
) -> None:
    monkeypatch.setattr(fan_out, "CALM_S", calm_s)
    policy = (await a_policy(worker, maxMachines=1))["id"]
    await asyncio.gather(*(issue(worker, policy) for _ in range(60)))
    await change(worker, policy, maxMachines=5)
    verdicts = worker.services.fan_out._verdicts  # noqa: SLF001 - where it writes
    decide, most, now = verdicts.decide, [0], [0]

    async def counted(event: Event, traceparent: str | None, deadline: float) -> Verdict:
        now[0] += 1
        most[0] = max(most[0], now[0])
        try:
            return await decide(event, traceparent, deadline)
        finally:
            now[0] -= 1

    monkeypatch.setattr(verdicts, "decide", counted)
    async with fanning_out(worker):
        await all_have_it(worker, policy)
    assert most[0] == getattr(fan_out, pace).at_once


async def test_its_own_writes_are_nobody_else_s(worker: Worker) -> None:
    policy = (await a_policy(worker, maxMachines=1))["id"]
    await asyncio.gather(*(issue(worker, policy) for _ in range(30)))
    await change(worker, policy, maxMachines=5)
    begun = worker.services.fan_out._verdicts.begun  # noqa: SLF001 - what it goes by
    async with fanning_out(worker):
        await all_have_it(worker, policy)
    of_others = worker.services.fan_out._others_writes  # noqa: SLF001
    assert of_others == begun == 30


async def test_limits_of_clients_are_none_of_its_own(ledger: LocalLedger) -> None:
    worker = await ledger.worker()
    policy = (await a_policy(worker, maxMachines=1))["id"]
    await asyncio.gather(*(issue(worker, policy) for _ in range(20)))
    await change(worker, policy, maxMachines=5)
    limited = await ledger.worker(LEDGER_API_WRITES_MAX="1", LEDGER_API_TOKEN_PER_MINUTE="1")
    async with fanning_out(limited):
        await all_have_it(worker, policy)


async def test_a_policy_that_is_gone_is_let_go(worker: Worker) -> None:
    policy = (await a_policy(worker, maxMachines=1))["id"]
    await change(worker, policy, maxMachines=5)
    assert (await worker.client.delete(f"/v1/policies/{policy}")).status_code == 204
    other = (await a_policy(worker, maxMachines=1))["id"]
    await issue(worker, other)
    async with fanning_out(worker):
        await change(worker, other, maxMachines=5)
        await all_have_it(worker, other)
