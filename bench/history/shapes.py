"""Shapes: how many events each license has, and what happens to it how often."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Final, Literal, get_args

from msgspec import Struct

from bench.history.chance import Chance

Shape = Literal["many-small", "few-huge", "long-histories", "mixed"]
SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)
Kind = Literal["small", "large", "huge", "long"]

_HUGE_MOST: Final = 50
_HUGE_SHARE: Final = 9
"""Events of the huge licenses, for each one of the others."""
_LARGE_IN: Final = 100
_LARGE_WEIGHT: Final = 100.0
_TAIL: Final = 1 / 1.3
_TAIL_MOST: Final = 300.0

WEIGHTS: Final[Mapping[Kind, Mapping[str, int]]] = {
    "small": {
        "validate": 300,
        "activate": 300,
        "deactivate": 110,
        "use": 90,
        "check_in": 60,
        "change_machine": 30,
        "activate_held": 20,
        "change": 20,
        "renew": 12,
        "attach": 12,
        "deactivate_absent": 10,
        "change_terms": 10,
        "suspend": 8,
        "detach": 6,
        "transfer": 5,
        "stale_terms": 2,
        "revoke": 3,
    },
    "large": {
        "activate": 500,
        "validate": 200,
        "deactivate": 180,
        "use": 40,
        "change_machine": 30,
        "activate_held": 20,
        "deactivate_absent": 10,
        "change": 8,
        "attach": 4,
        "change_terms": 3,
        "detach": 2,
        "renew": 2,
        "suspend": 1,
    },
    "huge": {
        "activate": 7_500,
        "deactivate": 1_200,
        "validate": 800,
        "change_machine": 250,
        "activate_held": 150,
        "deactivate_absent": 50,
        "use": 45,
        "change": 4,
        "suspend": 1,
    },
    "long": {
        "validate": 3_400,
        "check_in": 2_400,
        "use": 2_000,
        "activate": 900,
        "deactivate": 800,
        "change_machine": 200,
        "activate_held": 100,
        "deactivate_absent": 50,
        "change": 40,
        "renew": 30,
        "attach": 30,
        "detach": 25,
        "change_terms": 20,
        "suspend": 8,
        "transfer": 4,
        "stale_terms": 4,
        "revoke": 1,
    },
}
"""What happens to a license that lives, is not suspended and has not expired."""


class Size(Struct, frozen=True, kw_only=True):
    """How big a history is, and of which shape; the same seed makes the same one.

    `until_ms`: when it ends; it begins `span_days` before.
    """

    shape: Shape
    licenses: int
    events: int
    until_ms: int
    seed: int = 1
    span_days: int = 400

    def kind(self, index: int) -> Kind:
        """What kind of license one is."""
        if self.shape == "few-huge":
            return "huge" if index % self._stride == 0 else "small"
        if self.shape == "mixed":
            return "large" if self._chance(index).below(_LARGE_IN) == 0 else "small"
        return "long" if self.shape == "long-histories" else "small"

    def counts(self) -> array[int]:
        """Events of each license, its issue included; together they are `events`.

        Raises `ValueError` where there are fewer events than licenses.
        """
        if not 1 <= self.licenses <= self.events:
            raise ValueError("a history has at least one license, and an event for each")
        weights = array("d", (self._weight(index) for index in range(self.licenses)))
        spare, total = self.events - self.licenses, sum(weights)
        counts, before, so_far = array("L"), 0, 0.0
        for weight in weights:
            so_far += weight
            after = min(round(spare * so_far / total), spare)
            counts.append(1 + after - before)
            before = after
        counts[-1] += spare - before
        return counts

    @property
    def _stride(self) -> int:
        return max(1, self.licenses // min(_HUGE_MOST, max(1, self.licenses // 20)))

    def _chance(self, index: int) -> Chance:
        return Chance(self.seed, index, b"history.size")

    def _weight(self, index: int) -> float:
        kind = self.kind(index)
        if kind == "huge":
            huge = -(-self.licenses // self._stride)
            return _HUGE_SHARE * max(1, self.licenses - huge) / huge
        if kind == "large":
            return _LARGE_WEIGHT
        chance = self._chance(index)
        # The first one has told the kind.
        chance.share()
        share = chance.share()
        if kind == "long":
            return float(0.3 * 10.0**share)
        if self.shape == "mixed":
            return float(min((1 - share) ** -_TAIL, _TAIL_MOST))
        return 0.5 + share
