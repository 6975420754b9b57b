"""docs/api/: every error code and every code of a check stands there, and no other."""

from __future__ import annotations

import ast
import inspect
import re
from http import HTTPStatus
from typing import Final

from api import checks, gate, problems
from tests.api.declared import answered
from tests.servers import ROOT

_ERROR: Final = re.compile(r"^\| (\d{3}) \| `([A-Z_0-9]+)` \| \S.* \| \S.* \|$", re.MULTILINE)
_CODES: Final = re.compile(r"^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \| \S.* \|$", re.MULTILINE)


def page(name: str) -> str:
    return (ROOT / "docs" / "api" / name).read_text(encoding="utf-8")


def test_every_error_has_its_row_and_no_other() -> None:
    rows = [(int(status), code) for status, code in _ERROR.findall(page("errors.md"))]
    assert rows == sorted(rows)
    assert rows == sorted(answered())


def test_the_declared_errors_are_found_however_they_are_made() -> None:
    """By `Problem` itself, by what makes one of a status, by what hands a code on, by verdict."""
    assert {
        (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "HEADERS_TOO_LARGE"),
        (400, "CURSOR_INVALID"),
        (403, "ROLE_NOT_ALLOWED"),
        (403, "LICENSE_SUSPENDED"),
        (422, "USES_LIMIT_EXCEEDED"),
        (422, "SLUG_TAKEN"),
        (503, "UNAVAILABLE"),
        (503, "LICENSE_FROZEN"),
    } <= answered()
    assert {status for status, _ in answered()} <= set(problems.TITLES)
    assert gate.HEADER_BYTES_MAX == 16 * 1024


def test_every_code_of_a_check_has_its_row_and_no_other() -> None:
    source = ast.parse(inspect.getsource(checks))
    codes = {
        ast.literal_eval(keyword.value)
        for node in ast.walk(source)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Answer"
        for keyword in node.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    } | {checks._TOO_MANY}  # noqa: SLF001 - the one code that has a name
    rows = ", ".join(_CODES.findall(page("checks.md")))
    assert set(re.findall(r"`([A-Z_]+)`", rows)) == codes
