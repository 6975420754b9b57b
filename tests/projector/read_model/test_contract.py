"""One contract for every read model: in memory, in a file, and in a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from ledger.domain.events import RULES_VERSION
from projector.read_model import keys
from projector.read_model.keys import Keys
from projector.read_model.lmdb import LmdbReadModel
from projector.read_model.memory import MemoryReadModel
from projector.read_model.port import LevelMark, ReadModel, ReadModelCorruptError, Standing
from projector.read_model.redis import RedisReadModel
from projector.slot import SlotLock, announced_rules, holder_key
from projector.views.documents import Head, head_document
from tests.projector.read_model.samples import (
    COMMAND,
    INDEX,
    LICENSE,
    MACHINE,
    MEMORY,
    NAMES,
    batch,
    head_of,
    members,
    positions,
)
from tests.servers import RedisServer


@pytest.fixture(params=["memory", "lmdb", "redis"])
async def model(
    request: pytest.FixtureRequest, new_redis: Callable[[], RedisServer], tmp_path: Path
) -> AsyncIterator[ReadModel]:
    made: ReadModel
    if request.param == "memory":
        made = MemoryReadModel()
    elif request.param == "lmdb":
        made = LmdbReadModel(tmp_path / "copy")
    else:
        made = RedisReadModel(new_redis().url)
    yield made
    await made.close()


async def test_a_batch_is_written_whole(model: ReadModel) -> None:
    written = batch(
        strings={LICENSE: b"license", MACHINE: b"\x00\xff", COMMAND: None},
        sorted_sets={INDEX: {"b": 2, "a": 3, b"\xffc": 1}, MEMORY: {"gone": None}},
    )
    assert await model.apply(written) is None
    assert await model.get([LICENSE, MACHINE, COMMAND]) == [b"license", b"\x00\xff", None]
    assert await members(model, INDEX) == [(b"\xffc", 1), (b"b", 2), (b"a", 3)]
    assert await head_of(model) == written.head
    assert await model.get([NAMES.head]) == [head_document(written.head)]


async def test_the_next_batch_changes_and_deletes(model: ReadModel) -> None:
    await model.apply(
        batch(strings={LICENSE: b"1", MACHINE: b"1"}, sorted_sets={INDEX: {"a": 1, "b": 2}})
    )
    changed = batch(
        5,
        9,
        strings={LICENSE: b"2", MACHINE: None},
        sorted_sets={INDEX: {"a": None, "b": 7, "never": None}},
    )
    assert await model.apply(changed) is None
    assert await model.get([LICENSE, MACHINE]) == [b"2", None]
    assert await members(model, INDEX) == [(b"b", 7)]
    assert (await head_of(model)).position == 9


@pytest.mark.parametrize("start", [0, 4, 6, 500])
async def test_at_another_position_nothing_is_written(model: ReadModel, start: int) -> None:
    await model.apply(batch(strings={LICENSE: b"1"}, sorted_sets={INDEX: {"a": 1}}))
    late = batch(
        start,
        start + 2,
        strings={LICENSE: b"late", MACHINE: b"late"},
        sorted_sets={INDEX: {"b": 1}},
    )
    assert await model.apply(late) == 5
    assert await model.get([LICENSE, MACHINE]) == [b"1", None]
    assert await members(model, INDEX) == [(b"a", 1)]
    assert (await head_of(model)).position == 5


async def test_a_batch_of_no_records_is_written_at_its_position(model: ReadModel) -> None:
    await model.apply(batch(strings={LICENSE: b"1"}, sorted_sets={INDEX: {"a": 1, "b": 2}}))
    await model.level([LevelMark(partition=3, end=5, at_ms=700)])
    again = batch(5, 5, strings={LICENSE: b"2"}, sorted_sets={INDEX: {"a": None}})
    assert await model.apply(again) is None
    assert await model.apply(batch(4, 4, strings={LICENSE: b"3"})) == 5
    assert await model.get([LICENSE]) == [b"2"]
    assert await members(model, INDEX) == [(b"b", 2)]
    # How level it was stays as it is.
    assert await head_of(model) == structs.replace(again.head, level_at_ms=700)


async def test_an_empty_store_is_at_position_0(model: ReadModel) -> None:
    assert await model.apply(batch(5, 6, strings={LICENSE: b"1"})) == 0
    assert await model.get([LICENSE, NAMES.head, keys.serving(3)]) == [None, None, None]


async def test_the_serving_generation_is_named_where_none_is(model: ReadModel) -> None:
    await model.apply(batch())
    assert await model.get([keys.serving(3)]) == [b"1"]
    await model.put(keys.serving(3), b"7")
    await model.apply(batch(5, 6))
    assert await model.get([keys.serving(3)]) == [b"7"]


async def test_types_are_checked_before_the_first_write(model: ReadModel) -> None:
    await model.put(MEMORY, b"a string where a sorted set belongs")
    wrong = batch(strings={LICENSE: b"1"}, sorted_sets={INDEX: {"a": 1}, MEMORY: {"c": 1}})
    with pytest.raises(ReadModelCorruptError):
        await model.apply(wrong)
    assert await model.get([LICENSE, NAMES.head, keys.serving(3)]) == [None, None, None]
    assert await members(model, INDEX) == []


async def test_more_values_than_lua_can_unpack(model: ReadModel) -> None:
    names = [NAMES.license(str(number)) for number in range(9_001)]
    many: dict[str | bytes, int | None] = {f"m{number:05d}": number for number in range(9_001)}
    first = batch(strings=dict.fromkeys(names, b"x"), sorted_sets={INDEX: many})
    assert await model.apply(first) is None
    assert await model.get(names) == [b"x"] * 9_001
    assert await members(model, INDEX) == [(b"m%05d" % n, n) for n in range(9_001)][:10_000]
    second = batch(
        5,
        6,
        strings=dict.fromkeys(names),
        sorted_sets={INDEX: dict.fromkeys(many), MEMORY: {"k": 1}},
    )
    assert await model.apply(second) is None
    assert await model.get(names) == [None] * 9_001
    assert await members(model, INDEX) == []
    assert await members(model, MEMORY) == [(b"k", 1)]


async def test_level_is_stored_once_the_end_is_reached(model: ReadModel) -> None:
    await model.apply(batch())
    assert await positions(model, LevelMark(partition=3, end=6, at_ms=100)) == [5]
    assert (await head_of(model)).level_at_ms == 0
    for end, at_ms, stored in ((5, 100, 100), (4, 90, 100), (4, 200, 200), (9, 300, 200)):
        [standing] = await model.level([LevelMark(partition=3, end=end, at_ms=at_ms)])
        assert standing == Standing(position=5, data_keys=0, level_at_ms=stored, serving="1")
        assert await head_of(model) == structs.replace(batch().head, level_at_ms=stored)


async def test_a_level_ahead_of_the_clock_is_replaced(model: ReadModel) -> None:
    # The replica's clock was 400 days ahead, and is right again: nothing may stay of it.
    now = await model.time_ms()
    ahead = LevelMark(partition=3, end=5, at_ms=now + 400 * 86_400_000)
    right = replace(ahead, at_ms=now)
    await model.apply(batch())
    await model.level([ahead])
    assert (await head_of(model)).level_at_ms == ahead.at_ms
    await model.level([right])
    assert (await head_of(model)).level_at_ms == now
    await model.level([ahead])
    await model.apply(batch(5, 7, head=structs.replace(batch().head, position=7, level_at_ms=now)))
    assert (await head_of(model)).level_at_ms == now


async def test_level_of_several_partitions_at_once(model: ReadModel) -> None:
    await model.apply(batch())
    marks = [LevelMark(partition=partition, end=0, at_ms=50) for partition in (2, 3, 4)]
    assert await positions(model, *marks) == [0, 5, 0]
    assert await model.get([Keys(2).head, Keys(4).head]) == [None, None]
    assert (await head_of(model)).level_at_ms == 50
    assert list(await model.level([])) == []


@pytest.mark.parametrize(("stored", "given", "kept"), [(80, 0, 80), (80, 70, 80), (80, 90, 90)])
async def test_a_batch_never_sets_level_back(
    model: ReadModel, stored: int, given: int, kept: int
) -> None:
    await model.apply(batch())
    await model.level([LevelMark(partition=3, end=5, at_ms=stored)])
    head = Head(position=7, timestamp_ms=2_000, elapsed_ms=0, level_at_ms=given, chain="11" * 16)
    await model.apply(batch(5, 7, head=head))
    assert await model.get([NAMES.head]) == [head_document(structs.replace(head, level_at_ms=kept))]


async def test_data_keys_are_taken_over_in_order_only(model: ReadModel) -> None:
    first, second = keys.data_key(3, "l", "00"), keys.data_key(3, "l", "11")
    assert await model.take_over(3, 0, 4, {first: b"sealed", second: b"sealed"}) is None
    assert await model.take_over(3, 4, 5, {first: b""}) is None
    assert await model.take_over(3, 0, 4, {first: b"sealed"}) == 5
    assert await model.take_over(3, 5, 9, {}) is None
    found = await model.get([first, second, keys.data_keys_position(3)])
    assert found == [b"", b"sealed", b"9"]
    [standing] = await model.level([LevelMark(partition=3, end=0, at_ms=7)])
    assert standing == Standing(position=0, data_keys=9, level_at_ms=0, serving="")


async def test_a_lock_has_one_owner_until_it_expires_or_is_given_back(model: ReadModel) -> None:
    assert await model.hold("slot", "a", 60_000)
    assert await model.hold("slot", "a", 60_000)
    assert not await model.hold("slot", "b", 60_000)
    await model.release("slot", "b")
    assert not await model.hold("slot", "b", 60_000)
    await model.release("slot", "a")
    assert await model.hold("slot", "b", 1)
    while not await model.hold("slot", "a", 60_000):
        pass
    assert not await model.hold("slot", "b", 60_000)


async def test_whoever_asks_may_read_who_has_a_lock(model: ReadModel) -> None:
    assert await model.hold("slot", "a", 60_000)
    assert await model.hold("brief", "b", 1)
    assert (await model.get(["slot", "none"])) == [b"a", None]
    while (await model.get(["brief"])) != [None]:
        pass
    await model.release("slot", "a")
    assert (await model.get(["slot"])) == [None]


async def test_what_projectors_announce_can_be_read_while_they_run(model: ReadModel) -> None:
    first, second = SlotLock(model, "r-0"), SlotLock(model, "r-1")
    await first.take()
    await second.take()
    assert await model.hold(holder_key("r-2"), "of an older release", 60_000)
    slots = ["r-0", "r-1", "r-2", "r-3"]
    known = {"r-0": RULES_VERSION, "r-1": RULES_VERSION, "r-2": None}
    assert await announced_rules(model, slots) == known
    await first.give_back()
    assert await announced_rules(model, slots) == {"r-1": RULES_VERSION, "r-2": None}
    assert await announced_rules(model, []) == {}


async def test_fronts_are_the_lowest_scores(model: ReadModel) -> None:
    await model.apply(
        batch(sorted_sets={MEMORY: {f"k{n}": 100 - n for n in range(50)}, INDEX: {"i": 1}})
    )
    found = await model.fronts({MEMORY: 3, INDEX: 8, NAMES.commands("none"): 8})
    assert found[MEMORY] == [(b"k49", 51), (b"k48", 52), (b"k47", 53)]
    assert found[INDEX] == [(b"i", 1)]
    assert found[NAMES.commands("none")] == []
    assert await model.fronts({}) == {}
    assert list(await model.get([])) == []


async def test_the_clock_is_the_stores(model: ReadModel) -> None:
    first = await model.time_ms()
    assert first > 1_650_000_000_000
    assert await model.time_ms() >= first


async def test_the_catalog_is_a_partition_like_any_other(model: ReadModel) -> None:
    names = Keys(keys.CATALOG)
    entity, claim = names.entity("e"), names.claim("slug:demo")
    listed = names.entities("a", "product")
    first = batch(
        partition=keys.CATALOG,
        strings={entity: b"1", claim: b"e"},
        sorted_sets={listed: {"e": 3}},
        changed=["e"],
    )
    assert await model.apply(first) is None
    assert await model.get([entity, claim]) == [b"1", b"e"]
    assert await members(model, listed) == [(b"e", 3)]
    assert await model.apply(first) == 5
    gone = batch(
        5,
        6,
        partition=keys.CATALOG,
        strings={entity: None, claim: None},
        sorted_sets={listed: {"e": None}},
    )
    assert await model.apply(gone) is None
    assert await model.get([entity, claim]) == [None, None]
    assert await members(model, listed) == []
    at_ms = await model.time_ms()
    [standing] = await model.level([LevelMark(partition=keys.CATALOG, end=6, at_ms=at_ms)])
    assert standing == Standing(position=6, data_keys=0, level_at_ms=at_ms, serving="1")
    # A license partition knows nothing of it.
    assert (await head_of(model)).position == 0


async def test_a_shadow_generation_is_written_beside_the_one_that_serves(model: ReadModel) -> None:
    await model.apply(batch(strings={LICENSE: b"serves"}))
    shadow = Keys(3, "2")
    name, head = shadow.license("l"), Head(position=2, timestamp_ms=1, chain="22" * 16)
    built = batch(0, 2, generation="2", head=head, strings={name: b"shadow"})
    assert await model.apply(built) is None
    assert await model.apply(built) == 2
    found = await model.get([LICENSE, name, keys.serving(3), shadow.head])
    assert found == [b"serves", b"shadow", b"1", head_document(head)]
    marks = [
        LevelMark(partition=3, generation="2", end=2, at_ms=70),
        LevelMark(partition=3, end=9, at_ms=70),
    ]
    assert await model.level(marks) == [
        Standing(position=2, data_keys=0, level_at_ms=70, serving="1"),
        Standing(position=5, data_keys=0, level_at_ms=0, serving="1"),
    ]
    assert (await head_of(model)).level_at_ms == 0
