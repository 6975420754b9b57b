"""`Prefer: respond-async`: 202 with the URL of the verdict, for what isn't decided in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.event_log.port import Topic
from tests.api.conftest import LocalLedger, Worker
from tests.api.desk import Desk
from tests.api.ordering import until
from tests.vendor import license_body, machine_body, resource_body

ASYNC = {"Prefer": "respond-async"}
ELSEWHERE = "5f1c3a52-6d0b-5e0c-9a54-2f3a8c1d7e01"


class Still:
    """Holds all that folds still; meanwhile nobody waits long for a verdict."""

    def __init__(self, ledger: LocalLedger) -> None:
        self._followers = ledger.followers
        self._patience = pytest.MonkeyPatch()

    async def hold(self) -> None:
        for follower in self._followers:
            await follower.hold_still()
        self._patience.setattr("api.commands.DECIDED_S", 0.2)
        self._patience.setattr("api.catalog.commands.DECIDED_S", 0.2)

    def go_on(self) -> None:
        self._patience.undo()
        for follower in self._followers:
            follower.still = False


@pytest.fixture
def still(ledger: LocalLedger) -> Iterator[Still]:
    made = Still(ledger)
    yield made
    made.go_on()


@pytest.fixture
async def held(still: Still, issued: dict[str, Any]) -> dict[str, Any]:
    """An issued license of a ledger whose replicas fold nothing more."""
    await still.hold()
    return issued


async def activated(
    worker: Worker, license_: str, fingerprint: str, key: str = "key", **headers: str
) -> httpx.Response:
    body = machine_body(license_, fingerprint)
    named = {"Idempotency-Key": key, **ASYNC, **headers}
    return await worker.client.post("/v1/machines", json=body, headers=named)


async def decided(worker: Worker, url: str) -> dict[str, Any]:
    """The command at this URL once it is decided."""
    found: dict[str, Any] = {}

    async def look() -> bool:
        answer = await worker.client.get(url)
        assert answer.status_code == 200, answer.text
        found.update(answer.json()["data"])
        return bool(found["attributes"]["status"] != "pending")

    await until(look, what="its verdict")
    return found


async def test_pending_then_granted(
    still: Still, ledger: LocalLedger, worker: Worker, held: dict[str, Any]
) -> None:
    answer = await activated(worker, held["id"], "late")
    assert answer.status_code == 202, answer.text
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["retry-after"] == "1"
    url = answer.headers["location"]
    pending = answer.json()["data"]
    assert pending["type"] == "commands"
    assert pending["links"]["self"] == url
    assert pending["relationships"]["license"]["data"]["id"] == held["id"]
    assert pending["attributes"] == {
        "status": "pending",
        "code": None,
        "position": answer.headers["ledger-position"],
        "decided": None,
        "seats": None,
    }
    assert pending["id"] in url

    # The same of any worker, and at the other form of the URL.
    asked = await (await ledger.worker()).client.get(url)
    assert asked.json()["data"] == pending
    assert asked.headers["retry-after"] == "1"
    short = url.replace(f"/accounts/{pending['relationships']['account']['data']['id']}", "")
    assert (await worker.client.get(short)).json()["data"] == pending

    still.go_on()
    command = await decided(worker, url)
    attributes = command["attributes"]
    assert (attributes["status"], attributes["code"]) == ("granted", "granted")
    assert attributes["position"] == answer.headers["ledger-position"]
    assert attributes["seats"] == {"used": 2, "limit": 50}
    machine = (await worker.client.get(command["links"]["related"])).json()["data"]
    assert machine["attributes"]["fingerprint"] == "late"
    # What was preferred then is not preferred now: it is the answer as ever.
    repeated = await activated(worker, held["id"], "late")
    assert repeated.status_code == 201
    assert "preference-applied" not in repeated.headers
    assert repeated.json()["data"]["id"] == machine["id"]


async def test_pending_then_refused(still: Still, worker: Worker, issued: dict[str, Any]) -> None:
    full = await worker.vendor.issue(maxMachines=1)
    await worker.vendor.activate(full["id"], "first")
    await still.hold()
    answer = await activated(worker, full["id"], "second")
    assert answer.status_code == 202
    still.go_on()
    command = await decided(worker, answer.headers["location"])
    attributes = command["attributes"]
    assert (attributes["status"], attributes["code"]) == ("refused", "machine-limit-exceeded")
    assert attributes["seats"] == {"used": 1, "limit": 1}
    assert command["links"]["related"].endswith(f"/licenses/{full['id']}")


async def test_repeated_it_is_the_same_command_and_counts_once(
    still: Still, worker: Worker, held: dict[str, Any]
) -> None:
    first, again = [await activated(worker, held["id"], "late") for _ in range(2)]
    assert first.json()["data"]["id"] == again.json()["data"]["id"]
    other = await activated(worker, held["id"], "late", key="another")
    assert other.json()["data"]["id"] != first.json()["data"]["id"]
    still.go_on()
    one, same = [await decided(worker, each.headers["location"]) for each in (first, again)]
    assert one["attributes"] == same["attributes"]
    # Its verdict is the first one's, whichever of the two URLs is asked.
    assert one["attributes"]["position"] == first.headers["ledger-position"]
    refused = await decided(worker, other.headers["location"])
    assert refused["attributes"]["code"] == "already-held"
    seats = (await worker.vendor.license(held["id"]))["attributes"]["seats"]
    assert seats["used"] == 2


async def test_a_key_used_for_another_request_is_told_of_that_one(
    still: Still, worker: Worker, held: dict[str, Any]
) -> None:
    first = await activated(worker, held["id"], "one")
    other = await activated(worker, held["id"], "two")
    assert other.status_code == 202
    assert first.json()["data"]["id"] == other.json()["data"]["id"]
    still.go_on()
    assert (await decided(worker, first.headers["location"]))["attributes"]["status"] == "granted"
    attributes = (await decided(worker, other.headers["location"]))["attributes"]
    assert (attributes["status"], attributes["code"]) == ("refused", "idempotency-mismatch")
    assert attributes["position"] == other.headers["ledger-position"]


async def test_who_does_not_ask_for_it_is_answered_503(
    worker: Worker, held: dict[str, Any]
) -> None:
    for prefer in ({}, {"Prefer": "return=minimal"}, {"Prefer": "respond-async=no"}):
        body = machine_body(held["id"], "late")
        headers = {"Idempotency-Key": "key", **prefer}
        answer = await worker.client.post("/v1/machines", json=body, headers=headers)
        assert answer.status_code == 503
        assert answer.json()["errors"][0]["code"] == "VERDICT_PENDING"
        assert answer.json()["meta"]["outcome"] == "pending"
        assert "location" not in answer.headers


async def test_every_write_to_a_license_may_be_answered_so(
    still: Still, worker: Worker, issued: dict[str, Any]
) -> None:
    desk, path = Desk(worker), f"/v1/licenses/{issued['id']}"
    other = await desk.policy(duration=86_400)
    [machine] = (await worker.client.get(f"{path}/machines")).json()["data"]
    entitlement = await worker.client.post(
        "/v1/entitlements", json=resource_body("entitlements", {"name": "e", "code": "E"})
    )
    linked = {"data": [{"type": "entitlements", "id": entitlement.json()["data"]["id"]}]}
    asks = [
        ("POST", "/v1/licenses", license_body(worker.catalog.policy, key="A-KEY-OF-ONES-OWN")),
        ("PATCH", f"/v1/machines/{machine['id']}", resource_body("machines", {"name": "n"})),
        ("POST", f"{path}/actions/increment-usage", None),
        ("PATCH", path, resource_body("licenses", {"name": "n"})),
        ("POST", f"{path}/entitlements", linked),
        ("PUT", f"{path}/policy", {"data": {"type": "policies", "id": other}}),
        ("POST", f"{path}/actions/renew", None),
        ("DELETE", f"/v1/machines/{machine['id']}", None),
        ("POST", f"{path}/actions/suspend", None),
        ("DELETE", path, None),
    ]
    await still.hold()
    answers = await asyncio.gather(
        *(
            worker.client.request(method, where, json=body, headers=ASYNC)
            for method, where, body in asks
        )
    )
    assert [answer.status_code for answer in answers] == [202] * len(asks)
    still.go_on()
    for answer in answers:
        command = await decided(worker, answer.headers["location"])
        assert command["attributes"]["status"] in {"granted", "refused"}
    issued_one = await decided(worker, answers[0].headers["location"])
    found = (await worker.client.get(issued_one["links"]["related"])).json()["data"]
    assert found["attributes"]["key"] == "A-KEY-OF-ONES-OWN"


async def test_the_catalog_s_writes_are_503_as_ever(worker: Worker, held: dict[str, Any]) -> None:
    body = resource_body("products", {"name": "p"})
    answer = await worker.client.post("/v1/products", json=body, headers=ASYNC)
    assert answer.status_code == 503
    assert answer.json()["errors"][0]["code"] == "VERDICT_PENDING"


async def test_nothing_is_promised_of_what_is_not_in_the_log(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    ledger.log.unreachable = True
    answer = await activated(worker, issued["id"], "late")
    assert answer.status_code == 503
    assert answer.json()["errors"][0]["code"] == "LOG_UNAVAILABLE"
    assert "location" not in answer.headers


async def test_without_any_redis_it_is_decided_when_one_is_back(
    ledger: LocalLedger, tmp_path: Path, worker: Worker, issued: dict[str, Any]
) -> None:
    copied = await without_redis(ledger, tmp_path)
    answer = await activated(copied, issued["id"], "late")
    assert answer.status_code == 202
    # This host's copy is behind, so it doesn't know of it, and says no "no".
    pending = await copied.client.get(answer.headers["location"])
    assert pending.json()["data"]["attributes"]["status"] == "pending"
    assert pending.headers["ledger-source"] == "LOCAL_COPY"
    for server in ledger.servers:
        await asyncio.to_thread(server.start)
    command = await decided(copied, answer.headers["location"])
    assert command["attributes"]["status"] == "granted"


async def test_without_any_redis_for_long_no_clock_is_trusted_and_nothing_is_written(
    ledger: LocalLedger,
    tmp_path: Path,
    worker: Worker,
    issued: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copied = await without_redis(ledger, tmp_path)
    before = await ledger.ends()
    monkeypatch.setattr("api.standing.CLOCK_KEPT_S", 0)
    answer = await activated(copied, issued["id"], "late")
    assert answer.status_code == 503
    assert answer.json()["errors"][0]["code"] == "CLOCK_UNSURE"
    assert await ledger.ends() == before


async def without_redis(ledger: LocalLedger, folder: Path) -> Worker:
    """A worker with a copy of what there is, and no Redis any more."""
    await ledger.copied(folder / "copy")
    copied = await ledger.worker(LEDGER_LOCAL_COPY=str(folder / "copy"))
    for server in ledger.servers:
        await asyncio.to_thread(server.kill)
    await until(lambda: _all_lost(copied), what="the loss of every Redis")
    return copied


async def _all_lost(worker: Worker) -> bool:
    return not any(standing.reachable for standing in worker.replicas.standings)


async def test_a_command_that_is_not_remembered_or_somebody_else_s_is_not_there(
    still: Still, worker: Worker, held: dict[str, Any]
) -> None:
    answer = await activated(worker, held["id"], "late")
    url, id_ = answer.headers["location"], answer.json()["data"]["id"]
    account = resource_body("accounts", {"slug": "globex"})
    still.go_on()
    await decided(worker, url)
    assert (await worker.client.post("/v1/accounts", json=account)).status_code == 201
    own = answer.json()["data"]["relationships"]["account"]["data"]["id"]
    unknown = url.replace(id_, "0" * 8 + id_[8:])
    elsewhere = url.replace(own, "globex")
    for where in (unknown, elsewhere, url.replace(id_, "7")):
        found = await worker.client.get(where)
        assert (found.status_code, found.json()["errors"][0]["code"]) == (404, "NOT_FOUND")
    assert (await worker.stranger.get(url)).status_code == 401


async def test_who_else_there_is_can_not_be_told_from_what_is_pending(
    worker: Worker, held: dict[str, Any]
) -> None:
    answer = await activated(worker, held["id"], "late")
    url = answer.headers["location"]
    partition = worker.replicas.partition_of(held["id"])
    nobody = held["id"][:1].translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
    other = url.replace(held["id"], nobody + held["id"][1:])
    assert worker.replicas.partition_of(nobody + held["id"][1:]) == partition
    said = (await worker.client.get(other)).json()["data"]["attributes"]
    assert said == answer.json()["data"]["attributes"]


@pytest.mark.parametrize(
    ("old", "new", "code", "parameter"),
    [
        ("position=", "positions=", "POSITION_INVALID", "position"),
        ("content=", "contents=", "PARAMETER_INVALID", "content"),
        ("content=", "content=x", "PARAMETER_INVALID", "content"),
        (
            "{ledger}",
            "5f1c3a52-6d0b-5e0c-9a54-2f3a8c1d7e01",
            "POSITION_OF_ANOTHER_LEDGER",
            "position",
        ),
        (":{partition}.", ":{other}.", "POSITION_INVALID", "position"),
    ],
)
async def test_a_url_that_no_answer_named_is_refused_by_the_part(
    worker: Worker, held: dict[str, Any], old: str, new: str, code: str, parameter: str
) -> None:
    url = (await activated(worker, held["id"], "late")).headers["location"]
    partition = worker.replicas.partition_of(held["id"])
    parts = {
        "ledger": worker.catalog.ledger,
        "partition": partition,
        "other": (partition + 1) % 4,
    }
    whole = url.replace(old.format(**parts), new.format(**parts))
    assert whole != url
    answer = await worker.client.get(whole)
    assert answer.status_code == 400
    error = answer.json()["errors"][0]
    assert (error["code"], error["source"]) == (code, {"parameter": parameter})


async def test_a_frozen_license_s_commands_are_neither_decided_nor_forgotten(
    still: Still, ledger: LocalLedger, worker: Worker, held: dict[str, Any]
) -> None:
    partition = worker.replicas.partition_of(held["id"])
    await ledger.log.append(
        Topic.LICENSE_EVENTS, partition, key=held["id"].encode(), value=b"poison"
    )
    answer = await activated(worker, held["id"], "late")
    assert answer.status_code == 202
    still.go_on()

    async def frozen() -> bool:
        found = await worker.client.get(answer.headers["location"])
        return found.status_code == 503 and (found.json()["errors"][0]["code"] == "LICENSE_FROZEN")

    await until(frozen, what="the frozen license")
