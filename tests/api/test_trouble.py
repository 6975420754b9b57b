"""What breaks, really: Redis killed, frozen, emptied, set back; projectors still; the log away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis import Redis

from api.clock import Clock
from api.problems import Problem
from projector.read_model import keys
from projector.read_model.keys import Keys
from tests.api.conftest import PARTITIONS, LocalLedger, Worker
from tests.api.ordering import meta_of, until
from tests.vendor import license_body, machine_body

BY_KEY = "/v1/licenses/actions/validate-key"


def serving(worker: Worker, name: str) -> int:
    [standing] = [each for each in worker.replicas.standings if each.name == name]
    return standing.serving


async def all_serve(worker: Worker) -> None:
    await until(
        lambda: all(each.serving == each.partitions for each in worker.replicas.standings),
        what="both replicas in service",
    )


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_without_a_the_answers_come_from_b_and_a_comes_back(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any], how: str
) -> None:
    await all_serve(worker)
    first = ledger.servers[0]
    await asyncio.to_thread(getattr(first, how))
    for _ in range(3):
        meta = await meta_of(worker, issued)
        assert (meta["code"], meta["source"]) == ("VALID", "REPLICA_B")
    answer = await worker.vendor.activate(issued["id"], "while A is away")
    assert answer.status_code == 201
    assert (await worker.client.delete("/v1/machines/f")).status_code == 204
    assert (await meta_of(worker, issued))["code"] == "FINGERPRINT_SCOPE_MISMATCH"
    ready = (await worker.stranger.get("/health/ready")).json()
    assert ready["checks"] is True
    assert ready["degraded"] == ["replica A: does not answer"]
    await asyncio.to_thread(first.thaw if how == "freeze" else first.start)
    await all_serve(worker)
    assert (await meta_of(worker, issued))["source"] == "REPLICA_A"
    assert (await meta_of(worker, issued, "while A is away"))["code"] == "VALID"


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_write_in_the_moment_that_a_replica_dies_is_decided(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any], how: str, which: int
) -> None:
    await all_serve(worker)
    getattr(ledger.servers[which], how)()
    body = machine_body(issued["id"], "in that moment")
    answer = await worker.client.post("/v1/machines", json=body)
    assert answer.status_code == 201, answer.text
    meta = await meta_of(worker, issued, "in that moment")
    assert (meta["code"], meta["source"]) == ("VALID", f"REPLICA_{'BA'[which]}")


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_without_any_replica_nothing_is_said_about_a_license(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any], how: str
) -> None:
    for server in ledger.servers:
        await asyncio.to_thread(getattr(server, how))
    before = await ledger.ends()
    requests = [
        ("POST", BY_KEY, {"meta": {"key": issued["attributes"]["key"]}}),
        ("POST", BY_KEY, {"meta": {"key": "nobody's"}}),
        ("GET", f"/v1/licenses/{issued['id']}", None),
        ("POST", f"/v1/licenses/{issued['id']}/actions/validate", {}),
        ("POST", "/v1/machines", machine_body(issued["id"], "g")),
        ("DELETE", "/v1/machines/f", None),
        ("POST", "/v1/licenses", license_body(worker.catalog.policy)),
    ]
    for method, path, body in requests:
        answer = await worker.client.request(method, path, json=body)
        assert answer.status_code == 503, path
        assert answer.json()["errors"][0]["code"] == "UNAVAILABLE"
        assert answer.headers["retry-after"] == "1"
    assert await ledger.ends() == before
    await until(lambda: not any(each.reachable for each in worker.replicas.standings), what="lost")
    assert (await worker.stranger.get("/health/ready")).status_code == 503
    assert (await worker.stranger.get("/health/live")).status_code == 200
    for server in ledger.servers:
        await asyncio.to_thread(server.thaw if how == "freeze" else server.start)
    await all_serve(worker)
    assert (await meta_of(worker, issued))["code"] == "VALID"


async def test_while_the_log_is_away_checks_go_on_and_grow_old(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    ledger.log.unreachable = True
    for path, body in (
        ("/v1/machines", machine_body(issued["id"], "g")),
        ("/v1/licenses", license_body(worker.catalog.policy)),
    ):
        answer = await worker.client.post(path, json=body)
        assert answer.status_code == 503
        assert answer.json()["errors"][0]["code"] == "LOG_UNAVAILABLE"
        assert answer.json()["meta"]["outcome"] == "refused"
        assert answer.headers["retry-after"] == "1"
    assert (await worker.client.delete("/v1/machines/f")).status_code == 503

    async def is_old() -> bool:
        meta = await meta_of(worker, issued)
        assert (meta["code"], meta["source"]) == ("VALID", "REPLICA_A")
        return bool(meta["ageMs"] > 1500)

    await until(is_old, what="an age of more than 1.5 s")
    assert (await worker.stranger.get("/health/ready")).status_code == 200
    ledger.log.unreachable = False
    assert (await worker.vendor.activate(issued["id"], "g")).status_code == 201


async def test_a_projector_that_stands_still_costs_one_wait_and_leaves_service(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    await all_serve(worker)
    ledger.followers[1].still = True
    assert (await worker.vendor.activate(issued["id"], "one")).status_code == 201
    assert serving(worker, "B") == 0
    assert serving(worker, "A") == 4
    assert (await worker.vendor.activate(issued["id"], "two")).status_code == 201
    ledger.followers[1].still = False
    await all_serve(worker)
    ledger.followers[0].still = True
    assert (await worker.vendor.activate(issued["id"], "three")).status_code == 201
    assert serving(worker, "A") == 0
    meta = await meta_of(worker, issued, "three")
    assert (meta["code"], meta["source"]) == ("VALID", "REPLICA_B")


async def test_a_verdict_waits_for_the_slower_replica(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    """Both have folded it when the answer comes, so the next check sees it wherever it asks."""
    await all_serve(worker)
    partition = worker.replicas.partition_of(issued["id"])
    waited_for = 0
    for number in range(10):
        assert (await worker.vendor.activate(issued["id"], f"m{number}")).status_code == 201
        end = (await ledger.ends())[partition]
        for standing in worker.replicas.standings:
            if standing.in_service(partition):
                waited_for += 1
                assert standing.position[partition] == end
    assert waited_for > 10


async def test_where_no_projector_folds_it_is_pending_and_then_settled(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    for follower in ledger.followers:
        follower.still = True
    body = machine_body(issued["id"], "late")
    headers = {"Idempotency-Key": "key"}
    answer = await worker.client.post("/v1/machines", json=body, headers=headers)
    assert answer.status_code == 503
    assert answer.json()["errors"][0]["code"] == "VERDICT_PENDING"
    assert answer.json()["meta"]["outcome"] == "pending"
    assert worker.replicas.passing.waiting == 0
    for follower in ledger.followers:
        follower.still = False
    again = await worker.client.post("/v1/machines", json=body, headers=headers)
    assert again.status_code == 201
    assert (await worker.vendor.license(issued["id"]))["attributes"]["seats"]["used"] == 2


async def test_a_lost_subscription_loses_no_verdict(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    for server in ledger.servers:
        with Redis(port=server.port, socket_timeout=5) as client:
            assert int(client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")) == 1
    assert (await worker.vendor.activate(issued["id"], "g")).status_code == 201

    def subscribed() -> bool:
        counts = []
        for server in ledger.servers:
            with Redis(port=server.port, socket_timeout=5) as client:
                counts.append(len(client.pubsub_channels()))
        return counts == [PARTITIONS + 1] * 2

    await until(subscribed, what="subscribed again")
    assert (await worker.vendor.activate(issued["id"], "h")).status_code == 201


async def test_an_emptied_replica_is_not_asked_what_is_not_there(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    await ledger.followers[0].hold_still()
    with Redis(port=ledger.servers[0].port, socket_timeout=5) as client:
        client.flushall()
    for _ in range(20):
        meta = await meta_of(worker, issued)
        assert (meta["code"], meta["source"]) == ("VALID", "REPLICA_B")
    ledger.servers[1].kill()
    answer = await worker.stranger.post(BY_KEY, json={"meta": {"key": "nobody's"}})
    assert answer.status_code == 503


async def test_a_replica_that_is_filled_again_serves_when_it_is_past_what_was_seen(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    await all_serve(worker)
    await ledger.followers[0].hold_still()
    with Redis(port=ledger.servers[0].port, socket_timeout=5) as client:
        client.flushall()
    await until(lambda: serving(worker, "A") == 0, what="A out of service")
    ledger.followers[0].still = False
    await all_serve(worker)
    meta = await meta_of(worker, issued)
    assert (meta["code"], meta["source"]) == ("VALID", "REPLICA_A")


@pytest.fixture
async def set_back(ledger: LocalLedger, worker: Worker, issued: dict[str, Any]) -> dict[str, Any]:
    """Replica A as it was before the machine "new" was activated; B is there."""
    await all_serve(worker)
    ledger.followers[0].still = True
    port = ledger.servers[0].port
    names = Keys(worker.replicas.partition_of(issued["id"]))
    stored = (names.head, names.license(issued["id"]))
    with Redis(port=port, socket_timeout=5) as client:
        before = client.mget(stored)
        ledger.followers[0].still = False
        machine = (await worker.vendor.activate(issued["id"], "new")).json()["data"]["id"]
        await all_serve(worker)
        ledger.followers[0].still = True
        await asyncio.sleep(0.05)
        client.mset(dict(zip(stored, before, strict=True)))
        client.delete(names.machine(machine))
    return issued


async def test_a_replica_that_went_back_leaves_service(
    worker: Worker, set_back: dict[str, Any]
) -> None:
    for _ in range(5):
        meta = await meta_of(worker, set_back, "new")
        assert (meta["code"], meta["source"]) == ("VALID", "REPLICA_B")
    await until(lambda: serving(worker, "A") == 3, what="A out of service in that partition")


async def test_one_that_went_back_and_is_alone_says_what_is_there_and_never_what_isn_t(
    ledger: LocalLedger, worker: Worker, set_back: dict[str, Any]
) -> None:
    ledger.servers[1].kill()
    meta = await meta_of(worker, set_back, "f")
    assert (meta["code"], meta["source"]) == ("VALID", "REPLICA_A")
    body = {"meta": {"key": set_back["attributes"]["key"], "scope": {"fingerprint": "new"}}}
    answer = await worker.stranger.post(BY_KEY, json=body)
    assert answer.status_code == 503
    assert answer.json()["errors"][0]["code"] == "REPLICA_BEHIND"


async def test_a_denial_is_looked_for_on_the_other_replica(
    ledger: LocalLedger, worker: Worker
) -> None:
    """Another worker waited for B alone; this one asks A first, which has not folded it yet."""
    other = await ledger.worker()
    license_ = await worker.vendor.issue()
    await all_serve(other)
    ledger.followers[0].still = True
    assert (await worker.vendor.activate(license_["id"], "f")).status_code == 201
    meta = await meta_of(other, license_)
    assert (meta["code"], meta["source"]) == ("VALID", "REPLICA_B")
    issued = await worker.vendor.issue()
    read = await other.client.get(f"/v1/licenses/{issued['id']}")
    assert read.status_code == 200
    assert (await other.vendor.activate(issued["id"], "g")).status_code == 201


async def test_another_generation_is_read_when_it_serves(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    """A pointer to a generation that isn't there: that replica has nothing to say."""
    partition = worker.replicas.partition_of(issued["id"])
    with Redis(port=ledger.servers[0].port, socket_timeout=5) as client:
        client.set(keys.serving(partition), "2")
        meta = await meta_of(worker, issued)
        assert (meta["code"], meta["source"]) == ("VALID", "REPLICA_B")
        client.set(keys.serving(partition), "1")
    await all_serve(worker)
    assert (await meta_of(worker, issued))["source"] == "REPLICA_A"


def test_without_another_clock_nothing_is_written() -> None:
    assert not Clock(list).now.may_write
    with pytest.raises(Problem, match="CLOCK_UNSURE"):
        _ = Clock(list).write_ms
    assert Clock(list).check_ms > 0


def test_one_clock_that_is_wrong_decides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    now = Clock(list).check_ms
    years_ahead = now + 400 * 86_400_000
    clock = Clock(lambda: [now, years_ahead])
    assert abs(clock.write_ms - now) < 60_000
    assert "differ" in caplog.text
