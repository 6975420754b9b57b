"""Licenses: issue one, read one, check one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.responses import Response

from api.bodies import (
    MANY_BYTES_MAX,
    NewLicense,
    Validate,
    ValidateKey,
    ValidateMany,
    ValidateMeta,
    license_bodies,
    read_body,
    validate_bodies,
    validate_key_bodies,
    validate_many_bodies,
)
from api.catalog.reading import catalog_behind
from api.checking_many import Asker
from api.checks import Scope
from api.emergency.grace import Asked
from api.exchange import answer
from api.finding import Found
from api.principals import ANYONE, SELLERS
from api.problems import Problem, not_found
from api.refusals import issue_refusal
from api.requests import (
    check_key_size,
    check_many,
    check_scope,
    license_request,
    no_such_policy,
    policy_named,
)
from api.resources import document, license_path, license_resource
from api.routes.call import Call
from api.routes.endpoint import Route
from api.throttle import has_token
from ledger.domain.catalog.entities import Policy
from projector.views.documents import license_document, read_answer


async def issue(call: Call) -> Response:
    """POST licenses."""
    services, asked = call.services, call.asked
    body = await call.body(license_bodies)
    policy = await _policy(call, body)
    decided = await services.commands.issue(license_request(body, policy=policy.id), policy, asked)
    verdict = decided.verdict
    position = services.position(decided.license, verdict.offset)
    if not verdict.granted:
        raise issue_refusal(verdict).at(position)
    license_ = decided.as_issued()
    resource = license_resource(
        read_answer(license_document(license_)),
        license_,
        key=decided.key,
        now_ms=verdict.time_ms,
    )
    location = license_path(call.account, license_.id)
    headers = {"Location": location, "Ledger-Position": position}
    return answer(HTTPStatus.CREATED, document(resource), headers)


async def _policy(call: Call, body: NewLicense) -> Policy:
    """Policy that a new license names; raises a 422 `Problem` where they have no such policy."""
    named = policy_named(body)
    found = await call.services.catalog.entity(Policy, named, account=call.account)
    if found is None or not call.who.sees_policy(found.id, found.product):
        raise no_such_policy()
    return found


async def found_license(call: Call) -> Found:
    """License that the path names; raises a 404 `Problem` where they see no such license."""
    found = await seen_license(call)
    if found is None:
        raise not_found("license")
    return found


async def seen_license(call: Call) -> Found | None:
    """License that the path names; None where they see no such license."""
    found = await call.services.finder.license(call.account, call.named())
    return None if found is None or not call.who.sees_license(found.license) else found


async def resource_of(call: Call, found: Found) -> bytes:
    """Resource of a license, with its key where that can be told."""
    services = call.services
    now_ms = services.clock.check_ms
    return license_resource(
        read_answer(found.document),
        found.license,
        key=await services.data_keys.key_of(found.license, now_ms),
        now_ms=now_ms,
    )


async def read(call: Call) -> Response:
    """GET licenses/{id or key}."""
    services, found = call.services, await found_license(call)
    resource = await resource_of(call, found)
    headers = {
        "Ledger-Position": services.position(found.license.id, found.reading.position - 1),
        "Ledger-Age-Ms": str(found.reading.age_ms),
        "Ledger-Source": found.reading.source,
    }
    return answer(HTTPStatus.OK, document(resource), headers)


async def validate_key(call: Call) -> Response:
    """POST licenses/actions/validate-key: without a credential, or with one that is good."""
    services, meta = call.services, (await call.body(validate_key_bodies)).meta
    check_key_size(meta.key)
    check_scope(meta.scope)
    license_ = services.finder.id_of_key(call.account, meta.key)
    scope, at_least = meta.scope.scope(), call.at_least
    try:
        check = await services.checker.check(call.account, license_, scope, at_least)
    except Problem as problem:
        asked = Asked(account=call.account, surely=call.surely, who=call.principal, meta=meta)
        return answer(HTTPStatus.OK, services.grace.instead(problem, asked))
    services.noticing.note(check)
    who, found = call.principal, check.license
    if who is not None and found is not None and not who.sees_license(found):
        check = check.hidden()
    if check.license is None and not call.surely:
        raise catalog_behind()
    if check.license is None and not has_token(who):
        services.throttle.count_failure(call.request.scope)
    return answer(HTTPStatus.OK, services.checker.answered(check, meta, meta.key))


async def validate_many(call: Call) -> Response:
    """POST licenses/actions/validate-many."""
    checker = call.services.many_checker
    metrics = call.services.metrics
    with checker.crowd.entered(metrics, "batches", "requests with many checks"):
        content = await call.content(MANY_BYTES_MAX)
        async with checker.turn:
            return await _validated_many(call, content)


async def _validated_many(call: Call, content: bytes) -> Response:
    services = call.services
    asked = read_body(validate_many_bodies, content).meta.checks
    check_many(asked)
    # One was counted when they came.
    services.throttle.count_principal(call.who, len(asked) - 1)
    asker = Asker(
        account=call.account,
        sees=call.who.sees_license,
        note=services.noticing.note_of,
        surely=call.surely,
        at_least=call.at_least,
    )
    return answer(HTTPStatus.OK, await services.many_checker.check(asker, asked))


async def validate(call: Call) -> Response:
    """POST licenses/{id or key}/actions/validate."""
    content = await call.content()
    meta = read_body(validate_bodies, content).meta if content else ValidateMeta()
    check_scope(meta.scope)
    return await _validated(call, meta.scope.scope(), meta)


async def validate_quickly(call: Call) -> Response:
    """GET licenses/{id or key}/actions/validate: for no scope, whatever the policy requires."""
    return await _validated(call, Scope(quick=True), None)


async def _validated(call: Call, scope: Scope, meta: ValidateMeta | None) -> Response:
    services = call.services
    for license_ in services.finder.license_ids(call.account, call.named()):
        check = await services.checker.check(call.account, license_, scope, call.at_least)
        if check.license is not None and call.who.sees_license(check.license):
            services.noticing.note(check)
            key = await services.data_keys.key_of(check.license, check.now_ms)
            return answer(HTTPStatus.OK, services.checker.answered(check, meta, key))
    raise not_found("license")


ROUTES: Final = (
    Route(
        method="POST",
        path="/licenses/actions/validate-key",
        handler=validate_key,
        success=200,
        summary="Check a license by its key",
        roles=ANYONE,
        open_to_all=True,
        body=ValidateKey,
    ),
    Route(
        method="POST",
        path="/licenses/actions/validate-many",
        handler=validate_many,
        success=200,
        summary="Check up to 1,000 licenses by their keys or ids",
        roles=SELLERS,
        body=ValidateMany,
    ),
    Route(
        method="POST",
        path="/licenses",
        handler=issue,
        success=201,
        summary="Issue a license",
        roles=SELLERS,
        body=NewLicense,
        writes=True,
    ),
    Route(
        method="POST",
        path="/licenses/{id}/actions/validate",
        handler=validate,
        success=200,
        summary="Check a license by its id or key",
        roles=ANYONE,
        body=Validate,
    ),
    Route(
        method="GET",
        path="/licenses/{id}/actions/validate",
        handler=validate_quickly,
        success=200,
        summary="Check a license by its id or key, for no scope",
        roles=ANYONE,
    ),
    Route(
        method="GET",
        path="/licenses/{id}",
        handler=read,
        success=200,
        summary="Read a license by its id or key",
        roles=ANYONE,
    ),
)
