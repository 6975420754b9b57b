"""What is asked of the catalog, checked: bodies become the events' data. Raises 4xx `Problem`s."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from api.catalog.bodies import (
    AccountAttributes,
    EntitlementAttributes,
    PolicyAttributes,
    ProductAttributes,
    TokenAttributes,
)
from api.problems import Problem, unprocessable
from api.requests import metadata_text, name_text, nothing_changed, refuse_unsupported, time_ms
from ledger.domain.catalog import events
from ledger.domain.catalog.entities import Token
from ledger.domain.terms import Terms

T = TypeVar("T", bound=Struct)

_ATTRIBUTES: Final = "/data/attributes"
_TERMS: Final = {
    "duration": "duration_s",
    "strict": "strict",
    "floating": "floating",
    "protected": "protected",
    "max_machines": "max_machines",
    "max_uses": "max_uses",
    "overage_strategy": "overage",
    "expiration_strategy": "expiration_strategy",
    "expiration_basis": "expiration_basis",
    "renewal_basis": "renewal_basis",
    "transfer_strategy": "transfer_strategy",
    "authentication_strategy": "authentication_strategy",
    "require_check_in": "require_check_in",
    "check_in_interval": "check_in_interval",
    "check_in_interval_count": "check_in_interval_count",
    "require_product_scope": "require_product_scope",
    "require_policy_scope": "require_policy_scope",
    "require_machine_scope": "require_machine_scope",
    "require_fingerprint_scope": "require_fingerprint_scope",
}
"""Attributes of a policy, and what its terms call them."""
_FIRST_UNSUPPORTED: Final = "component_matching_strategy"
_USUAL: Final[dict[str, object]] = {
    "component_matching_strategy": "MATCH_ANY",
    "component_uniqueness_strategy": "UNIQUE_PER_MACHINE",
    "concurrent": True,
    "heartbeat_basis": "FROM_FIRST_PING",
    "heartbeat_cull_strategy": "DEACTIVATE_DEAD",
    "heartbeat_resurrection_strategy": "NO_REVIVE",
    "leasing_strategy": "PER_LICENSE",
    "machine_leasing_strategy": "PER_LICENSE",
    "machine_matching_strategy": "MATCH_ANY",
    "machine_uniqueness_strategy": "UNIQUE_PER_LICENSE",
    "process_leasing_strategy": "PER_MACHINE",
}
"""What the ledger does in any case, in the contract's words; null and false ask for nothing."""


def account_created(given: AccountAttributes) -> events.AccountCreated:
    """Check a new account."""
    return _data(
        events.AccountCreated,
        slug=_required(given.slug, "slug"),
        name=_name(given.name),
        domain=_lower(given.domain),
    )


def account_changed(given: AccountAttributes) -> events.AccountChanged:
    """Check a changed account."""
    return _change(
        events.AccountChanged, slug=given.slug, name=_name(given.name), domain=_lower(given.domain)
    )


def product_created(given: ProductAttributes) -> events.ProductCreated:
    """Check a new product."""
    return _data(
        events.ProductCreated, **{**_product(given), "name": _required(given.name, "name")}
    )


def product_changed(given: ProductAttributes) -> events.ProductChanged:
    """Check a changed product."""
    return _change(events.ProductChanged, **_product(given))


def policy_created(given: PolicyAttributes, *, product: str) -> events.PolicyCreated:
    """Check a new policy. One that isn't floating has one seat unless it says another number."""
    refuse_unsupported(given, _ATTRIBUTES, _FIRST_UNSUPPORTED, _USUAL)
    wanted: dict[str, object] = {"floating": False, "max_machines": None}
    wanted |= {_TERMS[name]: value for name, value in _terms(given).items() if value is not None}
    if not wanted["floating"] and wanted["max_machines"] is None:
        wanted["max_machines"] = 1
    if wanted.get("require_check_in") and "check_in_interval" not in wanted:
        raise unprocessable(
            "VALUE_BLANK",
            "A policy that requires check-ins needs their interval: send day, week, month or year.",
            f"{_ATTRIBUTES}/checkInInterval",
        )
    return events.PolicyCreated(
        product=product,
        name=_required(name_text(_or_none(given.name), "name"), "name"),
        terms=_converted(Terms, wanted),
        metadata=metadata_text(_or_none(given.metadata)),
    )


def policy_changed(given: PolicyAttributes) -> events.PolicyChanged:
    """Check a changed policy."""
    refuse_unsupported(given, _ATTRIBUTES, _FIRST_UNSUPPORTED, _USUAL)
    terms = {_TERMS[name]: value for name, value in _terms(given).items()}
    _converted(Terms, {"max_machines": None, **_without_nulls(terms)})
    return _change(
        events.PolicyChanged,
        name=_name(given.name),
        terms=terms or UNSET,
        metadata=_metadata(given.metadata),
    )


