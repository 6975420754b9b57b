"""What the routes of the catalog have in common: find, list, change, show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, TypeVar

from starlette.responses import Response

from api.catalog.commands import CatalogDecided
from api.catalog.refusals import catalog_refusal
from api.catalog.resources import TYPES, entity_path, entity_resource, list_document
from api.exchange import answer
from api.filters import check_filters
from api.listing import listing
from api.problems import Problem, not_found
from api.resources import document
from api.routes.call import Call
from ledger.domain.catalog.entities import AnyEntity, Entity
from ledger.domain.catalog.events import CatalogData
from ledger.domain.identifiers import is_id

T = TypeVar("T", bound=Entity)

POSITION: Final = "Ledger-Position"


async def found(call: Call, kind: type[T], *, sees: Callable[[T], bool], name: str = "id") -> T:
    """Entity that the path names by its id; raises a 404 `Problem` where they see no such."""
    id_ = call.named(name).lower()
    entity = None
    if is_id(id_):
        entity = await call.services.catalog.entity(kind, id_, account=call.account)
    if entity is None or not sees(entity):
        raise not_found(kind.__name__.lower())
    return entity


async def decided(
    call: Call, data: CatalogData, *, entity: str | None = None, request: object = None
) -> CatalogDecided:
    """Have the catalog decide; raises a `Problem` where it refused."""
    outcome = await call.services.catalog_commands.decide(
        data, call.asked, entity=entity, request=request
    )
    if not outcome.verdict.granted:
        raise catalog_refusal(outcome.verdict).at(outcome.position)
    return outcome


async def shown(
    call: Call, outcome: CatalogDecided, *, status: HTTPStatus, secret: str | None = None
) -> Response:
    """Answer with the entity as it stands after the decision."""
    entities = await call.services.catalog.entities([outcome.entity])
    if not entities:
        # It was made, and somebody has deleted it since.
        raise not_found("entity")
    [entity] = entities
    headers = {POSITION: outcome.position}
    if status == HTTPStatus.CREATED:
        headers["Location"] = entity_path(entity)
    return answer(status, document(entity_resource(entity, secret=secret)), headers)


def one(entity: AnyEntity) -> Response:
    """Answer with an entity."""
    return answer(HTTPStatus.OK, document(entity_resource(entity)))


async def removed(
    call: Call, data: CatalogData, finding: Callable[[Call], Awaitable[Entity]]
) -> Response:
    """Remove what `finding` finds; where it is gone, answer a repetition as it was at first.

    Raises a `Problem`: 404 where it isn't there, and was not removed by this very command.
    """
    try:
        entity = await finding(call)
    except Problem as problem:
        if problem.status != HTTPStatus.NOT_FOUND:
            raise
        commands, id_ = call.services.catalog_commands, call.named().lower()
        before = await commands.decided_before(data, call.asked, entity=id_)
        if before is None or not before.verdict.granted:
            raise
        return gone(before)
    return gone(await decided(call, data, entity=entity.id))


def gone(outcome: CatalogDecided) -> Response:
    """Answer that something went."""
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={POSITION: outcome.position})


async def listed(
    call: Call,
    kind: type[T],
    *,
    sees: Callable[[T], bool],
    filters: dict[str, Callable[[T, str], bool]] | None = None,
    words: Mapping[str, Sequence[str]] | None = None,
) -> Response:
    """Answer with a page of the account's entities of a kind, newest first.

    `words`: what the filters take that take only some words.
    """
    offered = filters or {}
    asked = listing(call.request.scope["query_string"], offered)
    check_filters(asked.filters, words)

    def wanted(entity: AnyEntity) -> bool:
        return (
            isinstance(entity, kind)
            and sees(entity)
            and all(offered[name](entity, value) for name, value in asked.filters.items())
        )

    page = asked.page
    entities, more = await call.services.catalog.page(
        call.account, kind, wanted, start=page.start, after=page.after, size=page.size
    )
    path = f"/v1/accounts/{call.account}/{TYPES[kind]}"  # type: ignore[index] # an entity's type
    last_id = entities[-1].id if entities else None
    links = asked.links(path, last_id=last_id, more=more, count=None)
    return answer(
        HTTPStatus.OK, list_document([entity_resource(entity) for entity in entities], links)
    )
