"""API workers, each asked by its own address: given emergency orders, and asked what they run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from cli.api import refusal
from cli.trouble import Failed, Missing
from cli.web import ApiUnavailable, call, without_path
from ledger.emergency.orders import Signed, encode

T = TypeVar("T")

LIMIT_S: Final = 10.0
"""From the order to the last worker."""
_ASK_S: Final = 2.0
_AGAIN_S: Final = 0.2
_OK: Final = 200
_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a worker says: `standing`, of `GET /v1/emergency`; None where it doesn't, and `why`."""

    url: str
    standing: Mapping[str, Any] | None = None
    why: str = ""

    @property
    def worker(self) -> str:
        """What the worker calls itself."""
        return "" if self.standing is None else str(self.standing["worker"])

    def order(self, id_: str) -> Mapping[str, Any] | None:
        """What it says of an order; None where it says nothing."""
        shown: Sequence[Mapping[str, Any]] = (
            () if self.standing is None else self.standing["orders"]
        )
        return next((one for one in shown if one["id"] == id_), None)

    def runs(self, id_: str) -> bool:
        """Whether the order runs there."""
        shown = self.order(id_)
        return shown is not None and bool(shown["running"])

    def refused(self, id_: str) -> str:
        """Why it doesn't take the order out of its folder; empty where it doesn't say so."""
        refused: Sequence[Mapping[str, Any]] = (
            () if self.standing is None else self.standing["refused"]
        )
        return next((str(one["code"]) for one in refused if one["order"] == id_), "")


class Workers:
    """Workers at these addresses. `ca_file`: who signs their certificates."""

    def __init__(self, urls: Sequence[str], ca_file: str | None = None) -> None:
        self.urls: Final = [url.rstrip("/") for url in dict.fromkeys(urls)]
        self._ca_file = ca_file
        for url in self.urls:
            if not url.startswith(("http://", "https://")):
                raise Missing("a worker's address is like http://127.0.0.1:7101")

    def ask(self) -> list[Told]:
        """Ask each of them once."""
        return self._each(self._ask)

    def ask_until(self, holds: Callable[[Told], bool], until_s: float) -> list[Told]:
        """Ask each of them until `holds`, at most until this moment of the monotonic clock."""

        def asked(url: str) -> Told:
            while True:
                told = self._ask(url)
                if (told.standing is not None and holds(told)) or time.monotonic() > until_s:
                    return told
                time.sleep(_AGAIN_S)

        return self._each(asked)

    def give(self, signed: Signed, until_s: float) -> dict[str, str]:
        """Give each of them an order; by address why one didn't take it, empty where it did."""
        body = msgspec.json.decode(encode(signed))

        def given(url: str) -> str:
            while True:
                said, again = self._give(url, body)
                if not again or time.monotonic() > until_s:
                    return said
                time.sleep(_AGAIN_S)

        return dict(zip(self.urls, self._each(given), strict=True))

    def _give(self, url: str, body: Mapping[str, Any]) -> tuple[str, bool]:
        """Why it wasn't taken, empty where it was; and whether it may be if it is given again."""
        try:
            status, document = call(
                f"{url}/v1/emergency/orders", body, ca_file=self._ca_file, timeout_s=_ASK_S
            )
        except ApiUnavailable as error:
            return str(error), True
        if status == _OK:
            return "", False
        return refusal(status, document), status in _AGAIN

    def _ask(self, url: str) -> Told:
        try:
            status, document = call(f"{url}/v1/emergency", ca_file=self._ca_file, timeout_s=_ASK_S)
        except ApiUnavailable as error:
            return Told(url=url, why=str(error))
        meta = document.get("meta")
        if status != _OK or not isinstance(meta, dict) or "orders" not in meta:
            return Told(url=url, why=refusal(status, document))
        return Told(url=url, standing=meta)

    def _each(self, work: Callable[[str], T]) -> list[T]:
        if not self.urls:
            return []
        with ThreadPoolExecutor(min(len(self.urls), _AT_ONCE)) as pool:
            return list(pool.map(work, self.urls))


def whose(told: Sequence[Told]) -> tuple[str, str]:
    """Ledger and default account of the workers. Raises `Failed` where they don't say one."""
    said = {
        (str(one.standing["ledger"]), str(one.standing["account"]))
        for one in told
        if one.standing is not None
    }
    if not said:
        why = "; ".join(one.why for one in told) or "no worker was named"
        raise Failed(f"no worker tells whose it is ({why}): give --ledger and --account")
    if len(said) > 1:
        where = ", ".join(without_path(one.url) for one in told)
        raise Failed(f"{where} are workers of several ledgers: name those of one")
    return said.pop()
