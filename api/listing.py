"""Lists: which page was asked for, and the links to the pages beside it. Pure.

Three forms, as existing clients send them: `limit`; `page[number]` and `page[size]`; `page[cursor]`
(the last id of the page before) and `page[size]`. Newest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode

from msgspec import Struct

from api.problems import Problem, malformed

SIZE_MAX: Final = 100
NUMBER_MAX: Final = 100
SIZE: Final = 10
_DIGITS_MAX: Final = 10
METADATA: Final = "metadata["
_AUTHENTICATION: Final = frozenset({"auth", "token"})


class Page(Struct, frozen=True, kw_only=True):
    """A page: `size` entries from `start` on, or after the entry with the id `cursor`.

    `number`: None but in the numbered form. `cursor`: None but in that form, empty for its first
    page.
    """

    size: int = SIZE
    number: int | None = None
    cursor: str | None = None

    @property
    def start(self) -> int:
        """How many entries come before the page."""
        return 0 if self.number is None else (self.number - 1) * self.size

    @property
    def after(self) -> str | None:
        """Id of the entry that the page comes after; None for a first page."""
        return self.cursor or None

    def begins_in(self, ids: Sequence[str]) -> int:
        """Place in a whole list's `ids` where the page begins.

        Raises a 400 `Problem` for a cursor that isn't among them.
        """
        if self.after is None:
            return self.start
        if self.after not in ids:
            raise no_such_cursor()
        return ids.index(self.after) + 1


class Listing(Struct, frozen=True, kw_only=True):
    """What a list was asked for: a page, and filters by name."""

    page: Page
    filters: Mapping[str, str]
    query: tuple[tuple[str, str], ...]

    @property
    def metadata(self) -> dict[str, str]:
        """Values of metadata that are asked for, by their names."""
        return {
            name[len(METADATA) : -1]: value
            for name, value in self.filters.items()
            if name.startswith(METADATA)
        }

    def links(self, path: str, *, last_id: str | None, more: bool, count: int | None) -> object:
        """Links of a page: where it ends (`last_id`), whether more follow, how many there are."""
        page = self.page
        if page.cursor is not None:
            after = None if last_id is None or not more else self._at(path, cursor=last_id)
            return {"self": self._at(path, cursor=page.cursor), "next": after}
        if page.number is None:
            return {}
        pages = None if count is None else max(1, -(-count // page.size))
        return {
            "self": self._at(path, number=page.number),
            "prev": self._at(path, number=page.number - 1) if page.number > 1 else None,
            "next": self._at(path, number=page.number + 1) if more else None,
            "first": self._at(path, number=1),
            "last": None if pages is None else self._at(path, number=pages),
            "meta": {"pages": pages, "count": count},
        }

    def _at(self, path: str, *, cursor: str | None = None, number: int | None = None) -> str:
        kept = [(name, value) for name, value in self.query if not name.startswith("page[")]
        place = ("page[number]", str(number)) if cursor is None else ("page[cursor]", cursor)
        return f"{path}?{urlencode([*kept, place, ('page[size]', str(self.page.size))])}"


def listing(query: bytes, filters: Iterable[str], *, limit: int = SIZE) -> Listing:
    """Read a list's query; raises a 400 `Problem` that names the parameter.

    `filters`: names that are offered; `metadata` stands for `metadata[…]`. `limit`: of a list
    that was asked for no page.
    """
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    kept = tuple((name, value) for name, value in given if name not in _AUTHENTICATION)
    values = dict(kept)
    if len(values) < len(kept):
        raise _repeated([name for name, _ in kept])
    _known(values, frozenset(filters))
    return Listing(
        page=_page(values, limit),
        filters={
            name: value
            for name, value in values.items()
            if name != "limit" and not name.startswith("page[")
        },
        query=kept,
    )


def no_such_cursor() -> Problem:
    """Return the problem of a page that is to come after what is not in the list."""
    return malformed(
        "CURSOR_INVALID",
        "No entry has this id: start again with an empty page[cursor].",
        {"parameter": "page[cursor]"},
    )


def _repeated(names: list[str]) -> Problem:
    name = next(name for name in names if names.count(name) > 1)
    return malformed(
        "PARAMETER_REPEATED",
        "This parameter is there twice: send it once.",
        {"parameter": name[:64]},
    )


def _known(values: Mapping[str, str], filters: frozenset[str]) -> None:
    for name in values:
        if name in filters or name in {"limit", "page[number]", "page[size]", "page[cursor]"}:
            continue
        if name.startswith(METADATA) and name.endswith("]") and "metadata" in filters:
            continue
        offered = ", ".join(sorted(filters)) or "none"
        raise malformed(
            "FILTER_NOT_SUPPORTED",
            f"This list has no such filter. Offered: {offered}.",
            {"parameter": name[:64]},
        )


def _page(values: Mapping[str, str], limit: int) -> Page:
    size, number = (
        _number(values, "page[size]", SIZE_MAX),
        _number(values, "page[number]", NUMBER_MAX),
    )
    most = _number(values, "limit", SIZE_MAX)
    if "page[cursor]" in values:
        return Page(size=size or SIZE, cursor=values["page[cursor]"].lower())
    if number is not None or size is not None:
        return Page(size=size or SIZE, number=number or 1)
    return Page(size=most or limit)


def _number(values: Mapping[str, str], name: str, most: int) -> int | None:
    text = values.get(name)
    if text is None:
        return None
    number = int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS_MAX else 0
    if not 1 <= number <= most:
        raise _out_of_range(name, most)
    return number


def _out_of_range(name: str, most: int) -> Problem:
    return malformed(
        "PARAMETER_INVALID", f"{name} is a whole number from 1 to {most}.", {"parameter": name}
    )
