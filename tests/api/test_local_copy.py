"""The copy on the worker's own host: what it answers while no Redis does, and what it doesn't."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import pytest

from api import replicas
from api.replica import Names, Reading, Replica
from projector.views.documents import Head
from tests.api.conftest import LocalLedger, Worker
from tests.api.ordering import meta_of, until

BY_KEY = "/v1/licenses/actions/validate-key"


async def all_away(ledger: LocalLedger, how: str = "freeze") -> None:
    """No Redis and no log any more."""
    ledger.log.unreachable = True
    for server in ledger.servers:
        await asyncio.to_thread(getattr(server, how))


async def cold(ledger: LocalLedger, folder: Path) -> Worker:
    """Start a worker that has seen nothing but the copy."""
    return await ledger.worker(LEDGER_LOCAL_COPY=str(folder))


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """However lately the copy was level, it is too long ago."""
    monkeypatch.setattr(replicas, "FRESH_MS", -1)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long ago the copy was level, it is fresh."""
    monkeypatch.setattr(replicas, "FRESH_MS", 3_600_000)


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_cold_worker_with_all_away_answers_for_every_license(
    ledger: LocalLedger, worker: Worker, tmp_path: Path, how: str
) -> None:
    issued = [await worker.vendor.issue() for _ in range(20)]
    for one in issued:
        assert (await worker.vendor.activate(one["id"], "f")).status_code == 201
    suspended = issued[0]
    path = f"/v1/licenses/{suspended['id']}/actions/suspend"
    assert (await worker.client.post(path)).status_code == 200
    await ledger.copied(tmp_path)
    await all_away(ledger, how)
    alone = await cold(ledger, tmp_path)
    for one in issued:
        meta = await meta_of(alone, one, "f")
        assert meta["code"] == ("SUSPENDED" if one is suspended else "VALID")
        assert meta["source"] == "LOCAL_COPY"
        assert meta["ageMs"] >= 0
    answer = await alone.client.post(f"/v1/licenses/{issued[1]['id']}/actions/validate")
    assert answer.json()["meta"]["code"] == "VALID"
    ready = await alone.stranger.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json()["checks"] is True
    assert ready.json()["writes"] is False
    assert ready.json()["localCopy"]["reachable"] is True


@pytest.mark.usefixtures("old")
async def test_an_old_copy_says_no_no_that_rests_on_absence(
    ledger: LocalLedger, issued: dict[str, Any], tmp_path: Path
) -> None:
    await ledger.copied(tmp_path)
    await all_away(ledger)
    alone = await cold(ledger, tmp_path)
    key = issued["attributes"]["key"]
    for meta in (
        {"key": "nobody's"},
        {"key": key, "scope": {"fingerprint": "another"}},
        {"key": key, "scope": {"entitlements": ["E"]}},
    ):
        answer = await alone.stranger.post(BY_KEY, json={"meta": meta})
        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"] == "1"
    assert (await meta_of(alone, issued))["code"] == "VALID"


@pytest.mark.usefixtures("fresh")
async def test_a_copy_says_no_once_it_was_level_with_no_redis_answering(
    ledger: LocalLedger, issued: dict[str, Any], tmp_path: Path
) -> None:
    await ledger.copied(tmp_path)
    await all_away(ledger)
    alone = await cold(ledger, tmp_path)
    # What was acknowledged after it was level, and before all died, is not in it.
    before = await alone.stranger.post(BY_KEY, json={"meta": {"key": "nobody's"}})
    assert before.status_code == 503
    alone.replicas._alone_since = float("-inf")  # noqa: SLF001 - as if that were long ago
    answer = await alone.stranger.post(BY_KEY, json={"meta": {"key": "nobody's"}})
    assert answer.json()["meta"]["code"] == "NOT_FOUND"
    assert (await meta_of(alone, issued, "another"))["code"] == "FINGERPRINT_SCOPE_MISMATCH"


