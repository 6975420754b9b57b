"""Licenses: issue one, read one, check one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.bodies import (
    NewLicense,
    Validate,
    ValidateKey,
    ValidateMeta,
    license_bodies,
    read_body,
    validate_bodies,
    validate_key_bodies,
)
from api.exchange import answer, exchange_of, path_text, read_content
from api.problems import not_found
from api.refusals import issue_refusal
from api.requests import check_key_size, check_scope, license_request
from api.resources import document, license_path, license_resource
from api.routes.endpoint import Route, actor, asked
from api.services import Services
from projector.views.documents import license_document, read_answer


async def issue(request: Request, services: Services) -> Response:
    """POST licenses."""
    who = asked(request, services)
    body = read_body(license_bodies, await read_content(request))
    wanted = license_request(body, policy=services.catalog.policy)
    decided = await services.commands.issue(wanted, who)
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
    location = license_path(services.catalog.account, license_.id)
    headers = {"Location": location, "Ledger-Position": position}
    return answer(HTTPStatus.CREATED, document(resource), headers)


async def read(request: Request, services: Services) -> Response:
    """GET licenses/{id or key}."""
    actor(request, services)
    found = await services.finder.license(path_text(request, "id"))
    if found is None:
        raise not_found("license")
    now_ms = services.clock.check_ms
    resource = license_resource(
        read_answer(found.document),
        found.license,
        key=await services.data_keys.key_of(found.license, now_ms),
        now_ms=now_ms,
    )
    headers = {
        "Ledger-Position": services.position(found.license.id, found.reading.position - 1),
        "Ledger-Age-Ms": str(found.reading.age_ms),
        "Ledger-Source": found.reading.source,
    }
    return answer(HTTPStatus.OK, document(resource), headers)


async def validate_key(request: Request, services: Services) -> Response:
    """POST licenses/actions/validate-key: without a credential, or with one that is good."""
    services.doorkeeper.actor(exchange_of(request).header("authorization"))
    meta = read_body(validate_key_bodies, await read_content(request)).meta
    check_key_size(meta.key)
    check_scope(meta.scope)
    license_ = services.finder.id_of_key(meta.key)
    check = await services.checker.check(license_, meta.scope.scope())
    return answer(HTTPStatus.OK, services.checker.answered(check, meta, meta.key))


async def validate(request: Request, services: Services) -> Response:
    """POST licenses/{id or key}/actions/validate."""
    actor(request, services)
    content = await read_content(request)
    meta = read_body(validate_bodies, content).meta if content else ValidateMeta()
    check_scope(meta.scope)
    for license_ in services.finder.license_ids(path_text(request, "id")):
        check = await services.checker.check(license_, meta.scope.scope())
        if check.license is not None:
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
        body=ValidateKey,
    ),
    Route(
        method="POST",
        path="/licenses",
        handler=issue,
        success=201,
        summary="Issue a license",
        body=NewLicense,
        writes=True,
    ),
    Route(
        method="POST",
        path="/licenses/{id}/actions/validate",
        handler=validate,
        success=200,
        summary="Check a license by its id or key",
        body=Validate,
    ),
    Route(
        method="GET",
        path="/licenses/{id}",
        handler=read,
        success=200,
        summary="Read a license by its id or key",
    ),
)
