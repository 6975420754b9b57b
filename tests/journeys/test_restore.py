"""A local ledger is backed up, and begins anew in another data folder."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local import Local


@pytest.fixture
def locals_(tmp_path: Path) -> Iterator[tuple[Local, Local]]:
    first, second = Local(tmp_path / "first"), Local(tmp_path / "second")
    try:
        yield first, second
    finally:
        first.end()
        second.end()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_local_ledger_begins_with_a_backup(locals_: tuple[Local, Local], tmp_path: Path) -> None:
    first, second = locals_
    folder = tmp_path / "backup"
    first.start()
    first.ready()
    key = first.key()
    before = json.loads(first.run("show", "-", "--json", "--last", "0", stdin=key).stdout)
    done = first.run("backup", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    first.process.send_signal(signal.SIGINT)
    assert first.wait() == 0, first.text

    second.start("--restore", str(folder))
    assert second.wait() == 2
    assert "copy pepper and seal-keys" in second.text
    second.folder.root.mkdir(mode=0o700, parents=True)
    for secret in ("pepper", "seal-keys"):
        shutil.copy(first.folder.root / secret, second.folder.root / secret)
    second.start("--restore", str(folder))
    second.ready()
    assert "Sample" not in second.text
    assert second.run("check", "-", stdin=key).returncode == 0
    after = json.loads(second.run("show", "-", "--json", "--last", "0", stdin=key).stdout)
    assert after["history"] == before["history"], "with every time and place, and names opened"
    assert after["key"] == key
    added = json.loads(second.run("backup", str(folder), "--json").stdout)
    assert added["ledger"] == json.loads(done.stdout)["ledger"]
    second.process.send_signal(signal.SIGINT)
    assert second.wait() == 0, second.text
