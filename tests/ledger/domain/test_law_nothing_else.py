"""Laws of what decides nothing: source times, order of times, actors, sealed values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from ledger.domain.clocks import PartitionClock
from ledger.domain.events import ActivationRequested, Event, EventData, Issued
from ledger.domain.license import Loaded, fold
from projector.views.documents import read_license
from tests.ledger.domain.given import LICENSE, asked, issued, sealed
from tests.ledger.domain.replica import Replica
from tests.ledger.domain.strategies import TIMES, requests


def _codes(events: list[Event]) -> list[tuple[str, int, int | None]]:
    replica = Replica()
    verdicts = [replica.take(event) for event in events]
    return [(verdict.code, verdict.seats_held, verdict.limit) for verdict in verdicts]


def _asked(all_: list[EventData]) -> list[Event]:
    return [asked(data, f"request {number}") for number, data in enumerate([issued(4), *all_])]


@given(st.lists(requests(), max_size=25), st.data())
def test_when_it_happened_elsewhere_and_who_asked_decide_nothing(
    all_: list[EventData], data: st.DataObject
) -> None:
    events = _asked(all_)
    altered = [
        replace(event, occurred_at_ms=data.draw(TIMES), actor=data.draw(st.sampled_from("abc")))
        for event in events
    ]
    assert _codes(altered) == _codes(events)


@given(st.lists(requests(), max_size=25))
def test_what_is_sealed_decides_nothing(all_: list[EventData]) -> None:
    def other(data: EventData) -> EventData:
        if isinstance(data, ActivationRequested):
            erased = sealed("something else altogether")
            return replace(data, fingerprint=erased, hostname=erased, ip=erased)
        return replace(data, key=sealed("another")) if isinstance(data, Issued) else data

    events = _asked(all_)
    altered = [replace(event, data=other(event.data)) for event in events]
    assert _codes(altered) == _codes(events)


@given(st.lists(requests(), max_size=25), st.lists(TIMES, min_size=26, max_size=26))
def test_the_order_is_the_offset_not_the_calendar(all_: list[EventData], times: list[int]) -> None:
    """Without an expiry the calendar decides nothing, however it runs."""
    endless = [data for data in all_ if not _has_an_end(data)]
    events = _asked(endless)
    shuffled = [replace(event, time_ms=time_ms) for event, time_ms in zip(events, times)]  # noqa: B905 - as many as there are
    assert _codes(shuffled) == _codes(events)


def _has_an_end(data: EventData) -> bool:
    terms, own = getattr(data, "terms", None), getattr(data, "own", None)
    of_its_own = getattr(own, "expiry_ms", None) or getattr(data, "expiry_ms", UNSET)
    return bool(getattr(terms, "duration_s", None) or of_its_own)


@given(st.lists(requests(), max_size=15))
def test_the_fold_alters_nothing_that_it_was_given(all_: list[EventData]) -> None:
    replica = Replica()
    for event in _asked(all_):
        document = replica.licenses.get(LICENSE)
        before = None if document is None else read_license(document)
        if before is not None:
            fold(event, replica.offset, 0, Loaded(license=before))
            assert before == read_license(document or b"")
        replica.take(event)


def test_the_clock_of_a_partition_needs_only_what_its_head_holds() -> None:
    clock = PartitionClock().advance(5_000).advance(7_000)
    again = PartitionClock(timestamp_ms=7_000, elapsed_ms=clock.elapsed_ms)
    assert again.advance(9_000) == clock.advance(9_000)
