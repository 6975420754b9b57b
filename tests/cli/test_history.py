"""The history that `ledger show` reads is the one that every replica folds."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cli.history import _WHY, History, why
from cli.wording import as_values
from ledger.domain import verdicts
from ledger.domain.events import (
    ActivationRequested,
    Changed,
    EntitlementsAttached,
    EntitlementsDetached,
    Event,
    EventData,
    Issued,
    MachineChanged,
    Renewed,
    Transferred,
    UsageRecorded,
    Validated,
)
from ledger.domain.identifiers import machine_id
from ledger.domain.terms import OwnTerms, Terms
from ledger.domain.verdicts import GRANTED
from ledger.event_log.codec import UnknownRulesError, encode
from ledger.event_log.port import Record
from projector.views.documents import license_document
from tests import activity
from tests.activity import ACCOUNT, PEPPER, POLICIES, PRODUCT, START_MS, Activity
from tests.projector.independent import independent_fold

PARTITIONS = 2
SEALED = "0123456789abcdef.c2VhbGVk"
LICENSE = next(iter(Activity(1, partitions=1, licenses=1).events(1))).license


def as_records(log: Iterable[activity.Record], partition: int) -> list[Record]:
    return [
        Record(
            partition=partition,
            offset=one.offset,
            timestamp_ms=one.timestamp,
            key=one.key,
            value=one.value,
        )
        for one in log
    ]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), discarded=st.frozensets(st.integers(1, 200), max_size=40))
def test_a_history_leaves_out_what_is_discarded(seed: int, discarded: frozenset[int]) -> None:
    events = Activity(seed, partitions=1, licenses=3, machines=4)
    log = activity.records(events.appendables(200), seed=seed)[0]
    stored = independent_fold(log, 0, 1, discarded=discarded)
    for id_ in {one.key.decode() for one in log if one.key not in {None, b"genesis"}}:
        history = History(id_, discarded=discarded)
        history.take(as_records(log, 0))
        document = stored.get(f"{{p00}}:1:L:{id_}")
        assert (None if history.license is None else license_document(history.license)) == document
        left_out = [one for one in history.entries if one.discarded]
        assert {one.offset for one in left_out} == {
            one.offset for one in log if one.key == id_.encode() and one.offset in discarded
        }
        assert all("discarded" in why(one) and one.event is None for one in left_out)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), batch=st.integers(1, 400))
def test_a_history_ends_where_an_independent_fold_ends(seed: int, batch: int) -> None:
    events = Activity(seed, partitions=PARTITIONS, licenses=6, machines=4)
    log = activity.records(events.appendables(400), seed=seed)
    for partition, records in log.items():
        stored = independent_fold(records, partition, PARTITIONS)
        for id_ in {one.key.decode() for one in records if one.key not in {None, b"genesis"}}:
            history = History(id_)
            ours = as_records(records, partition)
            for at in range(0, len(ours), batch):
                history.take(ours[at : at + batch])
            assert history.position == len(records)
            assert history.license is not None
            document = stored.get(f"{{p{partition:02d}}}:1:L:{id_}")
            if document is not None:
                assert license_document(history.license) == document
            assert history.count == len([one for one in records if one.key == id_.encode()])
            granted = [one for one in history.entries if one.verdict and one.verdict.granted]
            assert len(granted) > 0 or history.license.status == "none"


def event(number: int, data: EventData, *, time_ms: int = START_MS) -> Event:
    return Event(
        id=f"00000000-0000-8000-8000-{number:012x}",
        source="api",
        license=LICENSE,
        time_ms=time_ms,
        actor="token:0",
        content_digest="0" * 32,
        data=data,
        policy_version=0 if isinstance(data, Issued) else None,
    )


def issued(seats: int) -> Issued:
    return Issued(
        account=ACCOUNT,
        product=PRODUCT,
        policy=POLICIES[0],
        key=SEALED,
        terms=Terms(max_machines=None),
        own=OwnTerms(max_machines=seats),
    )


def activation(name: str) -> ActivationRequested:
    return ActivationRequested(
        machine=machine_id(PEPPER, LICENSE, name), fingerprint=SEALED, fingerprint_digest="1" * 32
    )


def log_of(*events: Event | bytes, timestamp_ms: int = START_MS) -> list[Record]:
    values = [encode(one) if isinstance(one, Event) else one for one in events]
    return [
        Record(
            partition=0,
            offset=offset,
            timestamp_ms=timestamp_ms,
            key=LICENSE.encode(),
            value=value,
        )
        for offset, value in enumerate(values)
    ]


def history_of(records: list[Record], last: int | None = None) -> History:
    history = History(LICENSE, last=last)
    history.take(records)
    return history


def test_each_verdict_says_why() -> None:
    first = event(2, activation("a"))
    history = history_of(
        log_of(
            event(1, issued(1)),
            first,
            event(3, activation("b")),
            event(4, activation("a")),
            first,
            replace(first, content_digest="2" * 32),
        )
    )
    assert [entry.verdict and entry.verdict.code for entry in history.entries] == [
        GRANTED,
        GRANTED,
        "machine-limit-exceeded",
        "already-held",
        GRANTED,
        "idempotency-mismatch",
    ]
    said = [why(entry) for entry in history.entries]
    assert said[1] == "1 of 1 seats held now"
    assert said[2] == "1 of 1 seats were held already"
    assert said[3] == "the machine had its seat already"
    assert "offset 1" in said[4]
    assert "Idempotency-Key" in said[5]


def test_every_verdict_is_told_in_words() -> None:
    codes = {value for name, value in vars(verdicts).items() if name.isupper()}
    assert set(_WHY) == codes - {GRANTED}


SAID: list[tuple[EventData, str]] = [
    (Validated(valid=True, code="VALID"), "a check was answered VALID"),
    (UsageRecorded(action="increment", by=3), "uses: 3 more used"),
    (UsageRecorded(action="decrement", by=2), "uses: 2 taken back"),
    (UsageRecorded(action="reset"), "uses: set to 0"),
    (Changed(expiry_ms=START_MS, name=None), "changed: name, expiry_ms"),
    (EntitlementsAttached(entitlements={POLICIES[0]: "EXPORT"}), "attached: EXPORT"),
    (EntitlementsDetached(entitlements=[POLICIES[0]]), f"detached: {POLICIES[0]}"),
    (
        Transferred(policy=POLICIES[1], product=PRODUCT, terms=Terms(max_machines=2, duration_s=9)),
        f"to policy {POLICIES[1]}, expiry kept",
    ),
    (Renewed(basis="FROM_NOW"), "renewed from now"),
]


def test_what_rules_2_grant_is_said_and_shown() -> None:
    first = event(1, issued(5))
    machine = activation("a")
    named = MachineChanged(machine=machine.machine, cores=2, platform=None)
    later = [event(number, data) for number, (data, _) in enumerate(SAID, 9)]
    later = [replace(one, rules=2) for one in [*later, event(50, named)]]
    moved = [replace(one, policy_version=1) if "transferred" in one.type else one for one in later]
    entries = history_of(log_of(first, event(2, machine), *moved)).entries
    assert [entry.verdict and entry.verdict.code for entry in entries] == [GRANTED] * len(entries)
    said = [why(entry) for entry in entries]
    assert said[2:] == [words for _, words in SAID] + ["changed: platform, cores"]
    for entry in list(entries)[2:]:
        assert entry.event is not None
        assert as_values(entry.event.data), "a program is told of it too"


def test_only_the_last_entries_are_kept_and_all_are_counted() -> None:
    events = [event(1, issued(9)), *(event(n, activation(str(n))) for n in range(2, 9))]
    history = history_of(log_of(*events), last=3)
    assert [entry.offset for entry in history.entries] == [5, 6, 7]
    assert history.count == 8
    assert history.license is not None
    assert history.license.seats_held == 7


def test_a_record_that_cannot_be_decoded_freezes_and_the_rest_is_set_aside() -> None:
    history = history_of(log_of(event(1, issued(1)), b"{", event(2, activation("a"))))
    assert history.license is not None
    assert history.license.frozen_at == 1
    assert history.license.seats_held == 0
    assert [entry.verdict is None for entry in history.entries] == [False, True, True]
    assert "can't be decoded" in why(history.entries[1])
    assert "set aside" in why(history.entries[2])


def test_rules_that_are_unknown_here_stop_the_reading() -> None:
    later = encode(event(2, activation("a"))).replace(b'"rules":1', b'"rules":3')
    with pytest.raises(UnknownRulesError):
        history_of(log_of(event(1, issued(1)), later))


@pytest.mark.parametrize(
    ("ahead_ms", "said"), [(0, None), (60_000, None), (-60_000, None), (60_001, 60_001)]
)
def test_clocks_more_than_a_minute_apart_are_told(ahead_ms: int, said: int | None) -> None:
    records = log_of(event(1, issued(1), time_ms=START_MS + ahead_ms))
    assert history_of(records).entries[0].apart_ms == said


def test_of_a_license_that_nobody_named_there_is_nothing() -> None:
    history = History("ffffffff-0000-8000-8000-000000000000")
    history.take(log_of(event(1, issued(1))))
    assert history.license is None
    assert history.position == 1
