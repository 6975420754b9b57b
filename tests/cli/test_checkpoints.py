"""`ledger checkpoint` and `ledger verify` on a real log: what was done to it is named."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace as replace_mark
from redis import Redis
from typer.testing import CliRunner, Result

from cli.main import app
from ledger.checkpoints.document import Mark, decode
from ledger.event_log.port import Topic
from ledger.signing_keys import private_pem, public_hex
from projector.read_model.keys import CATALOG, Keys, serving
from projector.views.documents import Head, head_document
from tests.cli.damage import EVENTS, PARTITIONS, Damaged
from tests.emergency import KEY, OTHER_KEY
from tests.ledger.domain.golden_checkpoint import GOLDEN_CHECKPOINT, GOLDEN_KEY
from tests.local import LEDGER
from tests.servers import ROOT, KafkaServer, RedisServer

runner = CliRunner()
OWN = ("--public-key", f"ops={public_hex(KEY)}")


def env_of(kafka: str, **more: str) -> dict[str, str]:
    return {
        "LEDGER_KAFKA": kafka,
        "LEDGER_PARTITIONS": str(PARTITIONS),
        "LEDGER_TOPIC_PREFIX": f"t{uuid4().hex[:12]}-",
        "LEDGER_REPLICAS": "redis://127.0.0.1:1/0",
        "LEDGER_PEPPER": secrets.token_hex(32),
        "LEDGER_SEAL_KEYS": f"k1:{secrets.token_hex(32)}",
        "LEDGER_LOCAL": "1",
        **more,
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the test is, with keys to sign with, and nothing of whoever runs it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEDGER_CHECKPOINT_KEYS", raising=False)
    for name, key in (("key.pem", KEY), ("other.pem", OTHER_KEY)):
        Path(name).write_text(private_pem(key))
        Path(name).chmod(0o600)


@pytest.fixture
def log(kafka_server: KafkaServer, folder: None, monkeypatch: pytest.MonkeyPatch) -> Damaged:
    """A ledger with records in two partitions and the catalog."""
    monkeypatch.setattr("ledger.event_log.kafka.APPEND_TIMEOUT_S", 20.0)
    monkeypatch.setattr("ledger.event_log.kafka.READ_TIMEOUT_S", 20.0)
    found = Damaged(env_of(kafka_server.bootstrap))
    found.initialize()
    found.append(1, 9)
    found.append(3, 5)
    found.append(0, 3, Topic.CATALOG_EVENTS)
    return found


def invoke(log: Damaged, *arguments: str, **env: str) -> Result:
    return runner.invoke(app, arguments, env={**log.env, **env})


def make(log: Damaged, file: str = "one.json", *more: str) -> dict[str, Any]:
    done = invoke(log, "checkpoint", "make", file, "--key", "key.pem", "--json", *more)
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["findings"] == []
    return document


def verify(log: Damaged, *files: str, code: int = 1) -> list[dict[str, Any]]:
    """What `ledger verify` finds, by exit code."""
    named = [part for file in files or ("one.json",) for part in ("--checkpoint", file)]
    done = invoke(log, "verify", *named, *OWN, "--json")
    assert done.exit_code == code, done.output
    document = json.loads(done.stdout)
    assert document["equal"] == (code == 0)
    found: list[dict[str, Any]] = document["findings"]
    return found


def edited(log: Damaged, partition: int, offset: int) -> None:
    """Make the topic anew with one record's value changed."""
    records = log.records()
    records[partition][offset] = replace(records[partition][offset], value=b"edited")
    log.remake(EVENTS, records)


def test_a_log_that_has_grown_is_as_it_was_and_so_is_one_restored_exactly(log: Damaged) -> None:
    made = make(log)
    # 4 + 1 + 1 genesis records.
    assert (made["records"], made["recordsRead"]) == (17 + 6, 17 + 6)
    kept = decode(Path("one.json").read_bytes()).checkpoint
    assert kept.ledger == made["ledger"]
    assert [one.position for one in kept.topics.license_events] == [1, 10, 1, 6]
    assert verify(log, code=0) == []
    log.append(1, 4)
    log.append(0, 1)
    assert verify(log, code=0) == []
    log.remake(EVENTS, log.records())
    assert verify(log, code=0) == []


