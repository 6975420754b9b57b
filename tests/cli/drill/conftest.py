"""What tests of the drill need."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.drill.folders import shared_folder


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the drills of a test have their own folder."""
    with shared_folder() as made:
        monkeypatch.setattr(tempfile, "tempdir", str(made))
        yield made
