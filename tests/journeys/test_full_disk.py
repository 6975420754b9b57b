"""The disk of a whole `ledger up` is full for a minute; its ballast brings everything back."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

import httpx
import pytest

from cli.filling import ballast
from cli.local import folder as folders
from tests.faults.disk import SmallDisk
from tests.local import Local
from tests.vendor import license_body, machine_body

FULL_S: Final = 60.0
"""Longer than supervisor tries by itself to start what ends at once."""
BACK_S: Final = 30.0
CHECK: Final = "/v1/licenses/actions/validate-key"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "disk", size_mb=512) as mounted:
        yield mounted


@pytest.fixture
def local(disk: SmallDisk, tmp_path: Path) -> Iterator[Local]:
    started = Local(tmp_path / "disk")
    try:
        started.start("--no-sample")
        started.ready()
        yield started
    finally:
        started.end()


def release(local: Local) -> None:
    done = local.run("ballast", "release", str(local.folder.kafka(1)[0]))
    assert done.returncode == 0, done.stderr


class Load:
    """Checks and activations of one license, until told to stop.

    `failed`: checks that weren't answered VALID. `granted`: fingerprints, and when.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.key = self.license = ""
        self.checks = 0
        self.failed: list[object] = []
        self.granted: dict[str, float] = {}
        self.refused: list[str] = []

    async def begin(self, policy: str) -> None:
        body = license_body(policy, maxMachines=1_000_000)
        answer = await self._client.post("/v1/licenses", json=body)
        assert answer.status_code == httpx.codes.CREATED, answer.text
        self.license = answer.json()["data"]["id"]
        self.key = answer.json()["data"]["attributes"]["key"]

    async def checks_go_on(self) -> None:
        while True:
            self.checks += 1
            code = await self.check()
            if code != "VALID":
                self.failed.append(code)
            await asyncio.sleep(0.01)

    async def check(self, **scope: str) -> object:
        try:
            answer = await self._client.post(
                CHECK, json={"meta": {"key": self.key, "scope": scope}}
            )
        except httpx.HTTPError as error:
            return repr(error)
        return answer.json()["meta"]["code"] if answer.is_success else answer.text

    async def activations_go_on(self) -> None:
        for number in count():
            fingerprint = f"machine-{number}"
            body = machine_body(self.license, fingerprint)
            # Without a key of its own each try is another machine: only what is granted counts.
            try:
                answer = await self._client.post("/v1/machines", json=body)
            except httpx.HTTPError:
                continue
            if answer.status_code == httpx.codes.CREATED:
                self.granted[fingerprint] = time.monotonic()
            elif answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                self.refused.append(answer.text)
            await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_checks_go_on_and_activations_are_back_by_themselves(
    disk: SmallDisk, local: Local, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = folders.read_environment(local.folder)
    assert environment is not None
    headers = {"Authorization": f"Bearer {folders.read_token(local.folder)}"}
    async with httpx.AsyncClient(
        base_url=environment["LEDGER_API_URL"], headers=headers, timeout=10
    ) as client:
        load = Load(client)
        policies = (await client.get("/v1/policies")).json()["data"]
        await load.begin(policies[0]["id"])
        tasks = [asyncio.create_task(load.checks_go_on())]
        tasks += [asyncio.create_task(load.activations_go_on())]
        await asyncio.sleep(3)
        before = len(load.granted)
        assert before

        disk.fill()
        await asyncio.sleep(FULL_S)
        at_the_end = time.monotonic()
        late = [at for at in load.granted.values() if at > at_the_end - FULL_S / 2]
        assert not late, "the disk was not full"

        await asyncio.to_thread(release, local)
        freed = time.monotonic()
        granted_s = level_s = 0.0
        while not granted_s or not level_s:
            assert time.monotonic() - freed < BACK_S, (local.text, granted_s, level_s)
            if not granted_s and any(at > freed for at in load.granted.values()):
                granted_s = time.monotonic() - freed
            if not level_s and (await client.get("/health/ready")).json()["degraded"] == []:
                level_s = time.monotonic() - freed
            await asyncio.sleep(0.05)
        await asyncio.sleep(2)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

        assert load.checks > 1_000
        assert load.failed == []
        assert load.refused == []
        assert not ballast.file_in(local.folder.kafka(1)[0]).exists()
        disk.empty()
        async with asyncio.timeout(90):
            while not ballast.file_in(local.folder.kafka(1)[0]).exists():
                await asyncio.sleep(0.2)
        codes = {one: await load.check(fingerprint=one) for one in load.granted}
        assert {one: code for one, code in codes.items() if code != "VALID"} == {}
    with capsys.disabled():
        sys.stdout.write(
            f"\nfull for {FULL_S:.0f} s, {load.checks} checks, none failed; after the release "
            f"activations were back in {granted_s:.1f} s, all was level in {level_s:.1f} s; "
            f"{len(load.granted)} activations acknowledged, none lost\n"
        )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_start_on_a_full_disk_is_told_in_a_line_and_goes_after_the_release(
    disk: SmallDisk, local: Local
) -> None:
    assert local.run("stop").returncode == 0
    assert local.wait() == 0
    disk.fill()
    local.start("--no-sample")
    assert local.wait() == 1
    [line] = [line for line in local.output if line.startswith("ledger: ")]
    assert "is full" in line
    assert f"ledger ballast release {local.folder.root}/kafka" in line
    release(local)
    local.start("--no-sample")
    local.ready()
    # What is left isn't plenty: no ballast is made of it.
    assert local.run("ballast", "status", f"{local.folder.root}/kafka").returncode == 1
