"""Many checks in one request: each as a single one, and one that can't be told spoils no other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from api.checking_many import AT_ONCE, PART_MAX, WAITING_MAX
from api.redis_link import Link
from api.redis_reads import Reads
from projector.read_model.asked import SharedReads, Values
from tests.api.conftest import LocalLedger, Worker
from tests.api.ordering import until
from tests.api.test_noticing import attributes_of, listening
from tests.api.test_trouble import all_serve, set_back

__all__ = ["set_back"]

MANY = "/v1/licenses/actions/validate-many"
UNKNOWN = {"key": "nobody's"}
Entry = dict[str, Any]


async def ask(worker: Worker, checks: Sequence[Entry], **headers: str) -> httpx.Response:
    return await worker.client.post(MANY, json={"meta": {"checks": checks}}, headers=headers)


async def told(worker: Worker, checks: Sequence[Entry], **headers: str) -> list[Entry]:
    """Attributes of each answer, in their order."""
    answer = await ask(worker, checks, **headers)
    assert answer.status_code == 200, answer.text
    entries = answer.json()["data"]
    assert {entry["type"] for entry in entries} == {"validations"}
    return [entry["attributes"] for entry in entries]


async def codes(worker: Worker, checks: Sequence[Entry], **headers: str) -> list[str]:
    return [each["code"] for each in await told(worker, checks, **headers)]


def by_key(license_: dict[str, Any], **scope: object) -> Entry:
    return {"key": license_["attributes"]["key"], **({"scope": scope} if scope else {})}


def by_id(license_: dict[str, Any], **scope: object) -> Entry:
    return {"id": license_["id"], **({"scope": scope} if scope else {})}


async def figure(worker: Worker, code: str, source: str) -> float:
    page = (await worker.stranger.get("/metrics")).text
    name = f'ledger_api_checks_total{{code="{code}",source="{source}"}} '
    return sum(float(line[len(name) :]) for line in page.split("\n") if line.startswith(name))


@pytest.mark.parametrize("prefix", ["/v1", "/v1/accounts/demo"])
async def test_each_is_answered_in_its_place(
    worker: Worker, issued: dict[str, Any], prefix: str
) -> None:
    await all_serve(worker)
    upper = {"id": issued["id"].upper()}
    checks = [by_key(issued), UNKNOWN, by_id(issued, fingerprint="other"), upper, by_key(issued)]
    answer = await worker.client.post(
        f"{prefix}/licenses/actions/validate-many", json={"meta": {"checks": checks}}
    )
    document = answer.json()
    assert document.keys() == {"meta", "data"}
    assert document["meta"].keys() == {"ts"}
    said = [entry["attributes"] for entry in document["data"]]
    assert [each["code"] for each in said] == [
        *("VALID", "NOT_FOUND", "FINGERPRINT_SCOPE_MISMATCH", "VALID", "VALID")
    ]
    assert [each["valid"] for each in said] == [True, False, False, True, True]
    assert [each["license"] for each in said] == [
        None if each["code"] == "NOT_FOUND" else issued["id"] for each in said
    ]
    partition = worker.replicas.partition_of(issued["id"])
    for each in said:
        assert each["source"] == "REPLICA_A"
        assert 0 <= each["ageMs"] < 60_000
        assert each["position"].startswith(worker.catalog.ledger + ":")
        if each["license"]:
            assert each["position"].startswith(f"{worker.catalog.ledger}:{partition}.")
    assert issued["attributes"]["key"] not in answer.text


async def test_a_thousand_are_answered_and_counted_by_their_code(worker: Worker) -> None:
    issued = [await worker.vendor.issue() for _ in range(10)]
    checks = [by_key(issued[n % 10]) if n % 2 else {"key": f"number {n}"} for n in range(1000)]
    assert len(json.dumps(checks)) < 64 * 1024
    long = {"fingerprints": ["f" * 200]}
    body = json.dumps({"meta": {"checks": [{**each, "scope": long} for each in checks]}})
    assert len(body) > 64 * 1024
    before = await figure(worker, "NOT_FOUND", "REPLICA_A")
    answer = await worker.client.post(MANY, content=body)
    said = [entry["attributes"] for entry in answer.json()["data"]]
    expected = ["NO_MACHINES" if n % 2 else "NOT_FOUND" for n in range(1000)]
    assert [each["code"] for each in said] == expected
    assert await figure(worker, "NOT_FOUND", "REPLICA_A") == before + 500


REFUSED: dict[str, tuple[Any, int, str, str]] = {
    "none": ([], 400, "CHECKS_MISSING", "/meta/checks"),
    "too many": ([UNKNOWN] * 1001, 400, "TOO_MANY_CHECKS", "/meta/checks"),
    "no list": ({}, 400, "VALUE_INVALID", "/meta/checks"),
    "neither": ([UNKNOWN, {}], 400, "KEY_OR_ID", "/meta/checks/1"),
    "both": ([{"key": "k", "id": "0" * 36}], 400, "KEY_OR_ID", "/meta/checks/0"),
    "no id": ([UNKNOWN, {"id": "nobody"}], 400, "VALUE_INVALID", "/meta/checks/1/id"),
    "a long key": ([UNKNOWN, {"key": "ü" * 257}], 400, "VALUE_TOO_LONG", "/meta/checks/1/key"),
    "a nonce": ([{"key": "k", "nonce": 1}], 400, "MEMBER_UNKNOWN", "/meta/checks/0/nonce"),
    "fingerprints": (
        [UNKNOWN, {"key": "k", "scope": {"fingerprints": ["f"] * 21}}],
        *(400, "TOO_MANY_FINGERPRINTS", "/meta/checks/1/scope/fingerprints"),
    ),
    "a long fingerprint": (
        [{"key": "k", "scope": {"fingerprint": "f" * 513}}],
        *(400, "VALUE_TOO_LONG", "/meta/checks/0/scope"),
    ),
    "entitlements": (
        [UNKNOWN, {"key": "k", "scope": {"entitlements": ["E"] * 101}}],
        *(400, "TOO_MANY_ENTITLEMENTS", "/meta/checks/1/scope/entitlements"),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_not_of_the_form_is_refused_where_it_stands(
    worker: Worker, what: str
) -> None:
    checks, status, code, at = REFUSED[what]
    answer = await ask(worker, checks)
    [error] = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["source"] == {"pointer": at}


async def test_the_largest_key_and_fingerprint_fit_a_thousand_times(worker: Worker) -> None:
    largest = {"key": "k" * 512, "scope": {"fingerprint": "f" * 512}}
    assert await codes(worker, [largest] * 1000) == ["NOT_FOUND"] * 1000
    content = b" " * (1000 * 2048 + 1)
    answer = await worker.client.post(MANY, content=content)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "BODY_TOO_LARGE")
    answer = await worker.client.post(MANY[:-4] + "key", content=b" " * (64 * 1024 + 1))
    assert answer.status_code == 413


async def test_each_counts_for_who_asks(ledger: LocalLedger) -> None:
    worker = await ledger.worker(LEDGER_API_TOKEN_PER_MINUTE="7")
    assert (await ask(worker, [UNKNOWN] * 4)).status_code == 200
    assert (await ask(worker, [UNKNOWN] * 3)).status_code == 200
    refused = await ask(worker, [UNKNOWN])
    assert refused.status_code == 429
    assert refused.headers["x-ratelimit-count"] == "8"
    other = await ledger.worker(LEDGER_API_TOKEN_PER_MINUTE="7")
    assert (await ask(other, [UNKNOWN] * 8)).status_code == 429


async def test_a_small_request_reads_once(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = [await worker.vendor.issue() for _ in range(12)]
    for one in issued:
        await worker.vendor.activate(one["id"], "f")
    await all_serve(worker)
    assert len({worker.replicas.partition_of(one["id"]) for one in issued}) > 1
    reads = _count_reads(monkeypatch)
    checks = [by_id(one, fingerprint="f") for one in issued * 4]
    assert await codes(worker, checks) == ["VALID"] * 48
    assert len(reads) == 1
    # A denial that rests on absence is looked for again, on both; the others are not.
    assert await codes(worker, [*checks, UNKNOWN]) == [*["VALID"] * 48, "NOT_FOUND"]
    assert len(reads) == 1 + 3
    assert reads[2:] == [3, 3]


async def test_a_large_one_is_made_in_parts_between_which_others_come(
    worker: Worker, issued: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await all_serve(worker)
    reads = _count_reads(monkeypatch)
    checks = [
        by_id(issued, fingerprints=[*(f"{place}-{n}" for n in range(19)), "f"])
        for place in range(100)
    ]
    assert await codes(worker, checks) == ["VALID"] * 100
    assert len(reads) == -(-100 // -(-PART_MAX // 21))
    assert max(reads) < PART_MAX + 21 + 2


async def test_few_are_worked_on_at_once_and_too_many_are_refused(
    worker: Worker, issued: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await all_serve(worker)
    held, at_work, most = asyncio.Event(), 0, 0
    read = Link.read

    async def slow(link: Link, names: Sequence[str]) -> Values:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await held.wait()
        at_work -= 1
        return await read(link, names)

    with monkeypatch.context() as patched:
        patched.setattr(Link, "read", slow)
        asking = [asyncio.create_task(ask(worker, [by_id(issued)])) for _ in range(WAITING_MAX)]
        await until(lambda: at_work == AT_ONCE, what="some at work")
        crowd = worker.services.many_checker.crowd
        await until(lambda: not crowd.has_room, what="as many as may be")
        refused = await ask(worker, [by_id(issued)])
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        held.set()
        answers = await asyncio.gather(*asking)
    assert {each.status_code for each in answers} == {200}
    assert most == AT_ONCE
    assert (await ask(worker, [by_id(issued)])).status_code == 200


def _count_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Names of each read of a Redis from now on."""
    reads: list[int] = []
    gathered = Reads._batch  # noqa: SLF001 - what is counted

    def counted(asked: Reads) -> SharedReads:
        batch = gathered(asked)
        reads.extend([len(batch.names)] if batch.reads else [])
        return batch

    monkeypatch.setattr(Reads, "_batch", counted)
    return reads


