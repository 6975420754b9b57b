"""The read model in Redis (6.2 or newer): one script a batch, each in a .lua file beside this one.

Every call has a limit. The server runs with `noeviction`: a full memory refuses a script at its
first write, so nothing is left half done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from projector.read_model import keys
from projector.read_model.calls import Calls
from projector.read_model.connection import connection_class
from projector.read_model.keys import Keys
from projector.read_model.packing import packed
from projector.read_model.port import (
    Batch,
    LevelMark,
    ReadModelCorruptError,
    ReadModelUnavailableError,
    Standing,
)
from projector.read_model.reasons import reason
from projector.read_model.wire import Away, RefusedError

T = TypeVar("T")

CONNECT_TIMEOUT_S: Final = 1.0
CALL_TIMEOUT_S: Final = 2.0
"""Of a script of 2,000 keys; a reader in the API has far less patience."""
CONNECTIONS_MAX: Final = 16
_APPLIED: Final = -1


class _Script:
    """A Lua script, known to the server by its digest."""

    def __init__(self, name: str) -> None:
        self.text = Path(__file__).with_name(name).read_text(encoding="utf-8")
        self.digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def command(self, names: Sequence[str], arguments: Sequence[object]) -> tuple[object, ...]:
        return ("EVALSHA", self.digest, len(names), *names, *arguments)


class RedisReadModel:
    """A replica's store behind a Redis URL."""

    def __init__(
        self,
        url: str,
        *,
        call_timeout_s: float = CALL_TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self._pool = BlockingConnectionPool.from_url(
            url,
            connection_class=connection_class(url),
            max_connections=CONNECTIONS_MAX,
            timeout=call_timeout_s,
            socket_timeout=call_timeout_s,
            socket_connect_timeout=connect_timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._redis = Redis(connection_pool=self._pool)
        self._calls = Calls(
            self._pool.make_connection,
            timeout_s=call_timeout_s,
            connect_timeout_s=connect_timeout_s,
        )
        # Waiting for a connection, connecting and the call itself each have their own limit.
        self._timeout_s = 2 * call_timeout_s + connect_timeout_s
        self._apply = _Script("apply.lua")
        self._level = _Script("level.lua")
        self._take_over = _Script("take_over.lua")
        self._hold = _Script("hold.lua")
        self._release = _Script("release.lua")

    async def get(self, keys_: Sequence[str]) -> Sequence[bytes | None]:
        """Values of `keys_`, None where there is none."""
        if not keys_:
            return ()
        try:
            return await self._calls.get(keys_)
        except Away as away:
            raise ReadModelUnavailableError(str(away)) from None
        except RefusedError:
            found = await self._bounded(self._execute("MGET", *keys_))
            return cast("list[bytes | None]", found)

    async def fronts(self, counts: Mapping[str, int]) -> Mapping[str, list[tuple[bytes, int]]]:
        """First members of sorted sets with their scores, in one pipeline."""
        if not counts:
            return {}
        pipeline = self._redis.pipeline(transaction=False)
        for key, count in counts.items():
            pipeline.execute_command("ZRANGE", key, 0, count - 1, "WITHSCORES")
        answers = await self._bounded(pipeline.execute())
        return {key: _with_scores(answer) for key, answer in zip(counts, answers, strict=True)}

    async def apply(self, batch: Batch) -> int | None:
        """Write the batch if the stored position is its start; else give the stored position."""
        names, arguments = packed(batch)
        position = await self._run(self._apply, names, arguments)
        return None if position == _APPLIED else position

    async def level(self, marks: Sequence[LevelMark]) -> Sequence[Standing]:
        """Store level-at of every mark whose end was reached; one pipeline."""
        if not marks:
            return ()
        commands = [
            self._level.command(
                [
                    Keys(mark.partition, mark.generation).head,
                    keys.data_keys_position(mark.partition),
                    keys.serving(mark.partition),
                ],
                [mark.end, mark.at_ms],
            )
            for mark in marks
        ]
        try:
            return await self._standings(commands)
        except NoScriptError:
            await self._teach(self._level)
            return await self._standings(commands)

    async def take_over(
        self, partition: int, start: int, end: int, data_keys: Mapping[str, bytes]
    ) -> int | None:
        """Write data keys of the records [start, end) as `apply` writes a batch."""
        names = [keys.data_keys_position(partition), *data_keys]
        position = await self._run(self._take_over, names, [start, end, *data_keys.values()])
        return None if position == _APPLIED else position

    async def put(self, key: str, value: bytes) -> None:
        """Write one key."""
        await self._bounded(self._execute("SET", key, value))

    async def time_ms(self) -> int:
        """The replica's own clock, in milliseconds since 1970."""
        seconds, microseconds = await self._bounded(self._execute("TIME"))
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def hold(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take or renew a lock for `ttl_ms`; False: another owner has it."""
        return await self._run(self._hold, [name], [owner, ttl_ms]) == 1

    async def release(self, name: str, owner: str) -> None:
        """Give a lock back, if `owner` still has it."""
        await self._run(self._release, [name], [owner])

    async def close(self) -> None:
        """End all connections."""
        await self._calls.close()
        await self._redis.aclose()
        await self._pool.disconnect()

    async def _run(self, script: _Script, names: Sequence[str], arguments: Sequence[object]) -> int:
        command = script.command(names, arguments)
        try:
            return await self._calls.run(command)
        except Away as away:
            raise ReadModelUnavailableError(str(away)) from None
        except RefusedError:
            return await self._run_by_the_client(script, command)

    async def _run_by_the_client(self, script: _Script, command: tuple[object, ...]) -> int:
        """Run what was refused; that ran nothing of it, or would refuse again."""
        try:
            return int(await self._bounded(self._execute(*command)))
        except NoScriptError:
            # The server started anew; it ran nothing of it.
            await self._teach(script)
            return int(await self._bounded(self._execute(*command)))

    async def _teach(self, script: _Script) -> None:
        await self._bounded(self._execute("SCRIPT LOAD", script.text))

    async def _standings(self, commands: Sequence[tuple[object, ...]]) -> list[Standing]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return [
            Standing(
                position=position,
                data_keys=data_keys,
                level_at_ms=level_at_ms,
                serving=serving.decode(),
            )
            for position, data_keys, level_at_ms, serving in await self._bounded(pipeline.execute())
        ]

    def _execute(self, *command: object) -> Awaitable[Any]:
        # The client has types for its commands, and none for this one, which is cheaper.
        return cast("Awaitable[Any]", self._redis.execute_command(*command))  # type: ignore[no-untyped-call]

    async def _bounded(self, call: Awaitable[Any]) -> Any:  # noqa: ANN401 - a reply of Redis
        with _translated():
            async with asyncio.timeout(self._timeout_s):
                return await call


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NoScriptError:
        raise
    except (RedisError, OSError, TimeoutError, RuntimeError) as error:
        # The last one is uvloop's, for a connection that was closed under the client's hands.
        if isinstance(error, ResponseError) and "WRONGTYPE" in str(error):
            raise ReadModelCorruptError("a key of the read model holds another type") from None
        raise ReadModelUnavailableError(reason(error)) from None


def _with_scores(answer: Sequence[bytes]) -> list[tuple[bytes, int]]:
    return [
        (member, int(float(score))) for member, score in zip(answer[::2], answer[1::2], strict=True)
    ]
