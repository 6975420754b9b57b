"""The fold against the independent model once more: with all that rules version 2 added."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from ledger.domain.events import (
    Changed,
    CheckedIn,
    EntitlementsAttached,
    EntitlementsDetached,
    EventData,
    MachineChanged,
    Renewed,
    TermsChanged,
    Transferred,
    UsageRecorded,
    Validated,
)
from ledger.domain.terms import OwnTerms, RenewalBasis, Terms
from tests.ledger.domain.given import PRODUCT, license_of, machine_of
from tests.ledger.domain.strategies import ENTITLEMENTS, POLICIES
from tests.ledger.domain.test_against_the_model import (
    FACTORS,
    LASTS_MS,
    FoldAgainstModel,
    Sender,
    hosts,
    named_policy,
    seats,
    senders,
    times,
)

later_policies = st.builds(
    Terms,
    max_machines=st.none() | st.integers(1, 5),
    overage=st.sampled_from(list(FACTORS)),
    duration_s=st.none() | st.just(LASTS_MS // 1000),
    expiration_strategy=st.sampled_from(
        ["RESTRICT_ACCESS", "REVOKE_ACCESS", "MAINTAIN_ACCESS", "ALLOW_ACCESS"]
    ),
    max_uses=st.none() | st.integers(0, 5),
    require_check_in=st.booleans(),
    check_in_interval=st.just("month"),
    expiration_basis=st.sampled_from(
        ["FROM_CREATION", "FROM_FIRST_VALIDATION", "FROM_FIRST_ACTIVATION", "FROM_FIRST_USE"]
    ),
)
later_owns = st.builds(
    OwnTerms,
    max_machines=st.none() | st.integers(1, 5),
    expiry_ms=st.none() | st.none() | times,
    max_uses=st.none() | st.integers(0, 5),
)
names = st.sampled_from(ENTITLEMENTS)
BASES: dict[RenewalBasis, str] = {
    "FROM_EXPIRY": "EXPIRY",
    "FROM_NOW": "NOW",
    "FROM_NOW_IF_EXPIRED": "LATE",
}
FIELDS = {"max_machines": "seats", "max_uses": "uses", "expiry_ms": "expiry"}


class FoldOfBothRules(FoldAgainstModel):
    """Asks all that rules 1 know, and all that rules 2 added, in any order."""

    @rule(sender=senders, policy=later_policies, own=later_owns)
    def issue_under_later_terms(self, sender: Sender, policy: Terms, own: OwnTerms) -> None:
        self.issue(sender, policy, own)

    @rule(sender=senders, policy=later_policies, own=later_owns)
    def begin_a_new_life_under_later_terms(
        self, sender: Sender, policy: Terms, own: OwnTerms
    ) -> None:
        self.begin_a_new_life(sender, policy, "host-1")
        self.change_by_hand(sender, own)

    @rule(sender=senders, valid=st.booleans(), host=hosts)
    def validate(self, sender: Sender, valid: bool, host: str) -> None:  # noqa: FBT001 - drawn
        machine = machine_of(host, license_of(sender[0]))
        data = Validated(valid=valid, code="VALID" if valid else "EXPIRED", machine=machine)
        self.ask(sender, data, {"kind": "validate", "valid": valid})

    @rule(sender=senders)
    def check_in(self, sender: Sender) -> None:
        self.ask(sender, CheckedIn(), {"kind": "check in"})

    @rule(sender=senders, by=seats, action=st.sampled_from(["increment", "decrement", "reset"]))
    def use(self, sender: Sender, by: int, action: str) -> None:
        data = UsageRecorded(action="reset")
        change: int | None = None
        if action == "increment":
            data, change = UsageRecorded(action="increment", by=by), by
        elif action == "decrement":
            data, change = UsageRecorded(action="decrement", by=by), -by
        self.ask(sender, data, {"kind": "use", "by": change})

    @rule(sender=senders, basis=st.sampled_from(list(BASES)))
    def renew(self, sender: Sender, basis: RenewalBasis) -> None:
        self.ask(sender, Renewed(basis=basis), {"kind": "renew", "basis": BASES[basis]})

    @rule(
        sender=senders,
        policy=later_policies,
        whose=st.sampled_from(POLICIES),
        version=st.integers(0, 3),
        keep=st.booleans(),
    )
    def transfer(
        self,
        sender: Sender,
        policy: Terms,
        whose: str,
        version: int,
        keep: bool,  # noqa: FBT001 - drawn
    ) -> None:
        data = Transferred(
            policy=whose,
            product=PRODUCT,
            terms=policy,
            expiry="KEEP_EXPIRY" if keep else "RESET_EXPIRY",
        )
        asked_for = {"kind": "transfer", "whose": whose, "keep": keep, "version": version}
        self.ask(sender, data, asked_for | {"policy": named_policy(policy)}, version)

    @rule(
        sender=senders,
        policy=later_policies,
        whose=st.sampled_from(POLICIES),
        version=st.integers(0, 3),
    )
    def fan_out_later_terms(self, sender: Sender, policy: Terms, whose: str, version: int) -> None:
        asked_for = {"kind": "terms", "policy": named_policy(policy), "version": version}
        data = TermsChanged(policy=whose, terms=policy)
        self.ask(sender, data, asked_for | {"whose": whose}, version)

    @rule(
        sender=senders,
        some=st.fixed_dictionaries(
            {"name": st.none()},
            optional={
                "max_machines": st.none() | st.integers(1, 5),
                "max_uses": st.none() | st.integers(0, 5),
                "expiry_ms": st.none() | times,
            },
        ),
    )
    def change(self, sender: Sender, some: dict[str, Any]) -> None:
        named = {FIELDS[name]: value for name, value in some.items() if name in FIELDS}
        self.ask(sender, Changed(**some), {"kind": "change", "some": named})

    @rule(sender=senders, host=hosts, cores=seats)
    def change_machine(self, sender: Sender, host: str, cores: int) -> None:
        data = MachineChanged(machine=machine_of(host, license_of(sender[0])), cores=cores)
        self.ask(sender, data, {"kind": "change machine", "machine": host})

    @rule(sender=senders, attached=st.sets(names, min_size=1, max_size=2), attach=st.booleans())
    def entitle(
        self,
        sender: Sender,
        attached: set[str],
        attach: bool,  # noqa: FBT001 - drawn
    ) -> None:
        data: EventData = EntitlementsDetached(entitlements=sorted(attached))
        if attach:
            data = EntitlementsAttached(entitlements=dict.fromkeys(attached, "CODE"))
        self.ask(sender, data, {"kind": "attach" if attach else "detach", "names": attached})


class _ForLong(FoldOfBothRules):
    """The same, tried harder."""


TestFoldOfBothRules = FoldOfBothRules.TestCase
TestFoldOfBothRules.settings = settings(max_examples=60, stateful_step_count=60)

TestFoldOfBothRulesForLong = pytest.mark.slow(pytest.mark.timeout(1200)(_ForLong.TestCase))
TestFoldOfBothRulesForLong.settings = settings(
    settings.get_profile("thorough"), max_examples=200, stateful_step_count=120
)
