"""Which generation serves, on a Redis with heads made by hand: no projector, no broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from ledger.settings import read_settings
from projector.read_model.keys import CATALOG, Keys, serving
from projector.rebuild import exchange, folded_on
from projector.rebuild.exchange import drop, flip, undo
from projector.rebuild.folded_on import refuse_where_nobody_folds_on
from projector.rebuild.intent import Phase
from projector.rebuild.releases import kept
from projector.rebuild.run import Run
from projector.rebuild.site import RebuildRefusedError, Site
from projector.release import release
from projector.views.digests import VIEW, Digests, digests_document
from projector.views.documents import Head, head_document
from tests.projector.rebuild.rebuilding import environment, intent
from tests.projector.replica import PARTITIONS
from tests.servers import RedisServer


@pytest.fixture
async def site(redis_server: RedisServer) -> AsyncIterator[Site]:
    """A replica in which generation 1 serves, and 2 is level with it."""
    found = Site(read_settings(environment([redis_server.url])), 0)
    for place in found.places:
        await stand(found, place, "1", 7)
        await stand(found, place, "2", 7)
        await found.store.write([(serving(place), b"1")])
    yield found
    await found.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "SEEN_S", 0.0)
    monkeypatch.setattr(exchange, "FLIP_S", 0.1)


async def stand(
    site: Site, place: int, generation: str, position: int, *, level: int = 1, view: int = VIEW
) -> None:
    """Have a generation stand at a position."""
    names = Keys(place, generation)
    head = Head(position=position, timestamp_ms=1, chain="00" * 32, level_at_ms=level)
    digests = Digests(position=position, view=view)
    await site.store.write(
        [(names.head, head_document(head)), (names.digests, digests_document(digests))]
    )


async def served(site: Site) -> set[str]:
    return set((await site.store.serving(site.places)).values())


async def test_a_place_is_flipped_only_to_what_is_level(site: Site) -> None:
    store = site.store
    for place in (0, CATALOG):
        # Behind what serves, level once; at its position, never level; nothing at all.
        await stand(site, place, "2", 6)
        assert await store.flip(place, "1", "2") == "behind"
        await stand(site, place, "2", 7, level=0)
        assert await store.flip(place, "1", "2") == "behind"
        assert await store.flip(place, "1", "9") == "behind"
        assert (await store.serving([place]))[place] == "1"
        await stand(site, place, "2", 7)
        assert await store.flip(place, "1", "2") == "serves"
        assert (await store.serving([place]))[place] == "2"
        # Again: it was done. From what doesn't serve: another one serves.
        assert await store.flip(place, "1", "2") == "serves"
        assert await store.flip(place, "1", "3") == "other"
        assert (await store.serving([place]))[place] == "2"
        # Further than what serves is as good.
        await stand(site, place, "1", 8)
        assert await store.flip(place, "2", "1") == "serves"
        assert (await store.serving([place]))[place] == "1"


@pytest.mark.parametrize("back", [False, True], ids=["flip", "undo"])
async def test_what_is_being_deleted_serves_no_more(site: Site, back: bool) -> None:  # noqa: FBT001 - a case
    gone = intent("collecting", until_ms=5, dropped="1")
    await site.store.intend(gone)
    with pytest.raises(RebuildRefusedError, match="generation 1 is being deleted"):
        await (undo if back else flip)(site, gone, window_s=60)
    assert await site.store.intent() == gone
    assert await served(site) == {"1"}


@pytest.mark.parametrize("phase", ["building", "proved"])
async def test_there_is_no_way_back_from_what_was_not_flipped(site: Site, phase: Phase) -> None:
    with pytest.raises(RebuildRefusedError, match="nothing was flipped"):
        await undo(site, intent(phase), window_s=60)


async def test_nothing_is_flipped_without_a_proof(site: Site) -> None:
    with pytest.raises(RebuildRefusedError, match="isn't proved yet"):
        await flip(site, intent("building"), window_s=60)
    assert await served(site) == {"1"}


async def test_what_was_to_be_deleted_once_is_forgotten_by_a_flip(site: Site) -> None:
    """Else the window that it opens would never close."""
    opened = await flip(site, intent("window", until_ms=5, dropped="2"), window_s=60)
    assert (opened.phase, opened.dropped) == ("window", "")
    assert await site.store.intent() == opened
    assert await served(site) == {"2"}


async def test_what_serves_is_never_deleted_whatever_was_noted(site: Site) -> None:
    await drop(site.store, intent("collecting", until_ms=5, dropped="1"), site.places)
    assert await served(site) == {"1"}
    heads = await site.heads("1")
    assert {heads[place].position for place in site.places} == {7}
    assert {one.position for one in (await site.heads("2")).values()} == {0}


async def test_nothing_is_deleted_where_both_serve(site: Site) -> None:
    await site.store.flip(0, "1", "2")
    with pytest.raises(RebuildRefusedError, match="generations 2 and 1 both serve"):
        await drop(site.store, intent("window", until_ms=5), site.places)
    assert {one.position for one in (await site.heads("2")).values()} == {7}


async def test_how_it_ended_is_kept(site: Site) -> None:
    opened = await flip(site, intent("proved"), window_s=3600)
    before_ms = await site.store.time_ms()
    await drop(site.store, opened, site.places)
    closed = await site.store.closed()
    assert closed is not None
    assert (closed.dropped, closed.serves, closed.flipped) == ("1", "2", True)
    assert before_ms <= closed.at_ms < opened.until_ms
    assert await site.store.intent() is None
    assert await site.store.releases() == []
    # One that was never flipped.
    given_up = replace(intent("building"), generation="3", previous="2")
    await drop(site.store, given_up, site.places)
    closed = await site.store.closed()
    assert closed is not None
    assert (closed.dropped, closed.serves, closed.flipped) == ("3", "2", False)


async def test_who_folded_both_and_what_is_rendered_otherwise_is_told(site: Site) -> None:
    await site.store.note_release("9.9")
    opened = await flip(site, intent("proved"), window_s=60)
    await stand(site, 1, "1", 8, view=0)
    names = Keys(2, "1")
    # An older release has folded on: it kept no digests of its position.
    await site.store.write([(names.digests, digests_document(Digests(position=3, view=VIEW)))])
    built, previous = await kept(site.store, opened, site.places)
    assert (built.generation, built.otherwise) == ("2", 0)
    assert (previous.generation, previous.otherwise, previous.places) == ("1", 2, PARTITIONS + 1)
    assert list(previous.releases) == sorted([release(), "9.9"])
    assert not previous.as_built_by(release())
    await site.store.intend(None)
    built, _ = await kept(site.store, opened, site.places)
    assert list(built.releases) == []
    assert built.as_built_by(release())


async def test_what_nobody_folds_on_is_told_beforehand(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folded_on, "FOLDED_ON_S", 0.1)
    looking = Run(site, {})
    for place in site.places:
        await stand(site, place, "1", 7, level=0)
    with pytest.raises(RebuildRefusedError, match="in 5 of 5 places"):
        await refuse_where_nobody_folds_on(site)
    later_ms = await site.store.time_ms() + 3_600_000
    for place in site.places[1:]:
        await stand(site, place, "1", 7, level=later_ms)
    ten_s_ago = await site.store.time_ms() - 10_000
    await stand(site, 0, "1", 7, level=ten_s_ago)
    # Also of a flip that has a proof, and before anything is done.
    with pytest.raises(RebuildRefusedError, match=r"in 1 of 5 places, one of them not for 1\d s"):
        await looking.flip(intent("proved"), window_s=60)
    assert await site.store.intent() is None
    assert await served(site) == {"1"}
    await stand(site, 0, "1", 7, level=later_ms)
    await refuse_where_nobody_folds_on(site)
    # What serves a place is what is looked at.
    await site.store.write([(serving(0), b"2")])
    with pytest.raises(RebuildRefusedError, match="in 1 of"):
        await refuse_where_nobody_folds_on(site)
