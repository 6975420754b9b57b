"""Bugs that are planted: each is found and named before anything is answered from what was built.

In the builders, which are processes of their own, by a `sitecustomize.py` that they import first.
"""

from __future__ import annotations

import json
from hashlib import sha1
from pathlib import Path
from random import Random

import pytest
import redis

from projector.read_model.redis import RedisReadModel
from projector.rebuild.following import Following
from projector.rebuild.intent import Intent
from projector.rebuild.proving import NotProvedError
from projector.rebuild.run import Run, begun
from projector.rebuild.site import Site
from tests.activity import Activity
from tests.projector.rebuild.rebuilding import at, run_of, served
from tests.projector.replica import PARTITIONS, Replica

FOLD = """
from msgspec.structs import replace
from projector.rebuild import bulk

fold = bulk.fold

def planted(event, offset, elapsed_ms, loaded):
    folded = fold(event, offset, elapsed_ms, loaded)
    if event.license == {license!r} and folded.changed:
        return replace(folded, license=replace(folded.license, seats_peak=99))
    return folded

bulk.fold = planted
"""
VIEW = """
from projector.rebuild import rendering

license_document = rendering.license_document

def planted(license_):
    document = license_document(license_)
    if license_.id == {license!r}:
        return document.replace(b'"links"', b'"knils"')
    return document

rendering.license_document = planted
"""


@pytest.fixture
async def filled(replica: Replica) -> tuple[Replica, str]:
    """A replica, and a license of it that is live and has machines."""
    await replica.append(list(Activity(21, partitions=PARTITIONS, licenses=40).appendables(1_200)))
    await replica.start()
    await replica.level()
    with redis.Redis.from_url(replica.store.url) as client:
        names = sorted(client.scan_iter("*:1:L:*", count=1000))
        lives = [
            name.decode().split(":")[3]
            for name in names
            if b'"status":"live"' in client.get(name) and b'"machines":' in client.get(name)
        ]
    return replica, lives[len(lives) // 2]


async def _unproved(replica: Replica, site: Site, run: Run) -> NotProvedError:
    async with site.alone():
        with pytest.raises(NotProvedError) as raised:
            await run.build(await begun(site), builders=1, memory_mb=2_000)
        intent = await site.store.intent()
    assert intent is not None
    assert intent.phase == "building"
    assert await served(site) == {"1"}
    await replica.assert_equals_an_independent_fold()
    return raised.value


@pytest.mark.parametrize("plant", [FOLD, VIEW], ids=["fold", "view"])
async def test_a_bug_in_the_fold_or_in_the_view(
    filled: tuple[Replica, str], plant: str, tmp_path: Path
) -> None:
    replica, license_ = filled
    (tmp_path / "sitecustomize.py").write_text(plant.format(license=license_))
    async with at(replica) as site:
        error = await _unproved(replica, site, run_of(replica, site, tmp_path))
    assert {each.owner for each in error.differences} == {license_}
    [difference] = [each for each in error.differences if each.name.startswith("L:")]
    assert difference.there is not None
    assert difference.expected is not None
    states = [
        json.loads(each.partition(b"\n")[0]) for each in (difference.there, difference.expected)
    ]
    if plant is FOLD:
        assert states[0]["seats_peak"] == 99 != states[1].get("seats_peak", 0)
    else:
        assert states[0] == states[1]
        assert b"knils" in difference.there


class _Planting(Run):
    """Does something to what was built before it is read back."""

    def __init__(self, replica: Replica, site: Site, seed: int) -> None:
        super().__init__(site, replica.environment)
        self._replica = replica
        self._random = Random(seed)
        self.name = ""

    async def _read_back(self, intent: Intent, following: Following) -> None:
        with redis.Redis.from_url(self._replica.store.url) as client:
            names = sorted(client.scan_iter("{p*}:2:[LMC]:*", count=1000))
            name = self._random.choice(names)
            value = client.get(name)
            at_, bit = self._random.randrange(len(value)), 1 << self._random.randrange(7)
            client.set(name, bytes((*value[:at_], value[at_] ^ bit, *value[at_ + 1 :])))
        self.name = name.decode().split(":", 2)[2]
        await super()._read_back(intent, following)


@pytest.mark.parametrize("seed", range(4))
async def test_a_flipped_bit_of_a_document(filled: tuple[Replica, str], seed: int) -> None:
    replica, _ = filled
    async with at(replica) as site:
        run = _Planting(replica, site, seed)
        error = await _unproved(replica, site, run)
    assert [each.name for each in error.differences] == [run.name]
    assert error.wrong


LISTS = "for i = first_sorted + 1, first_sorted + sorted do\n  local"
LUA = {
    "sets": ("for i = from, math", "for i = from + 1, math"),
    "lists": (LISTS, LISTS.replace("sorted do", "sorted - 1 do")),
    "deletes": ("for from = first_delete + 1, first_sorted, CHUNK do", "for from = 1, 0 do"),
}


class _Late(Run):
    """Appends once all is built, so that the script has something to write."""

    def __init__(self, replica: Replica, site: Site) -> None:
        super().__init__(site, replica.environment)
        self._replica = replica

    async def _read_back(self, intent: Intent, following: Following) -> None:
        activity = Activity(21, partitions=PARTITIONS, licenses=40)
        list(activity.appendables(1_200))
        await self._replica.append(list(activity.appendables(900)))
        await self._replica.level()
        await super()._read_back(intent, following)


@pytest.mark.parametrize("which", LUA)
async def test_a_bug_in_the_script(filled: tuple[Replica, str], which: str) -> None:
    replica, _ = filled
    async with at(replica) as site:
        _plant(site.model, *LUA[which])
        error = await _unproved(replica, site, _Late(replica, site))
    assert error.wrong
    if which == "sets":
        assert error.differences


def _plant(model: RedisReadModel, there: str, instead: str) -> None:
    script = model._apply  # noqa: SLF001 - a bug is planted
    assert there in script.text
    script.text = script.text.replace(there, instead)
    script.digest = sha1(script.text.encode(), usedforsecurity=False).hexdigest()
