"""Verdicts of the catalog as HTTP. Pure."""

from __future__ import annotations

from typing import Final

from api.problems import Problem, not_found, unprocessable
from ledger.domain.catalog import verdicts
from ledger.domain.catalog.verdicts import CatalogVerdict

_ATTRIBUTES: Final = "/data/attributes"
_TAKEN: Final = {
    verdicts.SLUG_TAKEN: ("SLUG_TAKEN", "slug"),
    verdicts.DOMAIN_TAKEN: ("DOMAIN_TAKEN", "domain"),
    verdicts.CODE_TAKEN: ("CODE_TAKEN", "code"),
}
_ENTITLEMENTS: Final = {
    verdicts.ENTITLEMENT_TAKEN: (
        "ENTITLEMENT_TAKEN",
        "The policy has one of these entitlements already: send the others only.",
    ),
    verdicts.NO_ENTITLEMENT: (
        "ENTITLEMENT_NOT_ATTACHED",
        "One of these entitlements is not attached to the policy: send the others only.",
    ),
    verdicts.ENTITLEMENTS_EXCEEDED: (
        "ENTITLEMENTS_EXCEEDED",
        "The policy would have more entitlements than it may: send fewer, or detach some first.",
    ),
}


def catalog_refusal(verdict: CatalogVerdict) -> Problem:
    """Error of what the catalog refused."""
    code = verdict.code
    if code in _TAKEN:
        name, attribute = _TAKEN[code]
        return unprocessable(
            name, f"This {attribute} is taken: choose another one.", f"{_ATTRIBUTES}/{attribute}"
        )
    if code == verdicts.NOT_FOUND:
        return not_found("entity")
    if code == verdicts.IN_USE:
        return unprocessable(
            "IN_USE", "The product has policies: delete these first.", "/data/relationships"
        )
    if code == verdicts.INVALID:
        return unprocessable(
            "VALUE_INVALID",
            "The attributes don't fit each other: send them anew, together.",
            _ATTRIBUTES,
        )
    if code in _ENTITLEMENTS:
        name, detail = _ENTITLEMENTS[code]
        return unprocessable(name, detail, "/data")
    name = code.upper().replace("-", "_")
    return unprocessable(
        name, f"The catalog refused this: {name}. Read what is there now.", "/data"
    )
