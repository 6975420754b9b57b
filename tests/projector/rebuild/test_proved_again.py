"""Before the flip: what was proved long ago is proved again; what serves may be what is wrong."""

from __future__ import annotations

import json

import pytest
import redis
from msgspec.structs import replace

from ledger.domain.identifiers import Pepper
from projector.read_model.keys import Keys
from projector.rebuild import run
from projector.rebuild.built import Built
from projector.rebuild.exchange import undo
from projector.rebuild.proof import NotProvedError
from projector.rebuild.run import begun
from projector.rebuild.site import Site
from projector.views.digests import digests_document, read_digests
from projector.views.documents import license_document, read_license
from tests.activity import Activity
from tests.projector.independent import stored_in_redis
from tests.projector.rebuild.rebuilding import WINDOW_S, at, run_of, served
from tests.projector.replica import PARTITIONS, PEPPER, Replica
from tests.projector.weighing import digests_of


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


def _some_license(client: redis.Redis, generation: str) -> bytes:
    names: list[bytes] = sorted(client.scan_iter(f"*:{generation}:L:*", count=1000))
    return next(name for name in names if b'"links"' in (client.get(name) or b""))


async def test_what_was_read_back_long_ago_is_read_back_before_it_serves(
    filled: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at(filled) as site, site.alone():
        await _built(filled, site)
        intent = await begun(site)
        assert intent.phase == "proved"
        with redis.Redis.from_url(filled.store.url) as client:
            name = _some_license(client, "2")
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


def _wrong_fold(url: str) -> str:
    """Have what serves hold a license as a fold with a bug would have made it."""
    client = redis.Redis.from_url(url)
    name = _some_license(client, "1").decode()
    document = client.get(name)
    assert isinstance(document, bytes)
    client.set(name, license_document(replace(read_license(document), seats_peak=99)))
    keys = Keys(int(name[2:4]), "1")
    kept = client.get(keys.digests)
    assert isinstance(kept, bytes)
    stored = stored_in_redis(url, keys.partition)
    state, documents = digests_of(stored, keys.prefix, Pepper(bytes.fromhex(PEPPER)))
    digests = replace(read_digests(kept), state=state, documents=documents)
    client.set(keys.digests, digests_document(digests))
    client.close()
    return name.split(":")[3]


async def test_a_wrong_fold_of_what_serves_is_mended_by_the_log(filled: Replica) -> None:
    license_ = _wrong_fold(filled.store.url)
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
