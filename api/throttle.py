"""Keeps who asks too often out, and who guesses. Each worker counts for itself.

A license key is all that a product on somebody's machine has, so guessing keys is what a ledger
on the internet sees. Whoever has named too many that aren't is told nothing for the rest of the
minute: not of a good key either, or the difference would say which one is good. Who has a good
token is always answered, and guesses nothing. An address that may be a proxy of one's own that
nobody has named is never kept out, since every product behind it would be.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from starlette.types import Scope

from api.addresses import FORWARDED, Address, client_of, is_near, subject_of
from api.limits import Count, Minute
from api.logs import RUNBOOK, say
from api.metrics import Metrics
from api.principals import Principal
from api.problems import Problem, over_limit
from api.settings import ApiSettings

_log: Final = logging.getLogger(__name__)
_now_s: Final = time.time


class Throttle:
    """Counts requests and failures of one worker."""

    def __init__(self, settings: ApiSettings, metrics: Metrics) -> None:
        self._proxies = settings.proxies
        self._by_token = Minute(settings.token_per_minute)
        self._by_address = Minute(settings.address_per_minute)
        self._failures = Minute(settings.failures_per_minute)
        self._metrics = metrics
        self._warned = False

    def count_address(self, scope: Scope) -> None:
        """Count a request of its address; raises a 429 `Problem` above the limit."""
        if not self._by_address.limit:
            return
        address = self._address(scope)
        if address is None:
            return
        count = self._by_address.add(subject_of(address), _now_s())
        if count.count > count.limit:
            raise self._refusal("address", count, "This address has asked")

    def count_principal(self, who: Principal, times: int = 1) -> None:
        """Count a request of who asks, or so many; raises a 429 `Problem` above the limit."""
        if not self._by_token.limit:
            return
        count = self._by_token.add((who.account, who.actor), _now_s(), times)
        if count.count > count.limit:
            raise self._refusal("token", count, "Whoever has this credential has asked")

    def count_failure(self, scope: Scope) -> None:
        """Count that a request has named a license key or a token that there is not."""
        address = self._address(scope)
        if not self._failures.limit or address is None:
            return
        count = self._failures.add(subject_of(address), _now_s())
        if count.count >= count.limit and is_near(address) and not self._warned:
            self._warned = True
            say(
                _log,
                logging.WARNING,
                "somebody behind a private address guesses keys, and isn't kept out: "
                "name your proxies in LEDGER_API_PROXIES",
                runbook=f"{RUNBOOK}#guessing",
            )

    @property
    def counts_addresses(self) -> bool:
        """Whether each request is counted of its address."""
        return bool(self._by_address.limit)

    def guessing(self, scope: Scope) -> Count | None:
        """Count of the failures of an address that has too many in this minute; else None."""
        if not len(self._failures):
            return None
        address = self._address(scope)
        if address is None or is_near(address):
            return None
        count = self._failures.seen(subject_of(address), _now_s())
        return count if count.count >= count.limit else None

    def refuse_guessing(self, scope: Scope) -> None:
        """Raise a 429 `Problem` for an address with too many failures in this minute."""
        count = self.guessing(scope)
        if count is not None:
            self._metrics.throttled.labels("guessing").inc()
            raise over_limit(
                "Too many requests from this address have named a license key or a token that "
                f"there is not. Wait {count.left_s} s, or send a good token.",
                count.headers(),
            )

    def _address(self, scope: Scope) -> Address | None:
        peer = scope.get("client")
        forwarded = [value for name, value in scope["headers"] if name == FORWARDED]
        return client_of(peer[0] if peer else None, forwarded, self._proxies)

    def _refusal(self, what: str, count: Count, who: str) -> Problem:
        self._metrics.throttled.labels(what).inc()
        return over_limit(
            f"{who} this worker more than {count.limit} times in this minute. "
            f"Wait {count.left_s} s.",
            count.headers(),
        )


def has_token(who: Principal | None) -> bool:
    """Whether somebody is known by a token, which can't be guessed as a license key can."""
    return who is not None and (who.role != "license" or who.token is not None)
