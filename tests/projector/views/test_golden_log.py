"""The golden log: folded anew it makes the same bytes. A released rules version never changes."""

from __future__ import annotations

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
from tests.ledger.domain.golden_files import GOLDEN, LogView, read_log
from tests.ledger.domain.golden_log import golden_log
from tests.ledger.domain.golden_state import replica_of, state_lines, verdict_lines
from tests.ledger.domain.make_goldens import log_lines
from tests.projector.in_memory import stored_in_memory
from tests.projector.independent import independent_fold


def _log() -> list[Record]:
    return read_log((GOLDEN / "log.jsonl").read_text(encoding="utf-8"))


def _golden(name: str) -> list[str]:
    """Lines, so that a failure names the first that differs."""
    return (GOLDEN / name).read_text(encoding="utf-8").splitlines()


async def _replica() -> MemoryReadModel:
    return await replica_of(_log())


def test_the_log_is_what_the_script_writes() -> None:
    assert log_lines(golden_log()).splitlines() == _golden("log.jsonl")


def test_every_verdict_is_the_golden_one() -> None:
    assert verdict_lines(_log()).splitlines() == _golden("verdicts.jsonl")


async def test_all_that_a_replica_holds_is_the_golden_state() -> None:
    assert state_lines(await _replica()).splitlines() == _golden("state.jsonl")


async def test_an_independent_fold_makes_the_golden_state_too() -> None:
    expected = independent_fold([LogView(record) for record in _log()], 0, 1)
    assert stored_in_memory(await _replica(), 0) == expected


async def test_what_is_stored_reads_back_to_the_same_bytes() -> None:
    kinds = {
        "L": (read_license, license_document),
        "M": (read_machine, machine_document),
        "C": (read_verdict, verdict_document),
        "head": (read_head, head_document),
    }
    seen = set()
    for key, document in (await _replica()).strings.items():
        kind = key.split(":")[2] if key.count(":") > 1 else ""
        if kind in kinds:
            seen.add(kind)
            read, write = kinds[kind]
            assert write(read(document)) == document  # type: ignore[operator]  # a pair fits
    assert seen == set(kinds)


async def test_the_golden_state_holds_one_of_each() -> None:
    """Live, suspended or not, revoked, never issued, frozen: none may be missing from it."""
    model = await _replica()
    licenses = [read_license(document) for key, document in model.strings.items() if ":L:" in key]
    assert {license_.status for license_ in licenses} == {"none", "live", "revoked"}
    assert any(license_.suspended for license_ in licenses)
    assert any(license_.frozen_at for license_ in licenses)
    assert any(license_.epoch == 2 for license_ in licenses)
    assert {key.split(":")[2] for key in model.sorted_sets} == {"A", "F", "I", "K", "P", "Q"}
