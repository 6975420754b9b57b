"""Before the flip: what was proved long ago is proved again; what serves may be what is wrong."""

from __future__ import annotations

import json

import pytest
import redis

from ledger.domain.identifiers import Pepper
from projector.rebuild import run
from projector.rebuild.built import Built
from projector.rebuild.exchange import undo
from projector.rebuild.proof import NotProvedError
from projector.rebuild.run import begun
from projector.rebuild.site import Site
from tests.activity import Activity
from tests.projector.rebuild.rebuilding import (
    WINDOW_S,
    at,
    run_of,
    served,
    some_license,
    wrong_fold,
)
from tests.projector.replica import PARTITIONS, PEPPER, Replica


@pytest.fixture
async def filled(replica: Replica) -> Replica:
    await replica.append(list(Activity(21, partitions=PARTITIONS, licenses=40).appendables(800)))
    await replica.start()
    await replica.level()
    return replica


async def _built(replica: Replica, site: Site, *, against_log: bool = False) -> Built:
    return await run_of(replica, site).build(
        await begun(site), builders=1, memory_mb=2_000, against_log=against_log
    )


async def test_what_was_read_back_long_ago_is_read_back_before_it_serves(
    filled: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at(filled) as site, site.alone():
        await _built(filled, site)
        intent = await begun(site)
        assert intent.phase == "proved"
        with redis.Redis.from_url(filled.store.url) as client:
            name = some_license(client, "2")
            before = client.get(name)
            assert isinstance(before, bytes)
            client.set(name, before.replace(b'"links"', b'"lin\xebs"'))
            monkeypatch.setattr(run, "READ_BACK_S", 0.0)
            with pytest.raises(NotProvedError) as raised:
                await run_of(filled, site).flip(intent, window_s=WINDOW_S)
            assert [one.owner for one in raised.value.differences] == [name.decode().split(":")[3]]
            assert await served(site) == {"1"}
            client.set(name, before)
        flipped = await run_of(filled, site).flip(await begun(site), window_s=WINDOW_S)
        assert "reading back" in flipped.seconds
        assert await served(site) == {"2"}


async def test_what_was_just_read_back_is_not_read_again(filled: Replica) -> None:
    async with at(filled) as site, site.alone():
        assert "reading back" in (await _built(filled, site)).seconds
        flipped = await run_of(filled, site).flip(await begun(site), window_s=WINDOW_S)
        assert "reading back" not in flipped.seconds


@pytest.mark.slow
async def test_a_wrong_fold_of_what_serves_is_mended_by_the_log(filled: Replica) -> None:
    license_ = wrong_fold(filled.store.url, Pepper(bytes.fromhex(PEPPER)))
    async with at(filled) as site, site.alone():
        with pytest.raises(NotProvedError) as raised:
            await _built(filled, site)
        assert {one.owner for one in raised.value.differences} == {license_}
        assert raised.value.against == "what serves"

        # The same rebuild goes on, against the log.
        built = await _built(filled, site, against_log=True)
        changes = built.proof.changes
        assert changes is not None
        assert list(changes.owners.values()) == [[license_]]
        [difference] = changes.differences
        forms = (difference.there or b"", difference.expected or b"")
        peaks = [json.loads(one.partition(b"\n")[0]).get("seats_peak") for one in forms]
        assert peaks[1] == 99 != peaks[0]

        intent = await begun(site)
        assert (intent.phase, intent.against_log) == ("proved", True)
        with pytest.raises(NotProvedError, match="more would change"):
            await run_of(filled, site).flip(intent, window_s=WINDOW_S)
        assert await served(site) == {"1"}
        assert (await run_of(filled, site).changes(intent)).changes == changes
        await run_of(filled, site).flip(intent, window_s=WINDOW_S, agreed=changes)
        assert await served(site) == {"2"}

        opened = await site.store.intent()
        assert opened is not None
        undone = await undo(site, opened, window_s=WINDOW_S)
        assert await served(site) == {"1"}
        await run_of(filled, site).flip(undone, window_s=WINDOW_S, agreed=changes)
    filled.generation = "2"
    await filled.assert_equals_an_independent_fold()
