"""Golden records of rules version 2: of its types, and of earlier ones with what it added."""

from __future__ import annotations

from msgspec.structs import replace

from ledger.domain.events import (
    Changed,
    CheckedIn,
    EntitlementsAttached,
    EntitlementsDetached,
    EventData,
    MachineChanged,
    Renewed,
    TermsChanged,
    Transferred,
    UsageRecorded,
    Validated,
)
from ledger.domain.terms import OwnTerms, Terms
from ledger.event_log.codec import encode
from tests.ledger.domain.given import (
    NOW_MS,
    POLICY,
    PRODUCT,
    activation,
    asked,
    issued,
    machine_of,
    sealed,
)

TERMS_1 = Terms(
    max_machines=100,
    overage="ALLOW_1_25X_OVERAGE",
    duration_s=31_536_000,
    expiration_strategy="REVOKE_ACCESS",
    strict=True,
    floating=False,
)
EXPORT = "00000000-0000-4000-8000-00000000000a"
IMPORT = "00000000-0000-4000-8000-00000000000b"
TERMS_2 = replace(
    TERMS_1,
    expiration_strategy="MAINTAIN_ACCESS",
    max_uses=1_000,
    require_check_in=True,
    check_in_interval="month",
    check_in_interval_count=3,
    transfer_strategy="RESET_EXPIRY",
    renewal_basis="FROM_NOW_IF_EXPIRED",
    expiration_basis="FROM_FIRST_ACTIVATION",
    authentication_strategy="MIXED",
    protected=True,
    require_product_scope=True,
    require_policy_scope=True,
    require_fingerprint_scope=True,
    entitlements={EXPORT: "EXPORT", IMPORT: "import.v2"},
)
OWN_2 = OwnTerms(max_machines=10, expiry_ms=NOW_MS + 86_400_000, max_uses=0, protected=False)


def records_of_rules_2() -> dict[str, bytes]:
    """Give them by name of their file."""
    return {
        name: encode(replace(asked(data, name, rules=2), policy_version=_version(data)))
        for name, data in _datas().items()
    }


def _version(data: EventData) -> int | None:
    with_terms = isinstance(data, Transferred) or getattr(data, "policy", None) == POLICY
    return 4 if with_terms else None


def _datas() -> dict[str, EventData]:
    machine = machine_of("host-1")
    transferred = Transferred(policy=POLICY, product=PRODUCT, terms=TERMS_1)
    resetting = Transferred(
        policy=POLICY, product=PRODUCT, terms=Terms(max_machines=None), expiry="RESET_EXPIRY"
    )
    return {
        "license.issued.rules-2": issued(terms=TERMS_2, own=OWN_2),
        "license.terms-changed.rules-2": TermsChanged(policy=POLICY, terms=TERMS_2),
        "license.terms-changed.rules-2-machine-scope": TermsChanged(
            policy=POLICY, terms=Terms(max_machines=None, require_machine_scope=True)
        ),
        "license.terms-changed.rules-2-by-hand": TermsChanged(own=OWN_2),
        "license.activation-requested.rules-2": activation("host-1"),
        "license.validated": Validated(valid=True, code="VALID", machine=machine),
        "license.validated.not": Validated(valid=False, code="NO_MACHINES"),
        "license.checked-in": CheckedIn(),
        "license.usage-recorded.increment": UsageRecorded(action="increment"),
        "license.usage-recorded.decrement": UsageRecorded(action="decrement", by=3),
        "license.usage-recorded.reset": UsageRecorded(action="reset"),
        "license.renewed.from-expiry": Renewed(basis="FROM_EXPIRY"),
        "license.renewed.from-now": Renewed(basis="FROM_NOW"),
        "license.renewed.from-now-if-expired": Renewed(basis="FROM_NOW_IF_EXPIRED"),
        "license.transferred": transferred,
        "license.transferred.resetting": resetting,
        "license.transferred.rules-2-terms": replace(transferred, terms=TERMS_2),
        "license.changed": Changed(max_machines=7),
        "license.changed.full": _changed_in_full(),
        "license.changed.cleared": _cleared(),
        "license.machine-changed": MachineChanged(machine=machine, cores=None, platform="Linux"),
        "license.machine-changed.full": _machine_in_full(machine),
        "license.entitlements-attached": EntitlementsAttached(
            entitlements={IMPORT: "import.v2", EXPORT: "EXPORT"}
        ),
        "license.entitlements-detached": EntitlementsDetached(entitlements=[IMPORT, EXPORT]),
    }


def _changed_in_full() -> Changed:
    return Changed(
        name="Kälte & Söhne",
        metadata='{"order":"A-1043"}',
        max_machines=7,
        max_uses=0,
        expiry_ms=NOW_MS + 86_400_000,
        protected=True,
    )


def _cleared() -> Changed:
    return Changed(
        name=None, metadata=None, max_machines=None, max_uses=None, expiry_ms=None, protected=None
    )


def _machine_in_full(machine: str) -> MachineChanged:
    return MachineChanged(
        machine=machine,
        name=sealed("Back office"),
        hostname=sealed("host-1.example"),
        ip=sealed("192.0.2.1"),
        platform="Linux",
        cores=16,
        metadata='{"room":"2.15"}',
    )
