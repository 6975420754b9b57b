"""Laws of quarantine: whatever was frozen, retried and discarded, it equals a fold from the start.

The fold from the start shares nothing with the projector's (tests/projector/independent.py).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from projector.read_model.keys import Keys, serving
from projector.read_model.memory import MemoryReadModel
from projector.read_model.port import Batch
from projector.rebuild.bulk import BulkFold
from projector.rebuild.rendering import Rendering
from projector.views.digests import digests_document
from projector.views.documents import head_document
from tests.activity import Activity, Record, records
from tests.projector.in_memory import stored_in_memory
from tests.projector.independent import Stored, independent_fold
from tests.projector.quarantined import Said, broken, failing_at, session_on, settled, uncut
from tests.projector.weighing import WEIGHER

NAMES = Keys(0)
SEEDS = st.integers(0, 10_000)
LAWS = settings(max_examples=25, deadline=None)


def _log(random: Random, count: int = 260) -> list[Record]:
    activity = Activity(random.randrange(50), partitions=1, licenses=5, machines=6)
    log = records(activity.appendables(count), seed=random.randrange(50))[0]
    if random.random() < 0.5:
        # Time enough for commands to be forgotten.
        log = [
            Record(offset=one.offset, timestamp=one.offset * 10_000, key=one.key, value=one.value)
            for one in log
        ]
    return log


def _quarantined(model: MemoryReadModel) -> list[int]:
    return sorted(
        {
            offset
            for name, members in model.sorted_sets.items()
            if ":Q:" in name and not name.endswith(":frozen")
            for offset in members.values()
        }
    )


def _held(model: MemoryReadModel) -> Stored:
    return uncut(stored_in_memory(model, 0))


def _from_the_start(log: list[Record], discarded: frozenset[int] = frozenset()) -> Stored:
    return uncut(independent_fold(log, 0, 1, discarded=discarded))


def _in_bulk(log: list[Record], discarded: frozenset[int]) -> Stored:
    folding = BulkFold(0, 1, discarded=discarded)
    folding.take(log)
    rendering = Rendering(folding.held, NAMES, WEIGHER)
    stored: Stored = dict(rendering.strings())
    for key, members in rendering.sorted_sets():
        kept = stored.setdefault(key, {})
        assert isinstance(kept, dict)
        kept |= {
            member.encode() if isinstance(member, str) else member: score
            for member, score in members.items()
        }
    stored[NAMES.digests] = digests_document(rendering.digests(folding.position))
    stored[NAMES.head] = head_document(folding.head)
    stored[serving(0)] = b"1"
    return stored


async def _run(model: MemoryReadModel, log: list[Record], said: Said, piece: int) -> None:
    async with session_on(model, log, said, piece=piece):
        pass


@LAWS
@given(SEEDS)
def test_a_retry_by_mended_software_equals_a_fold_by_it_from_the_start(seed: int) -> None:
    random = Random(seed)
    log = _log(random)
    poison = random.sample(range(len(log)), random.randint(1, 12))
    # Of some the newer software makes nothing either.
    left = [one for one in poison if random.random() < 0.3]
    at, model = random.randrange(len(log)), MemoryReadModel()
    with failing_at(poison):
        asyncio.run(_run(model, log[:at], Said(), random.choice((3, 50, 400))))
    with failing_at(left):
        asyncio.run(_run(model, log, Said(), random.choice((3, 50, 400))))
        assert _held(model) == _from_the_start(log)


@LAWS
@given(SEEDS)
def test_a_discard_of_what_waits_equals_a_fold_without_it_from_the_start(seed: int) -> None:
    random = Random(seed)
    log = _log(random)
    unreadable = random.sample(range(len(log)), random.randint(0, 5))
    log = broken(log, unreadable)
    poison = random.sample(range(len(log)), random.randint(1, 8))
    model, other, said = MemoryReadModel(), MemoryReadModel(), Said()

    async def discarded_later() -> frozenset[int]:
        async with session_on(model, log, said, piece=random.choice((3, 50, 400))) as session:
            for _ in range(random.randint(1, 3)):
                waits = _quarantined(model)
                said.add(random.sample(waits, min(len(waits), random.randint(0, 4))))
                session.look_up()
                await settled(session, len(log))
        return said.of(0)

    with failing_at(poison):
        discarded = asyncio.run(discarded_later())
        expected = _from_the_start(log, discarded)
        assert _held(model) == expected
        # Another replica that knew it before, and a rebuild.
        asyncio.run(_run(other, log, Said(discarded), 30))
        assert _held(other) == expected
        assert _in_bulk(log, discarded) == expected
    # What is discarded stays so, for software that could fold it, too.
    asyncio.run(_run(model, log, Said(discarded), 30))
    assert _held(model) == _from_the_start(log, discarded) == _in_bulk(log, discarded)


@LAWS
@given(SEEDS)
@example(1)
def test_a_retry_that_is_cut_off_goes_on_where_it_was(seed: int) -> None:
    """More waits of one license than one batch takes, and each batch may be the last one."""
    random = Random(seed)
    activity = Activity(random.randrange(9), partitions=1, licenses=1, machines=9)
    log = records(activity.appendables(420), seed=random.randrange(9))[0]
    poison = random.sample(range(1, 400), 2)
    model = MemoryReadModel()
    with failing_at(poison):
        asyncio.run(_run(model, log, Said(), 300))
    apply, left = model.apply, random.randint(0, 3)

    async def until_then(batch: Batch) -> int | None:
        nonlocal left
        if not left:
            raise MemoryError
        left -= 1
        return await apply(batch)

    model.apply = until_then  # type: ignore[method-assign]
    with suppress(MemoryError):
        asyncio.run(_run(model, log, Said(), 300))
    model.apply = apply  # type: ignore[method-assign]
    asyncio.run(_run(model, log, Said(), 300))
    assert _held(model) == _from_the_start(log)
