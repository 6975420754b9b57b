"""Calls of the ledger's own HTTP API, each with a time limit."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
MEDIA_TYPE: Final = "application/vnd.api+json"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class ApiUnavailable(Exception):
    """The API can't be reached, or doesn't answer in time or as an API does."""


def call(
    url: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = TIMEOUT_S
) -> tuple[int, dict[str, Any]]:
    """GET, or POST a body: status and document (empty where none). Raises `ApiUnavailable`."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Accept": MEDIA_TYPE, **({} if data is None else {"Content-Type": MEDIA_TYPE})}
    request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310 - our own URL
    # No proxy stands between this machine and itself, whatever the environment says.
    proxies = urllib.request.ProxyHandler({} if urlsplit(url).hostname in _LOOPBACK else None)
    try:
        with urllib.request.build_opener(proxies).open(request, timeout=timeout_s) as answer:
            return answer.status, _document(answer.read(ANSWER_BYTES_MAX))
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _document(error.read(ANSWER_BYTES_MAX))
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ApiUnavailable(f"{_without_path(url)} doesn't answer: {reason}") from None


def answers_ok(url: str, *, timeout_s: float = 1.0) -> bool:
    """Whether a GET is answered with 200."""
    try:
        status, _ = call(url, timeout_s=timeout_s)
    except ApiUnavailable:
        return False
    return status == 200  # noqa: PLR2004 - OK


def _document(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _without_path(url: str) -> str:
    """An address may have a key in its path; where it is may be said."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