async def test_a_replica_that_stands_still_denies_nothing(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    """Another worker waited for B alone; this one reads A, which has not folded it yet."""
    other = await ledger.worker()
    new = await worker.vendor.issue()
    await all_serve(other)
    ledger.followers[0].still = True
    assert (await worker.vendor.activate(new["id"], "late")).status_code == 201
    said = await told(other, [by_key(issued, fingerprint="f"), by_key(new, fingerprint="late")])
    assert [each["code"] for each in said] == ["VALID", "VALID"]
    assert said[1]["source"] == "REPLICA_B"


async def test_a_replica_that_went_back_tells_nothing_at_once(
    worker: Worker, set_back: dict[str, Any]
) -> None:
    for _ in range(3):
        said = await told(worker, [by_key(set_back), by_key(set_back, fingerprint="new")])
        assert [(each["code"], each["source"]) for each in said] == [("VALID", "REPLICA_B")] * 2


async def test_what_can_t_be_told_is_told_as_that_and_the_others_are_answered(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    """A is set back to before the activation, and B, which knows of it, dies."""
    await all_serve(worker)
    ledger.followers[0].still = True
    assert (await worker.vendor.activate(issued["id"], "late")).status_code == 201
    ledger.servers[1].kill()
    checks = [by_key(issued), by_key(issued, fingerprint="late"), by_key(issued, fingerprint="f")]
    said = await told(worker, [*checks, {"id": issued["id"], "scope": {"product": "another"}}])
    assert [each["code"] for each in said] == [
        *("VALID", "UNAVAILABLE", "VALID", "PRODUCT_SCOPE_MISMATCH")
    ]
    untold = said[1]
    assert untold.keys() == said[0].keys()
    assert [untold[name] for name in ("valid", "license", "position", "ageMs", "source")] == (
        [None] * 5
    )
    assert await figure(worker, "UNAVAILABLE", "NONE") == 1


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_with_one_replica_gone_the_other_answers_and_with_both_nothing_is_denied(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any], how: str
) -> None:
    await all_serve(worker)
    await asyncio.to_thread(getattr(ledger.servers[0], how))
    checks = [by_key(issued, fingerprint="f"), UNKNOWN, by_id(issued)]
    for _ in range(2):
        said = await told(worker, checks)
        assert [each["code"] for each in said] == ["VALID", "NOT_FOUND", "VALID"]
        assert {each["source"] for each in said} == {"REPLICA_B"}
    await asyncio.to_thread(getattr(ledger.servers[1], how))
    assert await codes(worker, checks) == ["UNAVAILABLE"] * 3


async def test_with_all_away_the_local_copy_answers(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any], tmp_path: Path
) -> None:
    others = [await worker.vendor.issue() for _ in range(8)]
    await ledger.copied(tmp_path)
    for server in ledger.servers:
        await asyncio.to_thread(server.kill)
    alone = await ledger.worker(LEDGER_LOCAL_COPY=str(tmp_path))
    said = await told(alone, [*map(by_key, (issued, *others)), UNKNOWN])
    assert [each["code"] for each in said] == [*["VALID"] * 9, "UNAVAILABLE"]
    assert {each["source"] for each in said[:-1]} == {"LOCAL_COPY"}


