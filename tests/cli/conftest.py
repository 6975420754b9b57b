"""An API that listens, found as a person's environment names one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.listening import Listening, listening


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Listening]:
    """What says yes to everything, and no other ledger within reach."""
    with listening() as found:
        monkeypatch.delenv("LEDGER_KAFKA", raising=False)
        monkeypatch.setenv("LEDGER_DATA", str(tmp_path / "data"))
        monkeypatch.setenv("LEDGER_API_URL", found.url)
        monkeypatch.setenv("LEDGER_URL", found.url)
        monkeypatch.setenv("LEDGER_TOKEN", "made-up")
        yield found
