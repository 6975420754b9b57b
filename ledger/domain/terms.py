"""Terms: what a license allows. A policy is a template of them; a license carries its own copy.

A license's own terms win over its policy's; a fan-out of the policy changes only the latter
(docs/format.md, "Terms").
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

SEATS_MAX: Final = 2**31 - 1
DURATION_S_MAX: Final = 100 * 366 * 86_400
TIME_MS_MAX: Final = 253_402_300_799_999
"""Last millisecond of the year 9999, the end of RFC 3339."""

Seats = Annotated[int, Meta(ge=1, le=SEATS_MAX)]
TimeMs = Annotated[int, Meta(ge=0, le=TIME_MS_MAX)]
DurationS = Annotated[int, Meta(ge=1, le=DURATION_S_MAX)]

Overage = Literal[
    "NO_OVERAGE",
    "ALWAYS_ALLOW_OVERAGE",
    "ALLOW_1_25X_OVERAGE",
    "ALLOW_1_5X_OVERAGE",
    "ALLOW_2X_OVERAGE",
]
ExpirationStrategy = Literal["RESTRICT_ACCESS", "REVOKE_ACCESS"]
"""Strategies that rules version 1 folds."""


class Terms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a policy sets: `max_machines` seats (None: unlimited) and how strictly."""

    max_machines: Seats | None
    overage: Overage = "NO_OVERAGE"
    duration_s: DurationS | None = None
    expiration_strategy: ExpirationStrategy = "RESTRICT_ACCESS"
    strict: bool = False
    floating: bool = True


class OwnTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was set on the license itself; None leaves it to the policy."""

    max_machines: Seats | None = None
    expiry_ms: TimeMs | None = None


def max_machines(terms: Terms, own: OwnTerms) -> int | None:
    """Seats that the license names, before overage; None is unlimited."""
    return terms.max_machines if own.max_machines is None else own.max_machines


def seat_limit(terms: Terms, own: OwnTerms) -> int | None:
    """Seats that may be held at once, overage included; None is unlimited."""
    seats = max_machines(terms, own)
    if seats is None or terms.overage == "ALWAYS_ALLOW_OVERAGE":
        return None
    if terms.overage == "ALLOW_1_25X_OVERAGE":
        return seats * 5 // 4
    if terms.overage == "ALLOW_1_5X_OVERAGE":
        return seats * 3 // 2
    return seats * 2 if terms.overage == "ALLOW_2X_OVERAGE" else seats


def expiry_ms(terms: Terms, own: OwnTerms, issued_ms: int) -> int | None:
    """When the license expires: its own expiry, else its issue plus the duration; None: never."""
    if own.expiry_ms is not None:
        return own.expiry_ms
    if terms.duration_s is None:
        return None
    return min(issued_ms + terms.duration_s * 1000, TIME_MS_MAX)
