"""Every error of the API says what is wrong, where, and what to do: read from the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from tests.api.telling import ABOUT_NOTHING, DOES
from tests.servers import ROOT

PLACES = {
    # of each constructor: the places of code, detail and source
    "Problem": (1, 2, None),
    "malformed": (0, 1, 2),
    "unprocessable": (0, 1, 2),
    "unauthorized": (0, 1, None),
    "forbidden": (0, 1, None),
    "unavailable": (None, 0, None),
    "over_limit": (None, 0, None),
}
SOURCE_OF_ITS_OWN = {"unauthorized", "forbidden", "unavailable", "over_limit"}


class Raised(Struct, frozen=True):
    """A call that makes an error, as far as the source tells."""

    where: str
    code: str | None
    detail: str | None
    has_source: bool


def calls() -> Iterator[Raised]:
    for path in sorted((ROOT / "api").rglob("*.py")):
        if path.parent.name != "openapi":
            yield from in_file(path)


def in_file(path: Path) -> Iterator[Raised]:
    tree = ast.parse(path.read_text())
    values = [
        (node.lineno, target.id, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    ]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        name = node.func.id
        if name not in PLACES or (path.name == "problems.py" and name == "Problem"):
            continue
        names = {
            target: value
            for line, target, value in sorted(values, key=first)
            if line <= node.lineno
        }
        code, detail, source = (
            None if place is None or place >= len(node.args) else node.args[place]
            for place in PLACES[name]
        )
        keywords = {keyword.arg for keyword in node.keywords}
        yield Raised(
            f"{path.relative_to(ROOT)}:{node.lineno}",
            text(code, names),
            text(detail, names),
            source is not None or "source" in keywords or name in SOURCE_OF_ITS_OWN,
        )


def first(entry: tuple[int, str, ast.expr]) -> int:
    return entry[0]


def text(node: ast.expr | None, names: dict[str, ast.expr]) -> str | None:
    """Text of an expression, `…` for what is filled in; None where the source doesn't tell."""
    if isinstance(node, ast.Name) and node.id in names:
        return text(names[node.id], {})
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
        )
    return None


CALLS = list(calls())


def test_the_source_is_read() -> None:
    codes = {call.code for call in CALLS}
    assert {"KEY_TAKEN", "ROLE_NOT_ALLOWED", "FILTER_NOT_SUPPORTED", "TOKEN_MISSING"} <= codes
    assert sum(call.detail is not None for call in CALLS) > 60


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.where} {call.code}")
def test_an_error_says_what_to_do_and_where(call: Raised) -> None:
    if call.code is not None:
        assert re.fullmatch(r"[A-Z][A-Z_0-9]+[A-Z]", call.code)
    if call.detail is not None:
        assert re.match(r"[A-Z…]", call.detail), call.detail
        assert call.detail.endswith((".", "…")), call.detail
        assert DOES.search(call.detail), f"{call.detail!r} doesn't say what to do"
    assert call.has_source or call.code is None or call.code in ABOUT_NOTHING
