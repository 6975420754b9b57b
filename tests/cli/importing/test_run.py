"""An import applies each line once, in order, whatever kills it and however often it is run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.importing.run import FeatureResult
from cli.importing.scan import ImportRefusedError, lines_to_send, scan
from ledger.domain.clocks import rfc3339
from ledger.event_log.port import Topic
from ledger.sources.activity import Tally
from tests.cli.importing.memory import CSV, NOW_MS, SETTINGS, KilledError, Ledger, write_csv

START_MS = 1_650_000_000_000
FEATURES = ("MATLAB", "SIMULINK", "Ünï, \x7f")


@st.composite
def activity(draw: st.DrawFn) -> list[str]:
    """Rows of checkouts, returns and denials by few users of few features."""
    step = st.tuples(
        st.sampled_from(FEATURES[:2]),
        st.sampled_from(("checkout", "checkout", "return", "denied")),
        st.integers(1, 3),
        st.integers(1, 2),
    )
    steps = draw(st.lists(step, min_size=1, max_size=40))
    return [row(number, *one) for number, one in enumerate(steps)]


def row(number: int, feature: str, action: str, user: int, seats: int = 1) -> str:
    at = rfc3339(START_MS + number * 1000)
    return f"{at},{feature},{action},user-{user},host-1,{seats}"


def counted(path: Path, seats: dict[str, int]) -> dict[str, tuple[int, int, int, int, int]]:
    """What an independent count of the lines gives, with as many seats."""
    tally = Tally(seats)
    for line in lines_to_send(scan(path, CSV, SETTINGS.pepper), SETTINGS.pepper):
        tally.count(line.move)
    return {
        name: (one.checkouts, one.refused, one.denied, one.peak, one.left)
        for name, one in tally.features.items()
    }


def told(results: dict[str, FeatureResult]) -> dict[str, tuple[int, int, int, int, int]]:
    return {
        name: (one.checkouts, one.refused, one.denied, one.peak, one.left)
        for name, one in results.items()
    }


@settings(max_examples=60, deadline=None)
@given(rows=activity(), kills=st.lists(st.integers(0, 50), max_size=4), limited=st.booleans())
async def test_killed_anywhere_and_run_again_it_ends_as_if_nothing_had_been(
    rows: list[str],
    kills: list[int],
    limited: bool,  # noqa: FBT001 - drawn
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "activity.csv"
        found = write_csv(path, rows)
        seats = dict.fromkeys(found.features, 2) if limited else {}
        ledger = Ledger()
        for appends in kills:
            ledger.log.kill_after = appends
            try:
                await ledger.take(path, seats)
            except* KilledError:
                pass
        ledger.log.kill_after = None
        results = await ledger.take(path, seats)
        expected = counted(path, seats)
        assert told(results) == {name: expected[name] for name in results}
        # A feature that was never checked out needs no license: nothing else is left out.
        assert {name for name, one in expected.items() if one[0] or one[1]} <= set(results)
        size = await ledger.size()
        assert told(await ledger.take(path, seats)) == told(results)
        assert await ledger.size() == size


@settings(max_examples=40, deadline=None)
@given(rows=activity(), data=st.data())
async def test_half_a_log_and_then_the_whole_is_the_whole(
    rows: list[str], data: st.DataObject
) -> None:
    half = data.draw(st.integers(1, len(rows)))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "activity.csv"
        at_once, in_two = Ledger(), Ledger()
        write_csv(path, rows[:half])
        await in_two.take(path)
        write_csv(path, rows)
        grown = await in_two.take(path)
        expected = counted(path, {})
        assert told(grown) == told(await at_once.take(path))
        assert told(grown) == {name: expected[name] for name in grown}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "activity.csv"


async def test_a_feature_becomes_a_license_with_its_observed_peak(path: Path) -> None:
    ledger = Ledger()
    write_csv(
        path, [row(1, "A", "checkout", 1), row(2, "A", "checkout", 1), row(3, "A", "return", 1)]
    )
    result = (await ledger.take(path))["A"]
    assert (result.seats, result.checkouts, result.peak, result.left) == (2, 2, 2, 1)
    entries = (await ledger.history(result.license)).entries
    events = [entry.event for entry in entries if entry.event is not None]
    assert [event.sequence for event in events] == [0, 2, 3, 4]
    assert {event.time_ms for event in events} == {NOW_MS}
    assert [event.occurred_at_ms for event in events][1:] == [
        START_MS + n * 1000 for n in (1, 2, 3)
    ]
    assert [event.source_digest is None for event in events] == [True, False, False, False]
    assert [entry.verdict and entry.verdict.code for entry in entries] == ["granted"] * 4


async def test_denials_count_and_take_nothing(path: Path) -> None:
    write_csv(path, [row(1, "A", "denied", 1), row(2, "A", "checkout", 1)])
    result = (await Ledger().take(path))["A"]
    assert (result.denied, result.refused, result.checkouts, result.peak) == (1, 0, 1, 1)


async def test_seats_of_a_grown_log_grow_with_its_peak(path: Path) -> None:
    ledger = Ledger()
    rows = [row(1, "A", "checkout", 1)]
    write_csv(path, rows)
    assert (await ledger.take(path))["A"].seats == 1
    write_csv(path, [*rows, row(2, "A", "checkout", 2)])
    result = (await ledger.take(path))["A"]
    assert (result.seats, result.refused, result.peak) == (2, 0, 2)


async def test_changed_earlier_lines_are_refused_by_name_and_nothing_is_sent(path: Path) -> None:
    ledger = Ledger()
    rows = [row(number, "A", "checkout", number) for number in range(1, 5)]
    write_csv(path, rows)
    await ledger.take(path)
    size = await ledger.size()
    write_csv(
        path, [rows[0], rows[1].replace("user-2", "user-9"), *rows[2:], row(9, "A", "checkout", 9)]
    )
    with pytest.raises(ImportRefusedError) as error:
        await ledger.take(path)
    assert str(path) in str(error.value)
    assert "user-9" not in str(error.value)
    assert await ledger.size() == size


async def test_a_shorter_copy_of_the_same_log_changes_nothing(path: Path) -> None:
    ledger = Ledger()
    rows = [row(number, "A", "checkout", number) for number in range(1, 5)]
    write_csv(path, rows)
    before = await ledger.take(path)
    size = await ledger.size()
    write_csv(path, rows[:2])
    after = await ledger.take(path)
    assert await ledger.size() == size
    assert after["A"].left == before["A"].left


async def test_another_log_is_another_license(path: Path) -> None:
    ledger = Ledger()
    write_csv(path, [row(1, "A", "checkout", 1)])
    first = (await ledger.take(path))["A"]
    write_csv(path, [row(7, "A", "checkout", 1)])
    assert (await ledger.take(path))["A"].license != first.license


async def test_an_unknown_feature_is_refused(path: Path) -> None:
    write_csv(path, [row(1, "A", "checkout", 1)])
    with pytest.raises(ImportRefusedError, match="NONE"):
        await Ledger().take(path, {"NONE": 3})


async def test_without_clocks_to_compare_nothing_is_written(path: Path) -> None:
    ledger = Ledger()
    write_csv(path, [row(1, "A", "checkout", 1)])
    for clocks in ([], [NOW_MS + 61_000]):
        ledger.replicas.clocks_ms = clocks
        with pytest.raises(ImportRefusedError, match="clock"):
            await ledger.take(path)
    assert await ledger.size() == 0


async def test_appends_of_unknown_outcome_lose_no_line_and_count_none_twice(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.importing.pipeline.PAUSE_S", 0.001)
    ledger = Ledger()
    write_csv(path, [row(number, "A", "checkout", number) for number in range(60)])
    ledger.log.lose_acknowledgements = 7
    result = (await ledger.take(path))["A"]
    assert (result.checkouts, result.left) == (60, 60)


async def test_a_feature_that_was_only_denied_gets_a_license_where_its_seats_are_named(
    path: Path,
) -> None:
    write_csv(path, [row(1, "A", "checkout", 1), row(2, "B", "denied", 1)])
    assert set(await Ledger().take(path)) == {"A"}
    result = (await Ledger().take(path, {"B": 5}))["B"]
    assert (result.seats, result.denied, result.checkouts) == (5, 1, 0)


async def test_nothing_personal_is_in_the_log(path: Path) -> None:
    ledger = Ledger()
    write_csv(path, [row(1, "A", "checkout", 1), row(2, "A", "return", 1)])
    await ledger.take(path)
    for topic in Topic:
        for partition in await ledger.log.ends(topic):
            async for records in ledger.log.read(topic, partition, start=0):
                for record in records:
                    assert b"user-1" not in (record.value or b"")
                    assert b"host-1" not in (record.value or b"")
