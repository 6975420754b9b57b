"""`ledger verify --documents` and `--between` on two replicas that serve while records come."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace
from redis import Redis
from typer.testing import CliRunner, Result

from cli.main import app
from projector.read_model.keys import Keys
from projector.rebuild.differences import named
from projector.views.digests import digests_document, read_digests
from projector.views.documents import head_document, read_head, read_machine
from tests.activity import Activity
from tests.local import LEDGER
from tests.projector.catalog_activity import appendables, catalog_events
from tests.projector.replica import PARTITIONS, Replica, load
from tests.servers import ROOT, KafkaServer, RedisServer

runner = CliRunner()
SETTLED = Activity(71, partitions=PARTITIONS, licenses=40)
"""What nothing happens to any more."""


class Pair:
    """Two replicas of a ledger, each with its projector."""

    def __init__(self, first: Replica, second: Replica) -> None:
        self.replicas = (first, second)
        self.urls = [one.store.url for one in self.replicas]
        self.env = {**first.environment, "LEDGER_REPLICAS": ",".join(self.urls)}

    def level(self) -> None:
        """Wait until both are at the log's end."""
        for one in self.replicas:
            asyncio.run(one.level())

    def client(self, letter: str = "A") -> Redis:
        return Redis.from_url(self.urls[ord(letter) - ord("A")])


