"""Outside the local run real processes refuse what is open, missing or known, by name, with 2."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from cli.local import folder as folders
from cli.local.folder import DataFolder, data_folder
from tests.servers import ROOT

HIDDEN = "hunter2"
ENVIRONMENT = {
    "LEDGER_KAFKA": "127.0.0.1:1",
    "LEDGER_REPLICAS": "redis://127.0.0.1:1/0",
    "LEDGER_PEPPER": secrets.token_hex(32),
    "LEDGER_SEAL_KEYS": f"k1:{secrets.token_hex(32)}",
    "LEDGER_API_TOKEN_DIGESTS": sha256(secrets.token_bytes(32)).hexdigest(),
    "LEDGER_API_OWN_PORT": "1",
}


def started(changes: Mapping[str, str], *argv: str) -> tuple[int, str]:
    """Exit code and all that a process says that is started so."""
    kept = {name: value for name, value in os.environ.items() if name[:7] != "LEDGER_"}
    done = subprocess.run(
        [sys.executable, "-m", *argv],
        env={**kept, **ENVIRONMENT, **changes, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=changes.get("LEDGER_DATA", ROOT),
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    found = data_folder(tmp_path / "ledger-data")
    folders.make(found)
    return found


def test_the_wire_and_its_passwords() -> None:
    cases: list[tuple[str, dict[str, str], str]] = [
        ("api", {"LEDGER_KAFKA": "kafka.example:9092"}, "LEDGER_KAFKA_SECURITY"),
        (
            "projector",
            {"LEDGER_REPLICAS": f"redis://:{HIDDEN}@redis.example/0"},
            "LEDGER_REPLICAS: replica A",
        ),
        ("projector", {"LEDGER_REPLICAS": "rediss://redis.example/0"}, "LEDGER_REDIS_PASSWORD"),
        (
            "projector",
            {"LEDGER_KAFKA_SECURITY": "SASL_SSL", "LEDGER_KAFKA_USER": "projector"},
            "LEDGER_KAFKA_PASSWORD",
        ),
    ]
    for program, changes, name in cases:
        code, said = started(changes, program)
        assert (code, name in said) == (2, True), said
        assert HIDDEN not in said


def test_the_secrets_of_a_local_ledger(folder: DataFolder) -> None:
    pepper, token = folder.pepper.read_text().strip(), folders.read_token(folder)
    data = {"LEDGER_DATA": str(folder.root)}
    digest = sha256(token.encode()).hexdigest()
    cases: list[tuple[str, dict[str, str], str]] = [
        ("api", {"LEDGER_PEPPER_FILE": str(folder.pepper)}, "LEDGER_PEPPER"),
        ("projector", {"LEDGER_SEAL_KEYS_FILE": str(folder.seal_keys)}, "LEDGER_SEAL_KEYS"),
        ("api", {**data, "LEDGER_PEPPER": pepper}, "LEDGER_PEPPER"),
        ("api", {**data, "LEDGER_API_TOKEN_DIGESTS": digest}, "LEDGER_API_TOKEN_DIGESTS"),
    ]
    for program, changes, name in cases:
        code, said = started(changes, program)
        assert (code, name in said, "local ledger" in said) == (2, True, True), said
        assert pepper not in said
        assert token not in said


def test_a_command_refuses_as_well() -> None:
    script = str(Path(sys.executable).with_name("ledger"))
    done = subprocess.run(
        [script, "init"],
        env={**os.environ, **ENVIRONMENT, "LEDGER_KAFKA": "kafka.example:9092"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "LEDGER_KAFKA_SECURITY" in done.stderr
