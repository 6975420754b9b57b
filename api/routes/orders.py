"""Orders about licenses: change, suspend, reinstate, renew, revoke, check in, use, transfer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from starlette.responses import Response

from api.bodies import Identifier
from api.changing import (
    Action,
    LicenseChange,
    PolicyLink,
    Usage,
    license_change_bodies,
    license_changed,
    policy_link_bodies,
    usage,
)
from api.commands import Decided
from api.exchange import answer
from api.finding import Found
from api.principals import ANYONE, SELLERS, Role
from api.problems import not_found
from api.refusals import order_refusal
from api.requests import check_type, no_such_policy
from api.resources import document
from api.routes.call import Call, removed
from api.routes.endpoint import Route
from api.routes.licenses import found_license, resource_of, seen_license
from api.unchanged import Related, check_id, refuse_related
from ledger.domain.catalog.entities import Policy
from ledger.domain.events import (
    CheckedIn,
    EventData,
    Reinstated,
    Renewed,
    Revoked,
    Suspended,
    Transferred,
    UsageRecorded,
)
from ledger.domain.identifiers import is_id

POSITION: Final = "Ledger-Position"


async def suspend(call: Call) -> Response:
    """POST licenses/{id}/actions/suspend."""
    return await _ordered(call, await found_license(call), Suspended())


async def reinstate(call: Call) -> Response:
    """POST licenses/{id}/actions/reinstate."""
    return await _ordered(call, await found_license(call), Reinstated())


async def renew(call: Call) -> Response:
    """POST licenses/{id}/actions/renew, by the basis that the license's terms say."""
    found = await found_license(call)
    terms = found.license.terms
    basis = "FROM_EXPIRY" if terms is None else terms.renewal_basis
    return await _ordered(call, found, Renewed(basis=basis), request="renew")


async def check_in(call: Call) -> Response:
    """POST licenses/{id}/actions/check-in."""
    return await _ordered(call, await found_license(call), CheckedIn())


async def change(call: Call) -> Response:
    """PATCH licenses/{id}."""
    found = await found_license(call)
    body = await call.body(license_change_bodies)
    check_type(body.data.type, "licenses", "/data/type")
    check_id(body.data.id, found.license.id, call.named())
    refuse_related(
        body.data.relationships or Related(), policy="leave it out; PUT …/policy transfers."
    )
    return await _ordered(call, found, license_changed(body.data.attributes))


async def revoke(call: Call) -> Response:
    """DELETE licenses/{id}, and licenses/{id}/actions/revoke."""
    services, asked = call.services, call.asked
    found = await seen_license(call)
    if found is None:
        before = await services.repeating.revoked(call.named(), asked)
        if before is None:
            raise not_found("license")
        return removed(call, *before)
    decided = await services.commands.order(found.license, Revoked(), asked)
    granted(call, decided)
    return removed(call, decided.license, decided.verdict)


async def transfer(call: Call) -> Response:
    """PUT licenses/{id}/policy."""
    found = await found_license(call)
    linked = (await call.body(policy_link_bodies)).data
    policy = await _policy(call, linked)
    data = Transferred(
        policy=policy.id,
        product=policy.product,
        terms=policy.terms,
        expiry=policy.terms.transfer_strategy,
    )
    return await _ordered(call, found, data, request=policy.id, version=policy.version)


async def _policy(call: Call, linked: Identifier) -> Policy:
    check_type(linked.type, "policies", "/data/type")
    named, policy = linked.id.lower(), None
    if is_id(named):
        policy = await call.services.catalog.entity(Policy, named, account=call.account)
    if policy is None or not call.who.sees_policy(policy.id, policy.product):
        raise no_such_policy("/data")
    return policy


def _uses(action: Action) -> Callable[[Call], Awaitable[Response]]:
    async def change_usage(call: Call) -> Response:
        """POST licenses/{id}/actions/increment-usage and decrement-usage."""
        found = await found_license(call)
        return await _ordered(call, found, usage(await call.content(), action))

    return change_usage


async def reset_usage(call: Call) -> Response:
    """POST licenses/{id}/actions/reset-usage."""
    return await _ordered(call, await found_license(call), UsageRecorded(action="reset"))


async def _ordered(
    call: Call,
    found: Found,
    data: EventData,
    *,
    request: object = None,
    version: int | None = None,
) -> Response:
    """Order it, and answer with the license as it stands then."""
    commands = call.services.commands
    decided = await commands.order(
        found.license, data, call.asked, request=request, version=version
    )
    position = granted(call, decided)
    now = await call.services.finder.license(call.account, decided.license)
    if now is None:
        # It was done, and somebody has revoked the license since.
        raise not_found("license")
    headers = {POSITION: position}
    return answer(HTTPStatus.OK, document(await resource_of(call, now)), headers)


def granted(call: Call, decided: Decided) -> str:
    """Position of what was granted; raises a `Problem` for what was not."""
    position = call.services.position(decided.license, decided.verdict.offset)
    if not decided.verdict.granted:
        raise order_refusal(decided.verdict).at(position)
    return position


def _action(
    name: str,
    handler: Callable[[Call], Awaitable[Response]],
    summary: str,
    roles: frozenset[Role] = SELLERS,
) -> Route:
    return Route(
        method="POST",
        path=f"/licenses/{{id}}/actions/{name}",
        handler=handler,
        success=200,
        summary=summary,
        roles=roles,
        body=Usage if name in {"increment-usage", "decrement-usage"} else None,
        writes=True,
    )


ROUTES: Final = (
    _action("suspend", suspend, "Suspend a license"),
    _action("reinstate", reinstate, "End a license's suspension"),
    _action("renew", renew, "Renew a license by its policy's duration"),
    _action("check-in", check_in, "Check a license in", ANYONE),
    _action("increment-usage", _uses("increment"), "Count uses of a license", ANYONE),
    _action("decrement-usage", _uses("decrement"), "Take uses of a license back"),
    _action("reset-usage", reset_usage, "Set a license's count of uses to 0"),
    Route(
        method="PATCH",
        path="/licenses/{id}",
        handler=change,
        success=200,
        summary="Change what is set on a license itself",
        roles=SELLERS,
        body=LicenseChange,
        writes=True,
    ),
    Route(
        method="PUT",
        path="/licenses/{id}/policy",
        handler=transfer,
        success=200,
        summary="Transfer a license to another policy",
        roles=SELLERS,
        body=PolicyLink,
        writes=True,
    ),
    Route(
        method="DELETE",
        path="/licenses/{id}",
        handler=revoke,
        success=204,
        summary="Revoke a license, for good",
        roles=SELLERS,
        writes=True,
    ),
    Route(
        method="DELETE",
        path="/licenses/{id}/actions/revoke",
        handler=revoke,
        success=204,
        summary="Revoke a license, for good",
        roles=SELLERS,
        writes=True,
    ),
)
