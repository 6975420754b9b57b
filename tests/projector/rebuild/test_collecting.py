"""A generation is deleted in pieces, with pauses in which what serves is answered from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from projector.read_model.keys import Keys
from projector.read_model.redis import RedisReadModel
from projector.rebuild import collecting
from projector.rebuild.collecting import collect
from projector.rebuild.store import Store
from tests.servers import RedisServer

KEYS = 3_000
PIECE = 200
PLACES = (0, 1)


class Seen(Store):
    """Says how many keys go at once, and what each call deletes."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.pieces: list[Sequence[bytes]] = []

    async def unlink(self, names: Sequence[bytes]) -> int:
        self.pieces.append(names)
        return await super().unlink(names)


@pytest.mark.parametrize("again", [False, True], ids=["once", "once more"])
async def test_it_goes_in_pieces_and_checks_are_answered_meanwhile(
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    again: bool,  # noqa: FBT001 - a case
) -> None:
    store, model = Seen(redis_server.url), RedisReadModel(redis_server.url)
    for place in PLACES:
        for generation, count in (("1", KEYS), ("2", 100)):
            names = Keys(place, generation)
            documents = [(f"{names.prefix}L:{number}", b"there") for number in range(count)]
            await store.write([(names.head, b"{}"), *documents])
    serves = [Keys(place, "2").prefix + "L:7" for place in PLACES]
    answered, pauses = 0, 0
    sleep = asyncio.sleep

    async def check() -> None:
        nonlocal answered
        while True:
            assert await model.get(serves) == [b"there"] * len(serves)
            answered += 1

    async def paused(seconds: float) -> None:
        """Go on when the pause is over and a check was answered in it."""
        nonlocal pauses
        assert seconds > 0
        pauses += 1
        before = answered
        await sleep(seconds)
        async with asyncio.timeout(30):
            while answered == before:
                await sleep(0.001)

    checking = asyncio.create_task(check())
    try:
        if again:
            # What was cut off is begun anew: the heads are gone, and some of the rest.
            await store.unlink([Keys(place, "1").head.encode() for place in PLACES])
        store.pieces.clear()
        with monkeypatch.context() as planted:
            planted.setattr(f"{collecting.__name__}.asyncio.sleep", paused)
            gone = await collect(store, "1", PLACES)
        assert not checking.done()
    finally:
        checking.cancel()
        await asyncio.wait([checking])
        await model.close()
        await store.close()
    assert gone == len(PLACES) * (KEYS if again else KEYS + 1)
    heads, *pieces = store.pieces
    assert set(heads) == {Keys(place, "1").head.encode() for place in PLACES}
    assert max(len(piece) for piece in pieces) <= PIECE
    assert pauses == len(pieces) >= len(PLACES) * KEYS // PIECE
    assert answered >= pauses
    assert not any(b":2:" in name for piece in store.pieces for name in piece)
