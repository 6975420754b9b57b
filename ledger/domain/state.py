"""State of a license, what an event finds of it, and what the fold makes; values only.

Values have no cycles, so that Python's collector need not look at them (`gc=False`): millions are
held at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from ledger.domain.terms import OwnTerms, Terms
from ledger.domain.verdicts import Remembered, Verdict

Status = Literal["none", "live", "revoked"]
"""`none`: something was asked of a license that was never issued."""


_OPEN: Final = frozenset({"MAINTAIN_ACCESS", "ALLOW_ACCESS"})


class Heard(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How far a source's records were applied, and the source's digest up to there."""

    sequence: int
    digest: str | None = None


class License(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Complete state of one license; what the next event needs besides is named by it.

    `seats_held` counts seats, `machines` counts machines. `epoch` is the incarnation: machines
    of an older one hold nothing. `frozen_at` is the offset of the record that could not be
    folded; a frozen license stays as it was before it.

    `started_ms`: when the duration began to count, where that isn't the issue. `endless`: it was
    without an end when it was transferred, and stays so. `last_check_in_ms`: the last check-in, or
    when check-ins began to be required. `entitlements`: the license's own, codes by ids.
    """

    id: str
    status: Status = "none"
    epoch: int = 0
    account: str = ""
    product: str = ""
    policy: str = ""
    policy_version: int = 0
    key: str = ""
    name: str | None = None
    metadata: str | None = None
    terms: Terms | None = None
    own: OwnTerms = OwnTerms()
    suspended: bool = False
    issued_ms: int = 0
    issued_offset: int = 0
    changed_ms: int = 0
    expiry_ms: int | None = None
    limit: int | None = None
    seats_held: int = 0
    seats_peak: int = 0
    seats_peak_offset: int = 0
    machines: int = 0
    refusals: dict[str, int] = {}
    commands: int = 0
    sources: dict[str, Heard] = {}
    frozen_at: int | None = None
    uses: int = 0
    started_ms: int | None = None
    endless: bool = False
    last_validated_ms: int | None = None
    last_check_in_ms: int | None = None
    entitlements: dict[str, str] = {}

    def expired(self, now_ms: int) -> bool:
        """Whether the license's time was over at `now_ms` on the calendar."""
        return self.expiry_ms is not None and now_ms >= self.expiry_ms

    def closed(self, now_ms: int) -> bool:
        """Whether it had expired by `now_ms`, under a strategy that lets nothing begin then."""
        if not self.expired(now_ms):
            return False
        return self.terms is None or self.terms.expiration_strategy not in _OPEN

    @property
    def all_entitlements(self) -> dict[str, str]:
        """Codes by ids of its policy's entitlements and its own."""
        own = self.entitlements
        return own if self.terms is None else {**self.terms.entitlements, **own}


class Machine(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One activated device and the seats it holds in the license's incarnation `epoch`.

    `changed_ms`: when it was last changed, if it ever was.
    """

    id: str
    license: str
    epoch: int
    seats: int
    fingerprint: str
    fingerprint_digest: str
    activated_ms: int
    activated_offset: int
    name: str | None = None
    hostname: str | None = None
    ip: str | None = None
    platform: str | None = None
    cores: int | None = None
    metadata: str | None = None
    changed_ms: int | None = None


class Loaded(Struct, frozen=True, kw_only=True, gc=False):
    """What an event names, as stored: nothing else is looked at.

    `oldest` holds the front of the license's command memory, at least its first 8 where there
    are as many.
    """

    license: License | None = None
    machine: Machine | None = None
    remembered: Verdict | None = None
    oldest: Sequence[Remembered] = ()


class Folded(Struct, frozen=True, kw_only=True, gc=False):
    """What an event made, and so what is to be written.

    Write `license`; `machine` where `machine_changed` (None: delete it); the verdict under the
    command where `remember`; and forget what `forget` names.

    `changed` is False where nothing at all is to be written.
    """

    verdict: Verdict
    license: License
    changed: bool = True
    machine: Machine | None = None
    machine_changed: bool = False
    remember: bool = False
    forget: tuple[Remembered, ...] = ()
