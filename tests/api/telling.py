"""What every error has to tell, whichever test has caused it."""

from __future__ import annotations

import re

from api.problems import Problem

ABOUT_NOTHING = {
    "BODY_TIMEOUT",
    "BODY_TOO_LARGE",
    "CLIENT_GONE",
    "HEADERS_TOO_LARGE",
    "INTERNAL_ERROR",
    "METHOD_NOT_ALLOWED",
    "NOT_FOUND",
    "REQUEST_INVALID",
    "TOO_MANY_REQUESTS",
}
"""Codes of errors that no place in the body, no parameter and no header is to blame for."""
DOES = re.compile(
    r"\b(send|check|choose|leave|repeat|reset|raise|renew|use|make|wait|ask|read|start|delete|deactivate"
    r"|transfer|reinstate|name|correct|set|activates|report|is one of|is a whole number from"
    r"|is a time with its offset|has at most|has at least|has 1 to|names at most|at most"
    r"|is required|offered|nothing has to be done)\b",
    re.IGNORECASE,
)
"""What to do, or what it has to be."""


def complaint(problem: Problem) -> str | None:
    """What an error leaves untold; None where it tells all."""
    error, found = problem.error, f"{problem.status} {problem.code}: {problem.error.detail}"
    if error.title == "Error":
        return f"{found} has no title"
    if not re.fullmatch(r"[A-Z][A-Z_0-9]+[A-Z]", error.code):
        return f"{found} has no code"
    if not error.detail.endswith(".") or not DOES.search(error.detail):
        return f"{found} doesn't say what to do"
    if error.source is not None:
        fits = len(error.source) == 1 and error.source.keys() <= {"pointer", "parameter", "header"}
        return None if fits else f"{found} is about {error.source}"
    needed = problem.status < 500 and error.code not in ABOUT_NOTHING
    return f"{found} doesn't say what it is about" if needed else None
