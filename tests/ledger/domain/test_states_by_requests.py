"""States by requests: given, when, then for each cell of the table in docs/format.md."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from ledger.domain.events import (
    Changed,
    CheckedIn,
    DenialImported,
    EntitlementsAttached,
    EntitlementsDetached,
    Event,
    EventData,
    MachineChanged,
    Reinstated,
    Renewed,
    Revoked,
    Suspended,
    TermsChanged,
    Transferred,
    UsageRecorded,
    Validated,
)
from ledger.domain.license import License
from ledger.domain.terms import ExpirationStrategy, OwnTerms, Terms
from tests.ledger.domain.document import tables_of
from tests.ledger.domain.given import (
    LICENSE,
    NOW_MS,
    POLICY,
    PRODUCT,
    activation,
    asked,
    deactivation,
    issued,
    machine_of,
)
from tests.ledger.domain.replica import Replica

SEATS = 2
USES = 2
POLICY_VERSION = 3
DAY_MS = 86_400_000
ATTACHED = "00000000-0000-4000-8000-00000000000a"
UNATTACHED = "00000000-0000-4000-8000-00000000000b"
ELSEWHERE = "00000000-0000-4000-8000-0000000000ff"
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
    "expired, MAINTAIN": ("MAINTAIN_ACCESS", []),
    "expired, ALLOW": ("ALLOW_ACCESS", []),
    "suspended and expired": ("RESTRICT_ACCESS", [Suspended()]),
    "revoked": ("RESTRICT_ACCESS", [Revoked()]),
}
"""How each state comes about: the strategy, and what was ordered after host-1 was activated."""

MOVED = Transferred(policy=ELSEWHERE, product=PRODUCT, terms=Terms(max_machines=9, duration_s=60))

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
    "terms changed, later expiry": TermsChanged(own=OwnTerms(expiry_ms=NOW_MS + DAY_MS)),
    "terms changed, of an older policy": TermsChanged(terms=Terms(max_machines=50)),
    "terms changed, of another policy": TermsChanged(
        policy=ELSEWHERE, terms=Terms(max_machines=50)
    ),
    "validated": Validated(valid=True, code="VALID"),
    "checked in": CheckedIn(),
    "checked in, not required": CheckedIn(),
    "use": UsageRecorded(action="increment"),
    "use, more than there are": UsageRecorded(action="increment", by=USES),
    "use taken back": UsageRecorded(action="decrement"),
    "use taken back, more than there were": UsageRecorded(action="decrement", by=2),
    "uses reset": UsageRecorded(action="reset"),
    "renewed from now": Renewed(basis="FROM_NOW"),
    "renewed, no duration": Renewed(basis="FROM_NOW"),
    "transferred, keeping the expiry": MOVED,
    "transferred, resetting it": replace(MOVED, expiry="RESET_EXPIRY"),
    "transferred, to an older version": replace(MOVED, policy=POLICY),
    "changed": Changed(name="Another", max_uses=9),
    "changed, later expiry": Changed(expiry_ms=NOW_MS + DAY_MS),
    "machine changed, held": MachineChanged(machine=machine_of("host-1"), cores=16),
    "machine changed, not held": MachineChanged(machine=machine_of("host-2"), cores=16),
    "entitlement attached": EntitlementsAttached(entitlements={UNATTACHED: "B"}),
    "entitlement attached, taken": EntitlementsAttached(entitlements={ATTACHED: "A"}),
    "entitlements attached, too many": EntitlementsAttached(
        entitlements={f"{number:08x}-0000-4000-8000-000000000000": "M" for number in range(100)}
    ),
    "entitlement detached": EntitlementsDetached(entitlements=[ATTACHED]),
    "entitlement detached, not there": EntitlementsDetached(entitlements=[UNATTACHED]),
}


def _given(state: str, request: str) -> Replica:
    """One machine, one use, one entitlement; the state's orders after that."""
    replica = Replica()
    how = ISSUED[state]
    if how is not None:
        strategy, orders = how
        own = OwnTerms(expiry_ms=EXPIRED_AT_MS) if request.endswith("no duration") else OwnTerms()
        terms = Terms(
            max_machines=SEATS,
            duration_s=None if own.expiry_ms else 60,
            expiration_strategy=strategy,
            max_uses=USES,
            require_check_in=not request.endswith("not required"),
            check_in_interval="day",
        )
        issue = asked(issued(terms=terms, own=own), "issue")
        replica.take(replace(issue, policy_version=POLICY_VERSION))
        begun: list[EventData] = [
            activation("host-1"),
            UsageRecorded(action="increment"),
            EntitlementsAttached(entitlements={ATTACHED: "A"}),
        ]
        for number, data in enumerate(begun + orders):
            assert replica.take(asked(data, f"given {number}")).granted
    return replica


def _when(state: str, request: str) -> Event:
    late = "expired" in state
    event = asked(ASKED[request], "request", time_ms=EXPIRED_AT_MS if late else NOW_MS)
    if "another policy" in request:
        return replace(event, policy_version=POLICY_VERSION + 1)
    return replace(event, policy_version=2) if "older" in request else event


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
    replica = _given(state, request_)
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
    if request.endswith("later expiry"):
        assert after.expiry_ms == NOW_MS + DAY_MS
    if request in _DONE:
        name, expected = _DONE[request]
        assert getattr(after, name) == expected
    if request == "machine changed, held":
        machine = replica.machine(machine_of("host-1"))
        assert machine is not None
        assert (machine.cores, machine.seats) == (16, 1)


_DONE: dict[str, tuple[str, object]] = {
    "use": ("uses", 2),
    "use taken back": ("uses", 0),
    "uses reset": ("uses", 0),
    "transferred, keeping the expiry": ("policy", ELSEWHERE),
    "transferred, resetting it": ("policy", ELSEWHERE),
    "changed": ("name", "Another"),
    "entitlement attached": ("entitlements", {ATTACHED: "A", UNATTACHED: "B"}),
    "entitlement detached": ("entitlements", {}),
}


def test_the_table_has_every_state_and_request() -> None:
    assert list(ISSUED) == STATES
    assert list(ASKED) == REQUESTS
