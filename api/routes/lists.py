"""Lists over HTTP: licenses, machines, the machines of a license."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from starlette.responses import Response

from api.catalog.resources import list_document
from api.exchange import answer
from api.filters import check_filters
from api.finding import Found as FoundLicense
from api.listing import Listing, listing
from api.lists import Found
from api.newest import Index
from api.principals import ANYONE
from api.resources import STATUSES, license_path, license_resource, status
from api.routes.call import Call
from api.routes.endpoint import Handler, Route
from api.routes.licenses import found_license
from api.routes.machines import machines_shown
from ledger.domain.catalog.entities import Policy
from ledger.domain.identifiers import fingerprint_digest
from ledger.domain.license import License, Machine
from projector.read_model.keys import Keys
from projector.views.documents import read_answer

LICENSE_FILTERS: Final = ("product", "policy", "status", "metadata")
MACHINE_FILTERS: Final = (
    *("license", "key", "fingerprint", "platform"),
    *("product", "policy", "metadata"),
)
POLICIES_MAX: Final = 100
"""Policies of a product whose indexes are merged; above that the account's is read through."""

NOBODY: Final = ""
"""In place of a license that isn't there."""
T = TypeVar("T")
Test = Callable[[License], bool]


async def list_licenses(call: Call) -> Response:
    """GET licenses."""
    asked = listing(call.request.scope["query_string"], LICENSE_FILTERS)
    check_filters(asked.filters, {"status": STATUSES})
    test = _license_test(call, asked)
    found = await _licenses(call, asked, test)
    now_ms = call.services.clock.check_ms
    keys = await call.services.data_keys.keys_of([each for each, _ in found.entries], now_ms)
    resources = [
        license_resource(read_answer(document), license_, key=key, now_ms=now_ms)
        for (license_, document), key in zip(found.entries, keys, strict=True)
    ]
    return _answered(_path(call, "licenses"), asked, found, resources)


async def list_machines(call: Call) -> Response:
    """GET machines."""
    asked = listing(call.request.scope["query_string"], MACHINE_FILTERS)
    check_filters(asked.filters)
    license_ = await _license_named(call, asked.filters)
    if license_ == NOBODY:
        found: Found[tuple[License, Machine]] = Found(entries=[], more=False, last_id=None)
    else:
        found = await _machines(call, asked, license_)
    return await _machines_answered(call, _path(call, "machines"), asked, found)


async def list_machines_of(call: Call) -> Response:
    """GET licenses/{id or key}/machines."""
    license_ = (await found_license(call)).license
    asked = listing(call.request.scope["query_string"], ())
    found = await _machines(call, asked, license_.id)
    path = f"{license_path(call.account, license_.id)}/machines"
    return await _machines_answered(call, path, asked, found)


def _in_turn(handler: Handler) -> Handler:
    """Have a few pages made at once, some others wait, and the rest refused with a 429."""

    async def turned(call: Call) -> Response:
        lists = call.services.lists
        with lists.crowd.entered(call.services.metrics, "lists"):
            async with lists.turn:
                return await handler(call)

    return turned


async def _licenses(call: Call, asked: Listing, test: Test | None) -> Found[tuple[License, bytes]]:
    who = call.who
    if who.license is not None:
        own = await call.services.finder.license(call.account, who.license.id)
        there = own is not None and (test is None or test(own.license))
        entries = [(own.license, own.document)] if own is not None and there else []
        return Found(entries=entries, more=False, last_id=None)
    policies = await _policies(call, asked)
    if policies is None:
        return await call.services.lists.licenses(
            call.account, lambda keys: (keys.licenses_of_account(call.account),), asked.page, test
        )
    return await call.services.lists.licenses(
        call.account, partial(_of_policies, policies), asked.page, test
    )


async def _policies(call: Call, asked: Listing) -> list[str] | None:
    """Policies whose indexes hold all that is wanted; None: the account's index is to be read."""
    policy, product = asked.filters.get("policy"), asked.filters.get("product")
    if policy is not None:
        return [policy.lower()]
    product = call.who.product or product
    if product is None:
        return None
    found, more = await call.services.catalog.page(
        call.account,
        Policy,
        lambda entity: isinstance(entity, Policy) and entity.product == product.lower(),
        start=0,
        after=None,
        size=POLICIES_MAX,
    )
    return None if more else [entity.id for entity in found]


def _of_policies(policies: Sequence[str], keys: Keys) -> list[str]:
    return [keys.licenses_of_policy(policy) for policy in policies]


