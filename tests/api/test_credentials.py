"""Credentials: each form that clients send, and none that says what it is in an error."""

from __future__ import annotations

from base64 import b64encode

import pytest

from api.credentials import Credential, credential_of
from api.problems import Problem

SECRET = "s3cret-value"


def basic(text: str) -> str:
    return f"Basic {b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("header", "query", "kind", "text"),
    [
        ("License a key with spaces", b"", "license", "a key with spaces"),
        ("license KEY", b"", "license", "KEY"),
        ("Bearer T", b"", "token", "T"),
        ("Token T", b"", "token", "T"),
        (basic("license:K:E:Y"), b"", "license", "K:E:Y"),
        (basic("token:T"), b"", "token", "T"),
        (basic("T:"), b"", "token", "T"),
        (None, b"auth=license:KEY", "license", "KEY"),
        (None, b"x=1&auth=token%3AT", "token", "T"),
        (None, b"token=T", "token", "T"),
        ("Bearer T", b"token=other", "token", "T"),
        ("License \xc3\xbc", b"", "license", "ü"),
    ],
)
def test_each_form_is_understood(header: str | None, query: bytes, kind: str, text: str) -> None:
    found = credential_of(header, query)
    assert found is not None
    assert (found.kind, found.text) == (kind, text)


@pytest.mark.parametrize("query", [b"", b"limit=3", b"tokens=3"])
def test_none_is_none(query: bytes) -> None:
    assert credential_of(None, query) is None


@pytest.mark.parametrize(
    ("header", "query", "code"),
    [
        ("", b"", "TOKEN_INVALID"),
        ("Bearer", b"", "TOKEN_INVALID"),
        (f"Digest {SECRET}", b"", "TOKEN_INVALID"),
        (f"Basic {SECRET}", b"", "TOKEN_INVALID"),
        (basic(f"{SECRET}:password"), b"", "TOKEN_INVALID"),
        (basic("license:"), b"", "TOKEN_INVALID"),
        (None, f"auth={SECRET}".encode(), "TOKEN_INVALID"),
        (None, f"auth=key:{SECRET}".encode(), "TOKEN_INVALID"),
        ("Bearer 0b7e5a3c-1111-4222-8333-444455556666", b"", "TOKEN_FORMAT_INVALID"),
        (None, b"token=0b7e5a3c-1111-4222-8333-444455556666", "TOKEN_FORMAT_INVALID"),
    ],
)
def test_what_is_no_credential_is_refused_and_not_quoted(
    header: str | None, query: bytes, code: str
) -> None:
    with pytest.raises(Problem) as caught:
        credential_of(header, query)
    assert (caught.value.status, caught.value.code) == (401, code)
    assert SECRET not in caught.value.error.detail


def test_a_credential_is_not_printed() -> None:
    assert SECRET not in repr(Credential(kind="license", text=SECRET))
