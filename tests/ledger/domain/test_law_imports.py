"""Laws of imports: a source's line is applied once, for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.events import DenialImported, Event, EventData, Revoked, Suspended
from ledger.domain.license import SOURCES_MAX
from tests.ledger.domain.given import LICENSE, NOW_MS, asked, content_of, imported, issued
from tests.ledger.domain.replica import Replica
from tests.ledger.domain.strategies import requests

YEAR_MS = 365 * 86_400_000


def _lines(datas: list[EventData], source: str = "flexlm:golden") -> list[Event]:
    return [imported(data, 3 * number, source=source) for number, data in enumerate(datas)]


@given(st.lists(requests(), min_size=1, max_size=25), st.integers(0, 25), st.integers(0, 25))
def test_an_import_run_again_changes_nothing(
    datas: list[EventData], interrupted: int, first: int
) -> None:
    """Interrupted anywhere, begun again anywhere before that, and once more a year later."""
    lines = _lines([issued(3), *datas])
    once, again = Replica(), Replica()
    once.take_all(*lines)
    again.take_all(*lines[:interrupted])
    again.take_all(*lines[min(first, interrupted) :])
    again.elapsed_ms += YEAR_MS
    codes = again.take_all(*lines)
    assert set(codes) == {"already-applied"}
    assert _without_offsets(again) == _without_offsets(once)


def _without_offsets(replica: Replica) -> dict[str, object]:
    """Repetitions take offsets of their own, so these may differ and nothing else."""
    license_ = replica.license(LICENSE)
    return {
        name: getattr(license_, name)
        for name in license_.__struct_fields__
        if not name.endswith("_offset")
    }


@given(st.lists(requests(), min_size=1, max_size=20))
def test_repetitions_between_the_lines_change_not_a_byte(datas: list[EventData]) -> None:
    replica = Replica()
    lines = _lines([issued(3), *datas])
    for number, line in enumerate(lines):
        replica.take(line)
        state = replica.state()
        for repeated in lines[: number + 1]:
            result = replica.folded(repeated)
            assert (result.verdict.code, result.changed) == ("already-applied", False)
        assert replica.state() == state


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 9)), max_size=40))
def test_the_sequence_rises_within_a_source(lines: list[tuple[str, int]]) -> None:
    replica = Replica()
    replica.take(asked(issued(1), "issue"))
    highest: dict[str, int] = {}
    applied = 0
    for source, sequence in lines:
        code = replica.take(imported(DenialImported(kind="denied"), sequence, source=source)).code
        rises = sequence > highest.get(source, -1)
        assert code == ("granted" if rises else "already-applied")
        applied += rises
        highest[source] = max(sequence, highest.get(source, -1))
    license_ = replica.license(LICENSE)
    assert {name: heard.sequence for name, heard in license_.sources.items()} == highest
    assert license_.refusals.get("imported-denied", 0) == applied


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30))
def test_a_license_keeps_the_digest_of_the_last_line_applied(sequences: list[int]) -> None:
    replica = Replica()
    replica.take(asked(issued(1), "issue"))
    for sequence in sequences:
        replica.take(imported(DenialImported(kind="denied"), sequence))
    heard = replica.license(LICENSE).sources["flexlm:golden"]
    assert heard.digest == content_of(f"head of flexlm:golden to {max(sequences)}")


def test_a_refused_line_is_applied_all_the_same() -> None:
    """Else a second run, with a seat free by now, would grant what was refused."""
    replica = Replica()
    denial = imported(DenialImported(kind="denied"), 4)
    assert replica.take_all(denial, denial) == ["not-found", "already-applied"]
    replica.take(asked(issued(1), "issue"))
    assert replica.take_all(denial) == ["already-applied"]
    assert replica.license(LICENSE).refusals == {"not-found": 1}


def test_an_imported_line_takes_no_place_in_the_memory_of_commands() -> None:
    replica = Replica()
    replica.take(asked(issued(1), "issue"))
    assert not replica.folded(imported(DenialImported(kind="denied"), 1)).remember
    assert replica.license(LICENSE).commands == 1
    assert len(replica.verdicts) == 1


def test_a_source_too_many_is_ignored_each_time() -> None:
    replica = Replica()
    replica.take(asked(issued(1), "issue"))
    denials = [
        imported(DenialImported(kind="denied"), 1, source=f"source-{number}")
        for number in range(SOURCES_MAX + 1)
    ]
    assert replica.take_all(*denials) == ["granted"] * SOURCES_MAX + ["sources-exceeded"]
    state = replica.state()
    assert replica.take_all(*denials) == [
        *["already-applied"] * SOURCES_MAX,
        "sources-exceeded",
    ]
    assert replica.state() == state
    heard_of = imported(DenialImported(kind="denied"), 2, source="source-0")
    assert replica.take(heard_of).granted


def test_a_source_lives_through_a_revocation() -> None:
    replica = Replica()
    lines = _lines([issued(1), Suspended()])
    replica.take_all(*lines)
    replica.take(asked(Revoked(), "revoke"))
    assert replica.take_all(*lines) == ["already-applied"] * 2
    assert replica.license(LICENSE).status == "revoked"
    assert replica.take(imported(issued(1), 100, time_ms=NOW_MS)).granted
