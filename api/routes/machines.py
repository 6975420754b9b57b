"""Machines: activate one, read, change, deactivate it."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.responses import Response

from api.bodies import NewMachine, machine_bodies
from api.changing import MachineChange, machine_change, machine_change_bodies
from api.credentials import forbidden
from api.exchange import answer
from api.finding import Held
from api.principals import ANYONE
from api.problems import not_found
from api.refusals import activation_refusal, deactivation_refusal
from api.requests import MachineRequest, check_type, machine_request
from api.resources import HIDDEN_KEY, document, machine_path, machine_resource
from api.routes.call import Call, removed
from api.routes.endpoint import Route
from api.unchanged import Related, check_id, refuse_related


async def activate(call: Call) -> Response:
    """POST machines."""
    services, asked = call.services, call.asked
    wanted = machine_request(await call.body(machine_bodies))
    _refuse_protected(call)
    decided = await services.commands.activate(wanted, asked)
    verdict = decided.verdict
    position = services.position(decided.license, verdict.offset)
    if not verdict.granted:
        raise activation_refusal(verdict, call.account).at(position)
    machine = verdict.machine or ""
    resource = machine_resource(
        wanted,
        machine,
        account=call.account,
        product=decided.product,
        activated_ms=verdict.time_ms,
    )
    headers = {"Location": machine_path(call.account, machine), "Ledger-Position": position}
    return answer(HTTPStatus.CREATED, document(resource), headers)


async def found_machine(call: Call) -> Held:
    """License and machine that the path names; raises a 404 `Problem` where they see no such."""
    held = await call.services.finder.machine(
        call.account, call.named(), sees=call.who.sees_license
    )
    if held is None:
        raise not_found("machine")
    return held


def _refuse_protected(call: Call) -> None:
    if not call.who.may_move_machines:
        raise forbidden(
            "LICENSE_PROTECTED",
            "The license is protected: its vendor activates and deactivates its machines. Ask with "
            "a token of the product or the account.",
        )


async def machines_shown(call: Call, held: Sequence[Held]) -> list[bytes]:
    """Resources of machines as they stand, with what is sealed where that can be opened."""
    sealed = [
        (license_, text)
        for license_, machine in held
        for text in (machine.fingerprint, machine.name, machine.hostname, machine.ip)
    ]
    now_ms = call.services.clock.check_ms
    opened = iter(await call.services.data_keys.opened(sealed, now_ms))
    return [_shown(each, next(opened), (next(opened), next(opened), next(opened))) for each in held]


def _shown(held: Held, fingerprint: str | None, known_as: tuple[str | None, ...]) -> bytes:
    license_, machine = held
    name, hostname, ip = known_as
    known = MachineRequest(
        license=license_.id,
        fingerprint=fingerprint or HIDDEN_KEY,
        seats=machine.seats,
        name=name,
        hostname=hostname,
        ip=ip,
        platform=machine.platform,
        cores=machine.cores,
        metadata=machine.metadata,
    )
    return machine_resource(
        known,
        machine.id,
        account=license_.account,
        product=license_.product,
        activated_ms=machine.activated_ms,
        changed_ms=machine.changed_ms,
    )


async def read(call: Call) -> Response:
    """GET machines/{id or fingerprint}."""
    return answer(HTTPStatus.OK, document(*await machines_shown(call, [await found_machine(call)])))


async def change(call: Call) -> Response:
    """PATCH machines/{id or fingerprint}."""
    services = call.services
    license_, machine = await found_machine(call)
    body = await call.body(machine_change_bodies)
    check_type(body.data.type, "machines", "/data/type")
    check_id(body.data.id, machine.id, call.named())
    refuse_related(body.data.relationships or Related())
    wanted = machine_change(body.data.attributes, machine.id)
    decided = await services.commands.change_machine(license_, wanted, call.asked)
    position = services.position(decided.license, decided.verdict.offset)
    if not decided.verdict.granted:
        raise deactivation_refusal(decided.verdict).at(position)
    held = await services.finder.machine(call.account, machine.id, sees=call.who.sees_license)
    if held is None:
        # It was done, and somebody has deactivated the machine since.
        raise not_found("machine")
    headers = {"Ledger-Position": position}
    return answer(HTTPStatus.OK, document(*await machines_shown(call, [held])), headers)


async def deactivate(call: Call) -> Response:
    """DELETE machines/{id or fingerprint}."""
    services, asked = call.services, call.asked
    held = await services.finder.machine(call.account, call.named(), sees=call.who.sees_license)
    if held is None:
        before = await services.repeating.deactivated(call.named(), asked)
        if before is None:
            raise not_found("machine")
        return removed(call, *before)
    _refuse_protected(call)
    decided = await services.commands.deactivate(*held, asked)
    if not decided.verdict.granted:
        position = services.position(decided.license, decided.verdict.offset)
        raise deactivation_refusal(decided.verdict).at(position)
    return removed(call, decided.license, decided.verdict)


ROUTES: Final = (
    Route(
        method="POST",
        path="/machines",
        handler=activate,
        success=201,
        summary="Activate a machine on a license",
        roles=ANYONE,
        body=NewMachine,
        writes=True,
    ),
    Route(
        method="GET",
        path="/machines/{id}",
        handler=read,
        success=200,
        summary="Read a machine by its id or fingerprint",
        roles=ANYONE,
    ),
    Route(
        method="PATCH",
        path="/machines/{id}",
        handler=change,
        success=200,
        summary="Change what is known of a machine",
        roles=ANYONE,
        body=MachineChange,
        writes=True,
    ),
    Route(
        method="DELETE",
        path="/machines/{id}",
        handler=deactivate,
        success=204,
        summary="Deactivate a machine by its id or fingerprint",
        roles=ANYONE,
        writes=True,
    ),
)
