"""What a rebuild asks of a replica's Redis besides what the live fold does.

Every call is bounded in time and raises `ReadModelUnavailableError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterable, Mapping, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, Literal, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from projector.read_model.connection import connection_class
from projector.read_model.keys import Keys, serving
from projector.read_model.port import ReadModelUnavailableError
from projector.read_model.reasons import reason
from projector.rebuild.intent import KEY, Intent, intent_document, read_intent

TIMEOUT_S: Final = 10.0
"""Of one call; a Redis that rewrites its file may stand still for a moment."""
SCANNED: Final = 1_000
MEMBERS: Final = 1_000
MEMBERS_WEIGHED: Final = 50
_PIECE: Final = 500
Flipped = Literal["serves", "behind", "other"]
_FLIPPED: Final[dict[int, Flipped]] = {1: "serves", 0: "behind", -1: "other"}


class Store:
    """A replica's Redis, as a rebuild needs it."""

    def __init__(self, url: str) -> None:
        self._pool = BlockingConnectionPool.from_url(
            url,
            connection_class=connection_class(url),
            max_connections=8,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=2.0,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._redis = Redis(connection_pool=self._pool)
        self._flip = Path(__file__).with_name("flip.lua").read_text(encoding="utf-8")

    async def close(self) -> None:
        """End all connections."""
        await self._redis.aclose()
        await self._pool.disconnect()

    async def intent(self) -> Intent | None:
        """What is being rebuilt; None: nothing."""
        document = await self._bounded(self._redis.get(KEY))
        return None if document is None else read_intent(document)

    async def put(self, key: str, value: bytes, *, ttl_s: int | None) -> None:
        """Write one key; it is gone after a time, None: never."""
        await self._bounded(self._redis.set(key, value, ex=ttl_s))

    async def time_ms(self) -> int:
        """The replica's own clock, in milliseconds since 1970."""
        seconds, microseconds = await self._bounded(self._redis.time())
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def intend(self, intent: Intent | None) -> None:
        """Note what is being rebuilt; the caller holds the lock."""
        if intent is None:
            await self._bounded(self._redis.delete(KEY))
        else:
            await self._bounded(self._redis.set(KEY, intent_document(intent)))

    async def serving(self, places: Sequence[int]) -> dict[int, str]:
        """The generation that serves, by place; without those that none serves."""
        found = await self._bounded(self._redis.mget([serving(place) for place in places]))
        return {
            place: value.decode()
            for place, value in zip(places, found, strict=True)
            if value is not None
        }

    async def flip(self, place: int, old: str, new: str) -> Flipped:
        """Make `new` serve a place where `old` does, if it isn't behind."""
        names = [serving(place), Keys(place, new).head, Keys(place, old).head]
        digest = sha1(self._flip.encode(), usedforsecurity=False).hexdigest()
        try:
            found = await self._bounded(self._redis.evalsha(digest, 3, *names, old, new))
        except NoScriptError:
            found = await self._bounded(self._redis.eval(self._flip, 3, *names, old, new))
        return _FLIPPED[int(found)]

    async def get(self, names: Sequence[str]) -> list[bytes | None]:
        """Values of keys, all of one moment."""
        if not names:
            return []
        return cast("list[bytes | None]", await self._bounded(self._redis.mget(names)))

    async def write(
        self,
        strings: Sequence[tuple[str, bytes]],
        sorted_sets: Iterable[tuple[str, Mapping[str | bytes, int]]] = (),
    ) -> None:
        """Write keys and members in one pipeline; not all at once."""
        pipeline = self._pipeline()
        for at in range(0, len(strings), _PIECE):
            pairs = [part for pair in strings[at : at + _PIECE] for part in pair]
            pipeline.execute_command("MSET", *pairs)
        for key, members in sorted_sets:
            scored = [part for member, score in members.items() for part in (score, member)]
            pipeline.execute_command("ZADD", key, *scored)
        await self._bounded(pipeline.execute())

    async def members(self, names: Sequence[str]) -> list[list[tuple[bytes, int]]]:
        """Members of sorted sets with their scores, lowest first; long ones in pieces."""
        found: list[list[tuple[bytes, int]]] = [[] for _ in names]
        left = list(range(len(names)))
        start = 0
        while left:
            pipeline = self._pipeline()
            for number in left:
                end = start + MEMBERS - 1
                pipeline.execute_command("ZRANGE", names[number], start, end, "WITHSCORES")
            replies = await self._bounded(pipeline.execute())
            for number, reply in zip(left, replies, strict=True):
                pairs = zip(reply[::2], reply[1::2], strict=True)
                found[number] += [(member, int(float(score))) for member, score in pairs]
            start += MEMBERS
            left = [number for number in left if len(found[number]) == start]
        return found

    async def scanned(self, match: str = "*") -> AsyncGenerator[list[bytes], None]:
        """All names that match, in pieces; one may come twice."""
        cursor = 0
        while True:
            cursor, names = await self._bounded(
                self._redis.scan(cursor, match=match, count=SCANNED)
            )
            if names:
                yield names
            if cursor == 0:
                return

    async def size(self) -> int:
        """How many keys there are."""
        return int(await self._bounded(self._redis.dbsize()))

    async def lengths(self, names: Sequence[str]) -> list[int]:
        """How many members sorted sets have."""
        pipeline = self._pipeline()
        for name in names:
            pipeline.execute_command("ZCARD", name)
        return [int(one) for one in await self._bounded(pipeline.execute())]

    async def weights(self, names: Sequence[str]) -> list[int]:
        """Memory of keys with their names, in bytes; of long lists by some of their members."""
        pipeline = self._pipeline()
        for name in names:
            pipeline.execute_command("MEMORY USAGE", name, "SAMPLES", MEMBERS_WEIGHED)
        return [int(one or 0) for one in await self._bounded(pipeline.execute())]

    async def unlink(self, names: Sequence[bytes]) -> int:
        """Delete keys; how many there were."""
        return int(await self._bounded(self._redis.unlink(*names)))

    async def info(self) -> Mapping[str, Any]:
        """What the server says of itself."""
        return cast("Mapping[str, Any]", await self._bounded(self._redis.info()))

    async def ping(self) -> None:
        """One round trip."""
        await self._bounded(self._redis.ping())

    def _pipeline(self) -> Pipeline:
        return self._redis.pipeline(transaction=False)

    async def _bounded(self, call: Awaitable[Any]) -> Any:  # noqa: ANN401 - a reply of Redis
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                return await call
        except NoScriptError:
            raise
        except (RedisError, OSError, TimeoutError, RuntimeError) as error:
            raise ReadModelUnavailableError(reason(error)) from None
