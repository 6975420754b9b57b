"""The golden log of rules version 2: a fixed partition that comes by all that they added."""

from __future__ import annotations

from msgspec.structs import replace

from ledger.domain.events import (
    Changed,
    CheckedIn,
    EntitlementsAttached,
    EntitlementsDetached,
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
from ledger.domain.terms import (
    ENTITLEMENTS_MAX,
    CheckInInterval,
    ExpirationBasis,
    ExpirationStrategy,
    OwnTerms,
    RenewalBasis,
    Terms,
)
from ledger.event_log.codec import encode
from tests.ledger.domain.given import (
    NOW_MS,
    POLICY,
    PRODUCT,
    activation,
    asked,
    issued,
    license_of,
    machine_of,
    sealed,
)
from tests.ledger.domain.golden_files import Line
from tests.ledger.domain.golden_log import DAY_MS, MINUTE_MS, GoldenLog
from tests.ledger.domain.golden_records import other_records
from tests.ledger.domain.golden_records_2 import EXPORT, IMPORT, OWN_2, TERMS_2

OTHER_POLICY = "00000000-0000-4000-8000-0000000000ff"
LASTS = Terms(max_machines=3, duration_s=60)


class _Log(GoldenLog):
    """Asks under rules 2, unless it is said otherwise."""

    def ask2(
        self, key: str, data: EventData, *, at_ms: int = 0, version: int | None = None
    ) -> None:
        command = f"{self.offset}"
        event = asked(data, command, license_=license_of(key), time_ms=NOW_MS + at_ms, rules=2)
        with_terms = isinstance(data, Transferred) or version is not None
        self.event(replace(event, policy_version=version or 0) if with_terms else event)

    def issue(self, key: str, terms: Terms, own: OwnTerms | None = None) -> None:
        self.ask2(key, issued(license_=license_of(key), terms=terms, own=own))

    def activate(self, key: str, host: str, *, at_ms: int = 0) -> None:
        self.ask2(key, activation(host, license_=license_of(key)), at_ms=at_ms)


def golden_log_2() -> list[Line]:
    """All lines of the log, made anew."""
    log = _Log()
    log.record("genesis", other_records()["ledger.genesis"].value.decode(), after_ms=0)
    _none_is_there(log)
    _strategies(log)
    _bases(log)
    _usage(log)
    _check_ins(log)
    _renewals(log)
    _transfers(log)
    _changes(log)
    _machines(log)
    _entitlements(log)
    _both_rules(log)
    _poison(log)
    return log.lines


def _none_is_there(log: _Log) -> None:
    """Ask everything of a license that never was."""
    machine = machine_of("host-1", license_of("NONE"))
    for data in (
        Validated(valid=False, code="NOT_FOUND", machine=machine),
        CheckedIn(),
        UsageRecorded(action="increment"),
        Renewed(basis="FROM_NOW"),
        Transferred(policy=POLICY, product=PRODUCT, terms=LASTS),
        Changed(name=None),
        MachineChanged(machine=machine, cores=1),
        EntitlementsAttached(entitlements={EXPORT: "EXPORT"}),
        EntitlementsDetached(entitlements=[EXPORT]),
    ):
        log.ask2("NONE", data)


def _strategies(log: _Log) -> None:
    """Activate and use after the end under each strategy."""
    strategies: list[ExpirationStrategy] = [
        "RESTRICT_ACCESS",
        "REVOKE_ACCESS",
        "MAINTAIN_ACCESS",
        "ALLOW_ACCESS",
    ]
    for strategy in strategies:
        log.issue(strategy, replace(LASTS, expiration_strategy=strategy))
        log.activate(strategy, "host-1", at_ms=MINUTE_MS)
        log.ask2(strategy, UsageRecorded(action="increment"), at_ms=MINUTE_MS)
        log.ask2(strategy, Validated(valid=False, code="EXPIRED"), at_ms=MINUTE_MS)


def _bases(log: _Log) -> None:
    """Begin to count at the first of something, and only once."""
    bases: list[ExpirationBasis] = [
        "FROM_CREATION",
        "FROM_FIRST_VALIDATION",
        "FROM_FIRST_ACTIVATION",
        "FROM_FIRST_USE",
    ]
    for basis in bases:
        log.issue(basis, replace(LASTS, expiration_basis=basis))
        log.ask2(basis, Validated(valid=False, code="NO_MACHINES"), at_ms=1_000)
        for at_ms in (2_000, 3_000):
            log.ask2(basis, Validated(valid=True, code="VALID"), at_ms=at_ms)
            log.activate(basis, f"host-{at_ms}", at_ms=at_ms + 1)
            log.ask2(basis, UsageRecorded(action="increment", by=2), at_ms=at_ms + 2)
    log.issue("NOT BEGUN", replace(LASTS, expiration_basis="FROM_FIRST_USE"))


def _usage(log: _Log) -> None:
    key = "USES"
    log.issue(key, Terms(max_machines=1, max_uses=5))
    log.ask2(key, UsageRecorded(action="increment", by=5))
    log.ask2(key, UsageRecorded(action="increment"))
    log.ask2(key, UsageRecorded(action="decrement", by=2))
    log.ask2(key, UsageRecorded(action="decrement", by=4))
    log.ask2(key, Changed(max_uses=9))
    log.ask2(key, UsageRecorded(action="increment", by=6))
    log.ask2(key, Changed(max_uses=0))
    log.ask2(key, Suspended())
    log.ask2(key, UsageRecorded(action="increment"))
    log.ask2(key, UsageRecorded(action="decrement"))
    log.ask2("USED", issued(license_=license_of("USED")))
    log.ask2("USED", UsageRecorded(action="increment", by=7))
    log.ask2("USED", UsageRecorded(action="reset"))
    log.ask2("USED", UsageRecorded(action="increment", by=2**31 - 1))
    log.ask2("USED", UsageRecorded(action="increment"))


def _check_ins(log: _Log) -> None:
    """Check in at each interval; the end of January comes by the end of February."""
    january_31_ms = 87 * DAY_MS
    intervals: dict[CheckInInterval, int] = {"day": 2, "week": 1, "month": 1, "year": 365}
    for interval, count in intervals.items():
        terms = replace(TERMS_2, check_in_interval=interval, check_in_interval_count=count)
        log.issue(interval, terms)
        log.ask2(interval, CheckedIn(), at_ms=january_31_ms)
    log.issue("UNASKED", LASTS)
    log.ask2("UNASKED", CheckedIn())
    log.ask2("UNASKED", TermsChanged(terms=TERMS_2), at_ms=5_000, version=1)
    log.ask2("UNASKED", TermsChanged(terms=replace(TERMS_2, max_uses=1)), at_ms=6_000, version=2)


def _renewals(log: _Log) -> None:
    """Renew before the end and after it, on each basis."""
    bases: list[RenewalBasis] = ["FROM_EXPIRY", "FROM_NOW", "FROM_NOW_IF_EXPIRED"]
    for basis in bases:
        log.issue(basis, LASTS)
        log.ask2(basis, Renewed(basis=basis), at_ms=30_000)
        log.ask2(basis, Renewed(basis=basis), at_ms=DAY_MS)
        log.ask2(basis, TermsChanged(terms=replace(LASTS, duration_s=5)), version=1)
    log.issue("UNENDING", Terms(max_machines=1))
    log.ask2("UNENDING", Renewed(basis="FROM_NOW"))
    log.issue("NOT YET", replace(LASTS, expiration_basis="FROM_FIRST_USE"))
    log.ask2("NOT YET", Renewed(basis="FROM_EXPIRY"), at_ms=9_000)


def _transfers(log: _Log) -> None:
    """Keep and reset: a date, no end, and one that has not begun."""
    longer = replace(TERMS_2, duration_s=600, expiration_basis="FROM_CREATION")
    moved = Transferred(policy=OTHER_POLICY, product=PRODUCT, terms=longer)
    before = {
        "DATED": LASTS,
        "ENDLESS": Terms(max_machines=2),
        "UNBEGUN": replace(LASTS, expiration_basis="FROM_FIRST_ACTIVATION"),
    }
    for key, terms in before.items():
        for kept in (True, False):
            name = f"{key} {kept}"
            log.issue(name, terms)
            expiry = replace(moved, expiry="KEEP_EXPIRY" if kept else "RESET_EXPIRY")
            log.ask2(name, expiry, at_ms=7_000, version=3)
    log.ask2("DATED True", moved, version=2)
    log.ask2("DATED True", TermsChanged(policy=POLICY, terms=LASTS), version=9)
    log.ask2("DATED True", TermsChanged(policy=OTHER_POLICY, terms=LASTS), version=4)
    log.ask2("ENDLESS True", TermsChanged(policy=OTHER_POLICY, terms=LASTS), version=4)
    log.issue("MOVED AND ENDED", LASTS)
    log.ask2("MOVED AND ENDED", moved, version=3)
    log.ask2("MOVED AND ENDED", Revoked())
    log.ask("ENDLESS False", TermsChanged(own=OwnTerms(max_machines=1)), "by hand, rules 1")


def _changes(log: _Log) -> None:
    key = "CHANGED"
    log.issue(key, TERMS_2, OWN_2)
    log.ask2(key, Changed(name="Kälte", metadata='{"a":1}', max_machines=3, protected=True))
    log.ask2(key, Changed(expiry_ms=NOW_MS + 5 * DAY_MS, max_uses=3))
    log.ask2(key, Changed(metadata=None, max_machines=None, expiry_ms=None))
    log.issue("CLEARED", LASTS, OwnTerms(expiry_ms=NOW_MS + DAY_MS))
    log.ask2("CLEARED", Changed(expiry_ms=None))


def _machines(log: _Log) -> None:
    key = "MACHINES"
    license_ = license_of(key)
    log.issue(key, TERMS_2)
    log.activate(key, "host-1", at_ms=1)
    machine = machine_of("host-1", license_)
    named = MachineChanged(machine=machine, name=sealed("Desk", license_), cores=8)
    log.ask2(key, named, at_ms=2)
    log.ask2(key, MachineChanged(machine=machine, cores=None, platform="Linux"), at_ms=3)
    log.ask2(key, MachineChanged(machine=machine_of("host-2", license_), cores=1))


def _entitlements(log: _Log) -> None:
    key = "ENTITLED"
    log.issue(key, TERMS_2)
    log.ask2(key, EntitlementsAttached(entitlements={EXPORT: "EXPORT"}))
    log.ask2(key, EntitlementsAttached(entitlements={IMPORT: "import.v2", EXPORT: "EXPORT"}))
    log.ask2(key, EntitlementsDetached(entitlements=[IMPORT, EXPORT]))
    log.ask2(key, EntitlementsAttached(entitlements={IMPORT: "import.v2"}))
    log.ask2(key, EntitlementsDetached(entitlements=[EXPORT]))
    many = {f"{number:08x}-0000-4000-8000-000000000000": "M" for number in range(ENTITLEMENTS_MAX)}
    log.ask2(key, EntitlementsAttached(entitlements=many))
    log.ask2(key, EntitlementsDetached(entitlements=[IMPORT]))
    log.ask2(key, EntitlementsAttached(entitlements={IMPORT: "import.v2", EXPORT: "EXPORT"}))


def _both_rules(log: _Log) -> None:
    """Ask one license under either version in turn."""
    key = "BOTH"
    log.ask(key, issued(2, license_=license_of(key), duration_s=60), "issue")
    log.ask2(key, Renewed(basis="FROM_EXPIRY"))
    log.ask(key, activation("host-1", license_=license_of(key)), "activate")
    log.ask2(key, TermsChanged(terms=TERMS_2), version=1)
    log.ask(key, Suspended(), "suspend")
    log.ask2(key, Reinstated())
    log.ask(key, issued(2, license_=license_of(key)), "issue again")
    log.ask2(key, Revoked())
    log.ask(key, issued(2, license_=license_of(key)), "issue anew")


def _poison(log: _Log) -> None:
    """Freeze what is told under rules 1 in words of rules 2."""
    early: dict[str, EventData] = {
        "EARLY TYPE": Renewed(basis="FROM_NOW"),
        "EARLY FIELD": TermsChanged(own=OwnTerms(max_uses=1)),
    }
    for key, data in early.items():
        log.issue(key, LASTS)
        event = asked(data, "too early", license_=license_of(key))
        value = encode(event).decode().replace('"rules":2', '"rules":1')
        log.record(event.license, value)
        log.ask2(key, Suspended())
