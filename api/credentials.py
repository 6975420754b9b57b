"""Credentials as requests carry them: which kind, and the text. Pure; nothing here is looked up."""

from __future__ import annotations

import binascii
from base64 import b64decode
from http import HTTPStatus
from typing import Final, Literal
from urllib.parse import parse_qsl

from msgspec import Struct

from api.problems import Problem, unauthorized
from ledger.domain.identifiers import is_id

Kind = Literal["license", "token"]
_SEND: Final = "Send Authorization: Bearer and a token, or Authorization: License and a key."
_QUERY: Final = {"parameter": "auth"}


class Credential(Struct, frozen=True, kw_only=True):
    """A license key or a token. Never printed."""

    kind: Kind
    text: str

    def __repr__(self) -> str:
        """Say of which kind it is, never what it is."""
        return f"Credential({self.kind})"


def credential_of(authorization: str | None, query: bytes) -> Credential | None:
    """Credential of a request's header, else of its query; None where it has none.

    Raises a 401 `Problem` for one that has no form known here.
    """
    if authorization is not None:
        return _of_header(authorization)
    if b"auth=" not in query and b"token=" not in query:
        return None
    return _of_query(dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)))


def missing() -> Problem:
    """401: somebody has to say who asks."""
    return unauthorized("TOKEN_MISSING", _SEND)


def _of_header(authorization: str) -> Credential:
    scheme, _, text = authorization.strip().partition(" ")
    text = text.strip()
    scheme = scheme.lower()
    if scheme == "license" and text:
        return Credential(kind="license", text=_utf8(text))
    if scheme in {"bearer", "token"} and text:
        return _token(text)
    if scheme == "basic" and text:
        return _of_basic(text)
    raise unauthorized("TOKEN_INVALID", _SEND)


def _of_basic(text: str) -> Credential:
    """Basic's user and password: `license:KEY`, `token:TOKEN`, or `TOKEN:`."""
    try:
        decoded = b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        detail = "Basic is the base64 of license:KEY or token:TOKEN: send one of these."
        raise unauthorized("TOKEN_INVALID", detail) from None
    return _of_pair(decoded, whole_is_token=True)


def _of_query(given: dict[str, str]) -> Credential | None:
    if "auth" in given:
        return _of_pair(given["auth"], whole_is_token=False)
    return _token(given["token"]) if "token" in given else None


def _of_pair(pair: str, *, whole_is_token: bool) -> Credential:
    name, _, value = pair.partition(":")
    if name == "license" and value:
        return Credential(kind="license", text=value)
    if name == "token" and value:
        return _token(value)
    if whole_is_token and not value and name not in {"", "license", "token"}:
        return _token(name)
    raise unauthorized(
        "TOKEN_INVALID", "A credential is license:KEY or token:TOKEN: send one of these."
    )


def _token(text: str) -> Credential:
    if is_id(text.lower()):
        raise unauthorized(
            "TOKEN_FORMAT_INVALID", "This is an id, not a token: send the token itself."
        )
    return Credential(kind="token", text=text)


def _utf8(text: str) -> str:
    """Text of a header, whose bytes came in as Latin-1 and are meant as UTF-8."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def forbidden(code: str, detail: str) -> Problem:
    """403: who asks is known, and may not."""
    return Problem(HTTPStatus.FORBIDDEN, code, detail, source={"header": "Authorization"})
