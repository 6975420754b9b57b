"""A local ledger is backed up, and begins anew in another data folder."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.local import folder as folders
from ledger.event_log.port import Topic
from tests.activity import Activity
from tests.cli.archiving.ledgers import PARTITIONS, PEPPER, CompactedLog, back_up, begin, settings
from tests.local import Local
from tests.servers import wait_until
from tests.vendor import machine_body

MANY = 30_000
"""Events, so that a restore takes some time."""


@pytest.fixture
def locals_(tmp_path: Path) -> Iterator[tuple[Local, Local]]:
    first, second = Local(tmp_path / "first"), Local(tmp_path / "second")
    try:
        yield first, second
    finally:
        first.end()
        second.end()


def policy(local: Local) -> str:
    """The id of the first policy, as `ledger up` names it."""
    return next(line for line in local.output if line.startswith("  policy")).split()[1]


def activated(local: Local, license_: str) -> httpx.Response:
    """The answer to one activation that is always sent under the same Idempotency-Key."""
    token = folders.read_token(local.folder)
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "before-the-backup"}
    url = next(line for line in local.output if line.startswith("  API")).split()[1]
    answers: list[httpx.Response] = []

    def settled() -> bool:
        body = machine_body(license_, "the-machine")
        answers.append(httpx.post(f"{url}/machines", json=body, headers=headers, timeout=10))
        return answers[-1].status_code != httpx.codes.SERVICE_UNAVAILABLE

    wait_until(settled, what="an answer", timeout_s=60)
    return answers[-1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_local_ledger_begins_with_a_backup(locals_: tuple[Local, Local], tmp_path: Path) -> None:
    first, second = locals_
    folder = tmp_path / "backup"
    first.start()
    first.ready()
    key = first.key()
    before = json.loads(first.run("show", "-", "--json", "--last", "0", stdin=key).stdout)
    license_ = json.loads(
        first.run("license", "create", "--policy", policy(first), "--json").stdout
    )
    answered = activated(first, license_["data"]["id"])
    assert answered.status_code == 201, answered.text
    done = first.run("backup", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    first.process.send_signal(signal.SIGINT)
    assert first.wait() == 0, first.text

    second.start("--restore", str(folder))
    assert second.wait() == 2
    assert "copy pepper and seal-keys" in second.text
    second.folder.root.mkdir(mode=0o700, parents=True)
    for secret in ("pepper", "seal-keys", "demo-token"):
        shutil.copy(first.folder.root / secret, second.folder.root / secret)
    second.start("--restore", str(folder))
    second.ready()
    assert "Sample" not in second.text
    assert second.run("check", "-", stdin=key).returncode == 0
    after = json.loads(second.run("show", "-", "--json", "--last", "0", stdin=key).stdout)
    assert after["history"] == before["history"], "with every time and place, and names opened"
    assert after["key"] == key
    repeated = activated(second, license_["data"]["id"])
    assert (repeated.status_code, repeated.json()["data"]) == (201, answered.json()["data"])
    assert repeated.headers["Ledger-Position"] == answered.headers["Ledger-Position"]
    added = json.loads(second.run("backup", str(folder), "--json").stdout)
    assert added["ledger"] == json.loads(done.stdout)["ledger"]
    second.process.send_signal(signal.SIGINT)
    assert second.wait() == 0, second.text


def a_backup_of_many(folder: Path) -> None:
    async def make() -> None:
        log, these = CompactedLog(), settings()
        await begin(log, these)
        for one in Activity(9, partitions=PARTITIONS).appendables(MANY):
            assert one.key is not None
            await log.append(Topic.LICENSE_EVENTS, one.partition, key=one.key, value=one.value)
        await back_up(log, folder, these.pepper, segment_bytes=4_000_000)

    asyncio.run(make())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_restore_that_was_interrupted_says_so_and_goes_on(
    locals_: tuple[Local, Local], tmp_path: Path
) -> None:
    local, _ = locals_
    a_backup_of_many(tmp_path / "backup")
    local.folder.root.mkdir(mode=0o700, parents=True)
    local.folder.pepper.write_text(PEPPER)
    local.folder.seal_keys.write_text(f"k1:{'73' * 32}")
    env = {"LEDGER_PARTITIONS": str(PARTITIONS)}
    local.start("--restore", str(tmp_path / "backup"), env=env)
    local.until("restore: ")
    [data] = local.folder.kafka(1)
    stored = data / "data" / "license-events-0" / f"{0:020}.log"
    wait_until(lambda: stored.exists() and stored.stat().st_size > 0, what="a restored record")
    local.process.send_signal(signal.SIGINT)
    assert local.wait() == 130, local.text
    again = "run `ledger up --restore FOLDER` again"
    assert f"The restore did not come to its end: {again}" in local.text
    local.start(env=env)
    assert local.wait() == 2
    assert "a restore did not come to its end" in local.text
    assert again in local.text
    refused = local.run("restore", str(tmp_path / "backup"))
    assert refused.returncode == 2
    assert "`ledger up --restore FOLDER`" in refused.stderr
    local.start("--restore", str(tmp_path / "backup"), env=env)
    local.ready()
    assert "compare: " in local.text, "it went on where it was"
    local.process.send_signal(signal.SIGINT)
    assert local.wait() == 0, local.text
