"""How far a rebuild is, and how long it will take: a range that narrows."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from projector.rebuild.intent import KEY

PROGRESS_KEY: Final = f"{KEY}:progress"
PROGRESS_TTL_S: Final = 15
"""What nobody renews is gone: its process is."""

FOLD, WRITE, READ = 1.0, 0.5, 0.6
"""Cost of a record folded, of a key written, of a key read back, in records folded."""
_SPREAD_FIRST, _SPREAD_LAST = 0.5, 0.1
_CERTAIN: Final = 0.02


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A moment of a rebuild.

    `percent` of the whole work; `events` folded of `events_total`; `keys` written or read back.
    `left_s`: least and most seconds left, empty until that can be told. `lag_ms`: age of what
    serves. `memory_bytes`: of the Redis. `held`: it stands still, since what serves needs the
    machine.
    """

    phase: str
    percent: float = 0.0
    events: int = 0
    events_total: int = 0
    events_per_s: float = 0.0
    keys: int = 0
    left_s: tuple[int, int] | None = None
    lag_ms: int = 0
    memory_bytes: int = 0
    held: bool = False


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Progress)


def progress_document(progress: Progress) -> bytes:
    """Stored form of a moment."""
    return _encoder.encode(progress)


def read_progress(document: bytes) -> Progress:
    """Moment of its stored form."""
    return _decoder.decode(document)


class Work:
    """Work done and work to do, in records folded; how many keys there will be is learned."""

    def __init__(self, events: int, keys_expected: int) -> None:
        self.events_total = events
        self.events = 0
        self.written = 0
        self.read = 0
        self._keys_expected = keys_expected
        self._keys_known: int | None = None

    def keys_are(self, count: int) -> None:
        """Say how many keys there are, once all were read back."""
        self._keys_known = self.written = count

    @property
    def keys(self) -> int:
        """How many keys there will be: as was expected, or by what the folded part has."""
        if self._keys_known is not None:
            return self._keys_known
        return max(self._keys_expected, self.written, self.read)

    @property
    def share(self) -> float:
        """Share of the work that is done, 0 to 1."""
        done = FOLD * self.events + WRITE * self.written + READ * self.read
        total = FOLD * self.events_total + (WRITE + READ) * self.keys
        return min(1.0, done / total) if total else 0.0

    def left_s(self, elapsed_s: float) -> tuple[int, int] | None:
        """Least and most seconds left; None while too little was seen."""
        share = self.share
        if share < _CERTAIN:
            return None
        left = elapsed_s * (1 - share) / share
        spread = _SPREAD_LAST + (_SPREAD_FIRST - _SPREAD_LAST) * (1 - share)
        return round(left * (1 - spread)), round(left * (1 + spread)) + 1
