"""What a body may name though its request leaves it as it is: an id, a relationship. Pure.

Clients send back what they have read. Where it is as it was, it asks for nothing; where it isn't,
it is refused by name: what is dropped in silence looks as if it had been done.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET

from api.bodies import Body, read_body
from api.problems import Problem, malformed, pointer, unprocessable
from api.requests import asks_nothing, refuse_unsupported

_RELATED: Final = "/data/relationships"


class Nothing(Body, frozen=True, kw_only=True):
    """Body of a request that takes none: an object without members, or no body at all."""


class Related(Body, frozen=True, kw_only=True):
    """Relationships where none is made or changed: each is taken where it names nothing."""

    account: Any = UNSET
    bearer: Any = UNSET
    components: Any = UNSET
    environment: Any = UNSET
    group: Any = UNSET
    license: Any = UNSET
    owner: Any = UNSET
    policy: Any = UNSET
    product: Any = UNSET
    user: Any = UNSET


_nothing: Final = msgspec.json.Decoder(Nothing)


def refuse_content(content: bytes) -> None:
    """Refuse the members of a body where none is taken. Raises a 400 `Problem`."""
    if content:
        read_body(_nothing, content)


def refuse_related(related: Related, **instead: str) -> None:
    """Refuse relationships that name something; raises a 422 `Problem`.

    `instead`: by relationship, what to do instead of naming it here.
    """
    for name, what_to_do in instead.items():
        if not asks_nothing(getattr(related, name)):
            raise fixed(name, what_to_do)
    refuse_unsupported(related, _RELATED, "account")


def fixed(name: str, what_to_do: str) -> Problem:
    """422: a relationship that this request leaves as it is."""
    detail = f"This request does not change {name}, so leave it out: {what_to_do}"
    return unprocessable("ATTRIBUTE_FIXED", detail, f"{_RELATED}/{name}")


def check_id(given: str | None, *held: str) -> None:
    """Compare the id that a body says with those that its path means; raises a 400 `Problem`.

    Without any the id is yet to be made, and none may be said.
    """
    if given is None or given in held or given.lower() in held:
        return
    detail = (
        "The id here is not that of the path: send that one, or leave it out."
        if held
        else "The id is made here: leave it out."
    )
    raise malformed("ID_INVALID", detail, pointer("/data/id"))
