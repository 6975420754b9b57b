"""What the commands that ask the API have in common: its options, and pages of its lists.

`asks` and `writes` give a command the options by which the API is found, so that each command
names only its own.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, Final, ParamSpec
from urllib.parse import parse_qs, urlsplit

import typer

from cli import output
from cli.api import Api, ApiAway, found
from cli.local.folder import DEFAULT
from cli.options import Account, Data, Json, Token, Url, with_options
from cli.resources import Resource, Shape, print_resource, print_resources

P = ParamSpec("P")

LIMIT: Final = 50
_PAGE_MAX: Final = 100
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

IdempotencyKey = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        metavar="KEY",
        help="Makes repeating safe: under one key it happens once. Without it one is made.",
        show_default=False,
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Show at most N, the newest first.")]
All = Annotated[bool, typer.Option("--all", help="Show all, however many they are.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The API that a command asks, and how its answer is to be shown."""

    api: Api
    as_json: bool
    idempotency_key: str | None = None

    def show(self, document: Mapping[str, Any], shape: Shape) -> None:
        """Print the one resource of a document."""
        if self.as_json:
            output.print_json(document)
        else:
            print_resource(document["data"], shape)

    def say(self, done: str, **facts: str) -> None:
        """Print that something was done, of which nothing is left to be shown."""
        if self.as_json:
            output.print_json({"done": done, **facts})
        else:
            print(" ".join((done, *facts.values())))

    def write(
        self, method: str, *path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Ask for a change. Raises `ApiRefused`; `ApiAway` with how to repeat it safely."""
        key = self.idempotency_key or secrets.token_hex(16)
        try:
            return self.api.write(method, *path, body=body, idempotency_key=key)
        except ApiAway as error:
            raise ApiAway(f"{error}; to repeat it safely: --idempotency-key {key}") from None

    def show_list(
        self,
        *path: str,
        shape: Shape,
        limit: int,
        everything: bool,
        **filters: str | None,
    ) -> None:
        """Print the newest entries of a list, `limit` or all, of those that the filters want."""
        wanted = {name: value for name, value in filters.items() if value is not None}
        resources, more = self._pages(path, wanted, None if everything else limit)
        if self.as_json:
            output.print_json({"data": resources, "more": more})
            return
        print_resources(resources, shape)
        if more:
            output.remark(f"The newest {len(resources)}; there are more: --limit N, or --all.")
        elif not resources:
            output.remark("There is none" + (" of those that are asked for." if wanted else "."))

    def _pages(
        self, path: tuple[str, ...], filters: Mapping[str, str], limit: int | None
    ) -> tuple[list[Resource], bool]:
        """Entries of a list from its newest on, and whether there are more."""
        resources: list[Resource] = []
        cursor: str | None = ""
        while cursor is not None and (limit is None or len(resources) < limit):
            size = _PAGE_MAX if limit is None else min(_PAGE_MAX, limit - len(resources))
            page = {"page[cursor]": cursor, "page[size]": str(size)}
            document = self.api.get(*path, query={**filters, **page})
            resources += document["data"]
            cursor = _next_cursor(document)
        return resources, cursor is not None


def asks(
    command: Callable[Concatenate[Asking, P], None], *, in_account: bool = True
) -> Callable[..., None]:
    """Give a command that reads the options by which the API is found.

    `in_account`: it is about what is an account's, and may be told whose.
    """
    return _with(command, {}, in_account=in_account)


def writes(
    command: Callable[Concatenate[Asking, P], None], *, in_account: bool = True
) -> Callable[..., None]:
    """Give a command that changes something these, and the one that makes it repeatable."""
    return _with(command, {"idempotency_key": (IdempotencyKey, None)}, in_account=in_account)


def is_id(text: str) -> bool:
    """Whether a text has the form of an id."""
    return _ID.fullmatch(text) is not None


def _with(
    command: Callable[Concatenate[Asking, P], None],
    more: Mapping[str, tuple[object, object]],
    *,
    in_account: bool,
) -> Callable[..., None]:
    """Return the command as typer sees it: with the options that `Asking` is made of."""
    options: dict[str, tuple[object, object]] = {
        **more,
        **({"account": (Account, None)} if in_account else {}),
        "data": (Data, DEFAULT),
        "url": (Url, None),
        "token": (Token, None),
        "as_json": (Json, False),
    }

    def asking(given: dict[str, Any]) -> Asking:
        data, url, token = (given.pop(name) for name in ("data", "url", "token"))
        return Asking(
            api=found(data, url, token, given.pop("account") if in_account else None),
            as_json=given.pop("as_json"),
            idempotency_key=given.pop("idempotency_key", None),
        )

    return with_options(command, options, asking)


def _next_cursor(document: Mapping[str, Any]) -> str | None:
    """Cursor of the next page; None where the list ends."""
    following: str | None = document["links"].get("next")
    if following is None:
        return None
    [cursor] = parse_qs(urlsplit(following).query)["page[cursor]"]
    return cursor
