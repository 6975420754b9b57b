"""The story of one license: what was asked of it and when, and how it stands by then.

A story knows nothing of the fold: it keeps what it needs to go on plausibly, and to tell at its end
what a check must say.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from bench.history.chance import Chance
from bench.history.expected import Expected
from bench.history.plans import CODES, DAY_MS, METERED, SITE, Plan
from bench.history.shapes import WEIGHTS, Kind, Size
from ledger.domain.terms import Terms

_OWN_PLAN_PERCENT: Final = 25
_NODE_PERCENT: Final = 65
_TEAM_PERCENT: Final = 88
_IMPORTED_PERCENT: Final = 10
_AGAIN_IN: Final = 100
"""One command of so many is sent again, under its id and with its content."""
_AGAIN_MS: Final = 30_000
_WHEN_FULL_PERCENT: Final = 25
_REINSTATED_PERCENT: Final = 40
_RENEWED_PERCENT: Final[dict[Kind, int]] = {"small": 12, "large": 40, "huge": 50, "long": 50}
_REISSUED_PERCENT: Final = 15
_FIRST: Final = 3
"""Who buys a license begins with it: its first requests are mostly activations."""
_FIRST_ACTIVATED_PERCENT: Final = 75
_LAST_KEPT_PERCENT: Final = 70
_CHECKED_IN_PERCENT: Final = 75
"""Of licenses with long histories."""
_TWO_SEATS_OF: Final = 16
_SEATS: Final[dict[Kind, tuple[int, int]]] = {
    "small": (0, 0),
    "large": (200, 2_000),
    "huge": (50_000, 100_000),
    "long": (0, 0),
}
_OPEN: Final = frozenset({"MAINTAIN_ACCESS", "ALLOW_ACCESS"})
_WEEK_MS: Final = 7 * DAY_MS


class Op(NamedTuple):
    """Something that was asked: when, what, as which of the license's commands, with what.

    `sequence`: of what was imported, from 1. `is_valid`: of a check.
    """

    time_ms: int
    what: str
    number: int
    first: int | str = 0
    second: int | str = 0
    sequence: int = 0
    is_valid: bool = False


def seats_of(machine: int) -> int:
    """Seats that a machine asks for, each time the same."""
    return 2 if machine % _TWO_SEATS_OF == _TWO_SEATS_OF - 1 else 1


class Story:
    """Asks its next thing at each call of `next`, as often as the history has events of it."""

    __slots__ = (
        "_again",
        "_chance",
        "_last_check_in_ms",
        "_left",
        "_plans",
        "_table",
        "_until_ms",
        "endless",
        "entitled",
        "held",
        "imported",
        "issued_plan",
        "kind",
        "live",
        "now_ms",
        "number",
        "own_expiry_ms",
        "own_seats",
        "plan",
        "released",
        "seats",
        "sequence",
        "started_ms",
        "suspended",
        "unused",
    )

    def __init__(self, size: Size, plans: tuple[Plan, ...], index: int, count: int) -> None:
        chance = self._chance = Chance(size.seed, index, b"history.story")
        kind = self.kind = size.kind(index)
        self._plans = plans
        self._table = _TABLES[kind]
        self._until_ms = size.until_ms
        self._left = count
        self._again: Op | None = None
        self.number = 0
        self.sequence = 0
        span_ms = size.span_days * DAY_MS
        self.now_ms = size.until_ms - span_ms + int(span_ms * 0.9 * chance.share() ** 1.5)
        self.issued_plan = _plan(chance, kind)
        least, most = _SEATS[kind]
        self.own_seats = least + chance.below(most - least + 1)
        self.imported = chance.below(100) < _IMPORTED_PERCENT
        self.unused = 0
        """The lowest number of a machine that never came."""
        self._begin(self.now_ms)
        self.live = False

    def next(self) -> Op | None:
        """The next thing that is asked; None at the end."""
        if self._left == 0:
            return None
        self._left -= 1
        if self.number == 0:
            self.number = 1
            return self._reissue(self.now_ms)
        chance, left_ms = self._chance, self._until_ms - self.now_ms
        again, self._again = self._again, None
        if again is not None:
            self.now_ms += min(1 + chance.below(_AGAIN_MS), left_ms)
            return again._replace(time_ms=self.now_ms)
        self.now_ms += int(2 * left_ms * chance.share()) // (self._left + 2)
        self.number += 1
        op = self._ask(self.now_ms)
        if chance.below(_AGAIN_IN) == 0:
            self._again = op
        return op

    def told(self) -> Expected:
        """What a check must say now."""
        return self._told(tuple(self.held))

    def _told(self, machines: tuple[int, ...]) -> Expected:
        terms = self._plans[self.plan].terms
        due_ms = None
        if terms.require_check_in:
            due_ms = self._last_check_in_ms + terms.check_in_interval_count * _WEEK_MS
        return Expected(
            live=self.live,
            suspended=self.suspended,
            expiry_ms=self.expiry_ms(),
            strategy=terms.expiration_strategy,
            due_ms=due_ms,
            machines=machines,
        )

    def expiry_ms(self) -> int | None:
        """When it expires."""
        if self.own_expiry_ms is not None or self.endless:
            return self.own_expiry_ms
        duration_s = self._terms.duration_s
        return None if duration_s is None else self.started_ms + duration_s * 1000

    @property
    def _terms(self) -> Terms:
        return self._plans[self.plan].terms

    def _begin(self, now_ms: int) -> None:
        """Stand as after an issue."""
        self.live = True
        self.plan = self.issued_plan
        self.started_ms = self._last_check_in_ms = now_ms
        self.suspended = self.endless = False
        self.own_expiry_ms: int | None = None
        self.held: list[int] = []
        self.released: list[int] = []
        self.seats = 0
        self.entitled: set[int] = set()

    def _is_expired(self, now_ms: int) -> bool:
        expiry_ms = self.expiry_ms()
        return expiry_ms is not None and now_ms >= expiry_ms

    def _is_closed(self, now_ms: int) -> bool:
        return self._is_expired(now_ms) and self._terms.expiration_strategy not in _OPEN

    def _ask(self, now_ms: int) -> Op:
        chance = self._chance
        if not self.live:
            return self._ask_of_revoked(now_ms)
        if self.suspended and chance.below(100) < _REINSTATED_PERCENT:
            self.suspended = False
            return Op(now_ms, "reinstate", self.number)
        if self._is_expired(now_ms) and chance.below(100) < _RENEWED_PERCENT[self.kind]:
            return self.renew(now_ms)
        if self.number <= _FIRST and chance.below(100) < _FIRST_ACTIVATED_PERCENT:
            return self.activate(now_ms)
        name = self._table[chance.below(len(self._table))]
        op: Op = getattr(self, name)(now_ms)
        return op

    def _ask_of_revoked(self, now_ms: int) -> Op:
        if self._chance.below(100) < _REISSUED_PERCENT:
            return self._reissue(now_ms)
        return self.validate(now_ms) if self.number % 2 else self.activate(now_ms)

    def _reissue(self, now_ms: int) -> Op:
        self._begin(now_ms)
        return Op(now_ms, "issue", self.number, self.issued_plan, self.own_seats)

    def _chosen(self, what: str, first: int | str = 0, second: int | str = 0) -> Op:
        return Op(self.now_ms, what, self.number, first, second)

    def _maybe_imported(self, what: str, machine: int) -> Op:
        """Ask for a machine, in an imported license half the time by the other server's log."""
        sequence = 0
        if self.imported and self._chance.below(2):
            self.sequence += 1 + self._chance.below(3)
            sequence = self.sequence
        return Op(self.now_ms, what, self.number, machine, 0, sequence)

    def activate(self, now_ms: int) -> Op:
        """Ask for a seat: of a full license seldom, and in vain."""
        limit = self.own_seats or self._terms.max_machines
        machine = self.released[-1] if self.released and self._chance.below(3) == 0 else -1
        seats = seats_of(self.unused if machine < 0 else machine)
        full = limit is not None and self.seats + seats > limit
        if full and self._chance.below(100) >= _WHEN_FULL_PERCENT:
            return self.deactivate(now_ms) if self.seats else self.validate(now_ms)
        if machine < 0:
            machine, self.unused = self.unused, self.unused + 1
        if self.live and not full and not self.suspended and not self._is_closed(now_ms):
            self.held.append(machine)
            self.seats += seats
            if self.released and self.released[-1] == machine:
                self.released.pop()
        return self._maybe_imported("activate", machine)

    def activate_held(self, now_ms: int) -> Op:
        """Ask for a seat that is held already."""
        if not self.held:
            return self.validate(now_ms)
        return self._maybe_imported("activate", self._any_held())

    def deactivate(self, now_ms: int) -> Op:
        """Give a machine's seats back."""
        held = self.held
        if not held:
            return self.activate(now_ms) if self.number % 8 else self.deactivate_absent(now_ms)
        if len(held) == 1 and self._chance.below(100) < _LAST_KEPT_PERCENT:
            return self.validate(now_ms)
        place = self._chance.below(len(held))
        machine, held[place] = held[place], held[-1]
        held.pop()
        self.seats -= seats_of(machine)
        self.released = [machine]
        return self._maybe_imported("deactivate", machine)

    def deactivate_absent(self, _: int) -> Op:
        """Give back what nobody holds; in an imported license another server's refusal comes."""
        if self.imported:
            self.sequence += 1
            return Op(self.now_ms, "deny", self.number, 0, 0, self.sequence)
        return self._chosen("deactivate", self.unused + 1_000_000)

    def validate(self, now_ms: int) -> Op:
        """Tell of a check that was answered."""
        machine = self._any_held() if self.held and self._chance.below(3) else -1
        code, is_valid = self._told(()).answer(now_ms)
        return Op(now_ms, "validate", self.number, code, machine, 0, is_valid)

    def check_in(self, now_ms: int) -> Op:
        """Check in, where that is required; where not, one in four does as well."""
        if self._terms.require_check_in:
            self._last_check_in_ms = now_ms
        elif self._chance.below(4):
            return self.validate(now_ms)
        return self._chosen("check_in")

    def use(self, _: int) -> Op:
        """Count uses; nobody asks a story how many there are."""
        action = ("increment", "increment", "increment", "increment", "decrement", "reset")[
            self._chance.below(6)
        ]
        return self._chosen("use", action, 1 if action == "reset" else 1 + self._chance.below(3))

    def renew(self, now_ms: int) -> Op:
        """Last longer; without a duration that is refused."""
        basis = ("FROM_EXPIRY", "FROM_NOW", "FROM_NOW_IF_EXPIRED")[self._chance.below(3)]
        duration_s, expiry_ms = self._terms.duration_s, self.expiry_ms()
        if duration_s is not None:
            from_ms = now_ms if expiry_ms is None else expiry_ms
            if basis == "FROM_NOW" or (basis == "FROM_NOW_IF_EXPIRED" and self._is_expired(now_ms)):
                from_ms = now_ms
            self.own_expiry_ms, self.endless = from_ms + duration_s * 1000, False
        return self._chosen("renew", basis)

    def suspend(self, _: int) -> Op:
        """Stop until it is reinstated."""
        self.suspended = True
        return self._chosen("suspend")

    def revoke(self, _: int) -> Op:
        """End for good."""
        self._begin(self.now_ms)
        self.live = False
        return self._chosen("revoke")

    def change(self, now_ms: int) -> Op:
        """Set a name, more seats or another expiry on the license itself."""
        what = ("name", "name", "seats", "expiry")[self._chance.below(4)]
        value = self.number
        if what == "seats":
            value = self.own_seats = (self.own_seats or 2) + 1 + self._chance.below(4)
        elif what == "expiry":
            value = self.own_expiry_ms = now_ms + (30 + self._chance.below(300)) * DAY_MS
            self.endless = False
        return self._chosen("change", what, value)

    def change_terms(self, now_ms: int) -> Op:
        """Set the policy's terms anew, as a fan-out does, or all that is the license's own."""
        if self._chance.below(3):
            return self._chosen("change_terms", self.plan)
        self.own_seats = (self.own_seats or 2) + self._chance.below(2)
        self.own_expiry_ms, self.endless = now_ms + 200 * DAY_MS, False
        return self._chosen("own_terms", self.own_seats, self.own_expiry_ms)

    def stale_terms(self, _: int) -> Op:
        """Set terms of a policy that the license doesn't have."""
        return self._chosen("change_terms", (self.plan + 1) % len(self._plans))

    def transfer(self, now_ms: int) -> Op:
        """Move to another policy."""
        before, expiry_ms = self._terms, self.expiry_ms()
        self.plan = (self.plan + 1 + self._chance.below(SITE - 1)) % len(self._plans)
        strategy = ("KEEP_EXPIRY", "RESET_EXPIRY")[self._chance.below(2)]
        if strategy == "RESET_EXPIRY":
            self.own_expiry_ms, self.endless, self.started_ms = None, False, now_ms
        else:
            self.own_expiry_ms = expiry_ms
            self.endless = expiry_ms is None and (self.endless or before.duration_s is None)
        if self._terms.require_check_in and not before.require_check_in:
            self._last_check_in_ms = now_ms
        return self._chosen("transfer", self.plan, strategy)

    def attach(self, _: int) -> Op:
        """Attach an entitlement, at times one that is attached."""
        one = self._chance.below(len(CODES))
        self.entitled.add(one)
        return self._chosen("attach", one)

    def detach(self, _: int) -> Op:
        """Detach an entitlement, at times one that isn't there."""
        one = min(self.entitled) if self.entitled else self._chance.below(len(CODES))
        self.entitled.discard(one)
        return self._chosen("detach", one)

    def change_machine(self, now_ms: int) -> Op:
        """Tell more of a machine."""
        if not self.held:
            return self.validate(now_ms)
        return self._chosen("change_machine", self._any_held(), 1 << self._chance.below(7))

    def _any_held(self) -> int:
        return self.held[self._chance.below(len(self.held))]


def _plan(chance: Chance, kind: Kind) -> int:
    percent = chance.below(100)
    if kind in {"large", "huge"}:
        return SITE
    if kind == "long":
        return METERED if percent < _CHECKED_IN_PERCENT else 0
    if percent < _OWN_PLAN_PERCENT:
        return 0
    return 1 if percent < _NODE_PERCENT else 2 if percent < _TEAM_PERCENT else METERED


_TABLES: Final[dict[Kind, tuple[str, ...]]] = {
    kind: tuple(name for name, weight in weights.items() for _ in range(weight))
    for kind, weights in WEIGHTS.items()
}
