"""What is known of a drill that goes on: its clock, its phases so far, what happened when."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from cli.drill import script
from cli.drill.outcome import Moment, Phase, PhaseName


@dataclass
class Play:
    """Times are seconds since `began`, which is the first moment of the first phase."""

    began: float = 0.0
    phases: list[Phase] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    now: PhaseName = PhaseName.HEALTHY
    since: float = 0.0
    neutralized_at: float | None = None
    neutralized: tuple[float, float] | None = None

    @property
    def at_s(self) -> float:
        """Now."""
        return time.monotonic() - self.began

    def enter(self, name: PhaseName | None) -> None:
        """End the phase, and begin another one."""
        at = self.at_s
        if at > self.since:
            self._add(_phase(self.now, self.since, at))
        if name is not None:
            self.now, self.since = name, at

    def happened(self, text: str) -> None:
        """Note something that happens now."""
        self.moments.append(Moment(at_s=round(self.at_s, 3), text=text))

    def skip(self, name: PhaseName, why: str) -> None:
        """Say that a phase can't be made here."""
        self._add(_phase(name, self.at_s, self.at_s, why))

    def _add(self, phase: Phase) -> None:
        """Keep them by their begin: what is skipped lies within what goes on."""
        self.phases.append(phase)
        self.phases.sort(key=lambda one: one.from_s)


def _phase(name: PhaseName, from_s: float, to_s: float, skipped: str | None = None) -> Phase:
    scene = script.SCENES[name]
    return Phase(
        name=name,
        title=scene.title,
        about=scene.about,
        from_s=round(from_s, 3),
        to_s=round(to_s, 3),
        skipped=skipped,
    )
