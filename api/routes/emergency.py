"""Emergency orders over HTTP: given to this one worker, and told of by it.

They are a worker's own, as its health is: of no account, and in no description of the API. Whoever
has signed an order needs no other credential, since nobody could look one up while all is down.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.bodies import read_body
from api.exchange import answer, exchange_of, read_content
from api.problems import Problem, pointer, unprocessable
from api.services import Services
from ledger.emergency.orders import (
    DOCUMENT_BYTES_MAX,
    DURATION_S_MAX,
    FUTURE_MS_MAX,
    Refusal,
    decoder,
)

ORDERS: Final = "/v1/emergency/orders"
STANDING: Final = "/v1/emergency"
_encoder: Final = msgspec.json.Encoder()
_UNTRUSTED: Final = (Refusal.KEY_UNKNOWN, Refusal.SIGNATURE_INVALID)
"""Refusals that count as guesses, as an unknown license key does."""


def emergency_router(services: Services) -> APIRouter:
    """Routes of emergency orders."""
    router = APIRouter(include_in_schema=False)

    @router.get(STANDING)
    async def standing(request: Request) -> Response:
        exchange_of(request).route = STANDING
        return answer(HTTPStatus.OK, _document(services))

    @router.post(ORDERS)
    async def take(request: Request) -> Response:
        exchange_of(request).route = ORDERS
        orders = services.emergency
        services.throttle.refuse_guessing(request.scope)
        if not orders.is_on:
            raise _off()
        content = await read_content(request)
        if len(content) > DOCUMENT_BYTES_MAX:
            raise _too_large()
        refusal = await orders.take(read_body(decoder, content))
        if refusal in _UNTRUSTED:
            services.throttle.count_failure(request.scope)
        if refusal is not None:
            raise refused(refusal)
        return answer(HTTPStatus.OK, _document(services))

    return router


def _document(services: Services) -> bytes:
    """What this worker says of its orders, and whose it is."""
    catalog = services.catalog
    told: dict[str, Any] = {
        "ledger": catalog.ledger,
        "account": catalog.account,
        **services.emergency.standing(),
    }
    return _encoder.encode({"meta": told})


def refused(refusal: Refusal) -> Problem:
    """Return the problem of an order that isn't taken."""
    match refusal:
        case Refusal.KEY_UNKNOWN:
            return _forbidden(
                "ORDER_KEY_UNKNOWN",
                "This worker obeys no such key: check LEDGER_EMERGENCY_KEYS.",
                "/key",
            )
        case Refusal.SIGNATURE_INVALID:
            return _forbidden(
                "ORDER_SIGNATURE_INVALID",
                "The signature is not of this order by this key: send it as it was signed.",
                "/signature",
            )
        case Refusal.OF_ANOTHER_LEDGER:
            return unprocessable(
                "ORDER_OF_ANOTHER_LEDGER",
                "The order is for another ledger: send it there.",
                "/order/ledger",
            )
        case Refusal.TOO_LONG:
            return unprocessable(
                "ORDER_TOO_LONG",
                f"An order runs for at most {DURATION_S_MAX} s: sign a shorter one, and use "
                "another when it is over.",
                "/order/duration_s",
            )
        case Refusal.EXPIRED:
            return unprocessable(
                "ORDER_EXPIRED",
                "By this worker's clock the order's time is over: check the clock, or make "
                "a new order.",
                "/order/issued_ms",
            )
        case Refusal.FROM_THE_FUTURE:
            return unprocessable(
                "ORDER_FROM_THE_FUTURE",
                f"By this worker's clock the order will be given in more than "
                f"{FUTURE_MS_MAX // 1000} s: check both clocks.",
                "/order/issued_ms",
            )
        case Refusal.ENDED:
            return unprocessable(
                "ORDER_ENDED", "The order is over and doesn't begin again: make a new one.", _ID
            )
        case Refusal.ID_TAKEN:
            return unprocessable(
                "ORDER_ID_TAKEN", "Another order has this id: make a new one.", _ID
            )
        case Refusal.TOO_MANY:
            return unprocessable(
                "ORDERS_EXCEEDED", "As many orders run as a worker takes: use an end first.", _ID
            )


_ID: Final = "/order/id"


def _off() -> Problem:
    return Problem(
        HTTPStatus.FORBIDDEN,
        "EMERGENCY_OFF",
        "This worker takes no emergency orders: it obeys no key. Make one on a quiet day and name "
        "it in LEDGER_EMERGENCY_KEYS.",
        source=pointer(""),
    )


def _forbidden(code: str, detail: str, path: str) -> Problem:
    return Problem(HTTPStatus.FORBIDDEN, code, detail, source=pointer(path))


def _too_large() -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "BODY_TOO_LARGE",
        f"A signed order has at most {DOCUMENT_BYTES_MAX} bytes: send it as it was signed.",
    )
