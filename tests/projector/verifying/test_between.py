"""Two replicas by their digests: now, at a cut, by their documents, or never at one position."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from projector.read_model.keys import FROZEN, Keys, serving
from projector.rebuild import differences
from projector.rebuild.store import Store
from projector.verifying import between
from projector.verifying.between import Between, compare, compare_all
from projector.views.digests import VIEW, Cut, Digests, digests_document
from projector.views.documents import Head, head_document
from tests.servers import RedisServer

CUT = Cut(position=4096, state="aa" * 16, documents="bb" * 16, chain="cc" * 16)
ONE, OTHER = Keys(0, "1"), Keys(0, "3")
Both = tuple[Store, Store]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(between, "NOW_S", 0.0)
    monkeypatch.setattr(between, "EQUAL_S", 0.1)
    monkeypatch.setattr(differences, "_TRIES", 3)


@pytest.fixture
async def both(new_redis: Callable[[], RedisServer]) -> AsyncIterator[Both]:
    """Two replicas, of which another generation serves in the second."""
    stores = Store(new_redis().url), Store(new_redis().url)
    yield stores
    for store in stores:
        await store.close()


async def hold(
    store: Store,
    keys: Keys,
    position: int,
    *,
    state: str = "11" * 16,
    documents: str = "22" * 16,
    chain: str = "33" * 16,
    view: int = VIEW,
    cut: Cut | None = CUT,
    more: Sequence[tuple[str, bytes]] = (),
) -> None:
    """Have a replica that has folded so far, with these digests."""
    kept = Digests(position=position, state=state, documents=documents, view=view, cut=cut)
    head = Head(position=position, timestamp_ms=1, chain=chain)
    strings = [(keys.digests, digests_document(kept)), (keys.head, head_document(head))]
    await store.write(
        [*strings, (serving(0), keys.generation.encode()), *((keys.prefix + n, v) for n, v in more)]
    )


async def stand(store: Store, place: int, position: int) -> None:
    """Have any place stand at a position, with no cut."""
    keys = Keys(place)
    kept = Digests(position=position, view=VIEW)
    head = Head(position=position, timestamp_ms=1, chain="33" * 16)
    strings = [(keys.digests, digests_document(kept)), (keys.head, head_document(head))]
    await store.write([*strings, (serving(place), b"1")])


def _told(found: Between) -> tuple[int | None, str, bool]:
    return found.position, found.by, found.equal


async def test_at_one_position_digests_and_chains_are_compared(both: Both) -> None:
    one, other = both
    await hold(one, ONE, 5_000)
    await hold(other, OTHER, 5_000, cut=None)
    assert _told(await compare(one, other, 0)) == (5_000, "now", True)
    await hold(other, OTHER, 5_000, documents="44" * 16, view=0)
    assert (await compare(one, other, 0)).equal
    await hold(other, OTHER, 5_000, documents="44" * 16)
    assert (await compare(one, other, 0)).wrong == ["the digests of their documents at 5000 differ"]
    await hold(other, OTHER, 5_000, chain="ee" * 16)
    assert (await compare(one, other, 0)).wrong == ["they have folded different logs up to 5000"]


async def test_where_they_are_never_level_the_last_cut_is_compared(both: Both) -> None:
    one, other = both
    await hold(one, ONE, 5_000)
    await hold(other, OTHER, 4_999, state="44" * 16, chain="55" * 16)
    assert _told(await compare(one, other, 0)) == (4_096, "cut", True)
    for changes, said in (
        ({"chain": "ee" * 16}, "different logs up to 4096"),
        ({"state": "ee" * 16}, "the digests of their state at 4096 differ"),
    ):
        cut = Cut(**{**{n: getattr(CUT, n) for n in CUT.__struct_fields__}, **changes})
        await hold(other, OTHER, 4_999, cut=cut)
        found = await compare(one, other, 0)
        assert _told(found) == (4_096, "cut", False)
        assert said in found.wrong[0]


async def test_remembered_commands_and_records_set_aside_are_named(both: Both) -> None:
    one, other = both
    await hold(one, ONE, 5_000, state="44" * 16)
    await hold(other, OTHER, 5_000)
    same: dict[str | bytes, int] = {f"{at}:same-{at}": at for at in range(1_500)}
    await one.write((), [(ONE.commands("l"), same), (ONE.commands("m"), {"7:c": 9})])
    await other.write((), [(OTHER.commands("l"), same), (OTHER.set_aside("n"), {"1:1:r": 3})])
    await other.write((), [(OTHER.commands("l"), {"1200:same-1200": 1_499, "7:late": 1_600})])
    found = await compare(one, other, 0)
    told = {(each.name, each.owner): (each.there, each.expected) for each in found.differences}
    assert told == {
        ("K:m 7:c", "m"): (b"9", None),
        ("Q:n 1:1:r", "n"): (None, b"3"),
        ("K:l 1200:same-1200", "l"): (b"1200", b"1499"),
        ("K:l 7:late", "l"): (None, b"1600"),
    }


async def test_where_there_is_no_common_cut_they_are_apart(both: Both) -> None:
    one, other = both
    await hold(one, ONE, 5_000)
    await hold(other, OTHER, 40, cut=None)
    found = await compare(one, other, 0)
    assert _told(found) == (None, "now", False)
    assert "the other is behind: it stands at 40, one at 5000" in found.wrong[0]


async def test_places_that_never_meet_are_waited_for_together(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = both
    for place in range(4):
        await stand(one, place, 5_000 if place else 39)
        await stand(other, place, 5_000 if place == 2 else 40)
    said: list[tuple[str, int]] = []
    standing = between._standing  # noqa: SLF001 - to see who is asked when

    async def asked(store: Store, place: int) -> object:
        said.append(("asked", place))
        return await standing(store, place)

    monkeypatch.setattr(between, "_standing", asked)
    found = await compare_all(
        one, other, range(4), ("A", "B"), lambda each: said.append(("told", each.place))
    )
    assert [each.place for each in found] == [0, 1, 2, 3]
    assert [each.equal for each in found] == [False, False, True, False]
    told = [place for what, place in said if what == "told"]
    assert told[0] == 2
    assert sorted(told) == [0, 1, 2, 3]
    # All of them were looked at before the first of those that never meet was given up.
    given_up = said.index(("told", told[1]))
    assert {place for what, place in said[:given_up] if what == "asked"} == {0, 1, 2, 3}
    assert "A is behind: it stands at 39, B at 40" in found[0].wrong[0]
    assert "B is behind: it stands at 40, A at 5000" in found[1].wrong[0]


async def test_documents_that_are_never_at_one_position_are_apart(both: Both) -> None:
    one, other = both
    cut = Cut(position=4096, state="ee" * 16, documents=CUT.documents, chain=CUT.chain)
    await hold(one, ONE, 5_000, more=[("L:x", b"{}\n\n")])
    await hold(other, OTHER, 4_999, cut=cut)
    found = await compare(one, other, 0)
    assert len(found.wrong) == 2
    assert "partition 0 are never at the same position" in found.wrong[1]


async def test_what_is_frozen_in_one_only_is_left_out(both: Both) -> None:
    one, other = both
    await hold(one, ONE, 50, more=[("L:x", b"{}\n\n"), ("L:y", b"{}\n\n")])
    await hold(other, OTHER, 50, state="ee" * 16, more=[("L:y", b"{}\n\n")])
    await one.write((), [(ONE.set_aside(FROZEN), {"x": 7})])
    found = await compare(one, other, 0)
    assert found.equal
    assert found.frozen == ["x"]
    await hold(other, OTHER, 50, state="ee" * 16, more=[("L:y", b'{"id":"y"}\n\n')])
    found = await compare(one, other, 0)
    assert [(each.name, each.owner) for each in found.differences] == [("L:y", "y")]
    assert found.wrong == ["the digests of their state at 50 differ"]


async def test_a_place_that_neither_has_begun_is_equal(both: Both) -> None:
    assert _told(await compare(*both, 0)) == (0, "now", True)