@pytest.mark.usefixtures("fresh")
async def test_a_copy_that_is_behind_what_the_worker_has_seen_denies_nothing(
    ledger: LocalLedger, issued: dict[str, Any], tmp_path: Path
) -> None:
    await ledger.copied(tmp_path)
    worker = await cold(ledger, tmp_path)
    late = await worker.vendor.issue()
    assert (await worker.vendor.activate(issued["id"], "late")).status_code == 201
    await all_away(ledger)
    assert (await meta_of(worker, issued))["source"] == "LOCAL_COPY"
    for key, scope in (
        (late["attributes"]["key"], {}),
        (issued["attributes"]["key"], {"fingerprint": "late"}),
    ):
        answer = await worker.stranger.post(BY_KEY, json={"meta": {"key": key, "scope": scope}})
        assert answer.status_code == 503, answer.text


async def test_a_redis_that_came_back_behind_the_copy_denies_nothing(
    ledger: LocalLedger, issued: dict[str, Any], tmp_path: Path
) -> None:
    """What was acknowledged just before all died may be in the copy, and in no Redis that is back.

    This worker need not have seen it there: it was told to another one.
    """
    await ledger.copied(tmp_path)
    worker = await cold(ledger, tmp_path)
    await until(lambda: worker.replicas.standings[0].serving == 4, what="A in service")
    ledger.log.unreachable = True
    for standing in worker.replicas.standings:
        standing.leave(standing.places)
    key = issued["attributes"]["key"]
    absent = {"key": key, "scope": {"fingerprint": "another"}}
    answer = await worker.stranger.post(BY_KEY, json={"meta": absent})
    assert answer.json()["meta"]["code"] == "FINGERPRINT_SCOPE_MISMATCH", answer.text
    copy = worker.replicas.local_copy
    assert copy is not None
    partition = worker.replicas.partition_of(issued["id"])
    copy.note_read(partition, Head(position=copy.highest(partition) + 1))
    answer = await worker.stranger.post(BY_KEY, json={"meta": absent})
    assert answer.status_code == 503, answer.text
    assert (await meta_of(worker, issued))["code"] == "VALID"


async def test_it_is_not_asked_while_a_redis_answers(
    ledger: LocalLedger, issued: dict[str, Any], tmp_path: Path
) -> None:
    await ledger.copied(tmp_path)
    worker = await cold(ledger, tmp_path)
    await until(lambda: worker.replicas.standings[0].serving == 4, what="A in service")
    assert (await meta_of(worker, issued))["source"] == "REPLICA_A"
    await asyncio.to_thread(ledger.servers[0].kill)
    assert (await meta_of(worker, issued))["source"] == "REPLICA_B"


async def test_stopped_redis_cost_one_try_each_and_then_none(
    ledger: LocalLedger,
    issued: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await ledger.copied(tmp_path)
    worker = await cold(ledger, tmp_path)
    await all_away(ledger)
    asked: list[str] = []
    tried = replicas.Replicas._try  # noqa: SLF001 - what is counted

    def counted(
        self: replicas.Replicas,
        replica: Replica,
        partition: int,
        names: Names,
        extra: Sequence[str],
    ) -> Awaitable[Reading | None]:
        asked.append(replica.source)
        return tried(self, replica, partition, names, extra)

    monkeypatch.setattr(replicas.Replicas, "_try", counted)
    for _ in range(50):
        assert (await meta_of(worker, issued))["source"] == "LOCAL_COPY"
    for source in ("REPLICA_A", "REPLICA_B"):
        assert asked.count(source) <= 1
    assert asked.count("LOCAL_COPY") >= 50


async def test_a_copy_that_comes_later_is_found(
    ledger: LocalLedger, issued: dict[str, Any], tmp_path: Path
) -> None:
    made, folder = tmp_path / "made", tmp_path / "copy"
    worker = await cold(ledger, folder)
    ready = (await worker.stranger.get("/health/ready")).json()
    assert "local copy: not level, or not there yet" in ready["degraded"]
    await ledger.copied(made)
    shutil.copytree(made, folder)
    copy = worker.replicas.local_copy
    assert copy is not None
    await until(lambda: copy.oldest_ms is not None, what="the copy seen")
    await all_away(ledger)
    assert (await meta_of(worker, issued))["source"] == "LOCAL_COPY"
