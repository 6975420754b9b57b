"""A log beside what was known of it: what was done to it, and where, is named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.checkpoints.comparing import (
    Finding,
    Kind,
    Known,
    compare,
    compare_replica,
    foreign,
)
from ledger.checkpoints.document import Checkpoint, Mark, decode
from ledger.checkpoints.walk import BEGINNING, Walk
from ledger.event_log import genesis
from ledger.event_log.genesis import Genesis
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import Topic
from tests.ledger.domain.given import LEDGER, NOW_MS, PEPPER
from tests.ledger.domain.golden_checkpoint import GOLDEN_CHECKPOINT

EVENTS = Topic.LICENSE_EVENTS
OTHER = "22222222-2222-4333-8444-555555555555"
FIRST = Genesis(ledger=LEDGER, partition=0, partitions=1, pepper_check=PEPPER.check_value)
Line = tuple[int, bytes, bytes]
"""Timestamp, key and value of a record."""


def lines(count: int, ledger: str = LEDGER) -> list[Line]:
    """A genesis and so many records after it, less one."""
    first = genesis.encode(replace(FIRST, ledger=ledger))
    rest = [(NOW_MS + at, b"key", b"value %d" % at) for at in range(1, count)]
    return [(NOW_MS, genesis.RECORD_KEY, first), *rest][:count]


async def log_of(records: Sequence[Line]) -> MemoryLog:
    times = iter([one[0] for one in records])
    log = MemoryLog(1, clock=lambda: next(times))
    for _, key, value in records:
        await log.append(EVENTS, 0, key=key, value=value)
    return log


def walked(
    records: Sequence[Line],
    stops: Sequence[int] = (),
    start: Mark = BEGINNING,
    end: int | None = None,
) -> Walk:
    """A walk to the end of a log of these records."""
    walk = Walk(EVENTS, 0, end=len(records) if end is None else end, stops=stops, start=start)

    async def go() -> None:
        await walk.go_on(await log_of(records), lambda _: None)

    asyncio.run(go())
    return walk


def known_at(records: Sequence[Line], *positions: int) -> list[Known]:
    """What checkpoints at these positions of the log know of it."""
    found = walked(records, positions).found
    return [Known(witness=f"at-{one}", mark=found[one]) for one in positions]


def found_in(records: Sequence[Line], known: Sequence[Known]) -> list[Finding]:
    stops = [one.mark.position for one in known if one.mark.position <= len(records)]
    return compare(walked(records, stops), len(records), known, LEDGER)


def edited(records: Sequence[Line], at: int) -> list[Line]:
    changed = list(records)
    changed[at] = (*changed[at][:2], changed[at][2] + b"!")
    return changed


def test_what_is_as_it_was_and_what_has_grown_are_fine() -> None:
    known = known_at(lines(9), 0, 1, 5, 9)
    assert found_in(lines(9), known) == []
    assert found_in(lines(20), known) == []


@given(
    count=st.integers(2, 1200),
    positions=st.lists(st.integers(1, 1200), min_size=1, max_size=4),
    at=st.integers(1, 1199),
)
@settings(max_examples=60)
def test_an_edit_is_found_between_the_checkpoints_around_it(
    count: int, positions: list[int], at: int
) -> None:
    positions = sorted({min(one, count) for one in positions})
    at = min(at, count - 1)
    found = found_in(edited(lines(count), at), known_at(lines(count), *positions))
    later = [one for one in positions if one > at]
    if not later:
        assert found == []
        return
    [finding] = found
    assert finding.kind is Kind.DIFFERS
    assert finding.witnesses == tuple(f"at-{one}" for one in later)
    assert finding.equal_to is not None
    assert finding.position is not None
    assert finding.equal_to <= at < finding.position
    assert finding.position == later[0]
    assert finding.equal_to == max((one for one in positions if one <= at), default=0)


@given(count=st.integers(2, 40), left=st.integers(0, 39), lower=st.integers(1, 39))
@settings(max_examples=60)
def test_a_shorter_log_is_told_with_its_end(count: int, left: int, lower: int) -> None:
    left, lower = min(left, count - 1), min(lower, count)
    found = found_in(lines(count)[:left], known_at(lines(count), lower, count))
    [finding] = found
    assert finding.kind is Kind.TRUNCATED
    assert (finding.end, finding.position) == (left, count)
    assert finding.equal_to == (lower if lower <= left else 0)
    assert f"ends at {left}, at-{count} knows {count}" in finding.said


def test_two_checkpoints_narrow_an_edit_down() -> None:
    known = known_at(lines(300), 120, 250)
    [finding] = found_in(edited(lines(300), 130), known)
    assert finding.said == (
        "edited or replaced: partition 0 of license-events differs from at-250 from offset 120 to "
        "249"
    )
    [finding] = found_in(edited(lines(300), 130), known[1:])
    assert finding.said.endswith("differs from at-250 at or before offset 249")


def test_a_log_that_was_shortened_and_filled_up_again_is_told_as_both() -> None:
    known = known_at(lines(30), 10, 20, 30)
    found = found_in(edited(lines(25), 15), known)
    assert [one.kind for one in found] == [Kind.DIFFERS, Kind.TRUNCATED]
    assert (found[0].equal_to, found[0].position) == (10, 20)


def test_other_times_alone_are_another_log() -> None:
    again = [(time_ms + 5_000, key, value) for time_ms, key, value in lines(8)]
    [finding] = found_in(again, known_at(lines(8), 8))
    assert finding.kind is Kind.DIFFERS
    assert "another record stands at 7" in finding.said


def test_a_partition_of_another_ledger_is_told() -> None:
    known = known_at(lines(8), 8)
    found = found_in(lines(8, ledger=OTHER), known)
    assert [one.kind for one in found] == [Kind.OF_ANOTHER_LEDGER, Kind.DIFFERS]
    assert OTHER in found[0].said
    naked = lines(8)[1:]
    assert Kind.OF_ANOTHER_LEDGER in [one.kind for one in found_in(naked, known)]


def test_a_walk_that_begins_later_finds_the_same_chain() -> None:
    [at_5, at_9] = known_at(lines(9), 5, 9)
    later = walked(lines(9), start=at_5.mark)
    assert later.found[9] == at_9.mark
    assert (later.ledger, later.is_other_at_start) == (None, False)
    assert compare(later, 9, [at_5, at_9], LEDGER) == []


@pytest.mark.parametrize("position", [1, 5, 9])
def test_a_walk_that_begins_behind_another_record_says_so(position: int) -> None:
    [known] = known_at(lines(9), position)
    again = [(time_ms + 1, key, value) for time_ms, key, value in lines(9)]
    walk = walked(again, start=known.mark)
    [finding] = compare(walk, 9, [known], LEDGER)
    assert (finding.kind, finding.position) == (Kind.DIFFERS, position)


def test_a_walk_that_begins_behind_the_end_reads_nothing() -> None:
    [known] = known_at(lines(9), 9)
    walk = walked(lines(4), start=known.mark)
    [finding] = compare(walk, 4, [known], LEDGER)
    assert (finding.kind, finding.end, finding.position) == (Kind.TRUNCATED, 4, 9)


def test_records_that_go_while_they_are_read_are_lost() -> None:
    [known] = known_at(lines(9), 9)
    walk = walked(lines(4), [9], end=9)
    assert walk.left == 0
    found = compare(walk, 9, [known], LEDGER)
    assert [(one.kind, one.witnesses) for one in found] == [(Kind.LOST, ("at-9",))]


def test_a_replica_is_compared_at_its_own_position() -> None:
    [known] = known_at(lines(9), 5)
    assert compare_replica(walked(lines(9), [5]), 9, known) is None
    other = compare_replica(walked(edited(lines(9), 2), [5]), 9, known)
    assert other is not None
    assert other.kind is Kind.REPLICA_DIFFERS
    assert "has folded another log" in other.said
    ahead = compare_replica(walked(lines(3)), 3, known)
    assert ahead is not None
    assert ahead.kind is Kind.REPLICA_AHEAD


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: replace(one, ledger=OTHER), "another ledger's checkpoint"),
        (lambda one: replace(one, partitions=2), "2 partitions"),
        (lambda one: replace(one, pepper_check="0" * 32), "another pepper"),
    ],
)
def test_a_checkpoint_of_another_ledger_is_foreign(
    change: Callable[[Checkpoint], Checkpoint], said: str
) -> None:
    good = decode(GOLDEN_CHECKPOINT.read_bytes()).checkpoint
    assert foreign(good, FIRST) is None
    why = foreign(change(good), FIRST)
    assert why is not None
    assert said in why
