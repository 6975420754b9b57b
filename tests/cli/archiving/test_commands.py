"""`ledger backup` and `ledger restore` as people run them: what they print, how they end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import LogError, Record, Topic, Topics
from tests.activity import Activity, append
from tests.cli.archiving.ledgers import PARTITIONS, PEPPER, all_records
from tests.faults.disk import SmallDisk
from tests.servers import ROOT, KafkaServer, end_with_tests, ended, wait_until

runner = CliRunner()
MANY = 8_000
LIMIT_S = 60.0


def prefix() -> str:
    return f"t{uuid4().hex[:12]}-"


class Ledger:
    """A ledger on a real broker, and the commands on it."""

    def __init__(self, kafka: KafkaServer, prefix: str) -> None:
        self.kafka = kafka
        self.topics = Topics(prefix=prefix)
        self.env = {
            "LEDGER_KAFKA": kafka.bootstrap,
            "LEDGER_LOCAL": "1",
            "LEDGER_REPLICAS": "redis://127.0.0.1:1/0",
            "LEDGER_PARTITIONS": str(PARTITIONS),
            "LEDGER_TOPIC_PREFIX": prefix,
            "LEDGER_PEPPER": PEPPER,
            "LEDGER_SEAL_KEYS": f"k1:{'73' * 32}",
        }

    def run(self, *arguments: str | Path, **env: str) -> Result:
        return runner.invoke(app, [str(one) for one in arguments], env={**self.env, **env})

    def told(self, *arguments: str | Path) -> dict[str, Any]:
        done = self.run(*arguments, "--json")
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def append(self, activity: Activity, count: int) -> None:
        name = self.topics.name(Topic.LICENSE_EVENTS)
        asyncio.run(append(self.kafka.bootstrap, name, [*activity.appendables(count)]))

    def records(self) -> dict[tuple[Topic, int], list[Record]]:
        async def read() -> dict[tuple[Topic, int], list[Record]]:
            log = KafkaLog(self.kafka.bootstrap, self.topics)
            try:
                return await all_records(log)
            finally:
                await log.close()

        return asyncio.run(read())

    def restored_so_far(self) -> int:
        """How many license events there are."""

        async def ends() -> dict[int, int]:
            log = KafkaLog(self.kafka.bootstrap, self.topics)
            try:
                with suppress(LogError):
                    return await log.ends(Topic.LICENSE_EVENTS)
                return {}
            finally:
                await log.close()

        return sum(asyncio.run(ends()).values())


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge no speed: on a busy machine a healthy broker may need more than its second."""
    monkeypatch.setattr("ledger.event_log.kafka.READ_TIMEOUT_S", LIMIT_S)
    monkeypatch.delenv("LEDGER_KAFKA", raising=False)
    monkeypatch.setenv("LEDGER_DATA", "nowhere")


@pytest.fixture(scope="module")
def many(kafka_server: KafkaServer) -> Ledger:
    """A ledger of so many events that a run takes some time."""
    ledger = Ledger(kafka_server, prefix())
    assert ledger.run("init", "--copies", "1").exit_code == 0
    ledger.append(Activity(3, partitions=PARTITIONS), MANY)
    return ledger


@pytest.fixture
def ledger(kafka_server: KafkaServer) -> Ledger:
    found = Ledger(kafka_server, prefix())
    assert found.run("init", "--copies", "1").exit_code == 0
    return found


@pytest.fixture
def empty(kafka_server: KafkaServer) -> Ledger:
    """Topics that are not there yet."""
    return Ledger(kafka_server, prefix())


def test_a_ledger_is_backed_up_checked_and_restored(
    ledger: Ledger, empty: Ledger, tmp_path: Path
) -> None:
    activity = Activity(4, partitions=PARTITIONS)
    ledger.append(activity, 50)
    first = ledger.told("backup", tmp_path / "b")
    ledger.append(activity, 20)
    second = ledger.told("backup", tmp_path / "b")
    assert second["ledger"] == first["ledger"]
    assert second["topics"]["license-events"] == 70 + PARTITIONS
    assert (second["added"]["records"], second["partitions"]) == (20, PARTITIONS)
    assert second["bytes"] > first["bytes"] > 0

    checked = ledger.told("backup", tmp_path / "b", "--verify")
    total = sum(second["topics"].values())
    assert (checked["verified"], checked["sealChecked"]) == (total, True)
    done = empty.told("restore", tmp_path / "b", "--copies", "1")
    assert done["ledger"] == first["ledger"]
    assert done["records"] == done["written"] == total
    assert empty.records() == ledger.records()
    assert empty.told("init", "--copies", "1")["ledger"] == first["ledger"]


