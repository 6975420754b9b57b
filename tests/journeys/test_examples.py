"""What the pages offer for pasting, pasted: from top to bottom, beside one `ledger up`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.local import LEDGER, Local, environment
from tests.servers import ROOT

PASTED_S = 300.0
BLOCK = "#### block "

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl isn't installed"),
]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    started = Local(tmp_path_factory.mktemp("local"))
    try:
        started.start()
        started.ready()
        (started.folder.root.parent / "ledger-data").symlink_to(started.folder.root)
        yield started
    finally:
        started.end()


def pasted(local: Local, path: Path, shell: str = "sh") -> list[str]:
    """What each block of a page says; fails where a command does that isn't asked about."""
    blocks = re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    script = "".join(f"echo '{BLOCK}'\n{block}" for block in blocks)
    url = re.search(r"http://127\.0\.0\.1:\d+", local.text)
    assert url is not None
    done = subprocess.run(
        [shell, "-euc", script.replace("http://127.0.0.1:7100", url[0])],
        env={
            **environment(),
            "PATH": f"{Path(LEDGER).parent}{os.pathsep}{os.environ['PATH']}",
        },
        cwd=local.folder.root.parent,
        capture_output=True,
        text=True,
        timeout=PASTED_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.split(f"{BLOCK}\n")[1:]
    assert len(said) == len(blocks)
    return said


def answers(said: str) -> list[Any]:
    """Documents that a block says, one a line."""
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("shell", ["sh", pytest.param("bash", marks=pytest.mark.slow)])
def test_the_page_of_the_api_can_be_pasted(local: Local, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    said = pasted(local, ROOT / "docs" / "api.md", shell)
    assert len(said) == 26
    everything = answers("".join(said))
    errors = [each["errors"][0]["code"] for each in everything if "errors" in each]
    assert errors == ["ATTRIBUTE_NOT_SUPPORTED"]
    assert [each["meta"]["code"] for each in everything if "code" in each.get("meta", {})] == [
        "VALID"
    ] * 4
    [many] = [each for block in said if '"validations"' in block for each in answers(block)]
    assert [entry["attributes"]["code"] for entry in many["data"]] == [
        "VALID",
        "VALID",
        "NOT_FOUND",
    ]
    [renewals] = [answers(block) for block in said if '"policy-progress"' in block]
    licenses = [each["data"] for each in renewals if each["data"]["type"] == "licenses"]
    # Renewed once before; then from the expiry, from now, and from the expiry, which isn't past.
    assert [_years(license_) for license_ in licenses] == [3, 1, 2]
    [pages] = [answers(block) for block in said if '"next":"' in block]
    assert [len(page["data"]) for page in pages] == [1, 1, 1]
    assert [page["links"]["next"] is None for page in pages] == [False, True, True]


def test_the_first_ten_minutes_of_the_readme(local: Local) -> None:
    made, valid, suspended, shown = pasted(local, ROOT / "README.md")
    assert "PAINTER-0001" in made
    assert valid.startswith("VALID\n")
    assert [each["meta"]["code"] for each in answers(valid)] == ["VALID"]
    assert "\nSUSPENDED\n" in suspended
    assert suspended.endswith("exit code 1\n")
    events = [line.split()[2] for line in shown.splitlines() if re.match(r"\d+ +\d{4}-", line)]
    assert events[:2] + events[-1:] == ["issued", "activation-requested", "suspended"]
    assert "status          ACTIVE" in shown


def _years(license_: dict[str, Any]) -> int:
    """Years from a license's issue to its expiry."""
    issued, expiry = (
        datetime.fromisoformat(license_["attributes"][name]) for name in ("created", "expiry")
    )
    return round((expiry - issued) / timedelta(days=365))
