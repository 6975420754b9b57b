"""`ledger capacity` on a real ledger, on made-up pasts, and where somebody doesn't answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from cli.doctor import capacity as doctor
from cli.doctor.finding import Level
from cli.filling.looking import Capacity, disk
from cli.filling.showing import document, print_capacity
from cli.main import app
from ledger.event_log.port import Topic, Topics
from ledger.event_log.volumes import Volume
from projector.capacity import looking
from projector.capacity.forecast import DAY_S
from projector.capacity.looking import Came, History
from tests.system import System, running

GIB = 1 << 30
PAST = History(
    ends={Topic.LICENSE_EVENTS: {0: 1_000_000}, Topic.LICENSE_DATA_KEYS: {0: 100_001}},
    came=[
        Came(
            span_s=days * DAY_S,
            records={Topic.LICENSE_EVENTS: {0: events}, Topic.LICENSE_DATA_KEYS: {0: keys}},
        )
        for days, events, keys in ((1, 20_000, 1_000), (7, 70_000, 7_000))
    ],
)


def seen(*, room: int) -> Capacity:
    """Two brokers and a replica; the log has 1 GiB on each broker."""
    stores = looking.brokers(
        [
            Volume(
                broker=number,
                folder="/k",
                total=100 * GIB,
                usable=usable,
                sizes={("license-events", 0): GIB},
            )
            for number, usable in ((1, 50 * GIB), (2, room))
        ],
        Topics(),
        PAST,
    )
    info = {"used_memory": GIB, "maxmemory": 4 * GIB}
    stores.append(looking.redis("A", info, PAST))
    return Capacity(past=PAST, sizes={Topic.LICENSE_EVENTS: 2 * GIB}, stores=stores, away=[])


def test_it_says_which_is_full_first(capsys: pytest.CaptureFixture[str]) -> None:
    found = seen(room=12 * GIB)
    print_capacity(found, 14)
    said = capsys.readouterr()
    # 20,000 of a million events in a day are 2 % of a GiB; in 7 days 1 % each day.
    assert "20,000 (41.0 MiB)" in said.out
    assert "10.2 MiB to 20.5 MiB" in said.out
    assert "First: redis-A, in about 300 days." in said.out
    assert "kafka-2" not in said.err
    print_capacity(seen(room=GIB // 5), 14)
    said = capsys.readouterr()
    assert "First: kafka-2, in 10 to 20 days." in said.out
    assert "kafka-2: docs/operations/capacity.md" in said.err


def test_programs_get_it_unrounded() -> None:
    told = document(seen(room=GIB // 5), 14)
    assert told["first"] == "kafka-2"
    [first, second, replica] = told["stores"]
    assert (first["alarming"], second["alarming"], replica["alarming"]) == (False, True, False)
    assert second["earliestDays"] == pytest.approx(10, rel=0.01)
    assert second["latestDays"] == pytest.approx(20, rel=0.01)
    assert [each["spanS"] for each in second["growth"]] == [DAY_S, 7 * DAY_S]
    assert told["topics"][0]["growth"][0]["recordsADay"] == 20_000
    assert json.loads(json.dumps(told)) == told


def test_the_doctor_warns_of_what_is_full_soon() -> None:
    assert doctor.judge(seen(room=12 * GIB).stores).level is Level.OK
    found = doctor.judge(seen(room=GIB // 5).stores)
    assert found.level is Level.WARN
    assert "kafka-2" in found.said
    assert "kafka-1" not in found.said


def test_the_disk_of_a_local_run_has_all_that_grows_on_it(tmp_path: Path) -> None:
    found = seen(room=12 * GIB)
    [one, two, _] = found.stores
    whole = disk(tmp_path, [one, two], GIB, PAST)
    assert whole.used == 3 * GIB
    assert whole.size == shutil.disk_usage(tmp_path).total
    # 2 % of each broker's GiB, and 1 % of that of the append-only files.
    assert whole.paces[0].bytes_a_day == pytest.approx(0.05 * GIB, rel=0.01)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("ledger"), workers=1, local_copy=True) as system:
        yield system


def invoke(ledger: System, *arguments: str, **env: str) -> Result:
    return CliRunner().invoke(app, ["capacity", *arguments], env={**ledger.env, **env})


def test_a_young_ledger_has_room_and_no_days(ledger: System) -> None:
    done = invoke(ledger, "--json")
    assert done.exit_code in {0, 1}, done.output
    told = json.loads(done.stdout)
    stores = {one["store"]: one for one in told["stores"]}
    assert set(stores) == {"kafka-1", "redis-A", "redis-B", "local-copy"}
    assert stores["kafka-1"]["size"] == shutil.disk_usage(ledger.directory).total
    for one in stores.values():
        assert one["earliestDays"] is None
        assert one["unknown"]
        assert one["room"] > 0
    topics = {one["topic"]: one for one in told["topics"]}
    assert topics["license-events"]["records"] >= 16
    assert topics["license-events"]["bytes"] > 0
    assert topics["license-events"]["growth"] == []
    # Without figures that nobody can know, the page says so in words.
    said = invoke(ledger)
    assert "younger than an hour" in said.stderr
    assert "can't be told yet" in said.stdout


def test_a_replica_that_is_nearly_full_is_exit_code_1(ledger: System) -> None:
    with Redis.from_url(ledger.replicas[0].url) as client:
        before = client.config_get("maxmemory")["maxmemory"]
        client.setrange("foreign", 20_000_000, b"x")
        client.config_set("maxmemory", int(client.info()["used_memory"]) + 1_000_000)
        try:
            done = invoke(ledger, "--json")
        finally:
            client.config_set("maxmemory", before)
            client.delete("foreign")
    assert done.exit_code == 1
    assert [
        one["store"]
        for one in json.loads(done.stdout)["stores"]
        if one["alarming"] and one["store"].startswith("redis")
    ] == ["redis-A"]


def test_who_does_not_answer_is_exit_code_3(ledger: System) -> None:
    away = f"{ledger.replicas[0].url},redis://:secret-word@127.0.0.1:1/0"
    done = invoke(ledger, LEDGER_REPLICAS=away)
    assert done.exit_code in {1, 3}
    assert "it doesn't answer" in done.stdout
    assert "secret-word" not in done.output
    gone = invoke(ledger, LEDGER_KAFKA="127.0.0.1:1")
    assert gone.exit_code == 3
    assert gone.stderr.startswith("ledger: Kafka at 127.0.0.1:1 does not tell")