def _license_test(call: Call, asked: Listing) -> Test | None:
    """Test that a license has to pass; None where its index tells all."""
    filters, who, now_ms = asked.filters, call.who, call.services.clock.check_ms
    tests: list[Test] = []
    if who.role == "product" or "product" in filters:
        product = filters.get("product", who.product or "").lower()
        tests.append(lambda license_: license_.product == product and who.sees_license(license_))
    if who.license is not None and "policy" in filters:
        # Its list is itself, from no index.
        policy = filters["policy"].lower()
        tests.append(lambda license_: license_.policy == policy)
    if "status" in filters:
        wanted = filters["status"].upper()
        tests.append(lambda license_: status(license_, now_ms) == wanted)
    if asked.metadata:
        tests.append(lambda license_: _has(license_.metadata, asked.metadata))
    return (lambda license_: all(test(license_) for test in tests)) if tests else None


async def _machines(
    call: Call, asked: Listing, license_: str | None
) -> Found[tuple[License, Machine]]:
    filters, who, services = asked.filters, call.who, call.services
    digest = None
    if "fingerprint" in filters:
        digest = fingerprint_digest(services.pepper, call.account, filters["fingerprint"])

    def wanted(entry: tuple[License, Machine]) -> bool:
        of, machine = entry
        return (
            who.sees_license(of)
            and of.product == filters.get("product", of.product).lower()
            and of.policy == filters.get("policy", of.policy).lower()
            and (digest is None or machine.fingerprint_digest == digest)
            and ("platform" not in filters or machine.platform == filters["platform"])
            and _has(machine.metadata, asked.metadata)
        )

    if license_ is None and who.license is not None:
        license_ = who.license.id
    if license_ is not None:
        partition = services.replicas.partition_of(license_)
        index: Index = partial(_of_license, license_, partition)
    elif digest is not None:
        held = await services.finder.machines_with(call.account, filters["fingerprint"])
        return _page_of([entry for entry in held if wanted(entry)], asked)
    else:
        index = partial(_of_account, call.account)
    return await services.lists.machines(call.account, index, asked.page, wanted)


def _of_license(license_: str, partition: int, keys: Keys) -> list[str]:
    return [keys.machines_of_license(license_)] if keys.partition == partition else []


def _of_account(account: str, keys: Keys) -> list[str]:
    return [keys.machines_of_account(account)]


def _page_of(
    held: Sequence[tuple[License, Machine]], asked: Listing
) -> Found[tuple[License, Machine]]:
    """Page of machines that are few: those of one fingerprint."""
    newest = sorted(held, key=lambda entry: (entry[1].activated_ms, entry[1].id), reverse=True)
    ids = [machine.id for _, machine in newest]
    start = asked.page.begins_in(ids)
    entries = newest[start : start + asked.page.size]
    last_id = entries[-1][1].id if entries else None
    return Found(entries=entries, more=len(newest) > start + len(entries), last_id=last_id)


async def _license_named(call: Call, filters: Mapping[str, str]) -> str | None:
    """License that the filters name, by id, key or both; `NOBODY` where they see none such."""
    finder, wanted = call.services.finder, set[str]()
    if "license" in filters:
        wanted.add(_seen(call, await finder.license(call.account, filters["license"])))
    if "key" in filters:
        wanted.add(_seen(call, await finder.license_by_key(call.account, filters["key"])))
    if not wanted:
        return None
    return wanted.pop() if len(wanted) == 1 else NOBODY


def _seen(call: Call, found: FoundLicense | None) -> str:
    if found is None or not call.who.sees_license(found.license):
        return NOBODY
    return found.license.id


def _has(metadata: str | None, wanted: Mapping[str, str]) -> bool:
    """Whether metadata has these values; one may be given as it is, or as JSON."""
    if not wanted:
        return True
    held = {} if metadata is None else msgspec.json.decode(metadata)
    return all(name in held and _same(held[name], text) for name, text in wanted.items())


def _same(value: object, text: str) -> bool:
    if isinstance(value, str) and value == text:
        return True
    try:
        return bool(msgspec.json.decode(text) == value)
    except msgspec.DecodeError:
        return False


def _path(call: Call, name: str) -> str:
    return f"/v1/accounts/{call.account}/{name}"


async def _machines_answered(
    call: Call, path: str, asked: Listing, found: Found[tuple[License, Machine]]
) -> Response:
    return _answered(path, asked, found, await machines_shown(call, found.entries))


def _answered(path: str, asked: Listing, found: Found[T], resources: list[bytes]) -> Response:
    links = asked.links(path, last_id=found.last_id, more=found.more, count=None)
    return answer(HTTPStatus.OK, list_document(resources, links))


ROUTES: Final = (
    Route(
        method="GET",
        path="/licenses",
        handler=_in_turn(list_licenses),
        success=200,
        summary="List licenses, newest first",
        roles=ANYONE,
    ),
    Route(
        method="GET",
        path="/machines",
        handler=_in_turn(list_machines),
        success=200,
        summary="List machines, newest first",
        roles=ANYONE,
    ),
    Route(
        method="GET",
        path="/licenses/{id}/machines",
        handler=_in_turn(list_machines_of),
        success=200,
        summary="List a license's machines, newest first",
        roles=ANYONE,
    ),
)
