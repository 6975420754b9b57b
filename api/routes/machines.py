"""Machines: activate one, deactivate one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.bodies import NewMachine, machine_bodies, read_body
from api.exchange import answer, path_text, read_content
from api.refusals import activation_refusal, deactivation_refusal
from api.requests import machine_request
from api.resources import document, machine_path, machine_resource
from api.routes.endpoint import Route, asked
from api.services import Services


async def activate(request: Request, services: Services) -> Response:
    """POST machines."""
    who = asked(request, services)
    wanted = machine_request(read_body(machine_bodies, await read_content(request)))
    decided = await services.commands.activate(wanted, who)
    verdict, account = decided.verdict, services.catalog.account
    position = services.position(decided.license, verdict.offset)
    if not verdict.granted:
        raise activation_refusal(verdict, account).at(position)
    machine = verdict.machine or ""
    resource = machine_resource(
        wanted,
        machine,
        account=account,
        product=services.catalog.product,
        activated_ms=verdict.time_ms,
    )
    headers = {"Location": machine_path(account, machine), "Ledger-Position": position}
    return answer(HTTPStatus.CREATED, document(resource), headers)


async def deactivate(request: Request, services: Services) -> Response:
    """DELETE machines/{id or fingerprint}."""
    who = asked(request, services)
    decided = await services.commands.deactivate(path_text(request, "id"), who)
    position = services.position(decided.license, decided.verdict.offset)
    if not decided.verdict.granted:
        raise deactivation_refusal(decided.verdict).at(position)
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Ledger-Position": position})


ROUTES: Final = (
    Route(
        method="POST",
        path="/machines",
        handler=activate,
        success=201,
        summary="Activate a machine on a license",
        body=NewMachine,
        writes=True,
    ),
    Route(
        method="DELETE",
        path="/machines/{id}",
        handler=deactivate,
        success=204,
        summary="Deactivate a machine by its id or fingerprint",
        writes=True,
    ),
)
