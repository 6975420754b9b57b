"""Accounts: vendors, made and changed by who runs the ledger; and who am I."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from uuid import UUID, uuid5

from starlette.responses import Response

from api.catalog.bodies import AccountBody, account_bodies
from api.catalog.requests import account_changed, account_created
from api.catalog.resources import entity_resource
from api.exchange import answer
from api.principals import ANYONE, STAFF, Principal, Role
from api.problems import not_found
from api.requests import check_type
from api.resources import document, document_with
from api.routes.call import Call
from api.routes.catalog import decided, one, shown
from api.routes.endpoint import Route
from api.routes.licenses import resource_of
from api.unchanged import check_id
from ledger.domain.catalog.entities import Account, Token

_ROOT: Final[frozenset[Role]] = frozenset({"root"})


async def create(call: Call) -> Response:
    """POST accounts."""
    body = await _body(call)
    check_id(body.data.id)
    outcome = await decided(call, account_created(body.data.attributes))
    return await shown(call, outcome, status=HTTPStatus.CREATED)


async def read(call: Call) -> Response:
    """GET accounts/{account}."""
    return one(await _found(call))


async def change(call: Call) -> Response:
    """PATCH accounts/{account}."""
    account = await _found(call)
    body = await _body(call)
    check_id(body.data.id, account.id, call.named("account"))
    outcome = await decided(call, account_changed(body.data.attributes), entity=account.id)
    return await shown(call, outcome, status=HTTPStatus.OK)


async def me(call: Call) -> Response:
    """GET me: whom the credential speaks for, and the token where it is one."""
    who = call.who
    if who.license is not None:
        found = await call.services.finder.license(call.account, who.license.id)
        if found is None:
            raise not_found("license")
        resource = await resource_of(call, found)
    else:
        entities = await call.services.catalog.entities([who.product or call.account])
        if not entities:
            raise not_found("bearer")
        resource = entity_resource(entities[0])
    token = who.token or _token_of_settings(who)
    if who.license is not None and who.token is None:
        return answer(HTTPStatus.OK, document(resource))
    return answer(HTTPStatus.OK, document_with(resource, [entity_resource(token)]))


def _token_of_settings(who: Principal) -> Token:
    """Show a token that the settings name as one of the account's."""
    return Token(
        id=str(uuid5(UUID(who.account), who.actor)),
        account=who.account,
        created_ms=0,
        changed_ms=0,
        offset=0,
        role="admin",
        bearer=who.account,
        digest="",
        name="of the settings",
    )


async def _found(call: Call) -> Account:
    account = await call.services.catalog.entity(Account, call.account, account=call.account)
    if account is None:
        raise not_found("account")
    return account


async def _body(call: Call) -> AccountBody:
    body = await call.body(account_bodies)
    check_type(body.data.type, "accounts", "/data/type")
    return body


ROUTES: Final = (
    Route(
        method="GET",
        path="/me",
        handler=me,
        success=200,
        summary="Tell who the credential speaks for",
        roles=ANYONE,
    ),
)
ACCOUNT_ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/accounts",
        handler=create,
        success=201,
        summary="Create an account",
        roles=_ROOT,
        body=AccountBody,
        writes=True,
    ),
    Route(
        method="GET",
        path="/v1/accounts/{account}",
        handler=read,
        success=200,
        summary="Read an account",
        roles=STAFF,
    ),
    Route(
        method="PATCH",
        path="/v1/accounts/{account}",
        handler=change,
        success=200,
        summary="Change an account",
        roles=STAFF,
        body=AccountBody,
        writes=True,
    ),
)
"""Routes that have one form only: the account is the resource itself."""