def test_how_far_they_are_is_shown(
    many: Ledger, empty: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.importing.progress._LINE_EVERY_S", 0.0)
    for ledger, command, stages in (
        (many, ("backup",), ("license-events and catalog", "data keys")),
        (empty, ("restore", "--copies", "1"), ("verify backup", "restore", "read back, restore")),
    ):
        done = ledger.run(*command, tmp_path / "b")
        for stage in stages:
            assert re.search(
                rf"^{stage}: \d+ of \d+, \d+/s, \d+ s left$", done.stderr, re.MULTILINE
            ), stage


def test_a_checkpoint_of_before_says_yes_to_what_was_restored(
    ledger: Ledger, empty: Ledger, tmp_path: Path
) -> None:
    ledger.append(Activity(4, partitions=PARTITIONS), 50)
    key = ledger.told("checkpoint", "keygen", tmp_path / "key.pem")
    public = ("--public-key", f"{key['name']}={key['public']}")
    signed = tmp_path / "checkpoint.json"
    ledger.told("checkpoint", "make", signed, "--key", tmp_path / "key.pem", *public)
    ledger.told("backup", tmp_path / "b")
    empty.told("restore", tmp_path / "b", "--copies", "1")
    assert empty.told("verify", "--checkpoint", signed, *public)["equal"] is True


def test_it_says_what_to_keep_and_never_what_that_is(ledger: Ledger, tmp_path: Path) -> None:
    done = ledger.run("backup", tmp_path / "b")
    assert done.exit_code == 0
    for name in ("LEDGER_PEPPER", "LEDGER_SEAL_KEYS (k1", f"LEDGER_PARTITIONS={PARTITIONS}"):
        assert name in done.stdout
    said = done.output + json.dumps(ledger.told("backup", tmp_path / "b"))
    assert PEPPER not in said
    assert "73" * 32 not in said


def test_without_settings_all_but_the_seal_is_verified(ledger: Ledger, tmp_path: Path) -> None:
    ledger.told("backup", tmp_path / "b")
    found = runner.invoke(app, ["backup", str(tmp_path / "b"), "--verify"], env={})
    assert found.exit_code == 0, found.output
    assert "Whose it is was not checked" in found.stderr
    found = runner.invoke(app, ["backup", str(tmp_path / "b"), "--verify", "--json"], env={})
    assert json.loads(found.stdout)["sealChecked"] is False


def test_elsewhere_the_pepper_alone_is_enough_for_the_seal(ledger: Ledger, tmp_path: Path) -> None:
    ledger.told("backup", tmp_path / "b")
    arguments = ["backup", str(tmp_path / "b"), "--verify", "--json"]
    found = runner.invoke(app, arguments, env={"LEDGER_PEPPER": PEPPER})
    assert json.loads(found.stdout)["sealChecked"] is True
    found = runner.invoke(app, arguments, env={"LEDGER_PEPPER": secrets.token_hex(32)})
    assert (found.exit_code, found.stdout) == (2, "")
    assert "LEDGER_PEPPER is not the pepper" in found.stderr
    found = runner.invoke(app, arguments, env={"LEDGER_PEPPER": "pepper"})
    assert found.exit_code == 2, "a pepper that can't be one is an error"


def test_a_kafka_that_is_away_is_not_needed_to_verify(ledger: Ledger, tmp_path: Path) -> None:
    ledger.told("backup", tmp_path / "b")
    found = ledger.run("backup", tmp_path / "b", "--verify", LEDGER_KAFKA="127.0.0.1:1")
    assert found.exit_code == 0, found.output


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"LEDGER_PEPPER": secrets.token_hex(32)}, "LEDGER_PEPPER is not the pepper of ledger"),
        ({"LEDGER_PARTITIONS": "8"}, "LEDGER_PARTITIONS says 8: set it to 4"),
    ],
)
def test_other_settings_than_the_backups_are_refused_by_name(
    ledger: Ledger, empty: Ledger, tmp_path: Path, env: dict[str, str], said: str
) -> None:
    ledger.told("backup", tmp_path / "b")
    for found in (
        empty.run("restore", tmp_path / "b", **env),
        ledger.run("backup", tmp_path / "b", "--verify", **env),
    ):
        assert found.exit_code == 2
        assert said in found.stderr
    assert empty.restored_so_far() == 0


def test_one_cause_has_one_exit_code_in_every_command(
    ledger: Ledger, empty: Ledger, tmp_path: Path
) -> None:
    ledger.told("backup", tmp_path / "b")
    commands = (
        ("init", "--copies", "1"),
        ("backup", tmp_path / "b"),
        ("backup", tmp_path / "new"),
        ("backup", tmp_path / "b", "--verify"),
        ("verify", "--replicas"),
        ("rehearse",),
        ("show", "key"),
    )
    for command in commands:
        for env, named in (
            ({"LEDGER_PEPPER": secrets.token_hex(32)}, "LEDGER_PEPPER"),
            ({"LEDGER_PARTITIONS": "8"}, "LEDGER_PARTITIONS"),
        ):
            found = ledger.run(*command, **env)
            assert found.exit_code == 2, (command, found.output)
            assert named in found.stderr
    assert empty.run("backup", tmp_path / "other").exit_code == 2, "there is no ledger"