async def test_another_generation_that_serves_is_read(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    await all_serve(worker)
    partition = worker.replicas.partition_of(issued["id"])
    with Redis(port=ledger.servers[0].port, socket_timeout=5) as client:
        client.set(f"{{p{partition:02d}}}:serving", "2")
        said = await told(worker, [by_key(issued)])
        assert [(each["code"], each["source"]) for each in said] == [("VALID", "REPLICA_B")]


async def test_a_position_that_is_asked_for_is_waited_for_where_it_matters(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    others = [await worker.vendor.issue() for _ in range(12)]
    partition = worker.replicas.partition_of(issued["id"])
    elsewhere = next(one for one in others if worker.replicas.partition_of(one["id"]) != partition)
    end = (await ledger.ends())[partition]
    at_least = {"Ledger-At-Least": f"{ledger.first.ledger}:{partition}.{end}"}
    late = [by_key(issued, fingerprint="late"), by_key(elsewhere), by_id(issued)]
    # What is granted is not told from a state that lacks it, either.
    assert await codes(worker, late, **at_least) == ["UNAVAILABLE", "VALID", "UNAVAILABLE"]
    waiting = asyncio.create_task(codes(worker, late, **at_least))
    assert (await worker.vendor.activate(issued["id"], "late")).status_code == 201
    assert await waiting == ["VALID"] * 3
    bad = await ask(worker, late, **{"Ledger-At-Least": "7"})
    assert bad.json()["errors"][0]["code"] == "POSITION_INVALID"


async def test_it_is_noticed_as_single_checks_are(worker: Worker) -> None:
    issued = [await worker.vendor.issue() for _ in range(3)]
    async with listening(worker):
        assert await codes(worker, [by_key(one) for one in issued[:2]]) == ["VALID"] * 2

        async def noticed() -> bool:
            attributes = [await attributes_of(worker, one) for one in issued]
            return [bool(each["lastValidated"]) for each in attributes] == [True, True, False]

        await until(noticed, what="two noticed")
