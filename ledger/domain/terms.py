"""Terms: what a license allows. A policy is a template of them; a license carries its own copy.

A license's own terms win over its policy's; a fan-out of the policy changes only the latter
(docs/format.md, "Terms"). What rules version 1 had of them stands in `rules1`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

SEATS_MAX: Final = 2**31 - 1
DURATION_S_MAX: Final = 100 * 366 * 86_400
TIME_MS_MAX: Final = 253_402_300_799_999
"""Last millisecond of the year 9999, the end of RFC 3339."""
INTERVALS_MAX: Final = 365
ENTITLEMENTS_MAX: Final = 100
"""Of a policy, and of a license beside its policy's."""

Id = Annotated[
    str,
    Meta(max_length=36, pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"),
]
"""Ids and digests name keys of the replicas, so their alphabet is part of the format."""
Code = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$(?!\n)")]
"""Of a product or an entitlement."""
Seats = Annotated[int, Meta(ge=1, le=SEATS_MAX)]
Uses = Annotated[int, Meta(ge=0, le=SEATS_MAX)]
TimeMs = Annotated[int, Meta(ge=0, le=TIME_MS_MAX)]
DurationS = Annotated[int, Meta(ge=1, le=DURATION_S_MAX)]
Intervals = Annotated[int, Meta(ge=1, le=INTERVALS_MAX)]
Entitlements = Annotated[dict[Id, Code], Meta(max_length=ENTITLEMENTS_MAX)]
"""Codes by the entitlements' ids."""

Overage = Literal[
    "NO_OVERAGE",
    "ALWAYS_ALLOW_OVERAGE",
    "ALLOW_1_25X_OVERAGE",
    "ALLOW_1_5X_OVERAGE",
    "ALLOW_2X_OVERAGE",
]
ExpirationStrategy = Literal["RESTRICT_ACCESS", "REVOKE_ACCESS", "MAINTAIN_ACCESS", "ALLOW_ACCESS"]
ExpirationBasis = Literal[
    "FROM_CREATION", "FROM_FIRST_VALIDATION", "FROM_FIRST_ACTIVATION", "FROM_FIRST_USE"
]
RenewalBasis = Literal["FROM_EXPIRY", "FROM_NOW", "FROM_NOW_IF_EXPIRED"]
TransferStrategy = Literal["KEEP_EXPIRY", "RESET_EXPIRY"]
AuthenticationStrategy = Literal["TOKEN", "LICENSE", "MIXED", "NONE"]
CheckInInterval = Literal["day", "week", "month", "year"]


class Terms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a policy sets: `max_machines` seats (None: unlimited) and how strictly.

    Raises `ValueError` for check-ins that are required at no interval.

    Defaults mean what rules version 1 meant. The fold looks at nothing that is for checks, for
    who may ask, or for what the next renewal or transfer will say.
    """

    max_machines: Seats | None
    overage: Overage = "NO_OVERAGE"
    duration_s: DurationS | None = None
    expiration_strategy: ExpirationStrategy = "RESTRICT_ACCESS"
    strict: bool = False
    floating: bool = True
    max_uses: Uses | None = None
    require_check_in: bool = False
    check_in_interval: CheckInInterval | None = None
    check_in_interval_count: Intervals = 1
    transfer_strategy: TransferStrategy = "KEEP_EXPIRY"
    renewal_basis: RenewalBasis = "FROM_EXPIRY"
    expiration_basis: ExpirationBasis = "FROM_CREATION"
    authentication_strategy: AuthenticationStrategy = "TOKEN"
    protected: bool = False
    require_product_scope: bool = False
    require_policy_scope: bool = False
    require_machine_scope: bool = False
    require_fingerprint_scope: bool = False
    entitlements: Entitlements = {}

    def __post_init__(self) -> None:
        """Refuse check-ins that are required and never due."""
        if self.require_check_in and self.check_in_interval is None:
            msg = "check-ins are required at no interval"
            raise ValueError(msg)


class OwnTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was set on the license itself; None leaves it to the policy."""

    max_machines: Seats | None = None
    expiry_ms: TimeMs | None = None
    max_uses: Uses | None = None
    protected: bool | None = None


def max_machines(terms: Terms, own: OwnTerms) -> int | None:
    """Seats that the license names, before overage; None is unlimited."""
    return terms.max_machines if own.max_machines is None else own.max_machines


def max_uses(terms: Terms, own: OwnTerms) -> int | None:
    """Uses that the license names; None is unlimited."""
    return terms.max_uses if own.max_uses is None else own.max_uses


def is_protected(terms: Terms, own: OwnTerms) -> bool:
    """Whether only the vendor may change what hangs on the license."""
    return terms.protected if own.protected is None else own.protected


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


def expiry_ms(
    terms: Terms, own: OwnTerms, issued_ms: int, started_ms: int | None = None
) -> int | None:
    """When the license expires: its own expiry, else a duration from its start; None: never yet.

    `started_ms`: when the duration began to count, where that is another time than the issue.
    """
    if own.expiry_ms is not None:
        return own.expiry_ms
    if terms.duration_s is None:
        return None
    if started_ms is None:
        if terms.expiration_basis != "FROM_CREATION":
            return None
        started_ms = issued_ms
    return min(started_ms + terms.duration_s * 1000, TIME_MS_MAX)
