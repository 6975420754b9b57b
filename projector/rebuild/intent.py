"""What a rebuild is about, kept in the replica, so that whoever comes next knows how to go on."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct

from projector.read_model.keys import CATALOG, tag

KEY: Final = f"{tag(CATALOG)}:rebuild"
CLOSED: Final = f"{KEY}:closed"
"""How the last one ended."""
RELEASES: Final = f"{KEY}:releases"
"""Set of the releases that fold its generations on since the flip."""
HOLDER: Final = f"{KEY}:holder"
"""Lock of the process that works on it."""

Phase = Literal["building", "proved", "flipping", "undoing", "window", "collecting"]
"""building, proved: nothing that serves has changed. flipping, undoing: partitions change over, one
by one. window: both generations are folded on, so that either may serve. collecting: `dropped`
goes.
"""


class Foreseen(Struct, frozen=True, kw_only=True):
    """What a rebuild will take: keys and bytes that it writes, and seconds, by kind of work."""

    keys: int
    folding_s: float
    writing_s: float
    reading_back_s: float
    else_s: float
    bytes: int = 0

    @property
    def total_s(self) -> float:
        """Seconds of it all."""
        return self.folding_s + self.writing_s + self.reading_back_s + self.else_s


NOTHING: Final = Foreseen(keys=0, folding_s=0.0, writing_s=0.0, reading_back_s=0.0, else_s=0.0)
_KEYS_AN_EVENT: Final = 1.5
_EVENT_S, _KEY_S, _READ_S, _ELSE_S = 1e-4, 4e-5, 6e-5, 5.0


def guessed(events: int) -> Foreseen:
    """What a rebuild takes that nobody has planned."""
    keys = round(_KEYS_AN_EVENT * events)
    return Foreseen(
        keys=keys,
        folding_s=_EVENT_S * events,
        writing_s=_KEY_S * keys,
        reading_back_s=_READ_S * keys,
        else_s=_ELSE_S,
    )


class Intent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rebuild of one replica.

    `generation`: what is built; `previous`: what served before. `ends`: to where each partition is
    folded in memory, fixed at the start, so that doing it again writes the same. `view`, `release`:
    by which code. `foreseen`: what it was to take, None where nobody has planned it. Times are the
    replica's clock. `until_ms`: when the window closes. `dropped`: the generation that is deleted.
    `read_back_ms`: when all of it was read back last (0: never). `against_log`: it is proved by a
    fresh fold of the log, and may differ from what served.
    """

    generation: str
    previous: str
    phase: Phase
    ends: tuple[int, ...]
    view: int
    release: str
    started_ms: int
    foreseen: Foreseen | None = None
    until_ms: int = 0
    dropped: str = ""
    read_back_ms: int = 0
    against_log: bool = False


class Closed(Struct, frozen=True, kw_only=True):
    """How a rebuild ended: `dropped` was deleted, `serves` serves.

    `flipped`: it was, and the window closed at `at_ms`; else it was given up then.
    """

    dropped: str
    serves: str
    flipped: bool
    at_ms: int


_encoder: Final = msgspec.json.Encoder(order="sorted")
_decoder: Final = msgspec.json.Decoder(Intent)
_closed: Final = msgspec.json.Decoder(Closed)


def intent_document(intent: Intent) -> bytes:
    """Stored form of an intent."""
    return _encoder.encode(intent)


def closed_document(closed: Closed) -> bytes:
    """Stored form of how a rebuild ended."""
    return _encoder.encode(closed)


def read_closed(document: bytes) -> Closed:
    """Read how a rebuild ended from its stored form."""
    return _closed.decode(document)


def read_intent(document: bytes) -> Intent:
    """Intent of its stored form."""
    return _decoder.decode(document)
