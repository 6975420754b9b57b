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

from ledger.domain.license import License
from projector.read_model.redis import RedisReadModel
from projector.rebuild import moments, reading_back, run
from projector.rebuild.following import Following
from projector.rebuild.intent import Intent
from projector.rebuild.proof import NotProvedError
from projector.rebuild.run import Run, begun
from projector.rebuild.site import Site
from projector.verifying import comparison, fresh
from projector.views import digests
from projector.views.documents import license_document
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


async def _unproved(replica: Replica, site: Site, planted: Run) -> NotProvedError:
    async with site.alone():
        with pytest.raises(NotProvedError) as raised:
            await planted.build(await begun(site), builders=1, memory_mb=2_000)
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


ANOTHER_VIEW = """
from msgspec.structs import replace
from projector.rebuild import rendering

VIEW = 2
license_document = rendering.license_document
rendering.NOTHING = replace(rendering.NOTHING, view=VIEW)

def planted(license_):
    document = license_document(license_).replace(b'"lastCheckIn"', b'"latestCheckIn"')
    if license_.id == {license!r}:
        return document.replace(b'"links"', b'"knils"')
    return document

rendering.license_document = planted
"""


@pytest.mark.parametrize("wrong", ["one", "none"])
async def test_a_changed_view_is_proved_by_a_sample(
    filled: tuple[Replica, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    replica, license_ = filled
    planted = ANOTHER_VIEW.format(license=license_ if wrong == "one" else "")
    (tmp_path / "sitecustomize.py").write_text(planted)
    for module in (digests, run, moments, comparison):
        monkeypatch.setattr(module, "VIEW", 2)

    def rendered(state: License) -> bytes:
        return license_document(state).replace(b'"lastCheckIn"', b'"latestCheckIn"')

    for module in (reading_back, fresh):
        monkeypatch.setattr(module, "license_document", rendered)
    monkeypatch.setattr(reading_back, "SAMPLE", 1)
    async with at(replica) as site:
        if wrong == "one":
            error = await _unproved(replica, site, run_of(replica, site, tmp_path))
            assert [each.owner for each in error.differences] == [license_]
            assert b"knils" in (error.differences[0].there or b"")
            told = [one for lines in error.wrong.values() for one in lines]
            assert f"the documents of licenses {license_} aren't as they are rendered" in told
            return
        async with site.alone():
            built = await run_of(replica, site, tmp_path).build(
                await begun(site), builders=1, memory_mb=2_000
            )
        assert built.proof.compared == PARTITIONS + 1
        # The catalog, and a partition that is empty, have no answers.
        assert built.proof.documents < PARTITIONS
        assert built.rendered >= 30


class _Planting(Run):
    """Does something to what was built before it is read back."""

    def __init__(self, replica: Replica, site: Site, seed: int) -> None:
        super().__init__(site, replica.environment)
        self._replica = replica
        self._random = Random(seed)
        self.name = ""

    async def _read_back(self, intent: Intent, following: Following) -> Intent:
        with redis.Redis.from_url(self._replica.store.url) as client:
            names = sorted(client.scan_iter("{p*}:2:[LMC]:*", count=1000))
            name = self._random.choice(names)
            value = client.get(name)
            at_, bit = self._random.randrange(len(value)), 1 << self._random.randrange(7)
            client.set(name, bytes((*value[:at_], value[at_] ^ bit, *value[at_ + 1 :])))
        self.name = name.decode().split(":", 2)[2]
        return await super()._read_back(intent, following)


@pytest.mark.parametrize("seed", range(4))
async def test_a_flipped_bit_of_a_document(filled: tuple[Replica, str], seed: int) -> None:
    replica, _ = filled
    async with at(replica) as site:
        planting = _Planting(replica, site, seed)
        error = await _unproved(replica, site, planting)
    assert [each.name for each in error.differences] == [planting.name]
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

    async def _read_back(self, intent: Intent, following: Following) -> Intent:
        activity = Activity(21, partitions=PARTITIONS, licenses=40)
        list(activity.appendables(1_200))
        await self._replica.append(list(activity.appendables(900)))
        await self._replica.level()
        return await super()._read_back(intent, following)


@pytest.mark.parametrize("which", LUA)
async def test_a_bug_in_the_script(filled: tuple[Replica, str], which: str) -> None:
    replica, _ = filled
    async with at(replica) as site:
        _plant(site.model, *LUA[which])
        error = await _unproved(replica, site, _Late(replica, site))
    assert error.wrong
    assert error.count >= len(error.differences) > 0
    kinds = {each.name.partition(":")[0] for each in error.differences}
    owners = {each.owner for each in error.differences}
    if which == "lists":
        assert kinds & set("AFIKPTV")
    if which == "deletes":
        assert all(each.expected is None for each in error.differences)
    with redis.Redis.from_url(replica.store.url) as client:
        licenses = {name.decode().split(":")[3] for name in client.scan_iter("*:1:L:*", count=1000)}
    assert owners <= licenses


def _plant(model: RedisReadModel, there: str, instead: str) -> None:
    script = model._apply  # noqa: SLF001 - a bug is planted
    assert there in script.text
    script.text = script.text.replace(there, instead)
    script.digest = sha1(script.text.encode(), usedforsecurity=False).hexdigest()
