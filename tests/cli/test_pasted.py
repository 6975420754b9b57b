"""The examples of docs/cli.md: all of them, pasted one after the other, on a real ledger."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.local import LEDGER
from tests.servers import ROOT
from tests.system import TOKEN, running

SAMPLE = str(ROOT / "examples" / "activity.csv")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_examples_of_the_docs_run_as_they_stand(tmp_path: Path) -> None:
    with running(tmp_path / "ledger", workers=1) as ledger:
        imported = CliRunner().invoke(app, ["import", "activity", SAMPLE], env=ledger.env)
        assert imported.exit_code == 0, imported.output
        text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
        examples = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        assert len(examples) == 15
        done = subprocess.run(
            ["sh", "-euxc", "".join(examples)],
            env={
                "PATH": f"{Path(LEDGER).parent}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "LEDGER_URL": ledger.workers[0].url,
                "LEDGER_TOKEN": TOKEN,
                "LEDGER_EMERGENCY_WORKERS": ",".join(worker.url for worker in ledger.workers),
                **ledger.env,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "_ledger_completion" in (tmp_path / "ledger-completion.bash").read_text()
        assert (tmp_path / "kiosk-token").read_text().startswith("activation-")
        assert json.loads((tmp_path / "findings.json").read_text())["level"] != "fail"
