"""What rules version 1 had of terms, and the events that carry them: as they are read, for ever.

A field or word that came later is none under rules 1, so that what is poison stays poison. All
other types of rules 1 are as they are now.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import UNSET, Struct, UnsetType

from ledger.domain import events, terms
from ledger.domain.events import Data, EventData, Metadata, Name, Sealed
from ledger.domain.terms import DurationS, Id, Overage, Seats, TimeMs


class Terms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a policy sets."""

    max_machines: Seats | None
    overage: Overage = "NO_OVERAGE"
    duration_s: DurationS | None = None
    expiration_strategy: Literal["RESTRICT_ACCESS", "REVOKE_ACCESS"] = "RESTRICT_ACCESS"
    strict: bool = False
    floating: bool = True

    def now(self) -> terms.Terms:
        """The same as terms of today."""
        return terms.Terms(
            max_machines=self.max_machines,
            overage=self.overage,
            duration_s=self.duration_s,
            expiration_strategy=self.expiration_strategy,
            strict=self.strict,
            floating=self.floating,
        )


class OwnTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was set on the license itself."""

    max_machines: Seats | None = None
    expiry_ms: TimeMs | None = None

    def now(self) -> terms.OwnTerms:
        """The same as own terms of today."""
        return terms.OwnTerms(max_machines=self.max_machines, expiry_ms=self.expiry_ms)


class Issued(Data, frozen=True, kw_only=True):
    """A license was issued."""

    account: Id
    product: Id
    policy: Id
    key: Sealed
    terms: Terms
    own: OwnTerms
    name: Name | None = None
    metadata: Metadata | None = None

    def now(self) -> events.Issued:
        """The same as an event of today."""
        return events.Issued(
            account=self.account,
            product=self.product,
            policy=self.policy,
            key=self.key,
            terms=self.terms.now(),
            own=self.own.now(),
            name=self.name,
            metadata=self.metadata,
        )


class TermsChanged(Data, frozen=True, kw_only=True):
    """A license's terms were set anew."""

    terms: Terms | UnsetType = UNSET
    own: OwnTerms | UnsetType = UNSET
    name: Name | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET

    def now(self) -> events.TermsChanged:
        """The same as an event of today."""
        return events.TermsChanged(
            terms=UNSET if isinstance(self.terms, UnsetType) else self.terms.now(),
            own=UNSET if isinstance(self.own, UnsetType) else self.own.now(),
            name=self.name,
            metadata=self.metadata,
        )


TYPES: Final[dict[str, type[Issued | TermsChanged | EventData]]] = {
    "license.issued": Issued,
    "license.terms-changed": TermsChanged,
    "license.activation-requested": events.ActivationRequested,
    "license.deactivation-requested": events.DeactivationRequested,
    "license.suspended": events.Suspended,
    "license.reinstated": events.Reinstated,
    "license.revoked": events.Revoked,
    "license.denial-imported": events.DenialImported,
}
"""Types that rules version 1 folds."""
