"""No key, fingerprint, host, address, name or token is in the clear wherever the ledger writes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from tests.canary import Canary, Scanner
from tests.journeys.test_imports import command
from tests.servers import ROOT
from tests.system import TOKEN, System
from tests.vendor import Vendor, license_body, machine_body, settled

KEY = "canary-key-Xq7/Zt4 Ωmega"
FINGERPRINT = "canary:fingerprint/5f0c99+ü"
HOST = "canary-host-name.example"
ADDRESS = "203.0.113.77"
NAME = "canary machine of Ann Example"
IMPORTED_USER = "canary.imported.user"
IMPORTED_HOST = "canary-imported-host"
WRONG_TOKEN = "canary-wrong-token-1234567890"
WRONG_KEY = "canary-unknown-key-0987654321"

CANARIES = [
    Canary(what="key", text=KEY),
    Canary(what="fingerprint", text=FINGERPRINT),
    Canary(what="host", text=HOST),
    Canary(what="address", text=ADDRESS),
    Canary(what="machine's name", text=NAME),
    Canary(what="imported user", text=IMPORTED_USER),
    Canary(what="imported host", text=IMPORTED_HOST),
    Canary(what="token", text=TOKEN),
    Canary(what="wrong token", text=WRONG_TOKEN),
    Canary(what="unknown key", text=WRONG_KEY),
]


async def test_nothing_secret_or_personal_is_in_the_clear(
    system: System, tmp_path_factory: pytest.TempPathFactory
) -> None:
    scanner = Scanner(canaries=CANARIES)
    async with system.client(0) as first, system.client(1) as second:
        await _live(Vendor([first, second], system.ledger), scanner)
    _import(system, tmp_path_factory.mktemp("canary") / "activity.csv", scanner)
    async with httpx.AsyncClient() as client:
        for program in (*system.workers, *system.projectors):
            page = await client.get(f"{program.url}/metrics")
            scanner.scan_text("metrics", program.url, page.text)
    for replica in system.replicas:
        await scanner.scan_redis(replica.url)
    for server in reversed(system.servers):
        server.stop()
        if server in (*system.workers, *system.projectors):
            scanner.scan_files("logs", server.directory)
    scanner.scan_kafka(system.kafka.directory / "data")
    scanner.scan("logs", "broker", system.kafka.log_path.read_bytes())
    for replica in system.replicas:
        scanner.scan_redis_files(replica.data_directory)
    scanner.check("errors", "command", "metrics", "redis", "logs", "kafka", "redis-files")


async def _live(vendor: Vendor, scanner: Scanner) -> None:
    """Do everything that there is with the canaries, and look at each error's text."""
    first = vendor.clients[0]
    body = license_body(vendor.policy, name="not sealed", maxMachines=1, key=KEY)
    issued = await settled(vendor.clients, "/v1/licenses", body)
    license_ = issued.json()["data"]["id"]
    personal = {"name": NAME, "hostname": HOST, "ip": ADDRESS}
    granted = await vendor.activate(license_, FINGERPRINT, **personal)
    assert granted.status_code == httpx.codes.CREATED, granted.text
    assert granted.json()["data"]["attributes"]["hostname"] == HOST
    assert (await vendor.license(license_))["attributes"]["key"] == KEY
    assert (await vendor.check(KEY, fingerprint=FINGERPRINT))["meta"]["code"] == "VALID"

    for answer in (
        await vendor.activate(license_, FINGERPRINT, **personal),
        await vendor.activate(license_, FINGERPRINT + "2", **personal),
        await first.get(f"/v1/licenses/{quote(WRONG_KEY, safe='')}"),
        await first.delete(f"/v1/machines/{quote(FINGERPRINT + '3', safe='')}"),
        await first.post("/v1/machines", json=machine_body(str(uuid4()), FINGERPRINT)),
        await first.post("/v1/machines", json=machine_body(license_, FINGERPRINT, cores=HOST)),
        await first.post("/v1/machines", content=f'{{"broken": "{FINGERPRINT}'),
        await first.get("/v1/licenses/x", headers={"Authorization": f"Bearer {WRONG_TOKEN}"}),
        await first.get(f"/v1/{quote(KEY, safe='')}/{quote(FINGERPRINT, safe='')}"),
    ):
        assert answer.is_error, answer.text
        scanner.scan_text("errors", str(answer.request.method), answer.text)
    assert (await first.get(f"/v1/licenses/{quote(KEY, safe='')}")).status_code in {200, 404}
    gone = await first.delete(f"/v1/machines/{quote(FINGERPRINT, safe='')}")
    assert gone.status_code in {204, 404}


def _import(system: System, path: Path, scanner: Scanner) -> None:
    """Import a file that names somebody, one line of it broken."""
    lines = [
        "time,feature,action,user,host,seats",
        f"2022-06-09T08:00:00Z,X,checkout,{IMPORTED_USER},{IMPORTED_HOST},1",
        f"2022-06-09T08:00:00Z,X,denied,{IMPORTED_USER},{IMPORTED_HOST},1",
        f"yesterday,X,checkout,{IMPORTED_USER},{IMPORTED_HOST},1",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    process = command(system, "activity", path)
    said, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint
    scanner.scan_text("command", "ledger import", said + complaint)
    environment = {**system.env, "PATH": "/usr/bin:/bin"}
    shown = subprocess.run(
        [str(ROOT / ".venv" / "bin" / "ledger"), "check", WRONG_KEY],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    scanner.scan_text("command", "ledger check", shown.stdout + shown.stderr)
