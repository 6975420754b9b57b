"""Results for people and for programs: rich text, or one JSON document on stdout."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from rich.console import Console
from rich.text import Text

_WIDTH_ELSEWHERE: Final = 240


def console() -> Console:
    """Where results go: colors in a terminal only; elsewhere wide enough to cut nothing."""
    if sys.stdout.isatty():
        return Console(file=sys.stdout, highlight=False)
    return Console(file=sys.stdout, highlight=False, width=_WIDTH_ELSEWHERE)


def error_console() -> Console:
    """Where progress and remarks go, so that stdout holds nothing but the result."""
    return Console(file=sys.stderr, highlight=False)


def print_json(document: Any) -> None:  # noqa: ANN401 - whatever JSON takes
    """Print one JSON document."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


def plain(text: str) -> Text:
    """Text of others as it is: no markup in it means anything, no control character passes."""
    return Text("".join(letter if letter.isprintable() else "\ufffd" for letter in text))
