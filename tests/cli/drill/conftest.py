"""What tests of the drill need."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.drill.scratch import Scratch, scratch
from cli.drill.volume import Volume, volume
from tests.cli.drill.folders import shared_folder


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the drills of a test have their own folder."""
    with shared_folder() as made:
        monkeypatch.setattr(tempfile, "tempdir", str(made))
        yield made


@pytest.fixture
def here(folder: Path) -> Iterator[Scratch]:
    """A drill's folder."""
    with scratch(print) as made:
        yield made


@pytest.fixture
def small(here: Scratch) -> Volume:
    """A drill's small volume."""
    made = volume(here)
    if made.trouble is not None:
        pytest.skip(made.trouble)
    return made
