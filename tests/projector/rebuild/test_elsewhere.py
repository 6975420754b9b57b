"""One replica at a time: a rebuild is begun where none is under way in another one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import get_args

import pytest

from ledger.settings import read_settings
from projector.read_model.keys import serving
from projector.rebuild import elsewhere, run
from projector.rebuild.elsewhere import objections
from projector.rebuild.intent import Phase
from projector.rebuild.run import begun
from projector.rebuild.site import RebuildRefusedError, Site
from tests.projector.rebuild.rebuilding import environment, intent
from tests.servers import RedisServer


class Two:
    """Two replicas of a ledger in which generation 1 serves; a log that ends nowhere."""

    def __init__(self, first: RedisServer, second: RedisServer) -> None:
        self.second = second
        settings = read_settings(environment([first.url, second.url]))
        self.a, self.b = Site(settings, 0), Site(settings, 1)


@pytest.fixture
async def two(
    new_redis: Callable[[], RedisServer], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Two]:
    async def ends(site: Site) -> dict[int, int]:
        return dict.fromkeys(site.places, 0)

    monkeypatch.setattr(Site, "ends", ends)
    monkeypatch.setattr(elsewhere, "ANSWER_S", 1.0)
    found = Two(new_redis(), new_redis())
    for site in (found.a, found.b):
        await site.store.write([(serving(place), b"1") for place in site.places])
    yield found
    await found.a.close()
    await found.b.close()


@pytest.mark.parametrize("phase", get_args(Phase))
async def test_what_is_under_way_elsewhere_is_named(two: Two, phase: Phase) -> None:
    await two.b.store.intend(intent(phase))
    if phase == "window":
        assert await objections(two.a) == []
        assert (await begun(two.a)).phase == "building"
        return
    [said] = await objections(two.a)
    assert f"a rebuild of replica B is under way (generation 2, {phase})" in said
    assert "--replica B" in said
    with pytest.raises(RebuildRefusedError, match="replica B is under way"):
        await begun(two.a)
    assert await two.a.store.intent() is None
    # And the other way round nothing stands against it.
    assert await objections(two.b) == []


async def test_one_that_was_begun_is_not_gone_on_with_beside_another(two: Two) -> None:
    mine = intent("building")
    await two.a.store.intend(mine)
    assert await begun(two.a) == mine
    await two.b.store.intend(intent("building"))
    for site, other in ((two.a, "B"), (two.b, "A")):
        with pytest.raises(RebuildRefusedError, match=f"replica {other} is under way"):
            await begun(site)
    # What is proved may be flipped, or given up.
    await two.a.store.intend(intent("proved"))
    assert (await begun(two.a)).phase == "proved"


async def test_of_two_that_begin_at_once_none_works_beside_the_other(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def looked(site: Site) -> list[str]:
        nonlocal looks
        looks += 1
        found = await objections(site)
        # Just after A has looked, B begins.
        await two.b.store.intend(intent("building"))
        return found

    monkeypatch.setattr(run, "objections", looked)
    with pytest.raises(RebuildRefusedError, match="replica B is under way"):
        await begun(two.a)
    assert looks == 2
    assert await two.a.store.intent() is None


@pytest.mark.parametrize("frozen", [False, True], ids=["dead", "frozen"])
async def test_the_other_replica_has_to_answer(two: Two, frozen: bool) -> None:  # noqa: FBT001 - a case
    if frozen:
        two.second.freeze()
    else:
        two.second.kill()
    try:
        with pytest.raises(RebuildRefusedError, match=r"replica B doesn't answer \(\w"):
            await begun(two.a)
        assert await two.a.store.intent() is None
    finally:
        if frozen:
            two.second.thaw()
