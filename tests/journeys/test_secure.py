"""`ledger up --secure`: TLS and users everywhere, nothing secret in sight, there and back."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.local import folder as folders
from cli.local import security
from cli.web import ApiUnavailable, call
from tests.local import Local, mentioning


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    started = Local(tmp_path)
    try:
        yield started
    finally:
        started.end()


def secrets_of(local: Local) -> dict[str, str]:
    """Every secret of the data folder, by its file."""
    folder = local.folder
    files = [folder.pepper, folder.seal_keys, folder.token, *folder.passwords.iterdir()]
    found = {path.name: path.read_text().strip() for path in files}
    found["seal-keys"] = found["seal-keys"].partition(":")[2]
    for key in folder.tls.glob("*-key.pem"):
        found[key.name] = key.read_text().splitlines()[1]
    return found


def in_sight(local: Local) -> dict[str, str]:
    """What others of this machine, or of the logs, can read, by where."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "args"], capture_output=True, text=True, timeout=30, check=True
    )
    found = {"ps": listed.stdout}
    for path in (*local.folder.logs.iterdir(), *local.folder.run.iterdir()):
        if path.is_file():
            found[path.name] = path.read_text(errors="replace")
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_from_nothing(local: Local) -> None:
    local.start("--secure")
    local.ready()
    line = next(line for line in local.output if "curl" in line)
    assert f"--cacert {local.folder.tls / 'ca.pem'} https://127.0.0.1:" in line
    assert '"code":"VALID"' in local.pasted()
    assert local.run("check", "-", stdin=local.key()).returncode == 0
    shown = local.run("show", "-", stdin=local.key())
    assert shown.returncode == 0, shown.stderr
    assert local.run("status").returncode == 0
    doctor = local.run("doctor")
    assert "API worker 2" in doctor.stdout
    assert "fail" not in doctor.stdout.lower(), doctor.stdout

    environment = folders.read_environment(local.folder)
    assert environment is not None
    plain = environment["LEDGER_API_URL"].replace("https:", "http:")
    with pytest.raises(ApiUnavailable):
        call(f"{plain}/health/ready")
    hidden = secrets_of(local)
    assert len(hidden) == 3 + len(security.USERS) + 3
    for where, text in in_sight(local).items():
        assert not [name for name, secret in hidden.items() if secret in text], where
    said = local.text.replace(hidden.pop("demo-token"), "")
    assert not [name for name, secret in hidden.items() if secret in said]

    local.process.send_signal(signal.SIGINT)
    assert local.wait() == 0, local.text
    assert mentioning(local.folder.root) == []


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_plain_folder_goes_secure_and_back_and_loses_nothing(local: Local) -> None:
    local.start()
    local.ready()
    key = local.key()
    local.process.send_signal(signal.SIGTERM)
    assert local.wait() == 0

    local.start("--secure", "--no-sample")
    local.ready()
    assert local.run("check", "-", stdin=key).returncode == 0
    orphans = local.everybody()
    local.process.kill()
    local.wait()
    # A second start ends what the killed one left behind, with the certificates of the first.
    before = (local.folder.tls / "ca.pem").read_bytes()
    local.start("--secure", "--no-sample")
    local.ready()
    assert "an earlier run left processes behind" in local.text
    assert (local.folder.tls / "ca.pem").read_bytes() == before
    assert local.run("check", "-", stdin=key).returncode == 0
    assert not [name for name, one in orphans.items() if _lives(one.id)]
    assert local.run("stop").returncode == 0
    assert local.wait() == 0

    local.start("--no-sample")
    local.ready()
    assert "http://127.0.0.1" in local.text
    assert local.run("check", "-", stdin=key).returncode == 0
    local.process.send_signal(signal.SIGINT)
    assert local.wait() == 0


def _lives(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True
