"""Two releases side by side: the checkout, and a copy of it that was changed in a few places.

The copy has another version number, renders licenses otherwise, and knows later rules, which are
those of the checkout.
"""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from ledger.domain.events import RULES_VERSION
from projector.views.digests import VIEW
from tests.servers import ROOT
from tests.system import Program

LATER_RULES: Final = RULES_VERSION + 1
LATER_VIEW: Final = VIEW + 1
LATER: Final = "1000.0.0"
MARK: Final = b'"zone":"later"'
"""Stands in what the other release renders of a license, and nowhere else."""
_PACKAGES: Final = ("ledger", "projector", "api", "cli")
_EDITS: Final = (
    (
        "ledger/domain/events.py",
        f"RULES_VERSION: Final = {RULES_VERSION}\n",
        f"RULES_VERSION: Final = {LATER_RULES}\n",
    ),
    (
        "ledger/event_log/codec.py",
        f"{RULES_VERSION}: events.TYPES}}",
        f"{RULES_VERSION}: events.TYPES, {LATER_RULES}: events.TYPES}}",
    ),
    (
        "projector/views/digests.py",
        f"VIEW: Final = {VIEW}\n",
        f"VIEW: Final = {LATER_VIEW}\n",
    ),
    (
        "projector/views/documents.py",
        "    uses: Raw\n",
        '    uses: Raw\n    zone: str = "later"\n',
    ),
)
_RUN: Final = """
import runpy, sys
from importlib.metadata import version
from importlib.util import find_spec
print("runs", version("license-ledger"), find_spec(sys.argv[1]).origin, flush=True)
runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=True)
"""


def other_release(folder: Path) -> Path:
    """Make the other release in a folder; each edit has to meet exactly one place."""
    for package in _PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    for name, before, after in _EDITS:
        file = folder / name
        text = file.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{name} has {text.count(before)} times {before!r}"
        file.write_text(text.replace(before, after), encoding="utf-8")
    installed = folder / f"license_ledger-{LATER}.dist-info"
    installed.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: license-ledger\nVersion: {LATER}\n"
    (installed / "METADATA").write_text(metadata, encoding="utf-8")
    return folder


class Released(Program):
    """One of our own processes, of the release whose source is in `source`; ready when it says so.

    A change of `source` is the next start's.
    """

    def __init__(self, program: Program) -> None:
        super().__init__(program.directory, program.module, port=program.port, env=program.env)
        self.source = ROOT

    def _prepare(self) -> list[str]:
        return [sys.executable, "-c", _RUN, self.module]

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), "PYTHONPATH": str(self.source)}

    def is_ready(self) -> bool:
        return self.answers("/health/ready")

    def upgrade(self, source: Path) -> None:
        """Stop it, and start the release that is there, until it is ready and is that one."""
        self.stop()
        self.source = source
        self.start()
        self.assert_release()

    def assert_release(self) -> None:
        """The process has said itself which version it is, and where its code stands."""
        said = [
            line for line in self.log_path.read_text("utf-8").split("\n") if line[:5] == "runs "
        ]
        release = version("license-ledger") if self.source == ROOT else LATER
        file = self.source / self.module / "__init__.py"
        assert said[-1] == f"runs {release} {file}"
