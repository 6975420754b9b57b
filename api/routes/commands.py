"""Commands: whether one that was answered 202 is decided, and how."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from msgspec.structs import replace
from starlette.responses import Response

from api.exchange import answer
from api.pending import Command, command_path, command_resource, read_content
from api.positions import read_position
from api.principals import ANYONE
from api.problems import RETRY_AFTER_S, Problem, malformed
from api.refusals import frozen
from api.replica import Reading
from api.resources import document
from api.routes.call import Call
from api.routes.endpoint import Route
from ledger.domain import verdicts
from ledger.domain.identifiers import is_id
from ledger.domain.license import License
from ledger.domain.verdicts import Verdict
from projector.views.documents import read_license, read_verdict


async def read(call: Call) -> Response:
    """GET licenses/{id}/commands/{command}, at the URL that the answer 202 named.

    Before the state that can be read knows of the command's position it is pending, whosever it
    is: that tells nobody what there is.
    """
    services, command = call.services, _command(call)
    partition = services.replicas.partition_of(command.license)
    reading = await _reading(call, partition, command)
    path = command_path(call.account, services.catalog.ledger, partition, command)
    verdict = None
    if reading.position > command.offset:
        verdict = _verdict(call, command, reading.values)
    offset = command.offset if verdict is None else verdict.offset
    position = services.position(command.license, offset)
    resource = command_resource(
        command, account=call.account, path=path, position=position, verdict=verdict
    )
    headers = {
        "Ledger-Position": position,
        "Ledger-Age-Ms": str(reading.age_ms),
        "Ledger-Source": reading.source,
        **({"Retry-After": str(RETRY_AFTER_S)} if verdict is None else {}),
    }
    return answer(HTTPStatus.OK, document(resource), headers)


def _command(call: Call) -> Command:
    """Command that the URL names; raises a 4xx `Problem`."""
    license_, id_ = call.named().lower(), call.named("command").lower()
    if not is_id(license_) or not is_id(id_):
        raise _unknown()
    query = dict(parse_qsl(call.request.url.query, keep_blank_values=True))
    place = read_position(query.get("position", ""), call.services.catalog.ledger)
    if place.partition != call.services.replicas.partition_of(license_):
        raise malformed(
            "POSITION_INVALID",
            "The position is of another license: send the URL as the answer named it.",
            {"parameter": "position"},
        )
    content = read_content(query.get("content", ""))
    return Command(license=license_, id=id_, offset=place.offset, content=content)


async def _reading(call: Call, partition: int, command: Command) -> Reading:
    """License and verdict, from a state that knows of the command if there is one.

    Raises a 503 `Problem` where nothing can be read.
    """
    replicas = call.services.replicas
    past = await replicas.read_past(
        partition,
        command.offset,
        lambda keys: (keys.license(command.license), keys.command(command.license, command.id)),
    )
    if past is not None:
        return past
    return await replicas.read(
        partition,
        lambda keys: (keys.license(command.license), keys.command(command.license, command.id)),
    )


def _verdict(call: Call, command: Command, values: Sequence[bytes | None]) -> Verdict:
    """Verdict on a command that was folded; raises a `Problem` where none is theirs to see."""
    license_, remembered = values
    found = None if license_ is None else read_license(license_)
    if found is None or not _sees(call, found):
        raise _unknown()
    if remembered is None:
        if found.frozen_at is not None and found.frozen_at <= command.offset:
            # It was set aside, with all that came after what could not be folded.
            raise frozen()
        raise _unknown()
    verdict = read_verdict(remembered)
    if command.is_decided_by(verdict):
        return verdict
    return replace(verdict, code=verdicts.IDEMPOTENCY_MISMATCH, offset=command.offset, machine=None)


def _sees(call: Call, license_: License) -> bool:
    return license_.account == call.account and call.who.sees_license(license_)


def _unknown() -> Problem:
    return Problem(
        HTTPStatus.NOT_FOUND,
        "NOT_FOUND",
        "No such command is remembered, or not for who asks. A verdict is remembered for 24 hours, "
        "or the license's last 64: read how the license stands, and check the URL.",
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/licenses/{id}/commands/{command}",
        handler=read,
        success=200,
        summary="Read whether a command is decided, and how",
        roles=ANYONE,
    ),
)
