"""The fold against the independent model, request by request, with clocks that run as they like.

The bounds of memory and sources are made small, so that a short run comes by them; the laws in
test_law_*.py hold the true ones.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from msgspec.structs import replace

from ledger.domain import license as fold_module
from ledger.domain import memory, orders
from ledger.domain.events import (
    DenialImported,
    Event,
    EventData,
    Reinstated,
    Revoked,
    Suspended,
    TermsChanged,
)
from ledger.domain.terms import Overage, OwnTerms, Terms
from tests.ledger.domain.given import (
    NOW_MS,
    POLICY,
    activation,
    asked,
    command_of,
    deactivation,
    imported,
    issued,
    license_of,
)
from tests.ledger.domain.naive_model import NaiveLicense, NaiveModel, Request
from tests.ledger.domain.replica import Replica

FACTORS: dict[Overage, float | None] = {
    "NO_OVERAGE": 1.0,
    "ALLOW_1_25X_OVERAGE": 1.25,
    "ALLOW_1_5X_OVERAGE": 1.5,
    "ALLOW_2X_OVERAGE": 2.0,
    "ALWAYS_ALLOW_OVERAGE": None,
}
DAY_MS, LAST, AT_ONCE, SOURCES, ENTITLEMENTS = 30_000, 4, 2, 2, 3

keys = st.sampled_from(["LIC-1", "LIC-1", "LIC-1", "LIC-2"])
hosts = st.sampled_from(["host-1", "host-2", "host-3"])
seats = st.integers(1, 3)
LASTS_MS = 60_000
times = st.sampled_from([NOW_MS, NOW_MS, NOW_MS, NOW_MS + LASTS_MS - 1, NOW_MS + LASTS_MS])
policies = st.builds(
    Terms,
    max_machines=st.none() | st.integers(1, 5),
    overage=st.sampled_from(list(FACTORS)),
    duration_s=st.none() | st.just(LASTS_MS // 1000),
)
owns = st.builds(OwnTerms, max_machines=st.none() | st.integers(1, 5), expiry_ms=st.none() | times)
commands = st.sampled_from([None, None, None, None, "again-1", "again-2"])
"""None: a command of its own; else one that may come again, with the same content or another."""
senders = st.tuples(keys, times, commands, st.sampled_from(["same", "other"]))
Sender = tuple[str, int, str | None, str]


def named_policy(terms: Terms) -> dict[str, Any]:
    return {
        "seats": terms.max_machines,
        "overage": FACTORS[terms.overage],
        "lasts_s": terms.duration_s,
        "uses": terms.max_uses,
        "after": terms.expiration_strategy.removesuffix("_ACCESS"),
        "from": terms.expiration_basis.removeprefix("FROM_").removeprefix("FIRST_"),
        "check_in": terms.require_check_in,
    }


def named_own(own: OwnTerms) -> dict[str, Any]:
    return {"seats": own.max_machines, "expiry": own.expiry_ms, "uses": own.max_uses}


class FoldAgainstModel(RuleBasedStateMachine):
    """Asks both the same, and compares what they say and what they are."""

    def __init__(self) -> None:
        super().__init__()
        self.replica = Replica()
        self.model = NaiveModel(
            day_ms=DAY_MS,
            last=LAST,
            at_once=AT_ONCE,
            sources=SOURCES,
            entitlements=ENTITLEMENTS,
        )
        self._timestamps = [NOW_MS]
        self._bounds = ExitStack()
        self._bounds.enter_context(
            patch.multiple(memory, MEMORY_MS=DAY_MS, MEMORY_COMMANDS=LAST, FORGOTTEN_MAX=AT_ONCE)
        )
        self._bounds.enter_context(patch.object(fold_module, "SOURCES_MAX", SOURCES))
        self._bounds.enter_context(patch.object(orders, "ENTITLEMENTS_MAX", ENTITLEMENTS))

    def teardown(self) -> None:
        self._bounds.close()

    @initialize(policy=policies)
    def begin(self, policy: Terms) -> None:
        self.replica.tick(NOW_MS)
        self.issue(("LIC-1", NOW_MS, None, "same"), policy, OwnTerms())

    @rule(step_ms=st.integers(-60_000, 60_000) | st.just(400 * 86_400_000))
    def broker_clock_moves(self, step_ms: int) -> None:
        self._timestamps.append(max(0, self._timestamps[-1] + step_ms))
        self.replica.tick(self._timestamps[-1])

    @rule(sender=senders, policy=policies, own=owns)
    def issue(self, sender: Sender, policy: Terms, own: OwnTerms) -> None:
        data = issued(license_=license_of(sender[0]), terms=policy, own=own)
        asked_for = {
            "kind": "issue",
            "policy": named_policy(policy),
            "own": named_own(own),
            "version": 0,
            "whose": POLICY,
        }
        self.ask(sender, data, asked_for)

    @rule(sender=senders, policy=policies, host=hosts)
    def begin_a_new_life(self, sender: Sender, policy: Terms, host: str) -> None:
        """Revoke and issue anew, then ask for a machine of the life before."""
        key, time_ms, _, content = sender
        anew: Sender = (key, time_ms, None, content)
        self.ask(anew, Revoked(), {"kind": "revoke"})
        self.issue(anew, policy, OwnTerms())
        self.deactivate(anew, host)

    @rule(sender=senders, host=hosts, count=seats)
    def activate(self, sender: Sender, host: str, count: int) -> None:
        data = activation(host, count, license_=license_of(sender[0]))
        self.ask(sender, data, {"kind": "activate", "machine": host, "seats": count})

    @rule(key=keys, asked_for=st.lists(st.tuples(hosts, seats), min_size=1, max_size=5))
    def rush(self, key: str, asked_for: list[tuple[str, int]]) -> None:
        """Ask for several machines, suspend, and give the first back all the same."""
        now: Sender = (key, NOW_MS, None, "same")
        for host, count in asked_for:
            self.activate(now, host, count)
        self.order(now, ("suspend", Suspended()))
        self.deactivate(now, asked_for[0][0])
        self.order(now, ("reinstate", Reinstated()))

    @rule(sender=senders, host=hosts)
    def deactivate(self, sender: Sender, host: str) -> None:
        data = deactivation(host, license_=license_of(sender[0]))
        self.ask(sender, data, {"kind": "deactivate", "machine": host})

    @rule(
        sender=senders,
        order=st.sampled_from(
            [*[("suspend", Suspended()), ("reinstate", Reinstated())] * 3, ("revoke", Revoked())]
        ),
    )
    def order(self, sender: Sender, order: tuple[str, EventData]) -> None:
        self.ask(sender, order[1], {"kind": order[0]})

    @rule(sender=senders, policy=policies, version=st.integers(0, 3))
    def fan_out(self, sender: Sender, policy: Terms, version: int) -> None:
        asked_for = {"kind": "terms", "policy": named_policy(policy), "version": version}
        self.ask(sender, TermsChanged(terms=policy), asked_for, version)

    @rule(sender=senders, own=owns)
    def change_by_hand(self, sender: Sender, own: OwnTerms) -> None:
        asked_for = {"kind": "terms", "own": named_own(own), "version": None}
        self.ask(sender, TermsChanged(own=own), asked_for)

    @rule(
        sender=senders,
        source=st.sampled_from(["a", "b", "c"]),
        sequence=st.integers(0, 12),
        what=st.sampled_from(["denied", "unsupported", "activate", "deactivate"]),
        host=hosts,
    )
    def import_line(self, sender: Sender, source: str, sequence: int, what: str, host: str) -> None:
        license_ = license_of(sender[0])
        asked_for: Request = {"kind": "denial", "of": what}
        data: EventData
        if what == "activate":
            data = activation(host, license_=license_)
            asked_for = {"kind": "activate", "machine": host, "seats": 1}
        elif what == "deactivate":
            data = deactivation(host, license_=license_)
            asked_for = {"kind": "deactivate", "machine": host}
        else:
            data = DenialImported(kind="denied" if what == "denied" else "unsupported")
        event = imported(data, sequence, source=source, license_=license_, time_ms=sender[1])
        asked_for |= {"source": source, "sequence": sequence}
        self._compare(sender[0], event, asked_for)

    def ask(
        self, sender: Sender, data: EventData, asked_for: Request, version: int | None = None
    ) -> None:
        key, time_ms, name, content = sender
        command = name or f"own-{self.replica.offset}"
        event = asked(
            data, command, license_=license_of(key), content=f"{name} {content}", time_ms=time_ms
        )
        if version is not None:
            event = replace(event, policy_version=version)
        asked_for |= {"command": command, "content": event.content_digest}
        self._compare(key, event, asked_for)

    def _compare(self, key: str, event: Event, asked_for: Request) -> None:
        offset = self.replica.offset
        if offset % 2:
            event = replace(event, rules=2)
        asked_for |= {"license": key, "time": event.time_ms}
        expected = self.model.take(asked_for, offset, self._elapsed_ms())
        verdict = self.replica.take(event)
        found = (verdict.code, verdict.seats_held, verdict.limit, verdict.epoch, verdict.offset)
        assert found == (
            expected.code,
            expected.seats_held,
            expected.limit,
            expected.epoch,
            expected.offset,
        )
        self._compare_licenses()

    def _elapsed_ms(self) -> int:
        steps = zip(self._timestamps, self._timestamps[1:], strict=False)
        return sum(min(max(after - before, 0), 10_000) for before, after in steps)

    def _compare_licenses(self) -> None:
        assert set(self.replica.licenses) == {license_of(key) for key in self.model.licenses}
        for key, known in self.model.licenses.items():
            self._compare_license(key, known)

    def _compare_license(self, key: str, known: NaiveLicense) -> None:
        id_, model = license_of(key), self.model
        license_ = self.replica.license(id_)
        held = model.held(known)
        assert license_.status == model.status(known)
        assert license_.epoch == model.lives(known)
        assert (license_.seats_held, license_.machines) == (sum(held.values()), len(held))
        assert license_.limit == model.limit(known)
        assert license_.suspended == model.suspended(known)
        assert (license_.seats_peak, license_.seats_peak_offset) == model.peak(known)
        assert license_.refusals == model.counts(known)
        assert {n: heard.sequence for n, heard in license_.sources.items()} == known.applied
        if model.alive(known):
            assert license_.expiry_ms == model.expiry(known)
            assert license_.policy_version == model.version(known)
            story = model.story(known)
            assert license_.policy == story["whose"]
            assert license_.uses == story["uses"]
            assert license_.last_validated_ms == story["validated"]
            assert license_.last_check_in_ms == story["checked"]
            assert set(license_.entitlements) == story["entitled"]
        remembered = [command_of(command, id_) for _, command, _, _ in known.memory]
        assert license_.commands == len(remembered)
        assert [old.command for old in self.replica.memory.get(id_, [])] == remembered


class _ForLong(FoldAgainstModel):
    """The same, tried harder."""


TestFoldAgainstModel = FoldAgainstModel.TestCase
TestFoldAgainstModel.settings = settings(max_examples=60, stateful_step_count=60)

TestFoldAgainstModelForLong = pytest.mark.slow(pytest.mark.timeout(1200)(_ForLong.TestCase))
TestFoldAgainstModelForLong.settings = settings(
    settings.get_profile("thorough"), max_examples=200, stateful_step_count=120
)
