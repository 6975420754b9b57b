"""Grace: what a check that can't be answered is answered while an emergency order runs.

It comes in where the check would be 503, so that checks which can be answered never meet it. A
denial that is known always wins, however old the state that it is known from. Nothing outside the
order's account and product is approved.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from api import checks
from api.bodies import ValidateKeyMeta
from api.checking import Check, Checker, UnsureCheck
from api.clock import Clock
from api.emergency.book import Taken
from api.emergency.orders import EmergencyOrders
from api.metrics import Metrics
from api.principals import STAFF, Principal
from api.problems import Problem
from api.resources import Said, check_document
from projector.views.documents import read_license

SOURCE: Final = "EMERGENCY_GRACE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A check by key: of which account, whether that is sure, by whom, and what was asked."""

    account: str
    surely: bool
    who: Principal | None
    meta: ValidateKeyMeta


class Grace:
    """Answers in place of a 503, where an order says so."""

    def __init__(
        self, *, orders: EmergencyOrders, checker: Checker, clock: Clock, metrics: Metrics
    ) -> None:
        self._orders = orders
        self._checker = checker
        self._clock = clock
        self._metrics = metrics

    def account(self, problem: Problem, named: str) -> str:
        """Account of this id that a running order names; raises `problem` where there is none.

        Whether there is such an account needs no look then: who has signed the order knows.
        """
        id_ = named.lower()
        if _is_outage(problem) and any(one.order.account == id_ for one in self._orders.running()):
            return id_
        raise problem

    def without_credential(self, problem: Problem, account: str) -> None:
        """Let a check go on as nobody's whose credential can't be looked at; else raise `problem`.

        It is answered then what everybody is told.
        """
        if _is_outage(problem) and self.account(problem, account):
            return
        raise problem

    def instead(self, problem: Problem, asked: Asked) -> bytes:
        """Document of the answer in place of `problem`, which is raised where there is no grace."""
        running = self._orders.running() if _is_outage(problem) else []
        if not running:
            raise problem
        found = problem.found if isinstance(problem, UnsureCheck) else None
        if found is not None and found.document:
            return self._of_known(problem, running, found, asked)
        return self._of_unknown(problem, running, asked)

    def _of_known(
        self, problem: Problem, running: list[Taken], found: Check, asked: Asked
    ) -> bytes:
        """Answer for a license that was read from a state that may lack something."""
        license_ = read_license(found.document)
        if license_.status == "none":
            # A document of what was asked of it before it was issued: nothing is known of it.
            return self._of_unknown(problem, running, asked)
        scope = asked.meta.scope.scope()
        sure = checks.check_of_what_is_there(license_, scope, found.now_ms)
        hidden = asked.who is not None and not asked.who.sees_license(license_)
        if found.license is None or hidden or not sure.valid:
            raise problem
        taken = _covering(running, asked.account, license_.product)
        if taken is None:
            raise problem
        self._count(taken, sure.code, known=True)
        approved = replace(found, answer=sure)
        return self._checker.answered(
            approved, asked.meta, asked.meta.key, in_place=(SOURCE, taken.order.id)
        )

    def _of_unknown(self, problem: Problem, running: list[Taken], asked: Asked) -> bytes:
        """Answer for a key that nothing is known of: by an order that says so, and names it all."""
        willing = [one for one in running if one.order.unknown_keys]
        scope = asked.meta.scope
        product = None if scope.product is UNSET else scope.product
        taken = _covering(willing, asked.account, product)
        stranger = asked.who is None or asked.who.role in STAFF
        if taken is None or not asked.surely or not stranger:
            raise problem
        self._count(taken, checks.VALID.code, known=False)
        said = Said(position=None, age_ms=None, source=SOURCE, order=taken.order.id)
        return check_document(
            checks.VALID, None, asked=asked.meta, now_ms=self._clock.check_ms, said=said
        )

    def _count(self, taken: Taken, code: str, *, known: bool) -> None:
        self._orders.count(taken, known=known)
        self._metrics.checked(code, SOURCE)


def _is_outage(problem: Problem) -> bool:
    return problem.status == HTTPStatus.SERVICE_UNAVAILABLE


def _covering(running: list[Taken], account: str, product: str | None) -> Taken | None:
    """Return the order for this account and product; one of the whole account last."""
    covering = [one for one in running if one.covers(account, product)]
    return min(covering, key=lambda one: one.order.product is None, default=None)