def entitlement_created(given: EntitlementAttributes) -> events.EntitlementCreated:
    """Check a new entitlement."""
    return _data(
        events.EntitlementCreated,
        name=_required(given.name, "name"),
        code=_required(given.code, "code"),
        metadata=_metadata(given.metadata),
    )


def entitlement_changed(given: EntitlementAttributes, *, code: str) -> events.EntitlementChanged:
    """Check a changed entitlement; its code is `code`, for good."""
    if given.code not in {UNSET, code}:
        raise unprocessable(
            "ATTRIBUTE_FIXED",
            "The code of an entitlement never changes, since licenses carry it: make another one.",
            f"{_ATTRIBUTES}/code",
        )
    return _change(
        events.EntitlementChanged, name=_name(given.name), metadata=_metadata(given.metadata)
    )


def token_terms(given: TokenAttributes) -> tuple[str | None, int | None]:
    """Name and expiry of a new token, checked; the expiry in milliseconds since 1970."""
    refuse_unsupported(given, _ATTRIBUTES, "max_activations", {})
    expiry = _or_none(given.expiry)
    name = name_text(_or_none(given.name), "name")
    return name, None if expiry is None else time_ms(expiry, "expiry")


def token_renewal(given: TokenAttributes, token: Token) -> int | UnsetType | None:
    """When a token with a new secret ends, in milliseconds since 1970; UNSET: it isn't said."""
    refuse_unsupported(given, _ATTRIBUTES, "max_activations", {})
    if given.name not in {UNSET, token.name}:
        raise unprocessable(
            "ATTRIBUTE_FIXED",
            "A token keeps its name when it is given a new secret: leave it out, or make another.",
            f"{_ATTRIBUTES}/name",
        )
    return time_ms(given.expiry, "expiry") if isinstance(given.expiry, str) else given.expiry


def _product(given: ProductAttributes) -> dict[str, object]:
    refuse_unsupported(given, _ATTRIBUTES, "permissions", {})
    return {
        "name": _name(given.name),
        "code": given.code,
        "url": given.url,
        "distribution": given.distribution_strategy,
        "platforms": [] if given.platforms is None else given.platforms,
        "metadata": _metadata(given.metadata),
    }


def _terms(given: PolicyAttributes) -> dict[str, object]:
    """Those of the attributes that are terms and were given."""
    values = ((name, getattr(given, name)) for name in _TERMS)
    return {name: value for name, value in values if value is not UNSET}


def _without_nulls(terms: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in terms.items() if value is not None}


def _data(kind: type[T], **values: object) -> T:
    """Data of an event, of the values that were given. Raises a 422 `Problem`."""
    given = {name: value for name, value in values.items() if value is not UNSET}
    return _converted(kind, given)


def _change(kind: type[T], **values: object) -> T:
    """Data of a change, which names something. Raises a 422 `Problem`."""
    if all(value is UNSET for value in values.values()):
        raise nothing_changed()
    return _data(kind, **values)


def _converted(kind: type[T], values: dict[str, object]) -> T:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise _unfit(str(error)) from None


def _unfit(text: str) -> Problem:
    """Say which value doesn't fit; msgspec's text may quote it, so only its place is told."""
    _, _, place = text.rpartition("`$.")
    field = place.rstrip("`").partition(".")[0].partition("[")[0]
    attribute = _camel(_ATTRIBUTE_OF.get(field, field))
    return unprocessable(
        "VALUE_INVALID",
        f"{attribute or 'A value'} has not a value that it may have: send another one.",
        f"{_ATTRIBUTES}/{attribute}" if attribute else _ATTRIBUTES,
    )


_ATTRIBUTE_OF: Final = {value: name for name, value in _TERMS.items()} | {
    "distribution": "distribution_strategy"
}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.title() for other in others)


def _required(value: Any, name: str) -> Any:  # noqa: ANN401 - whatever its type, it goes through
    if value is UNSET or value is None or value == "":
        raise unprocessable("VALUE_BLANK", f"{name} is required.", f"{_ATTRIBUTES}/{name}")
    return value


def _or_none(value: Any) -> Any:  # noqa: ANN401 - the same
    return None if value is UNSET else value


def _name(text: str | UnsetType | None) -> str | UnsetType | None:
    return text if isinstance(text, UnsetType) else name_text(text, "name")


def _lower(text: str | UnsetType | None) -> str | UnsetType | None:
    return text.lower() if isinstance(text, str) else text


def _metadata(given: dict[str, Any] | UnsetType | None) -> str | UnsetType | None:
    return given if isinstance(given, UnsetType) else metadata_text(given)
