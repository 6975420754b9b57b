"""Pure: from how much came in how long to how many days are left, without a false precision.

A pace is believed for `HORIZON` times as long as it was seen: an hour says something of the next
four days, a month of eight years. What is seen for less than an hour says nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

DAY_S: Final = 86_400.0
SPAN_MIN_S: Final = 3_600.0
HORIZON: Final = 100.0
WARN_DAYS: Final = 14.0
NEARLY_FULL: Final = 0.1
"""Below this part of its size what is left is too little, however slowly it grows."""
SEEN_MAX_S: Final = DAY_S
_DAYS_MAX: Final = 3_650.0


class Pace(Struct, frozen=True, kw_only=True):
    """How many bytes come a day (fewer than 0: it shrinks), as seen over `span_s` seconds."""

    bytes_a_day: float
    span_s: float


class Store(Struct, frozen=True, kw_only=True):
    """What fills up: a broker's disk, a Redis' memory, a file.

    `used`: bytes of ours in it; `size`: of all of it; `room`: left. None: not known, and `unknown`
    says why. `paces`: how fast it fills, seen over different spans.
    """

    name: str
    used: int | None = None
    size: int | None = None
    room: int | None = None
    paces: Sequence[Pace] = ()
    unknown: str = ""

    @property
    def is_nearly_full(self) -> bool:
        """Whether less than a tenth of it is left."""
        if self.size is None or self.room is None:
            return False
        return self.room < NEARLY_FULL * self.size


class Outlook(Struct, frozen=True, kw_only=True):
    """When it will be full, in days from now: from `earliest` to `latest`.

    `earliest` None: not in sight, for `not_within` days at least; that None: nothing can be said,
    and `unknown` says why. `latest` None: or never.
    """

    earliest: float | None = None
    latest: float | None = None
    not_within: float | None = None
    unknown: str = ""


def outlook(store: Store) -> Outlook:
    """When a store will be full, by all paces that were seen for long enough."""
    if store.room is None or store.unknown:
        return Outlook(unknown=store.unknown or "what is left isn't told")
    if store.room <= 0:
        return Outlook(earliest=0.0, latest=0.0)
    seen = [pace for pace in store.paces if pace.span_s >= SPAN_MIN_S]
    if not seen:
        longest = max((pace.span_s for pace in store.paces), default=0.0)
        return Outlook(unknown=f"seen for {longest / 60:.0f} min only")
    days = [(_days(store.room, pace), HORIZON * pace.span_s / DAY_S) for pace in seen]
    believed = [left for left, horizon in days if left <= min(horizon, _DAYS_MAX)]
    if not believed:
        return Outlook(not_within=min(max(horizon for _, horizon in days), _DAYS_MAX))
    latest = max(left for left, _ in days)
    return Outlook(earliest=min(believed), latest=None if latest > _DAYS_MAX else latest)


def is_alarming(store: Store, warn_days: float = WARN_DAYS) -> bool:
    """Whether a person should see to it now."""
    earliest = outlook(store).earliest
    return store.is_nearly_full or (earliest is not None and earliest < warn_days)


def first_to_fill(stores: Sequence[Store]) -> Store | None:
    """The store that may be full before all others; None where none is in sight."""
    told = [
        (earliest, number)
        for number, store in enumerate(stores)
        if (earliest := outlook(store).earliest) is not None
    ]
    return stores[min(told)[1]] if told else None


def grown(used: float, came: float, total: float, span_s: float) -> Pace:
    """The pace of what takes `used` bytes for `total` things, of which `came` came in the span."""
    share = came / total if total else 0.0
    return Pace(bytes_a_day=used * share * DAY_S / span_s, span_s=span_s)


class Seen:
    """The room of one store as a process saw it, for a day at most: whatever it is that eats it."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, at_s: float, room: int) -> None:
        """Remember the room at a time that never goes back."""
        self._seen.append((at_s, room))
        while at_s - self._seen[0][0] > SEEN_MAX_S:
            self._seen.popleft()

    def paces(self) -> list[Pace]:
        """How fast it shrank over the last hour, and over all that is remembered."""
        if not self._seen:
            return []
        now_s, room = self._seen[-1]
        old = [each for each in self._seen if now_s - each[0] >= SPAN_MIN_S]
        return [
            Pace(bytes_a_day=(then - room) * DAY_S / (now_s - at_s), span_s=now_s - at_s)
            for at_s, then in dict.fromkeys((*old[:1], *old[-1:]))
        ]


def _days(room: int, pace: Pace) -> float:
    return room / pace.bytes_a_day if pace.bytes_a_day > 0 else float("inf")
