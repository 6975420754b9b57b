"""What a check of a license must say, told from its story alone: nothing of the fold is in it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

_OPEN: Final = frozenset({"MAINTAIN_ACCESS", "ALLOW_ACCESS"})


class Expected(Struct, frozen=True, kw_only=True):
    """A license at its history's end.

    `live`: it was issued and not revoked since. `due_ms`: by when it has to be checked in.
    `strategy`: what an expired one may. `machines`: numbers of those that hold seats.
    """

    live: bool
    suspended: bool
    expiry_ms: int | None
    strategy: str
    due_ms: int | None
    machines: tuple[int, ...]

    def answer(self, now_ms: float, machine: int | None = None) -> tuple[str, bool]:
        """Code of a check and whether it is valid; `machine`: of the fingerprint it names."""
        if not self.live:
            return "NOT_FOUND", False
        if self.suspended:
            return "SUSPENDED", False
        expired = self.expiry_ms is not None and now_ms >= self.expiry_ms
        if expired and self.strategy == "REVOKE_ACCESS":
            return "EXPIRED", False
        if self.due_ms is not None and now_ms > self.due_ms:
            return "OVERDUE", False
        if machine is not None and machine not in self.machines:
            return "FINGERPRINT_SCOPE_MISMATCH" if self.machines else "NO_MACHINES", False
        return ("EXPIRED", self.strategy in _OPEN) if expired else ("VALID", True)

    def is_certain(self, since_ms: float, until_ms: float) -> bool:
        """Whether the code without a machine is the same at both moments, and so between them."""
        return self.answer(since_ms) == self.answer(until_ms)
