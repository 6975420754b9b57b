"""One request as a handler sees it: of which account, by whom, and the parts of the worker."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.bodies import BODY_BYTES_MAX, read_body
from api.commands import Asked
from api.credentials import missing
from api.exchange import Exchange, answer, exchange_of, path_text, read_content
from api.pending import RESPOND_ASYNC, Command, command_path, command_resource
from api.positions import AT_LEAST, Place, read_at_least
from api.principals import Principal
from api.problems import RETRY_AFTER_S
from api.resources import document
from api.services import Services
from ledger.domain.verdicts import Verdict

T = TypeVar("T")


def removed(call: Call, license_: str, verdict: Verdict) -> Response:
    """Answer that something of a license went, or the license itself: 204, and where it stands."""
    headers = {"Ledger-Position": call.services.position(license_, verdict.offset)}
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)


def accepted(call: Call, command: Command) -> Response:
    """Answer that a command is in the log and not decided yet: 202, and where its verdict will be.

    RFC 7240: that the preference was followed is told.
    """
    services = call.services
    partition = services.replicas.partition_of(command.license)
    path = command_path(call.account, services.catalog.ledger, partition, command)
    position = services.position(command.license, command.offset)
    resource = command_resource(
        command, account=call.account, path=path, position=position, verdict=None
    )
    headers = {
        "Location": path,
        "Preference-Applied": RESPOND_ASYNC,
        "Retry-After": str(RETRY_AFTER_S),
        "Ledger-Position": position,
    }
    return answer(HTTPStatus.ACCEPTED, document(resource), headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request. `account`: the id of whose it is. `principal`: who asks; None: nobody known.

    `surely`: whether it is this account's; else it may be another one's, so it has no "no".
    """

    request: Request
    services: Services
    account: str
    surely: bool
    principal: Principal | None

    @property
    def who(self) -> Principal:
        """Who asks; raises a 401 `Problem` where nobody is known."""
        if self.principal is None:
            raise missing()
        return self.principal

    @property
    def exchange(self) -> Exchange:
        """Headers and id of the request."""
        return exchange_of(self.request)

    @property
    def asked(self) -> Asked:
        """Who asks for a write, and how. Raises a 4xx `Problem`."""
        exchange = self.exchange
        return Asked(
            who=self.who,
            idempotency_key=exchange.idempotency_key,
            traceparent=exchange.traceparent,
        )

    @property
    def at_least(self) -> Place | None:
        """Position that the answer has to know of. Raises a 400 `Problem`."""
        text = self.exchange.header(AT_LEAST.lower())
        return None if text is None else read_at_least(text, self.services.catalog.ledger)

    def named(self, name: str = "id") -> str:
        """Decoded segment of the path."""
        return path_text(self.request, name)

    async def content(self, bytes_max: int = BODY_BYTES_MAX) -> bytes:
        """Body of the request. Raises a 4xx `Problem`."""
        return await read_content(self.request, bytes_max)

    async def body(self, decoder: msgspec.json.Decoder[T]) -> T:
        """Body of the request, decoded. Raises a 4xx `Problem`."""
        return self.decoded(decoder, await self.content())

    def decoded(self, decoder: msgspec.json.Decoder[T], content: bytes) -> T:
        """Decode a body that was read. Raises a 400 `Problem`."""
        return read_body(decoder, content)
