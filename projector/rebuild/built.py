"""What a rebuild came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from projector.rebuild.intent import Foreseen
from projector.rebuild.proof import Proof


class Built(Struct, frozen=True, kw_only=True):
    """A generation that was built and proved: keys as they were read back, seconds by phase.

    `rendered`: licenses whose documents were rendered anew meanwhile, as a sample. `too_large`:
    partitions that fit no builder, so that the live fold has folded them. `foreseen`: by its plan.
    `grown_bytes`: of the Redis meanwhile, None where another run has begun it. `until_ms`: there is
    a way back, since a window of `window_s` is open; 0: it wasn't flipped.
    """

    generation: str
    previous: str
    events: int
    keys: int
    rendered: int
    seconds: Mapping[str, float]
    proof: Proof
    too_large: Sequence[int] = ()
    foreseen: Foreseen | None = None
    grown_bytes: int | None = None
    window_s: int = 0
    until_ms: int = 0