def test_it_goes_on_from_an_earlier_one_and_knows_the_same(log: Damaged) -> None:
    make(log)
    log.append(1, 4)
    later = make(log, "two.json", "--from", "one.json")
    # Of each partition the last record that the earlier one knows is looked at again.
    assert (later["records"], later["recordsRead"]) == (27, 4 + 6)
    make(log, "three.json")
    whole, gone_on = (
        decode(Path(file).read_bytes()).checkpoint.topics for file in ("three.json", "two.json")
    )
    assert whole == gone_on
    before = make(log, "two.json", "--from", "two.json")
    assert before["records"] == 27
    assert verify(log, "one.json", "two.json", "three.json", code=0) == []


def test_a_truncated_log_is_told_with_its_end(log: Damaged) -> None:
    make(log)
    records = log.records()
    log.remake(EVENTS, records | {1: records[1][:7]})
    [finding] = verify(log)
    assert (finding["kind"], finding["partition"]) == ("truncated", 1)
    assert (finding["end"], finding["position"]) == (7, 10)
    done = invoke(log, "verify", "--checkpoint", "one.json", *OWN)
    assert done.exit_code == 1
    assert "truncated: partition 1 of license-events ends at 7, one.json knows 10\n" in done.stdout
    assert "restored to an older state" in done.stderr
    assert "docs/operations/checkpoints.md" in done.stderr
    assert "partition 3" not in done.output
    for more in ((), ("--from", "one.json")):
        refused = invoke(log, "checkpoint", "make", "one.json", "--key", "key.pem", *more)
        assert refused.exit_code == 1
        assert "ends at 7" in refused.stdout
        assert "Nothing was written" in refused.stderr
    assert decode(Path("one.json").read_bytes()).checkpoint.topics.license_events[1].position == 10


def test_an_edited_record_is_found_between_two_checkpoints(log: Damaged) -> None:
    make(log)
    log.append(1, 5)
    make(log, "two.json")
    edited(log, 1, 12)
    [finding] = verify(log, "one.json", "two.json")
    assert (finding["kind"], finding["partition"]) == ("differs", 1)
    assert (finding["equalTo"], finding["position"]) == (10, 15)
    assert finding["witnesses"] == ["two.json"]
    assert finding["said"].endswith("differs from two.json from offset 10 to 14")
    [alone] = verify(log, "two.json")
    assert alone["said"].endswith("differs from two.json at or before offset 14")
    assert verify(log, "one.json", code=0) == []
    refused = invoke(log, "checkpoint", "make", "two.json", "--key", "key.pem", "--json")
    assert refused.exit_code == 1
    document = json.loads(refused.stdout)
    assert (document["file"], document["findings"][0]["kind"]) == (None, "differs")


def test_records_that_were_deleted_at_the_beginning_are_lost(log: Damaged) -> None:
    make(log)
    log.forget_before(1, 4)
    [finding] = verify(log)
    assert (finding["kind"], finding["partition"]) == ("lost", 1)
    assert "no record at 0 any more" in finding["said"]
    log.forget_before(0, 1)
    assert [one["partition"] for one in verify(log)] == [0, 1]


def test_the_same_events_with_other_times_are_another_log(log: Damaged) -> None:
    make(log)
    records = log.records()
    again = [replace(one, timestamp_ms=one.timestamp_ms + 60_000) for one in records[3]]
    log.remake(EVENTS, records | {3: again})
    [finding] = verify(log)
    assert (finding["kind"], finding["partition"]) == ("differs", 3)
    assert "another record stands at 5" in finding["said"]
    refused = invoke(log, "checkpoint", "make", "n.json", "--key", "key.pem", "--from", "one.json")
    assert refused.exit_code == 1
    assert "partition 3" in refused.stdout
    assert not Path("n.json").exists()


def test_a_topic_that_is_gone_is_named(log: Damaged) -> None:
    make(log)
    log.delete(Topic.CATALOG_EVENTS)
    [finding] = verify(log)
    assert (finding["kind"], finding["topic"]) == ("gone", "catalog-events")
    refused = invoke(log, "checkpoint", "make", "new.json", "--key", "key.pem")
    assert refused.exit_code == 2
    assert "catalog-events" in refused.stderr


