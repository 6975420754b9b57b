"""The fold in memory: what it renders is byte for byte what the live fold stores."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.domain.events import Event
from ledger.domain.license import MEMORY_MS, Folded, Loaded, fold
from ledger.event_log.codec import UnknownRulesError
from projector.folding import LostRecordError
from projector.read_model.keys import Keys, serving
from projector.reading import LogRecord
from projector.rebuild import bulk
from projector.rebuild.bulk import BulkFold
from projector.rebuild.rendering import Rendering
from projector.views.digests import digests_document, read_digests
from projector.views.documents import head_document
from tests.activity import MIXED, Activity, Record, records
from tests.ledger.domain.golden_files import FOLDERS, LogView, read_log
from tests.projector.independent import Stored, independent_fold
from tests.projector.weighing import WEIGHER

NAMES = Keys(0)


def built(log: Sequence[LogRecord], *, piece: int = 300, careful: bool = False) -> Stored:
    """All that is rendered of a log folded in memory, as a store would hold it."""
    folding = BulkFold(0, 1, careful=careful)
    for at in range(0, len(log), piece):
        folding.take(log[at : at + piece])
    rendering = Rendering(folding.held, NAMES, WEIGHER)
    stored: Stored = dict(rendering.strings())
    for key, members in rendering.sorted_sets():
        kept = stored.setdefault(key, {})
        assert isinstance(kept, dict)
        for member, score in members.items():
            kept[member.encode() if isinstance(member, str) else member] = score
    stored[NAMES.digests] = digests_document(rendering.digests(folding.position))
    stored[NAMES.head] = head_document(folding.head)
    stored[serving(0)] = b"1"
    return stored


def expected(log: Sequence[LogRecord]) -> Stored:
    """What an independent fold stores, but for the cut, which a fold in one piece doesn't pass."""
    stored = independent_fold(log, 0, 1)
    document = stored[NAMES.digests]
    assert isinstance(document, bytes)
    uncut = replace(read_digests(document), cut=None)
    return {**stored, NAMES.digests: digests_document(uncut)}


def _log(seed: int, count: int = 1500, licenses: int = 40) -> list[Record]:
    activity = Activity(seed, partitions=1, licenses=licenses, machines=12)
    return records(activity.appendables(count), seed=seed)[0]


@pytest.mark.parametrize("seed", range(4))
def test_it_renders_the_bytes_of_an_independent_fold(seed: int) -> None:
    log = _log(seed)
    assert built(log) == expected(log)
    assert built(log, careful=True) == expected(log)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.integers(1, 400))
def test_however_it_is_cut(seed: int, piece: int) -> None:
    log = _log(seed, 400, licenses=9)
    assert built(log, piece=piece) == expected(log)


@pytest.mark.parametrize("rules", sorted(FOLDERS))
def test_it_renders_the_golden_state(rules: int) -> None:
    text = (FOLDERS[rules] / "log.jsonl").read_text(encoding="utf-8")
    log = [LogView(record) for record in read_log(text)]
    assert built(log) == expected(log)


def test_commands_are_forgotten_as_the_live_fold_forgets_them() -> None:
    mix = tuple(entry for entry in MIXED if entry[0] not in {"import", "denial", "stranger"})
    events = Activity(5, partitions=1, licenses=1, mix=mix).appendables(MEMORY_MS // 10_000 + 300)
    log = [
        Record(offset=offset, timestamp=offset * 10_000, key=item.key, value=item.value)
        for offset, item in enumerate(events)
    ]
    stored = built(log)
    assert stored == expected(log)
    kept = [name for name in stored if name.startswith(f"{NAMES.prefix}C:")]
    assert 64 < len(kept) < len(log) - 100


def test_what_cannot_be_folded_freezes_its_license(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _log(3)
    random = Random(1)
    poison = random.sample([one.offset for one in log if one.offset > 50], 3)

    def failing(event: Event, offset: int, elapsed_ms: int, loaded: Loaded) -> Folded:
        if offset in poison:
            msg = "planted"
            raise RuntimeError(msg)
        return fold(event, offset, elapsed_ms, loaded)

    monkeypatch.setattr(bulk, "fold", failing)
    monkeypatch.setattr("tests.projector.independent.fold", failing)
    stored = built(log)
    assert stored == expected(log)
    frozen = stored[NAMES.set_aside("frozen")]
    assert isinstance(frozen, dict)
    assert frozen


def test_a_document_that_cannot_be_rendered_is_told_from_a_fold_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = _log(3, 200)

    def refusing(folded: Folded) -> None:
        if folded.license.refusals:
            msg = "planted"
            raise RuntimeError(msg)

    monkeypatch.setattr(bulk, "render_once", refusing)
    folding = BulkFold(0, 1, careful=True)
    folding.take(log)
    frozen = [one for one in folding.held.licenses.values() if one.frozen_at is not None]
    assert frozen
    assert not any(one.refusals for one in frozen)


def test_a_gap_is_a_lost_record() -> None:
    log = _log(1, 100)
    with pytest.raises(LostRecordError):
        BulkFold(0, 1).take([*log[:5], *log[6:]])


def test_rules_unknown_here_are_not_guessed() -> None:
    log = _log(1, 50)
    event = next(one for one in log if one.value and b'"rules":1' in one.value)
    later = Record(
        offset=event.offset,
        timestamp=event.timestamp,
        key=event.key,
        value=(event.value or b"").replace(b'"rules":1', b'"rules":9'),
    )
    with pytest.raises(UnknownRulesError):
        BulkFold(0, 1).take([*log[: event.offset], later])
