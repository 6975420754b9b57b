"""Calls of the ledger's own HTTP API, each with a time limit."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from ledger.connections import client_context, tls_trouble

TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
MEDIA_TYPE: Final = "application/vnd.api+json"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class ApiUnavailable(Exception):
    """The API can't be reached, or doesn't answer in time or as an API does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API answered; `document` is empty where the body is no JSON object."""

    status: int
    document: dict[str, Any]
    retry_after: str | None = None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token along, to whomever it names: it is an answer like others."""

    def redirect_request(self, *_: object) -> None:
        """Go nowhere."""


def send(
    url: str,
    body: Mapping[str, Any] | None = None,
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    ca_file: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """Send one request (GET, or POST where there is a body). Raises `ApiUnavailable`.

    `ca_file`: who signs the API's certificate; None: whom the system trusts.
    """
    data = None if body is None else json.dumps(body).encode()
    sent = {"Accept": MEDIA_TYPE, **({} if data is None else {"Content-Type": MEDIA_TYPE})}
    try:
        request = urllib.request.Request(  # noqa: S310 - our own URL
            url, data=data, headers={**sent, **(headers or {})}, method=method
        )
        # No proxy stands between this machine and itself, whatever the environment says.
        proxies = urllib.request.ProxyHandler({} if urlsplit(url).hostname in _LOOPBACK else None)
        opener = urllib.request.build_opener(proxies, _NoRedirects(), *_tls(url, ca_file))
        with opener.open(request, timeout=timeout_s) as answer:
            return _answer(answer.status, answer)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, ssl.SSLError):
            reason = f"{tls_trouble(reason)} (LEDGER_API_CA_FILE)"
        raise ApiUnavailable(f"{without_path(url)} doesn't answer: {reason}") from None


def call(
    url: str,
    body: Mapping[str, Any] | None = None,
    *,
    ca_file: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> tuple[int, dict[str, Any]]:
    """GET, or POST a body: status and document (empty where none). Raises `ApiUnavailable`."""
    answer = send(url, body, ca_file=ca_file, timeout_s=timeout_s)
    return answer.status, answer.document


def _tls(url: str, ca_file: str | None) -> list[urllib.request.BaseHandler]:
    """How https is spoken, for an opener. Raises `OSError` where the CA's file can't be read."""
    if not url.startswith("https:"):
        return []
    return [urllib.request.HTTPSHandler(context=client_context(ca_file or ""))]


def answers_ok(url: str, *, ca_file: str | None = None, timeout_s: float = 1.0) -> bool:
    """Whether a GET is answered with 200."""
    try:
        status, _ = call(url, ca_file=ca_file, timeout_s=timeout_s)
    except ApiUnavailable:
        return False
    return status == 200  # noqa: PLR2004 - OK


def _answer(status: int, response: Any) -> Answer:  # noqa: ANN401 - an answer, or an error that is one
    document = _document(response.read(ANSWER_BYTES_MAX))
    return Answer(status=status, document=document, retry_after=response.headers.get("Retry-After"))


def _document(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def without_path(url: str) -> str:
    """An address may have a key in its path; where it is may be said."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
