"""Tokens: credentials of an account's people, of a product's software, of a license's holder.

The token itself is in the answer that made it and nowhere else; the ledger keeps a keyed digest.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from msgspec import UNSET
from starlette.responses import Response

from api.catalog.bodies import TokenBody, token_bodies
from api.catalog.requests import token_renewal, token_terms
from api.principals import ANYONE, SELLERS, STAFF, Principal
from api.problems import Problem, not_found, pointer
from api.requests import check_type
from api.routes.call import Call
from api.routes.catalog import decided, found, listed, one, removed, shown
from api.routes.endpoint import Route
from api.routes.licenses import found_license
from api.routes.products import found_product
from api.unchanged import Related, check_id, refuse_related
from ledger.domain import identifiers
from ledger.domain.catalog.entities import Role, Token
from ledger.domain.catalog.events import TokenCreated, TokenRegenerated, TokenRevoked
from ledger.domain.identifiers import is_id


async def create_admin(call: Call) -> Response:
    """POST tokens: one for the account's own people."""
    return await _create(call, "admin", call.account)


async def create_for_product(call: Call) -> Response:
    """POST products/{id}/tokens."""
    return await _create(call, "product", (await found_product(call)).id)


async def create_for_license(call: Call) -> Response:
    """POST licenses/{id or key}/tokens."""
    return await _create(call, "activation", (await found_license(call)).license.id)


async def read(call: Call) -> Response:
    """GET tokens/{id}."""
    return one(await _found(call))


async def list_tokens(call: Call) -> Response:
    """GET tokens: a product sees those of one license where it names the license."""
    who = call.who
    named = dict(parse_qsl(call.request.scope["query_string"].decode("latin-1"))).get("bearer[id]")
    bearer = named.lower() if named is not None and await _sells_to(call, named) else None
    return await listed(
        call,
        Token,
        sees=lambda token: _sees(who, token) or token.bearer == bearer,
        filters={
            "bearer[id]": lambda token, id_: token.bearer == id_.lower(),
            "bearer[type]": lambda token, type_: token.role == _role_of(type_),
        },
        words={"bearer[type]": BEARER_TYPES},
    )


def _role_of(bearer_type: str) -> Role:
    """Role of the tokens of a type of bearer, which may be named in the singular."""
    return _ROLES[f"{bearer_type.lower().removesuffix('s')}s"]


async def regenerate(call: Call) -> Response:
    """PUT tokens/{id}: a new secret, from now on the only one, and perhaps another end."""
    token = await _found(call)
    body = await _body(call)
    check_id(body.data.id, token.id)
    expiry_ms = token_renewal(body.data.attributes, token)
    if expiry_ms not in {UNSET, token.expiry_ms} and not await _gives(call, token):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "ROLE_NOT_ALLOWED",
            "Whoever holds a token can't say when it ends: leave expiry out, or ask with a token "
            "of those who give it.",
            source=pointer("/data/attributes/expiry"),
        )
    secret = _secret(call, token.role)
    data = TokenRegenerated(
        digest=identifiers.token_digest(call.services.pepper, secret), expiry_ms=expiry_ms
    )
    request = "regenerate" if expiry_ms is UNSET else ("regenerate", expiry_ms)
    outcome = await decided(call, data, entity=token.id, request=request)
    return await shown(call, outcome, status=HTTPStatus.OK, secret=secret)


async def _gives(call: Call, token: Token) -> bool:
    """Whether who asks may make such tokens."""
    return call.who.role in STAFF or await _sells_to(call, token.bearer)


async def revoke(call: Call) -> Response:
    """DELETE tokens/{id}."""
    return await removed(call, TokenRevoked(), _found)


_ROLES: Final[dict[str, Role]] = {
    "accounts": "admin",
    "users": "admin",
    "products": "product",
    "licenses": "activation",
}
BEARER_TYPES: Final = (*_ROLES, *(name.removesuffix("s") for name in _ROLES))


async def _create(call: Call, role: Role, bearer: str) -> Response:
    body = await _body(call)
    check_id(body.data.id)
    name, expiry_ms = token_terms(body.data.attributes)
    secret = _secret(call, role)
    data = TokenCreated(
        role=role,
        bearer=bearer,
        digest=identifiers.token_digest(call.services.pepper, secret),
        name=name,
        expiry_ms=expiry_ms,
    )
    request = (role, bearer, name, expiry_ms)
    outcome = await decided(call, data, request=request)
    return await shown(call, outcome, status=HTTPStatus.CREATED, secret=secret)


async def _body(call: Call) -> TokenBody:
    content = await call.content()
    body = TokenBody() if not content else call.decoded(token_bodies, content)
    check_type(body.data.type, "tokens", "/data/type")
    refuse_related(body.data.relationships or Related())
    return body


def _secret(call: Call, role: Role) -> str:
    """Make a token; the same each time for the same Idempotency-Key."""
    asked = call.asked
    return identifiers.new_token(
        call.services.pepper,
        role,
        None if asked.idempotency_key is None else call.services.catalog_commands.command_id(asked),
    )


async def _found(call: Call) -> Token:
    token = await found(call, Token, sees=lambda _: True)
    if not _sees(call.who, token) and not await _sells_to(call, token.bearer):
        raise not_found("token")
    return token


def _sees(who: Principal, token: Token) -> bool:
    """Whether a token is theirs to see: the account's people see all, others their bearer's."""
    if who.role in STAFF:
        return True
    bearer = who.product if who.license is None else who.license.id
    return token.bearer == bearer


async def _sells_to(call: Call, bearer: str) -> bool:
    """Whether a token's bearer is a license of the product that asks."""
    if call.who.role != "product" or not is_id(bearer.lower()):
        return False
    held = await call.services.finder.license(call.account, bearer.lower())
    return (
        held is not None
        and held.license.id == bearer.lower()
        and call.who.sees_license(held.license)
    )


ROUTES: Final = (
    Route(
        method="POST",
        path="/tokens",
        handler=create_admin,
        success=201,
        summary="Make an admin token for the account",
        roles=STAFF,
        body=TokenBody,
        writes=True,
    ),
    Route(
        method="POST",
        path="/products/{id}/tokens",
        handler=create_for_product,
        success=201,
        summary="Make a token for a product's software",
        roles=STAFF,
        body=TokenBody,
        writes=True,
    ),
    Route(
        method="POST",
        path="/licenses/{id}/tokens",
        handler=create_for_license,
        success=201,
        summary="Make an activation token for a license's holder",
        roles=SELLERS,
        body=TokenBody,
        writes=True,
    ),
    Route(
        method="GET",
        path="/tokens",
        handler=list_tokens,
        success=200,
        summary="List tokens, newest first, without their secrets",
        roles=SELLERS,
    ),
    Route(
        method="GET",
        path="/tokens/{id}",
        handler=read,
        success=200,
        summary="Read a token, without its secret",
        roles=ANYONE,
    ),
    Route(
        method="PUT",
        path="/tokens/{id}",
        handler=regenerate,
        success=200,
        summary="Give a token a new secret; the old one ends at once",
        roles=ANYONE,
        body=TokenBody,
        writes=True,
    ),
    Route(
        method="DELETE",
        path="/tokens/{id}",
        handler=revoke,
        success=204,
        summary="Revoke a token",
        roles=ANYONE,
        writes=True,
    ),
)
