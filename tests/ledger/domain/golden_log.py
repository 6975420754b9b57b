"""The golden log: a fixed partition that comes by every verdict."""

from __future__ import annotations

from msgspec import convert
from msgspec.structs import replace

from ledger.domain.events import (
    ActivationRequested,
    DenialImported,
    Event,
    EventData,
    Reinstated,
    Revoked,
    Suspended,
    TermsChanged,
)
from ledger.domain.terms import SEATS_MAX, OwnTerms, Terms
from ledger.event_log.codec import encode
from tests.ledger.domain.given import (
    NOW_MS,
    activation,
    asked,
    deactivation,
    imported,
    issued,
    license_of,
    sealed,
)
from tests.ledger.domain.golden_files import Line
from tests.ledger.domain.golden_records import other_records

DAY_MS = 86_400_000
MINUTE_MS = 60_000


class GoldenLog:
    """Lines in the making: each record 137 ms after the one before, unless it is said."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.offset = 0
        self.timestamp_ms = NOW_MS

    def record(self, key: str | None, value: str | None, *, after_ms: int = 137) -> None:
        self.timestamp_ms += after_ms
        self.lines.append(
            {"offset": self.offset, "timestamp": self.timestamp_ms, "key": key, "value": value}
        )
        self.offset += 1

    def ticks(self, times: int, step_ms: int) -> None:
        """Write records that nothing is made of, so that only the clock and the chain go on."""
        self.record("genesis", "tick", after_ms=step_ms)
        self.lines[-1].update(times=times, step_ms=step_ms)
        self.offset += times - 1
        self.timestamp_ms += (times - 1) * step_ms

    def event(self, event: Event, *, after_ms: int = 137) -> None:
        self.record(event.license, encode(event).decode(), after_ms=after_ms)

    def ask(self, key: str, data: EventData, command: str, *, time_ms: int = NOW_MS) -> None:
        self.event(asked(data, command, license_=license_of(key), time_ms=time_ms))


def golden_log() -> list[Line]:
    """All lines of the golden log, made anew."""
    log = GoldenLog()
    log.record("genesis", other_records()["ledger.genesis"].value.decode(), after_ms=0)
    _seats(log)
    _times(log)
    _overage(log)
    _terms(log)
    _incarnations(log)
    _imports(log)
    _memory(log)
    _poison(log)
    return log.lines


def _activation(key: str, fingerprint: str, seats: int = 1) -> ActivationRequested:
    return activation(fingerprint, seats, license_=license_of(key))


def _seats(log: GoldenLog) -> None:
    """Grant two seats, refuse the third; held, other seats, repeated, mistaken, given back."""
    key = "SEATS"
    license_ = license_of(key)
    log.ask(key, _activation(key, "host-1"), "too early")
    log.ask(key, issued(2, license_=license_), "issue")
    log.ask(key, issued(9, license_=license_), "issue again")
    log.ask(key, _activation(key, "host-1"), "first")
    log.ask(key, _activation(key, "host-2"), "second", time_ms=NOW_MS + 1)
    log.ask(key, _activation(key, "host-3"), "third")
    log.ask(key, _activation(key, "host-1"), "first again")
    log.ask(key, _activation(key, "host-1", 2), "first with two seats")
    log.ask(key, _activation(key, "host-2"), "second", time_ms=NOW_MS + 2)
    log.event(
        asked(_activation(key, "host-4"), "second", license_=license_, content="something else")
    )
    log.ask(key, deactivation("host-1", license_=license_), "give back")
    log.ask(key, deactivation("host-1", license_=license_), "give back twice")
    in_full = replace(
        _activation(key, "host-5"),
        name=sealed("Front desk", license_),
        hostname=sealed("host-5.example", license_),
        ip=sealed("192.0.2.5", license_),
        platform="Linux",
        cores=4,
        metadata='{"room":"2.14"}',
    )
    log.ask(key, in_full, "fifth")
    log.ask(key, Suspended(), "suspend")
    log.ask(key, Suspended(), "suspend twice")
    log.ask(key, _activation(key, "host-6"), "while suspended")
    log.ask(key, deactivation("host-2", license_=license_), "give back while suspended")
    log.ask(key, Reinstated(), "reinstate")
    log.ask(key, Reinstated(), "reinstate twice")


def _times(log: GoldenLog) -> None:
    """Expire under both strategies; the broker's clock jumps ahead and back meanwhile."""
    for key, terms in (
        ("RESTRICT", Terms(max_machines=3, duration_s=60)),
        ("REVOKE", Terms(max_machines=3, duration_s=60, expiration_strategy="REVOKE_ACCESS")),
    ):
        license_ = license_of(key)
        log.ask(key, issued(terms=terms, license_=license_), "issue")
        log.ask(key, _activation(key, "host-1"), "in time", time_ms=NOW_MS + 59_999)
        log.timestamp_ms += 400 * DAY_MS
        log.ask(key, _activation(key, "host-2"), "too late", time_ms=NOW_MS + MINUTE_MS)
        log.timestamp_ms -= 400 * DAY_MS
        log.ask(key, deactivation("host-1", license_=license_), "back", time_ms=NOW_MS + MINUTE_MS)


