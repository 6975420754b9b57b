"""How far a backup or a restore is, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.importing.progress import Shown


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the work, and how many offsets it passes."""

    title: str
    moves: int

    @property
    def path(self) -> Path:
        """What it is called where files are worked on."""
        return Path(self.title)


class Stages:
    """Shows one stage after the other."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown

    @contextmanager
    def of(self, stage: Stage) -> Iterator[Callable[[int], None]]:
        """Show a stage; what is given counts the offsets that were passed."""
        try:
            yield self._shown.begin(stage)
        finally:
            self._shown.end()