def test_topics_of_another_ledger_are_named(log: Damaged, kafka_server: KafkaServer) -> None:
    make(log)
    other = Damaged(env_of(kafka_server.bootstrap, LEDGER_PEPPER=log.env["LEDGER_PEPPER"]))
    stranger = other.initialize()
    log.remake(Topic.CATALOG_EVENTS, other.records(Topic.CATALOG_EVENTS))
    assert stranger in verify(log)[0]["said"]
    log.remake(EVENTS, other.records())
    foreign = invoke(log, "verify", "--checkpoint", "one.json", *OWN)
    assert foreign.exit_code == 2
    assert "replaced by another ledger's" in foreign.stderr
    assert stranger in foreign.stderr
    refused = invoke(log, "checkpoint", "make", "one.json", "--key", "key.pem")
    assert refused.exit_code == 2
    assert "one.json: it is of ledger" in refused.stderr


def test_another_pepper_or_n_is_foreign(log: Damaged) -> None:
    make(log)
    for name, value in (("LEDGER_PEPPER", "ab" * 32), ("LEDGER_PARTITIONS", "8")):
        foreign = invoke(log, "verify", "--checkpoint", "one.json", *OWN, **{name: value})
        assert foreign.exit_code == 2
        assert name in foreign.stderr


def test_what_is_not_signed_as_it_stands_is_refused(log: Damaged) -> None:
    make(log)
    good = Path("one.json").read_text()
    document = json.loads(good)
    document["checkpoint"]["topics"]["license-events"][1]["position"] = 9
    Path("forged.json").write_text(json.dumps(document))
    forged = invoke(log, "verify", "--checkpoint", "forged.json", *OWN)
    assert forged.exit_code == 1
    assert "signature of forged.json is bad" in forged.stderr

    stranger = ("--public-key", public_hex(OTHER_KEY))
    unknown = invoke(log, "verify", "--checkpoint", "one.json", *stranger)
    assert unknown.exit_code == 2
    assert public_hex(KEY) in unknown.stderr
    nobody = invoke(log, "verify", "--checkpoint", "one.json")
    assert nobody.exit_code == 2
    assert "--public-key or LEDGER_CHECKPOINT_KEYS" in nobody.stderr
    by_setting = {"LEDGER_CHECKPOINT_KEYS": f"ops={public_hex(KEY)}"}
    done = invoke(log, "verify", "--checkpoint", "one.json", **by_setting)
    assert done.exit_code == 0, done.output
    assert "All is equal: 23 records of ledger" in done.stdout
    assert "ops" in done.stdout

    theirs = ("checkpoint", "make", "one.json", "--key", "other.pem")
    assert invoke(log, *theirs).exit_code == 2
    assert Path("one.json").read_text() == good
    assert invoke(log, *theirs, *OWN).exit_code == 0
    assert decode(Path("one.json").read_bytes()).key == public_hex(OTHER_KEY)


def test_a_replica_that_folded_another_log_is_named(
    log: Damaged, new_redis: Callable[[], RedisServer]
) -> None:
    make(log)
    marks = decode(Path("one.json").read_bytes()).checkpoint.marks
    servers = [new_redis(), new_redis()]
    urls = {"LEDGER_REPLICAS": ",".join(one.url for one in servers)}
    for server in servers:
        for place in range(-1, PARTITIONS):
            topic = Topic.CATALOG_EVENTS if place == CATALOG else EVENTS
            hold(server, place, marks[topic][max(place, 0)])
    log.append(1, 2)
    both = ("verify", "--checkpoint", "one.json", *OWN, "--replicas", "--json")
    done = invoke(log, *both, **urls)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)["replicas"]
    assert told == [{"replica": name, "records": 22, "trouble": None} for name in "AB"]

    hold(servers[1], 1, replace_mark(marks[EVENTS][1], chain="ab" * 16))
    hold(servers[1], CATALOG, replace_mark(marks[Topic.CATALOG_EVENTS][0], position=99), "2")
    done = invoke(log, "verify", "--replicas", **urls)
    assert done.exit_code == 1
    assert "replica B has folded another log: partition 1 of license-events" in done.stdout
    assert "replica B has folded partition 0 of catalog-events to 99, and the log" in done.stdout
    assert "replica A has" not in done.stdout

    servers[0].kill()
    done = invoke(log, *both, **urls)
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert {one["kind"] for one in document["findings"]} == {
        "replica-away",
        "replica-ahead",
        "replica-differs",
    }


