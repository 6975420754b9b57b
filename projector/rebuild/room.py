"""What room a Redis has for a second generation; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

_SHARE: Final = 20
_LEAST: Final = 16 << 20
_MOST_SHARE: Final = 4


class Room(Struct, frozen=True, kw_only=True):
    """Bytes of a Redis: taken, and at most (`maxmemory`; None: there is no limit)."""

    used: int
    most: int | None

    @property
    def free(self) -> int | None:
        """Bytes until the limit; below 0 where that was lowered."""
        return None if self.most is None else self.most - self.used

    @property
    def reserve(self) -> int:
        """Bytes that are kept for what serves: it goes on to grow."""
        most = self.most or 0
        return min(max(most // _SHARE, _LEAST), most // _MOST_SHARE)

    @property
    def is_tight(self) -> bool:
        """Whether less is free than is kept."""
        return self.free is not None and self.free < self.reserve

    def takes(self, more: int) -> bool:
        """Whether so much more leaves what is kept."""
        return self.free is None or more <= self.free - self.reserve

    def said(self) -> str:
        """Say how much there is."""
        if self.most is None or self.free is None:
            return "no maxmemory is set"
        return (
            f"the Redis has {mb(max(0, self.free))} free of maxmemory {mb(self.most)}, and "
            f"{mb(self.reserve)} of that are kept for what serves"
        )


def room_of(info: Mapping[str, Any]) -> Room:
    """Room by what a Redis says of itself (INFO)."""
    most = int(info.get("maxmemory", 0))
    return Room(used=int(info.get("used_memory", 0)), most=most or None)


def mb(count: int) -> str:
    """Bytes, for people who set limits in MiB."""
    return f"{count / (1 << 20):,.0f} MiB"
