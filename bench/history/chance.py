"""Chance that is cheap to begin: one of its own for each license, by seed and index."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

_MASK: Final = 2**64 - 1
_FACTOR: Final = 6_364_136_223_846_793_005
_SUMMAND: Final = 1_442_695_040_888_963_407


class Chance:
    """A linear congruential generator of 64 bits, of which it gives the upper 32.

    `Random` would take 2.5 KB a license, and many thousand licenses are open at a time.
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int, index: int, purpose: bytes) -> None:
        digest = blake2b(b"%d/%d" % (seed, index), digest_size=8, person=purpose).digest()
        self._state = int.from_bytes(digest, "big")

    def below(self, limit: int) -> int:
        """A whole number from 0 up to, and without, `limit` (at most 2^32)."""
        self._state = state = (self._state * _FACTOR + _SUMMAND) & _MASK
        return (state >> 32) * limit >> 32

    def share(self) -> float:
        """A number from 0 up to, and without, 1."""
        self._state = state = (self._state * _FACTOR + _SUMMAND) & _MASK
        return (state >> 32) / 4_294_967_296
