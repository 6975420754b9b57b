"""Writes that aren't decided in time, for who asks to be told later: `Prefer: respond-async`. Pure.

Everybody else is answered 503, because existing clients take a 202 for success.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from api.catalog.resources import linked
from api.positions import position_of
from api.problems import RETRY_AFTER_S, UNAVAILABLE, Problem, malformed
from api.resources import license_path, machine_path
from ledger.domain.clocks import rfc3339
from ledger.domain.events import Event
from ledger.domain.verdicts import ALREADY_HELD, GRANTED, Verdict

RESPOND_ASYNC: Final = "respond-async"
_DIGITS: Final = 16
"""So many digits of a command's digest tell it from another one sent with its Idempotency-Key."""
CONTENT: Final = rf"^[0-9a-f]{{{_DIGITS}}}$"
"""Form of these digits."""
_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_WORD: Final = rf'(?:{_NAME}|"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+")'
_PARAMETER: Final = rf"{_NAME}(?:[ \t]*+=[ \t]*+{_WORD})?+"
_PREFERENCE: Final = re.compile(
    rf"({_NAME})(?:[ \t]*+=[ \t]*+({_WORD}))?+(?:[ \t]*+;(?:[ \t]*+{_PARAMETER})?+)*+"
)
_BLANK: Final = re.compile(r"[ \t]*+")
_encoder: Final = msgspec.json.Encoder()


class Command(Struct, frozen=True, kw_only=True):
    """A command on a license: its id, the offset of its event, and the beginning of its digest."""

    license: str
    id: str
    offset: int
    content: str

    def is_decided_by(self, verdict: Verdict) -> bool:
        """Whether a remembered verdict is on this command, and not on another with its id."""
        return verdict.content_digest.startswith(self.content)


class VerdictPending(Problem):
    """503: a command is in the log, and not decided in time.

    `command`: None of one on the catalog, whose verdict has no URL.
    """

    command: Command | None = None


def verdict_pending(command: Command | None) -> VerdictPending:
    """503 of a command that is in the log, and not decided in time."""
    problem = VerdictPending(
        UNAVAILABLE,
        "VERDICT_PENDING",
        "It was written and will be decided, but not yet: repeat it with its Idempotency-Key, "
        "which is safe.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
        meta={"outcome": "pending"},
    )
    problem.command = command
    return problem


def command_of(event: Event, offset: int) -> Command:
    """Command that an event carries, appended at `offset`."""
    content = event.content_digest[:_DIGITS]
    return Command(license=event.license, id=event.id, offset=offset, content=content)


def prefers_async(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request's headers prefer an answer before the verdict (RFC 7240).

    A Prefer that isn't wholly of the RFC's form, or that gives `respond-async` a value, is none.
    """
    lines = (value.decode("latin-1") for name, value in headers if name == b"prefer")
    return _preferences(",".join(lines)).get(RESPOND_ASYNC) in {"", '""'}


def _preferences(text: str) -> dict[str, str]:
    """Values of preferences by their names in lower case, the first of each; none if malformed."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        at = _past_blank(text, at)
        matched = _PREFERENCE.match(text, at)
        if matched is not None:  # a list may have empty elements (RFC 9110)
            found.setdefault(matched[1].lower(), matched[2] or "")
            at = _past_blank(text, matched.end())
        if text[at : at + 1] not in {"", ","}:
            return {}
        at += 1
    return found


def _past_blank(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return at if blank is None else blank.end()


def command_path(account: str, ledger: str, partition: int, command: Command) -> str:
    """Where a command's verdict is found."""
    position = position_of(ledger, partition, command.offset)
    query = urlencode({"position": position, "content": command.content}, safe=":")
    return f"{license_path(account, command.license)}/commands/{command.id}?{query}"


def read_content(text: str) -> str:
    """Beginning of a command's digest; raises a 400 `Problem` that names the parameter."""
    if re.fullmatch(CONTENT, text) is None:
        raise malformed(
            "PARAMETER_INVALID",
            "Part of a command's URL is missing or changed (content): send the URL as the answer "
            "named it.",
            {"parameter": "content"},
        )
    return text


def command_resource(
    command: Command, *, account: str, path: str, position: str, verdict: Verdict | None
) -> bytes:
    """Resource of a command. `position`: of the verdict, or, without one yet, of the command."""
    related = license_path(account, command.license)
    relationships = {
        "account": linked("accounts", account),
        "license": linked("licenses", command.license),
    }
    attributes: dict[str, object] = {
        "status": "pending",
        "code": None,
        "position": position,
        "decided": None,
        "seats": None,
    }
    if verdict is not None:
        attributes |= {
            "status": "granted" if verdict.granted else "refused",
            "code": verdict.code,
            "decided": rfc3339(verdict.time_ms),
            "seats": {"used": verdict.seats_held, "limit": verdict.limit},
        }
        # The machine of a refused activation is none, unless the license holds it already.
        if verdict.machine is not None and verdict.code in {GRANTED, ALREADY_HELD}:
            related = machine_path(account, verdict.machine)
    return _encoder.encode(
        {
            "id": command.id,
            "type": "commands",
            "attributes": attributes,
            "relationships": relationships,
            "links": {"self": path, "related": related},
        }
    )
