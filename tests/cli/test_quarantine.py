"""`ledger quarantine` on a real ledger: two replicas and a local copy, an API, real projectors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from cli.main import app
from cli.patience import patiently
from ledger.domain.identifiers import command_id, partition_of
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Topic
from projector.read_model.keys import Keys
from projector.read_model.lmdb import LmdbReadModel
from projector.views.digests import digests_at
from projector.views.documents import read_head, read_license
from tests.projector.independent import independent_fold, stored_in_redis
from tests.projector.quarantined import uncut
from tests.projector.replica import read_all
from tests.servers import wait_until
from tests.system import System, running
from tests.vendor import Vendor, machine_body

pytestmark = pytest.mark.slow
runner = CliRunner()
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("quarantine"), workers=1, local_copy=True) as system:
        yield system


def invoke(ledger: System, *arguments: str, stdin: str | None = None) -> Result:
    return runner.invoke(app, ["quarantine", *arguments], input=stdin, env=ledger.env)


def listed(ledger: System) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(invoke(ledger, "list", "--json").stdout)
    return found


def issue(ledger: System, **attributes: int) -> dict[str, Any]:
    async def issued() -> dict[str, Any]:
        async with ledger.client() as client:
            return await Vendor([client], ledger.ledger).issue(key=None, **attributes)

    return asyncio.run(issued())


def check(ledger: System, key: str) -> dict[str, Any]:
    async def checked() -> dict[str, Any]:
        async with ledger.client() as client:
            return await Vendor([client], ledger.ledger).check(key)

    return asyncio.run(checked())


def activate(ledger: System, license_: str, fingerprint: str) -> httpx.Response:
    """One try, whatever it is answered."""

    async def activated() -> httpx.Response:
        async with ledger.client() as client:
            return await client.post("/v1/machines", json=machine_body(license_, fingerprint))

    return asyncio.run(activated())


def append(ledger: System, partition: int, key: bytes, value: bytes) -> int:
    async def appended() -> int:
        log = KafkaLog(ledger.settings.kafka)
        try:
            found = await patiently(
                lambda: log.append(Topic.LICENSE_EVENTS, partition, key=key, value=value)
            )
            return found.offset
        finally:
            await log.close()

    return asyncio.run(appended())


def frozen(ledger: System, license_: str) -> list[int | None]:
    """What the license stands before, in A, B and the local copy."""
    name = Keys(partition_of(license_, ledger.settings.partitions)).license(license_)
    documents: list[bytes | None] = []
    for replica in ledger.replicas:
        with Redis.from_url(replica.url, socket_timeout=2) as client:
            found = client.get(name)
            documents.append(found if isinstance(found, bytes) else None)
    documents.append(in_the_copy(ledger, name))
    return [None if one is None else read_license(one).frozen_at for one in documents]


def in_the_copy(ledger: System, name: str) -> bytes | None:
    async def read() -> bytes | None:
        copy = LmdbReadModel(Path(ledger.settings.local_copy))
        try:
            return (await copy.get([name]))[0]
        finally:
            await copy.close()

    return asyncio.run(read())


def assert_all_agree(ledger: System, partition: int, discarded: set[int]) -> None:
    """A and B hold what a fold from the first record holds, and the copy has their digests."""
    ledger.wait_level()
    log = asyncio.run(read_all(ledger.kafka, "license-events", partition))
    expected = uncut(
        independent_fold(
            log, partition, ledger.settings.partitions, ledger.settings.pepper, discarded=discarded
        ),
        partition,
    )
    for replica in ledger.replicas:
        assert uncut(stored_in_redis(replica.url, partition), partition) == expected
    names = Keys(partition)

    def level() -> bool:
        document = in_the_copy(ledger, names.head)
        return document is not None and read_head(document).position == len(log)

    wait_until(level, what="the local copy level", timeout_s=LIMIT_S)
    document = expected[names.digests]
    assert isinstance(document, bytes)
    mine = digests_at(len(log), in_the_copy(ledger, names.digests))
    theirs = digests_at(len(log), document)
    assert mine is not None
    assert theirs is not None
    assert (mine.state, mine.documents) == (theirs.state, theirs.documents)


def test_poison_is_listed_explained_and_discarded(ledger: System) -> None:
    assert "Nothing is set aside" in invoke(ledger, "list").stdout
    license_ = issue(ledger, maxMachines=3)
    id_, key = license_["id"], license_["attributes"]["key"]
    partition = partition_of(id_, ledger.settings.partitions)
    assert activate(ledger, id_, "first").status_code == 201
    secret = b'{"specversion":"1.0","subject":"top secret","data":{"key":"hush"}'
    offset = append(ledger, partition, id_.encode(), secret)
    stray = append(ledger, partition, b"no license", b"?")
    wait_until(
        lambda: frozen(ledger, id_) == [offset] * 3, what="frozen everywhere", timeout_s=LIMIT_S
    )
    # Checks go on, marked; writes are refused.
    checked = check(ledger, key)
    assert checked["meta"]["valid"]
    refused = activate(ledger, id_, "second")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (503, "LICENSE_FROZEN")

    _shown(ledger, id_, key, offset, stray)
    _may_not_be_discarded(ledger, partition, offset)

    stays = invoke(ledger, "retry", id_)
    assert stays.exit_code == 1
    assert f"stays frozen at offset {offset}" in stays.stdout
    everything = invoke(ledger, "retry", "--all", "--json")
    assert everything.exit_code == 1
    told = json.loads(everything.stdout)["replicas"]
    assert [one["frozen"] for one in told] == [{id_: offset}] * 2

    place = f"{partition}:{offset}"
    unsure = invoke(ledger, "discard", place)
    assert unsure.exit_code == 2
    assert "--yes" in unsure.stderr
    assert frozen(ledger, id_) == [offset] * 3
    done = invoke(ledger, "discard", place, "--yes")
    assert done.exit_code == 0, done.output
    assert "is discarded" in done.stdout
    wait_until(lambda: frozen(ledger, id_) == [None] * 3, what="thawed", timeout_s=LIMIT_S)
    again = invoke(ledger, "discard", place, "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["wasDiscarded"]

    assert activate(ledger, id_, "second").status_code == 201
    shown = runner.invoke(app, ["show", id_], env=ledger.env)
    assert "discarded by a person's order" in shown.stdout
    done = invoke(ledger, "discard", f"{partition}:{stray}", "--yes")
    assert done.exit_code == 0, done.output
    assert [one["unroutable"] for one in listed(ledger)["replicas"]] == [[], []]
    assert_all_agree(ledger, partition, {offset, stray})


def _shown(ledger: System, id_: str, key: str, offset: int, stray: int) -> None:
    partition = partition_of(id_, ledger.settings.partitions)
    document = listed(ledger)
    assert document["equal"]
    for one in document["replicas"]:
        [it] = one["frozen"]
        assert (it["license"], it["offset"], it["waiting"]) == (id_, offset, 1)
        assert [each["offset"] for each in one["unroutable"]] == [stray]
    table = invoke(ledger, "list").stdout
    assert f"{partition}:{offset}" in table
    assert id_ in table
    for what in (f"{partition}:{offset}", id_, key):
        told = invoke(ledger, "explain", what)
        assert told.exit_code == 0, told.output
        assert "it can't be decoded: " in told.stdout
        assert f"ledger quarantine discard {partition}:{offset}" in told.stdout
        assert "secret" not in told.stdout
        assert "hush" not in told.stdout
    told = invoke(ledger, "explain", f"{partition}:{stray}", "--json")
    assert "is no license id" in json.loads(told.stdout)["why"]
    assert invoke(ledger, "explain", f"{partition}:0").exit_code == 1


def _may_not_be_discarded(ledger: System, partition: int, offset: int) -> None:
    for place, code, said in (
        (f"{partition}:{offset - 1}", 1, "replica A has no license frozen by it"),
        (f"{partition}:{offset + 900}", 1, "hasn't folded so far"),
        ("4000:1", 2, "no partition 4000"),
        ("nonsense", 2, "PARTITION:OFFSET"),
    ):
        refused = invoke(ledger, "discard", place, "--yes")
        assert refused.exit_code == code, refused.output
        assert said in refused.stderr
    ledger.replicas[1].stop()
    try:
        refused = invoke(ledger, "discard", f"{partition}:{offset}", "--yes")
        assert refused.exit_code == 1
        assert "replica B doesn't answer" in refused.stderr
        assert invoke(ledger, "list").exit_code == 1
    finally:
        ledger.replicas[1].start()


def test_a_newer_release_mends_what_an_older_one_has_frozen(ledger: System) -> None:
    license_ = issue(ledger, maxMachines=3)
    id_ = license_["id"]
    partition = partition_of(id_, ledger.settings.partitions)
    log = asyncio.run(read_all(ledger.kafka, "license-events", partition))
    issued = next(one for one in reversed(log) if one.key == id_.encode())
    event = json.loads(issued.value or b"")
    unknown = command_id(ledger.settings.pepper, ledger.account, "test", id_, "unknown")
    suspended = {
        **event,
        "id": unknown,
        "type": "license.suspended",
        "data": {},
    }
    suspended.pop("policyversion", None)
    older, newer = ledger.projector("B"), ledger.projectors[1]
    older.module = "tests.projector.older_release"
    older.env = {**older.env, "OLDER_CANNOT_FOLD": unknown}
    newer.stop()
    older.start()
    try:
        offset = append(
            ledger, partition, id_.encode(), json.dumps(suspended, sort_keys=True).encode()
        )
        wait_until(
            lambda: frozen(ledger, id_) == [None, offset, None], what="B frozen", timeout_s=LIMIT_S
        )
        document = listed(ledger)
        assert not document["equal"]
        assert "B only" in invoke(ledger, "list").stdout
        explained = json.loads(invoke(ledger, "explain", id_, "--json").stdout)
        assert explained["foldable"]
        assert explained["type"] == "license.suspended"
        refused = invoke(ledger, "discard", f"{partition}:{offset}", "--yes")
        assert refused.exit_code == 1
        assert "replica A has no license frozen by it" in refused.stderr
        _a_rehearsal_names_what_the_newer_release_would_mend(ledger, id_, unknown, offset)
        retried = invoke(ledger, "retry", id_)
        assert retried.exit_code == 1
        assert f"replica A: license {id_} isn't frozen" in retried.stdout
        assert f"replica B: license {id_} stays frozen at offset {offset}" in retried.stdout
    finally:
        older.stop()
        newer.start()
    wait_until(lambda: frozen(ledger, id_) == [None] * 3, what="mended", timeout_s=LIMIT_S)
    retried = invoke(ledger, "retry", "--all")
    assert retried.exit_code == 0, retried.output
    assert_all_agree(ledger, partition, discarded_in(ledger, partition))


def _a_rehearsal_names_what_the_newer_release_would_mend(
    ledger: System, license_: str, command: str, offset: int
) -> None:
    same = runner.invoke(app, ["rehearse"], env=ledger.env)
    assert same.exit_code == 0, same.output + same.stderr
    only = {**ledger.env, "LEDGER_REPLICAS": ledger.replicas[1].url}
    found = runner.invoke(app, ["rehearse", "--json"], env=only)
    assert found.exit_code == 1
    changes = {one["kind"]: one for one in json.loads(found.stdout)["changes"]}
    assert {one["license"] for one in changes.values()} == {license_}
    assert changes["license"]["before"]["frozen_at"] == offset
    assert "frozen_at" not in changes["license"]["after"]
    verdict = changes["verdict"]
    assert (verdict["id"], verdict["before"], verdict["after"]["code"]) == (
        command,
        None,
        "granted",
    )


def test_a_retry_that_nobody_answers_says_so(
    ledger: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.quarantining.retrying.ANSWERED_S", 0.5)
    license_ = issue(ledger)
    partition = partition_of(license_["id"], ledger.settings.partitions)
    offset = append(ledger, partition, license_["id"].encode(), b"?")
    wait_until(
        lambda: frozen(ledger, license_["id"]) == [offset] * 3, what="frozen", timeout_s=LIMIT_S
    )
    for projector in ledger.projectors[:2]:
        projector.stop()
    try:
        unheard = invoke(ledger, "retry", license_["id"])
        assert unheard.exit_code == 1
        assert f"no projector answers for partition {partition}" in unheard.stdout
    finally:
        for projector in ledger.projectors[:2]:
            projector.start()
    done = invoke(ledger, "discard", f"{partition}:{offset}", "--yes")
    assert done.exit_code == 0, done.output


def test_what_is_not_frozen_and_what_is_not_there_are_told_apart(ledger: System) -> None:
    license_ = issue(ledger)
    id_, key = license_["id"], license_["attributes"]["key"]
    ledger.wait_level()
    for named in (id_, key):
        retried = invoke(ledger, "retry", named)
        assert retried.exit_code == 0, retried.output
        for letter in "AB":
            assert f"replica {letter}: license {id_} isn't frozen" in retried.stdout
        explained = invoke(ledger, "explain", named)
        assert explained.exit_code == 1
        assert f"the license {id_} is frozen in no replica: " in explained.stderr
    none = id_[:-4] + "ffff"
    for command in ("retry", "explain"):
        for named in (none, "NO-SUCH-KEY"):
            refused = invoke(ledger, command, named)
            assert refused.exit_code == 2, refused.output
            assert "there is no license" in refused.stderr
            assert "ledger license list" in refused.stderr
    everything = invoke(ledger, "retry", "--all")
    assert everything.exit_code == 0, everything.output
    assert "replica B: nothing is frozen" in everything.stdout


def test_who_did_not_answer_is_said(ledger: System) -> None:
    license_ = issue(ledger)
    id_ = license_["id"]
    ledger.wait_level()
    ledger.replicas[1].stop()
    try:
        for what, said in (
            (id_, f"the license {id_} is frozen in no replica that answers; replica B doesn't"),
            ("3:999999", "no license is frozen by 3:999999 in any replica that answers"),
            (id_[:-4] + "ffff", "as far as it can be told; replica B doesn't answer ("),
        ):
            refused = invoke(ledger, "explain", what)
            assert refused.exit_code == 1, refused.output
            assert said in refused.stderr
            assert "replica B doesn't answer (" in refused.stderr
        unknown = invoke(ledger, "retry", id_[:-4] + "ffff")
        assert unknown.exit_code == 1
        assert "replica B doesn't answer (" in unknown.stderr
        retried = invoke(ledger, "retry", id_)
        assert retried.exit_code == 1
        assert f"replica A: license {id_} isn't frozen" in retried.stdout
        assert "replica B doesn't answer" in retried.stdout
    finally:
        ledger.replicas[1].start()


@pytest.mark.parametrize("arguments", [[], ["--all", "LIC-1"]])
def test_a_retry_of_nothing_named_is_2(ledger: System, arguments: list[str]) -> None:
    refused = invoke(ledger, "retry", *arguments)
    assert refused.exit_code == 2
    assert "--all" in refused.stderr


def discarded_in(ledger: System, partition: int) -> set[int]:
    """What the catalog's records discard, told apart from all code under test."""
    log = asyncio.run(read_all(ledger.kafka, "catalog-events", 0))
    events = [json.loads(one.value or b"{}") for one in log]
    return {
        one["data"]["offset"]
        for one in events
        if one.get("type") == "catalog.record-discarded" and one["data"]["partition"] == partition
    }
