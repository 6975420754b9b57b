"""Laws of a rehearsal, in memory: what is unchanged says 0; what changed is named, and no more."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.domain.events import Event
from ledger.domain.license import Folded, Loaded, fold
from projector.read_model.keys import Keys
from projector.reading import LogRecord
from projector.rebuild import bulk
from projector.rebuild.bulk import BulkFold
from projector.rebuild.rendering import Rendering
from projector.rehearsal import comparing
from projector.rehearsal.changes import Compared
from projector.rehearsal.comparing import Comparing, ReplicaMovedError
from projector.rehearsal.supposing import Supposing
from projector.views.digests import digests_document
from projector.views.documents import head_document
from tests.activity import Activity, Record, records
from tests.projector.weighing import WEIGHER

NAMES = Keys(0)


class Memory:
    """A log, and what another release has folded of it, which goes on by `step` at each look."""

    def __init__(
        self, log: Sequence[LogRecord], position: int | None = None, step: int = 0
    ) -> None:
        self.log = log
        self.position = len(log) if position is None else position
        self.step = step
        self.planted: dict[str, bytes] = {}
        self.discarded: frozenset[int] = frozenset()
        self._fold: BulkFold | None = None

    @property
    def stored(self) -> dict[str, bytes]:
        """All documents that are stored now."""
        if self._fold is None or self.position < self._fold.position:
            self._fold = BulkFold(0, 1, discarded=self.discarded)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(bulk, "fold", fold)
            self._fold.take(self.log[self._fold.position : self.position])
        rendering = Rendering(self._fold.held, NAMES, WEIGHER)
        stored = dict(rendering.strings())
        for _ in rendering.sorted_sets():
            pass
        if self.position:
            stored[NAMES.digests] = digests_document(rendering.digests(self.position))
            stored[NAMES.head] = head_document(self._fold.head)
            stored[NAMES.serving] = b"1"
        return {**stored, **self.planted}

    async def get(self, names: Sequence[str]) -> list[bytes | None]:
        stored = self.stored
        values = [stored.get(name) for name in names]
        if self.step:
            self.position = min(len(self.log), self.position + self.step)
        return values

    async def scanned(self, match: str) -> AsyncGenerator[list[bytes], None]:
        yield [name.encode() for name in self.stored if fnmatchcase(name, match)]

    async def messages(
        self, partition: int, *, start: int, stop: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        assert partition == 0
        yield self.log[start:stop]


def a_log(seed: int, count: int = 300, licenses: int = 9) -> list[Record]:
    activity = Activity(seed, partitions=1, licenses=licenses, machines=5)
    return records(activity.appendables(count), seed=seed)[0]


def rehearsed(memory: Memory) -> Compared:
    return asyncio.run(Comparing(memory, memory, WEIGHER, partitions=1).compare(0))


def changed(compared: Compared) -> set[str]:
    return {change.license for change in compared.changes}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "PIECE", 37)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), start=st.integers(1, 300), step=st.integers(0, 9))
def test_an_unchanged_release_changes_nothing_whatever_comes_meanwhile(
    seed: int, start: int, step: int
) -> None:
    memory = Memory(a_log(seed), start, step)
    compared = rehearsed(memory)
    assert (list(compared.changes), compared.apart) == ([], False)
    # Its first look was for the generation that serves.
    position = min(start + step, len(memory.log))
    kinds = [name.split(":")[2] for name in Memory(memory.log, position).stored if ":1:" in name]
    assert compared.position == position
    assert (compared.verdicts, compared.licenses, compared.machines) == tuple(
        kinds.count(kind) for kind in "CLM"
    )


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 99),
    which=st.integers(0, 8),
    step=st.integers(0, 3),
    plant=st.sampled_from(["license", "verdict", "machine", "frozen"]),
)
def test_a_change_of_the_fold_in_one_license_is_named_and_no_other(
    seed: int, which: int, step: int, plant: str
) -> None:
    log = a_log(seed)
    victim = sorted({(one.key or b"").decode() for one in log if one.key != b"genesis"})[which]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bulk, "fold", otherwise(victim, plant))
        compared = rehearsed(Memory(log, 280, step))
    if plant == "machine" and not compared.changes:
        # It has activated none by then.
        stored = Memory(log, compared.position).stored
        machines = [value for name, value in stored.items() if ":M:" in name]
        assert victim.encode() not in b"".join(machines)
        return
    assert changed(compared) == {victim}
    assert not compared.apart
    kinds = {change.kind for change in compared.changes}
    assert {"frozen": "license"}.get(plant, plant) in kinds


def otherwise(victim: str, plant: str) -> Callable[[Event, int, int, Loaded], Folded]:
    """A fold that does something else with one license."""

    def planted(event: Event, offset: int, elapsed_ms: int, loaded: Loaded) -> Folded:
        folded = fold(event, offset, elapsed_ms, loaded)
        if event.license != victim or not folded.changed:
            return folded
        if plant == "frozen":
            msg = "planted"
            raise RuntimeError(msg)
        if plant == "license":
            return replace(folded, license=replace(folded.license, uses=7))
        if plant == "verdict":
            return replace(folded, verdict=replace(folded.verdict, seats_held=99), remember=True)
        if folded.machine is not None:
            return replace(folded, machine=replace(folded.machine, platform="planted"))
        return folded

    return planted


def test_a_change_says_both_forms() -> None:
    log = a_log(3)
    victim = (log[1].key or b"").decode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bulk, "fold", otherwise(victim, "license"))
        [change] = rehearsed(Memory(log)).changes
    assert change.before is not None
    assert change.after is not None
    before, after = json.loads(change.before), json.loads(change.after)
    assert after == {**before, "uses": 7}
    assert (change.kind, change.id, change.time_ms) == ("license", victim, None)


def test_what_only_the_replica_holds_is_named() -> None:
    memory = Memory(a_log(1))
    first = next(name for name in memory.stored if ":L:" in name).split(":")[3]
    stranger = f"{first[:-1]}{'0' if first[-1] != '0' else '1'}"
    document = memory.stored[NAMES.license(first)]
    memory.planted = {NAMES.license(stranger): document, NAMES.digests: b"{}"}
    compared = rehearsed(memory)
    assert [(one.license, one.after) for one in compared.changes] == [(stranger, None)]


def test_digests_alone_are_told_too() -> None:
    memory = Memory(a_log(1))
    document = memory.stored[NAMES.digests]
    other = re.sub(rb'"state":"..', b'"state":"zz', document).replace(b"zz", b"00")
    memory.planted = {NAMES.digests: other}
    compared = rehearsed(memory)
    assert (list(compared.changes), compared.apart) == ([], other != document)


def test_an_older_release_that_kept_no_digests_is_compared_all_the_same() -> None:
    memory = Memory(a_log(2))
    memory.planted = {NAMES.digests: b'{"position":7}'}
    compared = rehearsed(memory)
    assert (list(compared.changes), compared.apart) == ([], False)


def test_a_replica_that_goes_back_or_is_ahead_of_the_log_is_not_compared() -> None:
    log = a_log(1)
    ahead = Memory(log)
    ahead.stored  # noqa: B018 - it has folded what the log has lost since
    ahead.log = log[:200]
    with pytest.raises(ReplicaMovedError, match="log ends at 200"):
        rehearsed(ahead)
    with pytest.raises(ReplicaMovedError, match="went back"):
        rehearsed(Memory(log, 300, -1))
    with pytest.raises(ReplicaMovedError, match="isn't served"):
        rehearsed(Memory([], 0))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), piece=st.integers(1, 120))
def test_rules_that_say_nothing_else_of_a_log_change_nothing(seed: int, piece: int) -> None:
    log = a_log(seed)
    compared = supposed(log, piece)
    assert list(compared.changes) == []
    assert compared.position == len(log)
    # Repeated commands have a verdict, too: the first one again.
    assert compared.verdicts == len(log) - 1


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 99),
    at=st.integers(20, 280),
    piece=st.integers(1, 120),
    later=st.sampled_from(["term", "type"]),
)
def test_a_record_that_only_later_rules_can_read_is_named_with_all_that_waited_behind_it(
    seed: int, at: int, piece: int, later: str
) -> None:
    log = a_log(seed)
    record = log[at]
    value = json.loads(record.value or b"{}")
    if later == "type":
        value |= {"type": "license.checked-in", "data": {}, "rules": 1}
    else:
        terms = {"maxmachines": 3, "max_machines": 3, "max_uses": 5}
        terms.pop("maxmachines")
        value |= {
            "type": "license.terms-changed",
            "data": {"terms": terms},
            "rules": 1,
            "policyversion": 5,
        }
    value |= {"id": "00000000-0000-4000-8000-000000000001"}
    value.pop("sequence", None), value.pop("sourcedigest", None)
    log[at] = Record(
        offset=at,
        timestamp=record.timestamp,
        key=record.key,
        value=json.dumps(value).encode(),
    )
    compared = supposed(log, piece)
    victim = (record.key or b"").decode()
    assert changed(compared) == {victim}
    verdicts = [one for one in compared.changes if one.kind == "verdict"]
    assert verdicts[0].id == value["id"]
    # As recorded it has none: the license was frozen by it.
    assert all(one.before is None and one.after is not None for one in verdicts)
    behind = [one for one in log[at:] if one.key == record.key]
    assert len(verdicts) == len(behind)
    states = [one for one in compared.changes if one.kind == "license"]
    assert [json.loads(one.before or b"{}").get("frozen_at") for one in states] == [at]
    assert compared.verdicts == len(log) - 1


def supposed(log: Sequence[LogRecord], piece: int, rules: int = 2) -> Compared:
    supposing = Supposing(0, 1, rules)
    for at in range(0, len(log), piece):
        supposing.take(log[at : at + piece])
    return supposing.compared()
