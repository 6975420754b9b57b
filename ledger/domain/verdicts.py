"""Verdicts: what the fold made of a request. Derived, so the same everywhere."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

GRANTED: Final = "granted"

NOT_FOUND: Final = "not-found"
"""No live license there: never issued, or revoked."""
KEY_TAKEN: Final = "key-taken"
SUSPENDED: Final = "suspended"
EXPIRED: Final = "expired"
ALREADY_HELD: Final = "already-held"
SEATS_DIFFER: Final = "seats-differ"
LIMIT_EXCEEDED: Final = "machine-limit-exceeded"
NO_MACHINE: Final = "no-machine"
ALREADY_SUSPENDED: Final = "already-suspended"
NOT_SUSPENDED: Final = "not-suspended"
STALE_TERMS: Final = "stale-terms"
"""The license has its policy's terms of a later version already, or another policy."""

NO_CHECK_IN: Final = "no-check-in"
"""The license's terms require no check-ins."""
NO_DURATION: Final = "no-duration"
"""The license's terms have no duration that a renewal could add."""
USES_EXCEEDED: Final = "uses-exceeded"
USES_NEGATIVE: Final = "uses-negative"
ENTITLEMENT_TAKEN: Final = "entitlement-taken"
NO_ENTITLEMENT: Final = "no-entitlement"
ENTITLEMENTS_EXCEEDED: Final = "entitlements-exceeded"
"""The license would have more entitlements of its own than it may."""

SOURCES_EXCEEDED: Final = "sources-exceeded"
"""The license has heard from as many sources as it may; changes and counts nothing."""
IDEMPOTENCY_MISMATCH: Final = "idempotency-mismatch"
"""The command id is remembered with another content; changes and counts nothing."""
ALREADY_APPLIED: Final = "already-applied"
"""The source's record was applied before; changes and counts nothing."""


class Verdict(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What was decided at `offset`, and the seats held and allowed right after.

    `limit` None is unlimited. `machine` names the machine that a request was about. `epoch` is
    the license's incarnation.
    """

    code: str
    offset: int
    time_ms: int
    content_digest: str
    seats_held: int
    limit: int | None
    epoch: int
    machine: str | None = None

    @property
    def granted(self) -> bool:
        """Whether the request was granted."""
        return self.code == GRANTED


class Remembered(Struct, frozen=True, kw_only=True, gc=False):
    """A command in a license's memory, oldest offset first."""

    offset: int
    elapsed_ms: int
    command: str
