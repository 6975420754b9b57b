"""Entitlements of a license, its own and its policy's; and those of a policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final, Literal
from uuid import UUID, uuid5

import msgspec
from starlette.responses import Response

from api.catalog.bodies import Identifiers, identifiers_bodies
from api.catalog.resources import entity_path, entity_resource, linked, list_document
from api.exchange import answer
from api.listing import listing
from api.principals import ANYONE, SELLERS
from api.problems import Problem, malformed, pointer, unprocessable
from api.requests import check_type
from api.resources import license_path
from api.routes.call import Call
from api.routes.catalog import decided, gone
from api.routes.endpoint import Route
from api.routes.licenses import found_license
from api.routes.orders import POSITION, granted
from api.routes.policies import found_policy
from ledger.domain.catalog.entities import Entitlement
from ledger.domain.catalog.events import PolicyEntitlementsAttached, PolicyEntitlementsDetached
from ledger.domain.clocks import rfc3339
from ledger.domain.events import EntitlementsAttached, EntitlementsDetached
from ledger.domain.identifiers import is_id
from ledger.domain.terms import ENTITLEMENTS_MAX

_encoder: Final = msgspec.json.Encoder()


async def list_of_license(call: Call) -> Response:
    """GET licenses/{id}/entitlements."""
    license_ = (await found_license(call)).license
    path = f"{license_path(call.account, license_.id)}/entitlements"
    return await listed(call, sorted(license_.all_entitlements), path)


async def attach(call: Call) -> Response:
    """POST licenses/{id}/entitlements."""
    license_ = (await found_license(call)).license
    codes = await codes_named(call)
    data = EntitlementsAttached(entitlements=codes)
    outcome = await call.services.commands.order(license_, data, call.asked)
    position = granted(call, outcome)
    moment = rfc3339(outcome.verdict.time_ms)
    return _attached(call, "license", license_.id, codes, moment=moment, position=position)


async def detach(call: Call) -> Response:
    """DELETE licenses/{id}/entitlements."""
    license_ = (await found_license(call)).license
    data = EntitlementsDetached(entitlements=await ids_named(call))
    outcome = await call.services.commands.order(license_, data, call.asked)
    position = granted(call, outcome)
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={POSITION: position})


async def list_of_policy(call: Call) -> Response:
    """GET policies/{id}/entitlements."""
    policy = await found_policy(call)
    path = f"{entity_path(policy)}/entitlements"
    return await listed(call, sorted(policy.terms.entitlements), path)


async def attach_to_policy(call: Call) -> Response:
    """POST policies/{id}/entitlements: also for the licenses that have the policy, soon."""
    policy = await found_policy(call)
    codes = await codes_named(call)
    data = PolicyEntitlementsAttached(entitlements=codes)
    outcome = await decided(call, data, entity=policy.id)
    moment, position = rfc3339(outcome.verdict.time_ms), outcome.position
    return _attached(call, "policy", policy.id, codes, moment=moment, position=position)


async def detach_from_policy(call: Call) -> Response:
    """DELETE policies/{id}/entitlements: also for the licenses that have the policy, soon."""
    policy = await found_policy(call)
    data = PolicyEntitlementsDetached(entitlements=await ids_named(call))
    return gone(await decided(call, data, entity=policy.id))


def _attached(
    call: Call,
    to: Literal["license", "policy"],
    holder: str,
    ids: Iterable[str],
    *,
    moment: str,
    position: str,
) -> Response:
    """Answer with what was attached to a license or a policy."""
    attached = [
        {
            "id": str(uuid5(UUID(holder), id_)),
            "type": f"{to}-entitlements",
            "attributes": {"created": moment, "updated": moment},
            "relationships": {
                "account": linked("accounts", call.account),
                to: linked("licenses" if to == "license" else "policies", holder),
                "entitlement": linked("entitlements", id_),
            },
        }
        for id_ in ids
    ]
    return answer(HTTPStatus.OK, _encoder.encode({"data": attached}), {POSITION: position})


async def listed(call: Call, ids: Sequence[str], path: str) -> Response:
    """Answer with a page of these entitlements; one that was deleted is not shown any more."""
    asked = listing(call.request.scope["query_string"], ())
    start = asked.page.begins_in(ids)
    page = ids[start : start + asked.page.size]
    entities = await call.services.catalog.entities(page)
    links = asked.links(
        path,
        last_id=page[-1] if page else None,
        more=len(ids) > start + len(page),
        count=len(ids),
    )
    return answer(HTTPStatus.OK, list_document([entity_resource(each) for each in entities], links))


async def codes_named(call: Call) -> dict[str, str]:
    """Codes by ids of the entitlements that a body names; raises a `Problem` for an unknown one."""
    codes: dict[str, str] = {}
    for place, id_ in enumerate(await ids_named(call)):
        found = await call.services.catalog.entity(Entitlement, id_, account=call.account)
        if found is None:
            raise _no_such_entitlement(place)
        codes[id_] = found.code
    return codes


async def ids_named(call: Call) -> list[str]:
    """Ids of the entitlements that a body names, each once. Raises a 4xx `Problem`."""
    named = (await call.body(identifiers_bodies)).data
    if not 1 <= len(named) <= ENTITLEMENTS_MAX:
        raise malformed(
            "VALUE_OUT_OF_RANGE",
            f"Name 1 to {ENTITLEMENTS_MAX} entitlements at a time.",
            pointer("/data"),
        )
    ids: dict[str, None] = {}
    for place, each in enumerate(named):
        check_type(each.type, "entitlements", f"/data/{place}/type")
        if not is_id(each.id.lower()):
            raise _no_such_entitlement(place)
        ids[each.id.lower()] = None
    return list(ids)


def _no_such_entitlement(place: int) -> Problem:
    return unprocessable(
        "ENTITLEMENT_NOT_FOUND",
        "There is no such entitlement for this account: send its id.",
        f"/data/{place}/id",
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/licenses/{id}/entitlements",
        handler=list_of_license,
        success=200,
        summary="List a license's entitlements, its own and its policy's",
        roles=ANYONE,
    ),
    Route(
        method="POST",
        path="/licenses/{id}/entitlements",
        handler=attach,
        success=200,
        summary="Attach entitlements to a license",
        roles=SELLERS,
        body=Identifiers,
        writes=True,
    ),
    Route(
        method="DELETE",
        path="/licenses/{id}/entitlements",
        handler=detach,
        success=204,
        summary="Detach entitlements from a license",
        roles=SELLERS,
        body=Identifiers,
        writes=True,
    ),
    Route(
        method="GET",
        path="/policies/{id}/entitlements",
        handler=list_of_policy,
        success=200,
        summary="List a policy's entitlements",
        roles=ANYONE,
    ),
    Route(
        method="POST",
        path="/policies/{id}/entitlements",
        handler=attach_to_policy,
        success=200,
        summary="Attach entitlements to a policy, and so to the licenses that have it",
        roles=SELLERS,
        body=Identifiers,
        writes=True,
    ),
    Route(
        method="DELETE",
        path="/policies/{id}/entitlements",
        handler=detach_from_policy,
        success=204,
        summary="Detach entitlements from a policy, and so from the licenses that have it",
        roles=SELLERS,
        body=Identifiers,
        writes=True,
    ),
)