@pytest.mark.parametrize(
    "command",
    [("backup", "new"), ("restore", "b"), ("init",), ("show", "key"), ("verify", "--replicas")],
)
def test_a_kafka_that_is_away_is_named_announced_and_exit_code_3(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    ledger.told("backup", tmp_path / "b")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cli.patience.PATIENCE_S", 1.0)
    monkeypatch.setattr("cli.patience.SAID_AFTER_S", 0.0)
    monkeypatch.setattr("cli.patience._waiting.said_at", float("-inf"))
    found = ledger.run(*command, LEDGER_KAFKA="127.0.0.1:1")
    assert found.exit_code == 3, found.output
    assert found.stdout == ""
    said = " ".join(found.stderr.split())
    assert "127.0.0.1:1" in said
    if command[0] != "show":
        assert re.search(r"waiting for it, [01] s at most", said)


def test_trouble_is_one_line_and_an_exit_code(
    ledger: Ledger, empty: Ledger, tmp_path: Path
) -> None:
    for arguments in (("backup", "--verify"), ("restore",)):
        found = ledger.run(*arguments, tmp_path / "none")
        assert found.exit_code == 2
        assert "holds no backup" in found.stderr
    assert not (tmp_path / "none").exists()

    ledger.told("backup", tmp_path / "b")
    found = ledger.run("restore", tmp_path / "b", "--copies", "3")
    assert found.exit_code == 0, "it is all there already, and nothing is written"
    assert "nothing was changed" in found.stdout
    assert "empty the replicas" not in found.stdout
    assert ledger.told("restore", tmp_path / "b")["changed"] is False
    ledger.append(Activity(4, partitions=PARTITIONS), 1)
    found = ledger.run("restore", tmp_path / "b")
    assert found.exit_code == 1
    assert "a ledger lives there" in found.stderr
    found = empty.run("restore", tmp_path / "b", "--copies", "3")
    assert found.exit_code == 1
    assert "make do with fewer (`--copies 1`)" in found.stderr

    (tmp_path / "file").write_text("")
    found = ledger.run("backup", tmp_path / "file" / "b")
    assert found.exit_code == 2
    assert "is no folder" in found.stderr


def test_a_full_disk_is_told_with_the_way_on(many: Ledger, tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "disk", size_mb=4) as disk:
        (tmp_path / "disk" / "what-ate-it").write_bytes(bytes(3_700_000))
        done = many.run("backup", tmp_path / "disk" / "b")
        assert done.exit_code == 1
        said = " ".join(done.stderr.split())
        assert "No space left on device. Make room there, and run it again: it goes on" in said
        left = [*(tmp_path / "disk" / "b").glob("*.gz.part")]
        assert left == [], "what was written is room again"
        disk.empty()
        many.told("backup", tmp_path / "disk" / "b")
        many.told("backup", tmp_path / "disk" / "b", "--verify")


def _start(ledger: Ledger, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a command in a process of its own, with small segments and a note after each.

    It rests after a note, so that it can be ended there however fast the machine is.
    """
    program = (
        "import time; import cli.archiving.backup as run; from ledger.archive.folder import Folder;"
        "run.NOTE_EVERY_S, run.SEGMENT_BYTES, save = 0.0, 100_000, Folder.save;"
        "Folder.save = lambda *a, **k: (save(*a, **k), time.sleep(0.1));"
        "from cli.start import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, **ledger.env, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    end_with_tests(process.pid)
    return process


def _end(process: subprocess.Popen[str], number: signal.Signals, when: Callable[[], bool]) -> int:
    """End a command in the middle of its work."""
    wait_until(lambda: process.poll() is not None or when(), what="begun", timeout_s=LIMIT_S)
    assert process.poll() is None, process.communicate()
    process.send_signal(number)
    _, said = process.communicate(timeout=LIMIT_S)
    ended(process.pid)
    assert "Traceback" not in said
    return process.returncode


def _names_a_file(note: Path) -> bool:
    """Whether a run has noted more than that it has begun."""
    return note.exists() and bool(json.loads(note.read_bytes()).get("segments"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_backup_that_was_ended_goes_on(
    many: Ledger, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    folder = tmp_path / "b"
    process = _start(many, "backup", folder)
    unfinished = folder / "unfinished.json"
    assert _end(process, number, lambda: _names_a_file(unfinished)) == code
    assert not (folder / "manifest.json").exists()
    done = many.told("backup", folder)
    assert 0 < done["added"]["records"] < MANY
    checked = many.told("backup", folder, "--verify")
    assert checked["verified"] == sum(map(len, many.records().values()))
    left = {one.suffix for one in folder.iterdir()}
    assert left == {".gz", ".json", ""}, "no part of a file is left"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_restore_that_was_ended_goes_on(
    many: Ledger, empty: Ledger, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    many.told("backup", tmp_path / "b")
    process = _start(empty, "restore", tmp_path / "b", "--copies", "1")
    assert _end(process, number, lambda: empty.restored_so_far() > 0) == code
    for failed, *command in ((2, "init", "--copies", "1"), (1, "doctor")):
        refused = empty.run(*command)
        assert refused.exit_code == failed, "what is half restored is no ledger"
        assert "a restore did not come to its end" in " ".join(refused.output.split())
    done = empty.told("restore", tmp_path / "b", "--copies", "1")
    assert done["written"] < done["records"]
    assert empty.records() == many.records()
    assert empty.run("init", "--copies", "1").exit_code == 0
