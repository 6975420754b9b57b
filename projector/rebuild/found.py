"""What reading back found of one place; pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final

from projector.views.digests import NOTHING, plus
from projector.views.documents import Head

NAMED_MAX: Final = 20


@dataclass(slots=True)
class Found:
    """What was read of one place: digests summed anew, and what is wrong with it, in words."""

    place: int
    head: Head = field(default_factory=Head)
    state_weight: int = 0
    """Of all that was read of the state, summed up."""
    documents_weight: int = 0
    kept: tuple[str, str] | None = None
    """Digests that the fold has kept, of the same position."""
    counted: Counter[str] = field(default_factory=Counter)
    """Keys there are, by their kind."""
    reached: Counter[str] = field(default_factory=Counter)
    """Keys that a license, or a scope of the catalog, leads to."""
    wanted: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By list, a sum over the members that it has to have."""
    listed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By list, the sum over those it has."""
    frozen: dict[str, int] = field(default_factory=dict)
    rendered: int = 0
    """How many licenses were rendered anew, as the sample."""
    stale: list[str] = field(default_factory=list)
    """Of a sample, those whose document isn't as it would be rendered now."""
    wrong: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """Digest of the state that was read."""
        return plus(NOTHING.state, self.state_weight)

    @property
    def documents(self) -> str:
        """Digest of the licenses' documents that were read."""
        return plus(NOTHING.documents, self.documents_weight)

    @property
    def trouble(self) -> list[str]:
        """All that is wrong; the last of many says how many more there are."""
        found = list(self.wrong)
        if self.kept is not None:
            now = (self.state, self.documents)
            for name, was, is_ in zip(("state", "documents"), self.kept, now, strict=True):
                if was != is_:
                    found.append(f"the digest of the {name} is {is_}, and the fold kept {was}")
        found += [
            f"{self.counted[kind]} keys {kind}:… are there, and {self.reached[kind]} are led to"
            for kind in sorted(self.counted.keys() | self.reached.keys())
            if self.counted[kind] != self.reached[kind]
        ]
        found += [
            f"the list {name} isn't what the documents say"
            for name in sorted(self.wanted.keys() | self.listed.keys())
            if self.wanted.get(name, 0) != self.listed.get(name, 0)
        ]
        left = len(found) - NAMED_MAX
        return found if left <= 0 else [*found[:NAMED_MAX], f"and {left} more like these"]
