"""What `ledger checkpoint` and `ledger verify` refuse before they read a log."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from ledger.signing_keys import private_pem, public_hex
from tests.emergency import KEY
from tests.servers import KafkaServer

runner = CliRunner()
OWN = ("--public-key", f"ops={public_hex(KEY)}")
MAKE = ("checkpoint", "make", "--key", "key.pem")


@pytest.fixture
def env(
    kafka_server: KafkaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """A ledger, and in the folder where the test is, a key to sign with and a checkpoint."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEDGER_CHECKPOINT_KEYS", raising=False)
    monkeypatch.setattr("ledger.event_log.kafka.READ_TIMEOUT_S", 20.0)
    Path("key.pem").write_text(private_pem(KEY))
    Path("key.pem").chmod(0o600)
    env = {
        "LEDGER_KAFKA": kafka_server.bootstrap,
        "LEDGER_PARTITIONS": "4",
        "LEDGER_TOPIC_PREFIX": f"t{uuid4().hex[:12]}-",
        "LEDGER_REPLICAS": "redis://127.0.0.1:1/0",
        "LEDGER_PEPPER": secrets.token_hex(32),
        "LEDGER_SEAL_KEYS": f"k1:{secrets.token_hex(32)}",
        "LEDGER_LOCAL": "1",
    }
    for command in (("init", "--copies", "1"), (*MAKE, "one.json")):
        done = invoke(env, *command)
        assert done.exit_code == 0, done.output
    return env


def invoke(env: dict[str, str], *arguments: str, **changed: str) -> Result:
    return runner.invoke(app, arguments, env={**env, **changed})


def test_a_mistyped_prefix_is_no_lost_log(env: dict[str, str]) -> None:
    for more in (("--checkpoint", "one.json", *OWN), ("--replicas",)):
        mistyped = invoke(env, "verify", *more, LEDGER_TOPIC_PREFIX="mistyped-")
        assert (mistyped.exit_code, mistyped.stdout) == (2, "")
        assert "no topic of a ledger under LEDGER_TOPIC_PREFIX mistyped-" in mistyped.stderr


def test_a_file_that_can_not_be_written_is_told_before_the_log_is_read(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.verifying.making.read_log", None)
    monkeypatch.setattr("os.open", full(os.open))
    Path("folder").mkdir()
    for file, said in (
        ("folder", "is a folder"),
        ("none/new.json", "make it first"),
        ("new.json", "No space left on device"),
    ):
        refused = invoke(env, *MAKE, file)
        assert refused.exit_code == 2, refused.output
        assert said in refused.stderr
    assert {one.name for one in Path().iterdir()} == {"key.pem", "one.json", "folder"}


def full(opens: Callable[..., int]) -> Callable[..., int]:
    """`os.open` on a disk without room for a new file."""

    def fails(path: Path, flags: int, *more: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opens(path, flags, *more)

    return fails