def hold(server: RedisServer, place: int, mark: Mark, generation: str = "1") -> None:
    """Have a replica that has folded a partition so far."""
    head = Head(position=mark.position, timestamp_ms=mark.timestamp_ms, chain=mark.chain)
    with Redis.from_url(server.url) as client:
        client.set(Keys(place, generation).head, head_document(head))
        client.set(serving(place), generation)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verify",), "--checkpoint FILE"),
        (("verify",), "--replicas"),
        (("verify", "--checkpoint", "nowhere.json", *OWN), "nowhere.json can't be read"),
        (("verify", "--checkpoint", "key.pem", *OWN), "key.pem is no checkpoint"),
        (("verify", "--checkpoint", "key.pem", "--public-key", "k"), "--public-key is 64 hex"),
        (("checkpoint", "make", "key.pem", "--key", "key.pem"), "key.pem is no checkpoint"),
        (("checkpoint", "make", "no/x.json", "--key", "key.pem"), "no is no folder"),
        (("checkpoint", "make", "x.json", "--key", "x.pem"), "x.pem can't be read"),
        (("checkpoint", "make", "x.json", "--key", "key.pem", "--from", "x.json"), "can't be read"),
        (("checkpoint", "keygen", "x.pem", "--name", "a b"), "--name is 1 to 64"),
        (("checkpoint", "keygen", "key.pem"), "there already"),
    ],
)
def test_wrong_usage_is_2_and_writes_nothing(
    folder: None, arguments: tuple[str, ...], said: str
) -> None:
    before = {file.name: file.read_bytes() for file in Path().iterdir()}
    done = runner.invoke(app, arguments, env=env_of("127.0.0.1:1"))
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert {file.name: file.read_bytes() for file in Path().iterdir()} == before


def test_a_checkpoint_of_another_ledger_is_not_overwritten(log: Damaged) -> None:
    golden = GOLDEN_CHECKPOINT.read_bytes()
    Path("golden.json").write_bytes(golden)
    known = ("--public-key", public_hex(GOLDEN_KEY))
    refused = invoke(log, "checkpoint", "make", "golden.json", "--key", "key.pem", *known)
    assert refused.exit_code == 2
    assert "another ledger's checkpoint" in refused.stderr
    assert Path("golden.json").read_bytes() == golden


def test_a_key_is_made_for_its_owner_and_signs(log: Damaged) -> None:
    done = invoke(log, "checkpoint", "keygen", "made.pem", "--name", "nightly")
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE(Path("made.pem").stat().st_mode) == 0o600
    named = done.stdout.strip()
    assert named.startswith("nightly=")
    made = invoke(log, "checkpoint", "make", "one.json", "--key", "made.pem")
    assert made.exit_code == 0, made.output
    assert "holds no secret" in made.stderr
    verified = invoke(log, "verify", "--checkpoint", "one.json", "--public-key", named)
    assert verified.exit_code == 0, verified.output
    assert "nightly" in verified.stdout


def test_an_interruption_ends_it_and_leaves_nothing(folder: None) -> None:
    """A broker that takes connections and says nothing is waited for; Ctrl-C ends that."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(60)
        kafka = f"127.0.0.1:{mute.getsockname()[1]}"
        arguments = [LEDGER, "checkpoint", "make", "one.json", "--key", "key.pem"]
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env_of(kafka)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(arguments, env=env, text=True, **pipes) as making:  # type: ignore[call-overload]
            try:
                connection, _ = mute.accept()
                with connection:
                    making.send_signal(signal.SIGINT)
                    told, errors = making.communicate(timeout=60)
            finally:
                making.kill()
    assert (making.returncode, told, errors) == (130, "", "")
    assert list(Path().glob("*.json*")) == []