@pytest.fixture(scope="module")
def pair(kafka_server: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    prefix = f"t{uuid4().hex[:12]}-"
    stores = [RedisServer(tmp_path_factory.mktemp("redis")) for _ in range(2)]
    for store in stores:
        store.start()
    first, second = (
        Replica(kafka_server, store, prefix, tmp_path_factory.mktemp("replica")) for store in stores
    )
    found = Pair(first, second)
    try:
        asyncio.run(first.initialize())
        asyncio.run(first.append(list(SETTLED.appendables(1_200))))
        asyncio.run(first.append(appendables(catalog_events(71, 300)), first.catalog))
        for replica, letter in ((first, "A"), (second, "B")):
            changes = {"LEDGER_REPLICA": letter, "LEDGER_REPLICAS": found.env["LEDGER_REPLICAS"]}
            replica.projector(changes=changes).start()
        found.level()
        yield found
    finally:
        first.kill_all()
        second.kill_all()
        for store in stores:
            store.kill()


@contextmanager
def appending(pair: Pair, seed: int) -> Iterator[None]:
    """Append to the log, without a pause, in a thread of its own."""
    over = Event()

    async def append() -> None:
        activity = Activity(seed, partitions=PARTITIONS, licenses=20)
        async with load(pair.replicas[0], activity, piece=4):
            await asyncio.to_thread(over.wait)

    thread = Thread(target=asyncio.run, args=(append(),))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def invoke(pair: Pair, *arguments: str, **env: str) -> Result:
    return runner.invoke(app, ["verify", *arguments], env={**pair.env, **env})


def found_by(pair: Pair, *arguments: str, code: int) -> dict[str, Any]:
    done = invoke(pair, *arguments, "--json")
    assert done.exit_code == code, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["equal"] == (code == 0)
    return document


def value_of(client: Redis, name: bytes | str) -> bytes:
    value = client.get(name)
    assert isinstance(value, bytes)
    return value


def settled(client: Redis, kind: str) -> bytes:
    """Name of a key of what nothing happens to any more."""
    ids = set(SETTLED._ids)  # noqa: SLF001 - those it has issued
    for name in sorted(client.scan_iter(f"{{p*}}:1:{kind}:*", count=1_000)):
        if owner_of(client, name) in ids:
            return bytes(name)
    raise AssertionError(kind)


def owner_of(client: Redis, name: bytes) -> str:
    kind, id_ = name.decode().split(":")[2:4]
    return read_machine(value_of(client, name)).license if kind == "M" else id_


def test_healthy_replicas_are_equal_while_records_come(pair: Pair) -> None:
    with appending(pair, 72):
        document = found_by(pair, "--documents", "A", "--documents", "b", "--between", code=0)
    assert [one["replica"] for one in document["documents"]] == ["A", "B"]
    for one in document["documents"]:
        assert (one["places"], one["findings"], one["frozen"]) == (PARTITIONS + 1, [], {})
        assert one["read"] > 1_200
    [both] = document["between"]
    assert both["replicas"] == ["A", "B"]
    assert {place["by"] for place in both["places"]} <= {"now", "cut"}
    done = invoke(pair, "--documents", "A", "--between")
    assert done.exit_code == 0, done.output
    assert "keys and members are as a fresh fold of the log has them" in done.stdout
    assert f"equal in {PARTITIONS + 1} places" in done.stdout


Harm = Callable[[Redis, bytes], None]


def _flip(client: Redis, name: bytes) -> None:
    value = value_of(client, name)
    client.set(name, bytes((*value[:20], value[20] ^ 1, *value[21:])))


def _drop(client: Redis, name: bytes) -> None:
    client.delete(name)


@pytest.mark.parametrize(("kind", "harm"), [("L", _flip), ("M", _flip), ("M", _drop), ("C", _drop)])
def test_a_document_that_is_another_or_gone_is_named_by_license_and_key(
    pair: Pair, kind: str, harm: Harm
) -> None:
    with pair.client() as client, appending(pair, 73):
        name = settled(client, kind)
        owner, value = owner_of(client, name), value_of(client, name)
        harm(client, name)
        harmed = client.get(name)
        assert harmed != value
        try:
            [one] = found_by(pair, "--documents", "A", code=1)["documents"]
            done = invoke(pair, "--documents", "A")
        finally:
            client.set(name, value)
    [finding] = one["findings"]
    assert finding["owners"] == [owner]
    [difference] = finding["differences"]
    assert difference["name"] == name.decode().split(":", 2)[2]
    assert difference["expected"] == value.decode()
    assert difference["stored"] == (None if harmed is None else harmed.decode())
    assert done.exit_code == 1
    assert f"replica A, {finding['place']}: {owner} differ" in done.stdout
    assert "docs/operations/verify.md" in done.stderr


def test_one_too_many_and_a_member_too_few_are_named(pair: Pair) -> None:
    with pair.client() as client, appending(pair, 74):
        name = settled(client, "I")
        [(member, score)] = client.zrange(name, 0, 0, withscores=True)
        extra = name.replace(b":I:", b":L:")[:-4] + b"0000"
        client.zrem(name, member)
        client.set(extra, b"{}\n\n")
        try:
            [one] = found_by(pair, "--documents", "A", code=1)["documents"]
        finally:
            client.zadd(name, {member: score})
            client.delete(extra)
    [finding] = one["findings"]
    told = {each["name"]: (each["stored"], each["expected"]) for each in finding["differences"]}
    short = name.decode().split(":", 2)[2]
    assert told == {
        f"{short} {member.decode()}": (None, str(int(score))),
        extra.decode().split(":", 2)[2]: ("{}\n\n", None),
    }
    assert found_by(pair, "--documents", "A", code=0)["documents"][0]["findings"] == []


def test_the_catalog_is_compared_too(pair: Pair) -> None:
    with pair.client("B") as client:
        name = min(client.scan_iter("{catalog}:1:E:*", count=1_000))
        value = client.getdel(name)
        try:
            document = found_by(pair, "--documents", "B", "--between", code=1)
        finally:
            client.set(name, value)
    [finding] = document["documents"][0]["findings"]
    assert (finding["place"], finding["owners"]) == ("the catalog", [name.decode().split(":")[3]])
    # The digests say what was folded, and that is the same.
    assert document["between"][0]["equal"]


def test_replicas_that_have_folded_otherwise_are_told_from_each_other(pair: Pair) -> None:
    pair.level()
    with pair.client("B") as client:
        name = settled(client, "M")
        place = int(name[2:4])
        owner, value = owner_of(client, name), value_of(client, name)
        kept = value_of(client, Keys(place).digests)
        digests = read_digests(kept)
        wrong = replace(digests, state="ab" * 16)
        client.set(name, value.replace(b'"seats":', b'"seats":9'))
        client.set(Keys(place).digests, digests_document(wrong))
        try:
            [both] = found_by(pair, "--between", code=1)["between"]
            done = invoke(pair, "--between")
        finally:
            client.set(name, value)
            client.set(Keys(place).digests, kept)
    [finding] = both["findings"]
    assert (finding["place"], finding["position"]) == (named(place), digests.position)
    assert finding["wrong"] == [f"the digests of their state at {digests.position} differ"]
    assert finding["owners"] == [owner]
    assert done.exit_code == 1
    assert f"replicas A and B, {named(place)}: {owner} differ" in done.stdout
    assert found_by(pair, "--between", code=0)["between"][0]["findings"] == []


def test_one_that_keeps_no_digests_is_compared_by_its_documents(pair: Pair) -> None:
    pair.level()
    with pair.client("B") as client:
        kept = client.getdel(Keys(1).digests)
        try:
            [both] = found_by(pair, "--between", code=0)["between"]
            done = invoke(pair, "--documents", "B")
        finally:
            client.set(Keys(1).digests, kept)
    assert done.exit_code == 0, done.output
    assert "replica B, partition 1: it keeps no digests of its position" in done.stderr
    by = {place["place"]: place["by"] for place in both["places"]}
    assert by.pop("partition 1") == "documents"
    assert set(by.values()) == {"now"}


def test_another_log_is_told_without_naming_every_license(pair: Pair) -> None:
    pair.level()
    with pair.client() as client:
        name = Keys(2).head
        kept = value_of(client, name)
        client.set(name, head_document(replace(read_head(kept), chain="ab" * 16)))
        try:
            document = found_by(pair, "--documents", "A", "--between", code=1)
        finally:
            client.set(name, kept)
    [finding] = document["documents"][0]["findings"]
    assert finding["wrong"][0].startswith("it has folded another log up to ")
    assert finding["differences"] == []
    [finding] = document["between"][0]["findings"]
    assert finding["wrong"][0].startswith("they have folded different logs")


@pytest.mark.slow
def test_what_is_behind_is_named(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal, as far as it has come; and how far that is."""
    monkeypatch.setattr("projector.verifying.between.EQUAL_S", 4.0)
    monkeypatch.setattr("cli.verifying.documents.WAITED_S", 1.0)
    monkeypatch.setattr("cli.verifying.documents.LAG_S", 0.5)
    pair.level()
    [stopped] = pair.replicas[1]._processes  # noqa: SLF001 - its projector
    stopped.freeze()
    try:
        items = list(Activity(79, partitions=PARTITIONS, licenses=20).appendables(150))
        asyncio.run(pair.replicas[0].append(items))
        asyncio.run(pair.replicas[0].level())
        [one] = found_by(pair, "--documents", "B", code=0)["documents"]
        done = invoke(pair, "--documents", "A", "--documents", "B")
        between = invoke(pair, "--between")
    finally:
        stopped.thaw()
    counts = {place: int(notes[0].split()[0]) for place, notes in one["notes"].items()}
    assert sum(counts.values()) == len(items)
    assert done.exit_code == 0, done.output
    for place, count in counts.items():
        assert f"replica B, {place}: {count} records behind the log" in done.stderr
    assert "replica A, " not in done.stderr
    assert between.exit_code == 1, between.output
    for place in counts:
        assert f"replicas A and B, {place}: replica B is behind: it stands at" in between.stdout
    waited = f"{len(counts)} of {PARTITIONS + 1} places are still waited for"
    assert waited in " ".join(between.stderr.split())
    assert f"B is {len(items)} records behind" in " ".join(between.stderr.split())
    pair.level()
    assert found_by(pair, "--documents", "B", "--between", code=0)["documents"][0]["notes"] == {}


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (("--documents", "C"), {}, "--documents is one of A, B, not 'C'"),
        (("--documents", "A"), {"LEDGER_PEPPER": "ab" * 32}, "LEDGER_PEPPER"),
    ],
)
def test_what_cannot_be_compared_is_2(
    pair: Pair, arguments: tuple[str, ...], env: dict[str, str], said: str
) -> None:
    done = invoke(pair, *arguments, **env)
    assert done.exit_code == 2, done.output
    assert said in done.stderr


def test_a_lone_or_an_empty_replica_is_2(pair: Pair, redis_server: RedisServer) -> None:
    lone = {"LEDGER_REPLICAS": pair.urls[0]}
    assert "LEDGER_REPLICAS names one" in invoke(pair, "--between", **lone).stderr
    empty = {"LEDGER_REPLICAS": f"{pair.urls[0]},{redis_server.url}"}
    for arguments in (("--between",), ("--documents", "B")):
        done = invoke(pair, *arguments, **empty)
        assert done.exit_code == 2, done.output
        assert "replica B holds nothing" in done.stderr
    redis_server.kill()
    assert invoke(pair, "--between", **empty).exit_code == 3


def test_an_interruption_ends_it(pair: Pair) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **pair.env}
    arguments = [LEDGER, "verify", *["--documents", "A", "--documents", "B"] * 9, "--between"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    pair.replicas[1].store.freeze()
    try:
        with subprocess.Popen(arguments, env=env, text=True, **pipes) as verifying:  # type: ignore[call-overload]
            try:
                # B is frozen: it is never done by itself.
                with pytest.raises(subprocess.TimeoutExpired):
                    verifying.wait(3)
                verifying.send_signal(signal.SIGINT)
                told, errors = verifying.communicate(timeout=60)
            finally:
                verifying.kill()
    finally:
        pair.replicas[1].store.thaw()
    assert (verifying.returncode, told) == (130, "")
    assert "Traceback" not in errors
