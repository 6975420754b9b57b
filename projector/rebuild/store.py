"""What a rebuild asks of a replica's Redis besides what the live fold does.

Every call is bounded in time and raises `ReadModelUnavailableError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from hashlib import sha1
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, cast

from msgspec import Struct
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from projector.read_model.calls import Calls
from projector.read_model.connection import connection_class
from projector.read_model.keys import Keys, serving
from projector.read_model.port import ReadModelUnavailableError
from projector.read_model.reasons import reason
from projector.read_model.wire import Away, RefusedError
from projector.rebuild.intent import (
    CLOSED,
    KEY,
    RELEASES,
    Closed,
    Intent,
    closed_document,
    intent_document,
    read_closed,
    read_intent,
)

TIMEOUT_S: Final = 10.0
"""Of one call; a Redis that rewrites its file may stand still for a moment."""
CONNECT_TIMEOUT_S: Final = 2.0
SCANNED: Final = 1_000
MEMBERS: Final = 1_000
MEMBERS_WEIGHED: Final = 50
_PIECE: Final = 500
_ALWAYS: Final = "redis.call('PERSIST', KEYS[1]) redis.call('{}', KEYS[1], ARGV[1])"
"""A full memory refuses a write, but not of a script that has done one: so one can give up there,
and go back."""
Page = Sequence[tuple[bytes, int]]
"""Members of a sorted set with their scores, lowest first."""
Flipped = Literal["serves", "behind", "other"]
_FLIPPED: Final[dict[int, Flipped]] = {1: "serves", 0: "behind", -1: "other"}


class Snapshot(Struct, frozen=True, kw_only=True):
    """What a replica holds at one moment.

    `serving`, `head`: of the place; `now_ms`: by the replica's own clock.
    `values` of keys; `scores` of members, None where there is none; `pages` of lists: the cursor
    to go on with (0: it was the last) and members with their scores, None where it is no list.
    """

    serving: str | None
    head: bytes | None
    now_ms: int
    values: Sequence[bytes | None] = ()
    scores: Sequence[int | None] = ()
    pages: Sequence[tuple[int, Sequence[tuple[bytes, int]]] | None] = ()


class Store:
    """A replica's Redis, as a rebuild needs it."""

    def __init__(self, url: str) -> None:
        self._pool = BlockingConnectionPool.from_url(
            url,
            connection_class=connection_class(url),
            max_connections=8,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._redis = Redis(connection_pool=self._pool)
        self.may_go_on: Callable[[], Awaitable[None]] | None = None
        """Is awaited before each piece of a scan of all keys."""
        self._calls = Calls(
            self._pool.make_connection, timeout_s=TIMEOUT_S, connect_timeout_s=CONNECT_TIMEOUT_S
        )
        self._flip = Path(__file__).with_name("flip.lua").read_text(encoding="utf-8")

    async def close(self) -> None:
        """End all connections."""
        await self._calls.close()
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
            await self._bounded(self._redis.delete(KEY, RELEASES))
        else:
            await self._always("SET", KEY, intent_document(intent))

    async def close_rebuild(self, closed: Closed) -> None:
        """Note that a rebuild is over, and how it ended; the caller holds the lock."""
        await self._always("SET", CLOSED, closed_document(closed))
        await self.intend(None)

    async def note_release(self, release: str) -> None:
        """Note that a release folds the generations of an open window on."""
        await self._always("SADD", RELEASES, release)

    async def releases(self) -> list[str]:
        """All that were noted, in their order by name."""
        found = await self._bounded(self._redis.smembers(RELEASES))
        return sorted(one.decode() for one in found)

    async def closed(self) -> Closed | None:
        """How the last rebuild ended; None: there was none."""
        document = await self._bounded(self._redis.get(CLOSED))
        return None if document is None else read_closed(document)

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
        [values] = await self._all([("MGET", *names)])
        return cast("list[bytes | None]", values)

    async def snapshot(
        self,
        keys: Keys,
        values: Sequence[str],
        scores: Sequence[tuple[str, bytes]] = (),
        scans: Sequence[tuple[str, int]] = (),
    ) -> Snapshot:
        """Read keys, scores of members, and pages of lists, and where the place stands just then.

        `scans`: lists, each with the cursor to go on from, 0 at first.
        """
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.execute_command("TIME")
        pipeline.execute_command("MGET", keys.serving, keys.head, *values)
        for name, member in scores:
            pipeline.execute_command("ZSCORE", name, member)
        for name, cursor in scans:
            pipeline.execute_command("ZSCAN", name, cursor, "COUNT", SCANNED)
        # A key of another type is no trouble with the replica, but what is looked for.
        replies = await self._bounded(pipeline.execute(raise_on_error=False))
        refused = next((one for one in replies[:2] if isinstance(one, ResponseError)), None)
        if refused is not None:
            raise ReadModelUnavailableError(reason(refused))
        (seconds, microseconds), (serving_, head, *found), *rest = replies
        now_ms = int(seconds) * 1000 + int(microseconds) // 1000
        return Snapshot(
            serving=None if serving_ is None else serving_.decode(),
            head=head,
            now_ms=now_ms,
            values=found,
            scores=[_score(one) for one in rest[: len(scores)]],
            pages=[_page(one) for one in rest[len(scores) :]],
        )

    async def write(
        self,
        strings: Sequence[tuple[str, bytes]],
        sorted_sets: Iterable[tuple[str, Mapping[str | bytes, int]]] = (),
    ) -> None:
        """Write keys and members in one pipeline; not all at once."""
        commands: list[tuple[object, ...]] = [
            ("MSET", *chain.from_iterable(strings[at : at + _PIECE]))
            for at in range(0, len(strings), _PIECE)
        ]
        for key, members in sorted_sets:
            scored = [part for member, score in members.items() for part in (score, member)]
            commands.append(("ZADD", key, *scored))
        await self._all(commands)

    async def members(self, names: Sequence[str]) -> list[list[tuple[bytes, int]]]:
        """Members of sorted sets with their scores, lowest first; long ones in pieces."""
        found: list[list[tuple[bytes, int]]] = [[] for _ in names]
        left = list(range(len(names)))
        start = 0
        while left:
            end = start + MEMBERS - 1
            replies = await self._all(
                [("ZRANGE", names[number], start, end, "WITHSCORES") for number in left]
            )
            for number, reply in zip(left, replies, strict=True):
                found[number] += _ranked(reply)
            start += MEMBERS
            left = [number for number in left if len(found[number]) == start]
        return found

    async def paged(
        self, names: Sequence[str], lists: Sequence[str], start: int
    ) -> tuple[list[bytes | None], list[Page]]:
        """Values of keys, and of sorted sets up to `MEMBERS` members from a rank on; at one moment.

        What is no sorted set has the one member that says so.
        """
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.execute_command("MGET", *names)
        for name in lists:
            pipeline.execute_command("ZRANGE", name, start, start + MEMBERS - 1, "WITHSCORES")
        values, *replies = await self._bounded(pipeline.execute(raise_on_error=False))
        if isinstance(values, ResponseError):
            raise ReadModelUnavailableError(reason(values))
        return values, [_ranked(one) for one in replies]

    async def scanned(self, match: str = "*") -> AsyncGenerator[list[bytes], None]:
        """All names that match, in pieces; one may come twice."""
        cursor = 0
        while True:
            if self.may_go_on is not None:
                await self.may_go_on()
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
        return [int(one) for one in await self._all([("ZCARD", name) for name in names])]

    async def weights(self, names: Sequence[str]) -> list[int]:
        """Memory of keys with their names, in bytes; of long lists by some of their members."""
        replies = await self._all(
            [("MEMORY", "USAGE", name, "SAMPLES", MEMBERS_WEIGHED) for name in names]
        )
        return [int(one or 0) for one in replies]

    async def unlink(self, names: Sequence[bytes]) -> int:
        """Delete keys; how many there were."""
        return int(await self._bounded(self._redis.unlink(*names)))

    async def info(self) -> Mapping[str, Any]:
        """What the server says of itself."""
        return cast("Mapping[str, Any]", await self._bounded(self._redis.info()))

    async def folder(self) -> str | None:
        """Where the server keeps its files; None: it doesn't say, since this user may not ask."""
        try:
            found = await asyncio.wait_for(self._redis.config_get("dir"), TIMEOUT_S)
        except ResponseError:
            return None
        except (RedisError, OSError, TimeoutError, RuntimeError) as error:
            raise ReadModelUnavailableError(reason(error)) from None
        return found.get("dir")

    async def ping(self) -> None:
        """One round trip."""
        await self._bounded(self._redis.ping())

    async def _all(self, commands: Sequence[Sequence[object]]) -> list[Any]:
        """Replies to commands that go out in one piece; to do them again changes nothing."""
        try:
            return await self._calls.all(commands)
        except Away as error:
            raise ReadModelUnavailableError(str(error)) from None
        except RefusedError:
            # The client's own way tells what is wrong.
            pipeline = self._redis.pipeline(transaction=False)
            for words in commands:
                pipeline.execute_command(*words)
            return cast("list[Any]", await self._bounded(pipeline.execute()))

    async def _always(self, command: str, key: str, value: bytes | str) -> None:
        """Write, also where the memory is full."""
        await self._bounded(self._redis.eval(_ALWAYS.format(command), 1, key, value))

    async def _bounded(self, call: Awaitable[Any]) -> Any:  # noqa: ANN401 - a reply of Redis
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                return await call
        except NoScriptError:
            raise
        except (RedisError, OSError, TimeoutError, RuntimeError) as error:
            raise ReadModelUnavailableError(reason(error)) from None


def _score(reply: object) -> int | None:
    return None if reply is None or isinstance(reply, ResponseError) else int(float(reply))  # type: ignore[arg-type] # a number as Redis has it


def _ranked(reply: Any) -> Page:  # noqa: ANN401 - a reply of Redis
    if isinstance(reply, ResponseError):
        return ((b"(no sorted set)", 0),)
    return [
        (member, int(float(score))) for member, score in zip(reply[::2], reply[1::2], strict=True)
    ]


def _page(reply: Any) -> tuple[int, list[tuple[bytes, int]]] | None:  # noqa: ANN401 - a reply of Redis
    if isinstance(reply, ResponseError):
        return None
    cursor, members = reply
    pairs = members.items() if isinstance(members, dict) else members
    return int(cursor), [(member, int(float(score))) for member, score in pairs]