def _overage(log: GoldenLog) -> None:
    """Take all that each overage allows of three seats, and one more."""
    for overage, limit in {
        "ALLOW_1_25X_OVERAGE": 3,
        "ALLOW_1_5X_OVERAGE": 4,
        "ALLOW_2X_OVERAGE": 6,
        "ALWAYS_ALLOW_OVERAGE": SEATS_MAX,
    }.items():
        terms = convert({"max_machines": 3, "overage": overage}, Terms)
        log.ask(overage, issued(terms=terms, license_=license_of(overage)), "issue")
        log.ask(overage, _activation(overage, "host-1", limit), "all")
        log.ask(overage, _activation(overage, "host-2"), "one more")


def _terms(log: GoldenLog) -> None:
    """Change the policy's terms and the own ones; older ones of the policy are stale."""
    key = "TERMS"
    license_ = license_of(key)
    named = replace(
        issued(4, license_=license_, overage="ALLOW_1_25X_OVERAGE"),
        name="Kälte & Söhne",
        metadata='{"order":"A-1042"}',
    )
    log.ask(key, named, "issue")
    log.ask(key, _activation(key, "host-1", 5), "with overage")
    for command, version, seats in (("newer", 4, 3), ("older", 2, 50), ("same", 4, 6)):
        changed = asked(TermsChanged(terms=Terms(max_machines=seats)), command, license_=license_)
        log.event(replace(changed, policy_version=version))
    log.ask(key, _activation(key, "host-2"), "within six")
    by_hand = TermsChanged(own=OwnTerms(max_machines=4, expiry_ms=NOW_MS + DAY_MS), name=None)
    log.ask(key, by_hand, "by hand")
    log.ask(key, _activation(key, "host-3"), "above the lowered limit")


def _incarnations(log: GoldenLog) -> None:
    """Revoke a license and issue it anew: what was held is held no more."""
    key = "AGAIN"
    license_ = license_of(key)
    log.ask(key, issued(1, license_=license_), "issue")
    log.ask(key, _activation(key, "host-1"), "first life")
    log.ask(key, _activation(key, "host-2"), "refused in the first life")
    log.ask("ENDED", issued(1, license_=license_of("ENDED")), "issue")
    log.ask("ENDED", Revoked(), "revoke")
    log.ask(key, Revoked(), "revoke")
    log.ask(key, _activation(key, "host-1"), "in between")
    log.ask(key, Revoked(), "revoke twice")
    log.ask(key, issued(None, license_=license_), "issue anew")
    log.ask(key, deactivation("host-1", license_=license_), "of the first life")
    log.ask(key, _activation(key, "host-1", 3), "second life")


def _imports(log: GoldenLog) -> None:
    """Import lines twice, and from one source too many."""
    key = "IMPORT"
    license_ = license_of(key)
    lines = [
        imported(issued(1, license_=license_), 3, license_=license_),
        imported(_activation(key, "host-1"), 7, license_=license_, time_ms=NOW_MS + 5),
        imported(DenialImported(kind="denied", seats=2), 8, license_=license_),
        imported(deactivation("host-1", license_=license_), 9, license_=license_),
        imported(DenialImported(kind="unsupported"), 10, license_=license_),
    ]
    for line in lines + lines[2:] + lines:
        log.event(line)
    for number in range(65):
        denial = DenialImported(kind="denied", reason="from many")
        log.event(imported(denial, 1, source=f"source:{number:02d}", license_=license_))
    log.event(imported(DenialImported(kind="denied"), 11, license_=license_))


def _memory(log: GoldenLog) -> None:
    """Ask eighty times; after a day the oldest are forgotten, eight an event at most."""
    key = "MEMORY"
    license_ = license_of(key)
    log.ask(key, issued(1, license_=license_), "issue")
    for number in range(80):
        log.ask(key, Reinstated() if number % 2 else Suspended(), f"command {number}")
    log.ask(key, Suspended(), "command 0")
    log.ticks(8_641, 10_000)
    for number in range(80, 83):
        log.ask(key, Reinstated() if number % 2 else Suspended(), f"command {number}")
    log.ask(key, issued(1, license_=license_), "issue")
    log.ask(key, Suspended(), "command 79")


def _poison(log: GoldenLog) -> None:
    """Freeze a license, and set aside what belongs to none."""
    key = "POISON"
    license_ = license_of(key)
    log.ask(key, issued(2, license_=license_), "issue")
    log.ask(key, _activation(key, "host-1"), "before")
    log.record(license_, '{"specversion":"1.0"}')
    log.ask(key, _activation(key, "host-2"), "after")
    log.record(license_, None)
    log.record(license_of("NEVER"), "no JSON")
    log.record("nobody's", "whatever")
    log.record(None, None)
    log.ask("SEATS", _activation("SEATS", "host-7"), "the last")
