"""What people and programs see of a look at what fills up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cli import output
from cli.filling.looking import Capacity
from ledger.event_log.port import Topic
from projector.capacity.forecast import (
    DAY_S,
    SPAN_MIN_S,
    Pace,
    Store,
    first_to_fill,
    is_alarming,
    outlook,
)
from projector.capacity.looking import Came
from projector.capacity.wording import days, size, when

RUNBOOK: Final = "docs/operations/capacity.md"


def print_capacity(found: Capacity, warn_days: float) -> None:
    """Print the topics, what they and all else are stored in, and what is full first."""
    spans = _spans(found)
    output.print_table(
        ("topic", "records", "bytes", *(f"a day, over {_span(came)}" for came in spans)),
        [_topic_row(found, topic, spans) for topic in found.past.ends],
        whole=("topic",),
    )
    if not spans:
        output.remark("The log is younger than an hour: how fast it grows can't be told yet.")
    print()
    output.print_table(
        ("store", "in use", "a day", "left", "full"),
        [_store_row(store) for store in found.stores],
        whole=("store",),
        styles=["bold red" if is_alarming(each, warn_days) else "" for each in found.stores],
    )
    print()
    print(first(found.stores))
    alarming = [store.name for store in found.stores if is_alarming(store, warn_days)]
    if alarming:
        output.remark(f"{', '.join(alarming)}: {RUNBOOK} says what to do.")


def document(found: Capacity, warn_days: float) -> dict[str, Any]:
    """Return the same for programs; bytes, days and seconds, not rounded."""
    full = first_to_fill(found.stores)
    return {
        "warnDays": warn_days,
        "topics": [_topic(found, topic) for topic in found.past.ends],
        "stores": [_store(store, warn_days) for store in found.stores],
        "first": None if full is None else full.name,
    }


def _topic_row(found: Capacity, topic: Topic, spans: Sequence[Came]) -> list[str]:
    records, stored = sum(found.past.ends[topic].values()), found.sizes.get(topic, 0)
    cells = [str(topic), f"{records:,}", size(stored)]
    for came in spans:
        each = sum(came.records[topic].values()) * DAY_S / came.span_s
        cells.append(f"{each:,.0f} ({size(stored * each / records if records else 0.0)})")
    return cells


def _topic(found: Capacity, topic: Topic) -> dict[str, Any]:
    records, stored = sum(found.past.ends[topic].values()), found.sizes.get(topic, 0)
    growth = []
    for came in _spans(found):
        each = sum(came.records[topic].values()) * DAY_S / came.span_s
        bytes_a_day = stored * each / records if records else 0.0
        growth.append({"spanS": came.span_s, "recordsADay": each, "bytesADay": bytes_a_day})
    return {"topic": topic, "records": records, "bytes": stored, "growth": growth}


def _store_row(store: Store) -> list[str]:
    room = "?" if store.room is None else size(store.room)
    if store.room is not None and store.size is not None:
        room += f" of {size(store.size)}"
    return [
        store.name,
        "?" if store.used is None else size(store.used),
        _growth(_paces(store)),
        room,
        when(outlook(store)),
    ]


def _growth(paces: Sequence[Pace]) -> str:
    if not paces:
        return "?"
    least, most = (size(each(pace.bytes_a_day for pace in paces)) for each in (min, max))
    return least if least == most else f"{least} to {most}"


def _store(store: Store, warn_days: float) -> dict[str, Any]:
    found = outlook(store)
    return {
        "store": store.name,
        "used": store.used,
        "size": store.size,
        "room": store.room,
        "growth": [{"spanS": each.span_s, "bytesADay": each.bytes_a_day} for each in _paces(store)],
        "earliestDays": found.earliest,
        "latestDays": found.latest,
        "notWithinDays": found.not_within,
        "unknown": found.unknown or None,
        "alarming": is_alarming(store, warn_days),
    }


def first(stores: Sequence[Store]) -> str:
    """Say in a sentence which is full first."""
    found = first_to_fill(stores)
    if found is not None:
        return f"First: {found.name}, {when(outlook(found))}."
    unknown = [store.name for store in stores if outlook(store).unknown]
    if not unknown:
        return "Nothing is in sight of being full."
    if len(unknown) == len(stores):
        return "When anything is full can't be told yet."
    return f"When it is full isn't known of {', '.join(unknown)}; nothing else is in sight."


def _spans(found: Capacity) -> list[Came]:
    """Those that are long enough to say something."""
    return [came for came in found.past.came if came.span_s >= SPAN_MIN_S]


def _paces(store: Store) -> list[Pace]:
    return [pace for pace in store.paces if pace.span_s >= SPAN_MIN_S]


def _span(came: Came) -> str:
    return days(came.span_s / DAY_S)
