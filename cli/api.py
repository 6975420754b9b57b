"""The API as the commands use it: where it is, who asks, and what its refusals mean for people.

The address is `--url`, else LEDGER_URL, else the local run's; the token `--token`, else
LEDGER_TOKEN, else, for the local run only, its demo token: that goes nowhere else.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from cli.local.folder import data_folder, read_environment, read_token
from cli.trouble import Missing
from cli.web import Answer, ApiUnavailable, send, without_path

TRIES: Final = 3
_WAIT_MAX_S: Final = 2.0
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_REDIRECT: Final = range(300, 400)
_SUCCESS: Final = range(200, 300)

_UNAUTHORIZED: Final = 401
_NONE_SUCH: Final = re.compile(
    r"no such (license|machine|policy|product|entitlement|token)\b", re.IGNORECASE
)


class ApiRefused(Exception):
    """The API said no; the text is its reason, and what to do where that is known."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(refusal(answer.status, answer.document))
        self.status = answer.status
        self.document = answer.document


class ApiAway(Exception):
    """The API can't be reached or can't answer now: that is no "no"; repeating is safe."""


class Api:
    """The API at `url`, asked as whoever holds `token`.

    `account`: whose resources are meant, by id or slug; None: whose the address stands for.
    `ca_file`: who signs its certificate; None: whom the system trusts.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        account: str | None = None,
        ca_file: str | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._account = () if account is None else ("accounts", account)
        self._ca_file = ca_file

    def __repr__(self) -> str:
        """Say where, never with what token."""
        return f"Api({without_path(self.url)!r})"

    def get(self, *path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Document of `/v1/` and the segments of `path`. Raises `ApiRefused`, `ApiAway`."""
        return self._ask("GET", path, None, {}, query)

    def ask(self, body: Mapping[str, Any], *path: str) -> dict[str, Any]:
        """POST what changes nothing. Raises `ApiRefused`, `ApiAway`."""
        return self._ask("POST", path, body, {})

    def write(
        self,
        method: str,
        *path: str,
        body: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Ask for a change; repeated while the API asks for that, under one Idempotency-Key.

        So it happens once, however often it is sent. Raises `ApiRefused`, `ApiAway`.
        """
        key = idempotency_key or secrets.token_hex(16)
        return self._ask(method, path, body, {"Idempotency-Key": key})

    def _ask(
        self,
        method: str,
        path: tuple[str, ...],
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        segments = (quote(segment, safe="") for segment in (*self._account, *path))
        url = "/".join((self.url, "v1", *segments))
        url += f"?{urlencode(query)}" if query else ""
        who = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        for left in reversed(range(TRIES)):
            try:
                answer = send(
                    url, body, method=method, headers={**headers, **who}, ca_file=self._ca_file
                )
            except ApiUnavailable as error:
                raise ApiAway(f"{error}; is it the right address (--url, LEDGER_URL)?") from None
            if answer.status in _SUCCESS:
                return answer.document
            if not left or not _may_repeat(answer):
                break
            time.sleep(_wait_s(answer))
        raise _trouble(self.url, answer)


def found(data: Path, url: str | None, token: str | None, account: str | None = None) -> Api:
    """The API to ask. Raises `Missing` where there is none, or no token for it."""
    if not url:
        return _local(data, token, account)
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise Missing("--url (LEDGER_URL) is an address like https://ledger.example.com")
    if not token:
        raise Missing(
            f"no token for {without_path(url)}: set LEDGER_TOKEN (or --token, which others on "
            "this machine can see)"
        )
    return Api(url, token, account=account, ca_file=os.environ.get("LEDGER_API_CA_FILE"))


def _local(data: Path, token: str | None, account: str | None) -> Api:
    folder = data_folder(data)
    environment = read_environment(folder) or {}
    url = environment.get("LEDGER_API_URL")
    if url is None:
        raise Missing(
            f"no ledger runs on {folder.root}: start it (`ledger up`), name another data folder "
            "(--data, LEDGER_DATA), or set LEDGER_URL and LEDGER_TOKEN of one elsewhere"
        )
    try:
        ca_file = environment.get("LEDGER_API_CA_FILE")
        return Api(url, token or read_token(folder), account=account, ca_file=ca_file)
    except OSError as error:
        raise Missing(f"{folder.token} can't be read: {error.strerror}; set LEDGER_TOKEN") from None


def refusal(status: int, document: Mapping[str, Any]) -> str:
    """What an error document says, and what to do where that is known, in a line."""
    errors = document.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    if not isinstance(first, dict):
        first = {}
    code = f" {first['code']}" if first.get("code") else ""
    said = f"{status}{code}: {first.get('detail') or first.get('title') or 'no reason given'}"
    source = first.get("source")
    where = source.get("pointer") if isinstance(source, dict) else None
    said += f" [{where}]" if where else ""
    if status == _UNAUTHORIZED:
        said += " Give a token of this ledger (LEDGER_TOKEN, --token)."
    if none_such := _NONE_SUCH.search(said):
        said += f" `ledger {none_such[1].lower()} list` tells which there are."
    return said


def _may_repeat(answer: Answer) -> bool:
    return answer.retry_after is not None and answer.status >= _TOO_MANY


def _wait_s(answer: Answer) -> float:
    text = answer.retry_after or ""
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) < len("1000") else 1
    return min(float(seconds), _WAIT_MAX_S)


def _trouble(url: str, answer: Answer) -> Exception:
    said = refusal(answer.status, answer.document)
    if answer.status in _REDIRECT:
        return ApiAway(f"{without_path(url)} is elsewhere ({answer.status}): give its own address")
    if answer.status == _TOO_MANY or answer.status >= _SERVER_ERROR:
        return ApiAway(f"{said}; repeat it later")
    return ApiRefused(answer)
