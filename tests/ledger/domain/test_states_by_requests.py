"""States by requests: given, when, then for each cell of the table in docs/format.md."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from ledger.domain.events import (
    DenialImported,
    Event,
    EventData,
    Reinstated,
    Revoked,
    Suspended,
    TermsChanged,
)
from ledger.domain.license import License
from ledger.domain.terms import ExpirationStrategy, OwnTerms, Terms
from tests.ledger.domain.document import tables_of
from tests.ledger.domain.given import (
    LICENSE,
    NOW_MS,
    activation,
    asked,
    deactivation,
    issued,
    machine_of,
)
from tests.ledger.domain.replica import Replica

SEATS = 2
POLICY_VERSION = 3
EXPIRED_AT_MS = NOW_MS + 60_000

[[_HEAD, *_ROWS]] = tables_of("States by requests")
STATES = _HEAD[1:]
REQUESTS = [row[0] for row in _ROWS]
CELLS = [
    pytest.param(state, row[0], cell, id=f"{state}-{row[0]}".replace(" ", "-"))
    for row in _ROWS
    for state, cell in zip(STATES, row[1:], strict=True)
]
_CELL = re.compile(r"`([a-z-]+)`(?: → (.+))?")

ISSUED: dict[str, tuple[ExpirationStrategy, list[EventData]] | None] = {
    "none": None,
    "live": ("RESTRICT_ACCESS", []),
    "suspended": ("RESTRICT_ACCESS", [Suspended()]),
    "expired, RESTRICT": ("RESTRICT_ACCESS", []),
    "expired, REVOKE": ("REVOKE_ACCESS", []),
    "suspended and expired": ("RESTRICT_ACCESS", [Suspended()]),
    "revoked": ("RESTRICT_ACCESS", [Revoked()]),
}
"""How each state comes about: the strategy, and what was ordered after host-1 was activated."""

ASKED: dict[str, EventData] = {
    "issued": issued(None),
    "activation, seat free": activation("host-2"),
    "activation, no seat free": activation("host-2", SEATS),
    "activation, held": activation("host-1"),
    "activation, held with other seats": activation("host-1", SEATS),
    "deactivation, held": deactivation("host-1"),
    "deactivation, not held": deactivation("host-2"),
    "suspended": Suspended(),
    "reinstated": Reinstated(),
    "revoked": Revoked(),
    "denial imported": DenialImported(kind="denied"),
    "terms changed, later expiry": TermsChanged(own=OwnTerms(expiry_ms=NOW_MS + 86_400_000)),
    "terms changed, of an older policy": TermsChanged(terms=Terms(max_machines=50)),
}


def _given(state: str) -> Replica:
    replica = Replica()
    how = ISSUED[state]
    if how is not None:
        strategy, orders = how
        terms = Terms(max_machines=SEATS, duration_s=60, expiration_strategy=strategy)
        issue = replace(asked(issued(terms=terms), "issue"), policy_version=POLICY_VERSION)
        replica.take(issue)
        replica.take(asked(activation("host-1"), "host-1"))
        for order in orders:
            replica.take(asked(order, "order"))
    return replica


def _when(state: str, request: str) -> Event:
    late = "expired" in state
    event = asked(ASKED[request], "request", time_ms=EXPIRED_AT_MS if late else NOW_MS)
    return replace(event, policy_version=2) if request.endswith("older policy") else event


def _state_of(replica: Replica, now_ms: int) -> str:
    document = replica.licenses.get(LICENSE)
    if document is None:
        return "none"
    license_ = replica.license(LICENSE)
    if license_.status != "live":
        return license_.status
    if not license_.expired(now_ms):
        return "suspended" if license_.suspended else "live"
    if license_.suspended:
        return "suspended and expired"
    assert license_.terms is not None
    return f"expired, {license_.terms.expiration_strategy.removesuffix('_ACCESS')}"


@pytest.mark.parametrize(("state", "request_", "cell"), CELLS)
def test_given_the_state_when_asked_then_as_the_table_says(
    state: str, request_: str, cell: str
) -> None:
    replica = _given(state)
    event = _when(state, request_)
    assert _state_of(replica, event.time_ms) == state
    before = replica.license(LICENSE) if replica.licenses else License(id=LICENSE)

    verdict = replica.take(event)

    found = _CELL.fullmatch(cell)
    assert found is not None
    assert verdict.code == found[1]
    assert _state_of(replica, event.time_ms) == (found[2] or state)
    after = replica.license(LICENSE)
    assert (verdict.seats_held, verdict.limit) == (after.seats_held, after.limit)
    if verdict.granted:
        _then_it_is_done(request_, before, replica)
    else:
        counted = {**before.refusals, verdict.code: 1}
        assert after == replace(before, refusals=counted, commands=before.commands + 1)


def _then_it_is_done(request: str, before: License, replica: Replica) -> None:
    after = replica.license(LICENSE)
    machines = [name for name in ("host-1", "host-2") if replica.machine(machine_of(name))]
    held = (after.seats_held, after.machines)
    if request == "issued":
        assert (held, after.epoch) == ((0, 0), before.epoch + 1)
        assert (after.limit, after.policy_version) == (None, 0)
    elif request == "activation, seat free":
        assert (held, machines) == ((2, 2), ["host-1", "host-2"])
        assert after.seats_peak == 2
    elif request == "deactivation, held":
        assert (held, machines) == ((0, 0), [])
        assert after.seats_peak == 1
    elif request == "revoked":
        assert (held, after.epoch) == ((0, 0), before.epoch)
        assert (after.terms, after.key) == (None, "")
    else:
        assert (held, machines) == ((1, 1), ["host-1"])
    if request == "denial imported":
        assert after.refusals == {"imported-denied": 1}
    if request.startswith("terms changed"):
        assert after.expiry_ms == NOW_MS + 86_400_000


def test_the_table_has_every_state_and_request() -> None:
    assert list(ISSUED) == STATES
    assert list(ASKED) == REQUESTS
