"""What an event of the catalog says beside its type, in words and as values: no token's digest."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET
from msgspec.structs import asdict

from ledger.domain.catalog import verdicts
from ledger.domain.catalog.events import (
    CatalogData,
    PolicyChanged,
    PolicyCreated,
    PolicyEntitlementsAttached,
    PolicyEntitlementsDetached,
    RecordDiscarded,
    RulesActivated,
    TokenCreated,
    TokenRegenerated,
)
from ledger.domain.clocks import rfc3339

_BEARERS: Final = {"admin": "the account", "product": "product", "activation": "license"}
_CHANGED: Final = "Changed"
_DAY: Final = len("2031-12-31")

_REFUSED: Final = {
    verdicts.NOT_FOUND: "the account has no such thing, or not what it refers to",
    verdicts.ID_TAKEN: "there is one with this id already",
    verdicts.SLUG_TAKEN: "another account has this slug",
    verdicts.DOMAIN_TAKEN: "another account has this domain",
    verdicts.CODE_TAKEN: "another one of the account has this code",
    verdicts.DIGEST_TAKEN: "there is this very token already",
    verdicts.ALREADY_DISCARDED: "that record was discarded before",
    verdicts.IN_USE: "the product has policies",
    verdicts.ENTITLEMENT_TAKEN: "the policy had one of these entitlements already",
    verdicts.NO_ENTITLEMENT: "the policy had no such entitlement",
    verdicts.ENTITLEMENTS_EXCEEDED: "the policy would have too many entitlements",
    verdicts.INVALID: "what it asks for makes no sense",
    verdicts.STALE: "these rules, or later ones, were active",
    verdicts.IDEMPOTENCY_MISMATCH: "its Idempotency-Key was used for another request",
}


def refused(code: str) -> str:
    """Why the catalog refused, in words."""
    return _REFUSED.get(code, code)


def in_words(data: CatalogData) -> str:
    """What the event says, in a few words; empty of an event whose type says it all."""
    if isinstance(data, TokenCreated):
        bearer = _BEARERS[data.role] + (f" {data.bearer}" if data.role != "admin" else "")
        until = "" if data.expiry_ms is None else f", until {rfc3339(data.expiry_ms)[:_DAY]}"
        return f"for {bearer}{until}"
    if isinstance(data, TokenRegenerated):
        return "a new secret; the old one has ended"
    if isinstance(data, PolicyCreated):
        return f"of product {data.product}"
    if isinstance(data, PolicyEntitlementsAttached):
        return f"attached: {', '.join(sorted(data.entitlements.values()))}"
    if isinstance(data, PolicyEntitlementsDetached):
        return f"detached: {', '.join(sorted(data.entitlements))}"
    if isinstance(data, RulesActivated):
        return f"rules {data.version}"
    if isinstance(data, RecordDiscarded):
        return f"partition {data.partition}, offset {data.offset}"
    changed = _changed(data)
    return f"changed: {', '.join(changed)}" if changed else ""


def as_values(data: CatalogData) -> dict[str, Any]:
    """What the event says, for programs; of what changed the names."""
    if isinstance(data, TokenCreated):
        expiry = None if data.expiry_ms is None else rfc3339(data.expiry_ms)
        return {"role": data.role, "bearer": data.bearer, "expiry": expiry}
    if isinstance(data, PolicyCreated):
        return {"product": data.product}
    if isinstance(data, PolicyEntitlementsAttached | PolicyEntitlementsDetached):
        return {"entitlements": data.entitlements}
    if isinstance(data, RulesActivated):
        return {"rules": data.version}
    if isinstance(data, RecordDiscarded):
        return {"discarded": {"partition": data.partition, "offset": data.offset}}
    changed = _changed(data)
    return {"changed": changed} if changed else {}


def _changed(data: CatalogData) -> list[str]:
    """Names of what a change names: of a policy's terms each."""
    if not type(data).__name__.endswith(_CHANGED):
        return []
    named = [name for name, value in asdict(data).items() if value is not UNSET]
    if isinstance(data, PolicyChanged) and not isinstance(data.terms, type(UNSET)):
        named.remove("terms")
        named += data.terms
    return named
