"""Reading a replica by the generations that serve there, whichever these are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from redis.asyncio import Redis

from projector.read_model.keys import in_generation, serving_of

_TRIES: Final = 3


async def served(client: Redis, names: Sequence[str]) -> list[bytes | None]:
    """Values of `names`, made for the first generation, from those that serve.

    Raises `RedisError`.
    """
    pointers = list(dict.fromkeys(serving_of(name) for name in names))
    generations: dict[str, str] = {}
    values: list[bytes | None] = []
    for _ in range(_TRIES):
        asked = [in_generation(name, generations) for name in names]
        found = cast("list[bytes | None]", await client.mget([*pointers, *asked]))
        serving, values = found[: len(pointers)], found[len(pointers) :]
        now = {
            pointer: one.decode()
            for pointer, one in zip(pointers, serving, strict=True)
            if one is not None
        }
        if asked == [in_generation(name, now) for name in names]:
            break
        # Another one serves than was asked for: once more.
        generations = now
    return values
