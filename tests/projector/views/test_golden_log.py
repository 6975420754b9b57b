"""The golden log: folded anew it makes the same bytes. A released rules version never changes."""

from __future__ import annotations

import pytest

from ledger.event_log.port import Record
from projector.read_model.memory import MemoryReadModel
from projector.views.documents import (
    head_document,
    license_document,
    machine_document,
    read_head,
    read_license,
    read_machine,
    read_verdict,
    verdict_document,
)
from tests.ledger.domain.golden_files import FOLDERS, LogView, read_log
from tests.ledger.domain.golden_state import replica_of, state_lines, verdict_lines
from tests.ledger.domain.make_goldens import LOGS, log_lines
from tests.projector.in_memory import stored_in_memory
from tests.projector.independent import independent_fold


@pytest.fixture(params=sorted(FOLDERS), ids="rules-{}".format)
def rules(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def _log(rules: int) -> list[Record]:
    return read_log((FOLDERS[rules] / "log.jsonl").read_text(encoding="utf-8"))


def _golden(rules: int, name: str) -> list[str]:
    """Lines, so that a failure names the first that differs."""
    return (FOLDERS[rules] / name).read_text(encoding="utf-8").splitlines()


async def _replica(rules: int) -> MemoryReadModel:
    return await replica_of(_log(rules))


def test_the_log_is_what_the_script_writes(rules: int) -> None:
    assert log_lines(LOGS[rules]()).splitlines() == _golden(rules, "log.jsonl")


def test_every_verdict_is_the_golden_one(rules: int) -> None:
    assert verdict_lines(_log(rules)).splitlines() == _golden(rules, "verdicts.jsonl")


async def test_all_that_a_replica_holds_is_the_golden_state(rules: int) -> None:
    assert state_lines(await _replica(rules)).splitlines() == _golden(rules, "state.jsonl")


async def test_an_independent_fold_makes_the_golden_state_too(rules: int) -> None:
    expected = independent_fold([LogView(record) for record in _log(rules)], 0, 1)
    assert stored_in_memory(await _replica(rules), 0) == expected


async def test_what_is_stored_reads_back_to_the_same_bytes(rules: int) -> None:
    kinds = {
        "L": (read_license, license_document),
        "M": (read_machine, machine_document),
        "C": (read_verdict, verdict_document),
        "head": (read_head, head_document),
    }
    seen = set()
    for key, document in (await _replica(rules)).strings.items():
        kind = key.split(":")[2] if key.count(":") > 1 else ""
        if kind in kinds:
            seen.add(kind)
            read, write = kinds[kind]
            assert write(read(document)) == document  # type: ignore[operator]  # a pair fits
    assert seen == set(kinds)


async def test_the_golden_state_holds_one_of_each() -> None:
    """Live, suspended or not, revoked, never issued, frozen: none may be missing from it."""
    model = await _replica(1)
    licenses = [read_license(document) for key, document in model.strings.items() if ":L:" in key]
    assert {license_.status for license_ in licenses} == {"none", "live", "revoked"}
    assert any(license_.suspended for license_ in licenses)
    assert any(license_.frozen_at for license_ in licenses)
    assert any(license_.epoch == 2 for license_ in licenses)
    assert {key.split(":")[2] for key in model.sorted_sets} == set("AFIKPQTV")


async def test_the_golden_state_of_rules_2_holds_all_that_they_added() -> None:
    model = await _replica(2)
    licenses = [read_license(document) for key, document in model.strings.items() if ":L:" in key]
    added = [
        "uses",
        "started_ms",
        "endless",
        "last_validated_ms",
        "last_check_in_ms",
        "entitlements",
    ]
    assert [name for name in added if not any(getattr(one, name) for one in licenses)] == []
    machines = [read_machine(document) for key, document in model.strings.items() if ":M:" in key]
    assert any(machine.changed_ms for machine in machines)
