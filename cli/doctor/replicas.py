"""The replicas: reachable, room in memory, writes on the disk, level, and who projects there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from cli.doctor.finding import HANGS, HANGS_STEP, Finding, fail, ok, warn
from cli.replica import Replicas
from cli.serving import served
from ledger.domain.clocks import CLOCKS_APART_ALARM_MS, CLOCKS_APART_REFUSE_MS
from ledger.settings import Settings
from projector.capacity.wording import size
from projector.read_model.keys import CATALOG, Keys
from projector.views.documents import Head, read_head

SLOTS: Final = 16
"""Slots of a replica that are looked at."""
_ASK_S: Final = 3.0
_MEMORY_WARN, _MEMORY_FAIL = 0.8, 0.95
_AGE_WARN_MS: Final = 10_000
_RUNBOOK: Final = "docs/operations/projector.md"


class Looked(Struct, frozen=True, kw_only=True):
    """What was found of a replica. `heads` empty: it doesn't answer, and `findings` say so.

    `heads`: of the license partitions in their order, then the catalog's.

    `now_ms`: its clock; `apart_ms`: how far that is ahead of this host's.
    """

    letter: str
    findings: list[Finding]
    heads: Sequence[Head] = ()
    slots: Sequence[int] = ()
    now_ms: int = 0
    apart_ms: int = 0


async def look(settings: Settings) -> list[Looked]:
    """Look at every replica at once; bounded in time."""
    replicas = Replicas(settings)
    try:
        return await asyncio.gather(
            *(
                _replica(chr(ord("A") + number), client, settings)
                for number, client in enumerate(replicas.clients)
            )
        )
    finally:
        await replicas.close()


def judge(looked: Sequence[Looked], ends: Mapping[int, int]) -> list[Finding]:
    """Tell of what was seen. `ends` of the log, empty where they are not known."""
    found = []
    for one in looked:
        found += one.findings
        if one.heads:
            found.append(level(one.letter, one.heads, one.now_ms, ends))
            found.append(projector(one.letter, one.slots))
    return [*found, clocks([one.apart_ms for one in looked if one.heads])]


async def _replica(letter: str, client: Redis, settings: Settings) -> Looked:
    name = f"replica {letter}"
    try:
        async with asyncio.timeout(_ASK_S):
            own_ms = time.time_ns() // 1_000_000
            seconds, microseconds = await client.time()
            heads, holders = await _read(client, letter, settings)
            info = await _info(client)
    except (RedisError, OSError, TimeoutError) as error:
        return Looked(letter=letter, findings=[_away(name, error)])
    now_ms = int(seconds) * 1000 + int(microseconds) // 1000
    return Looked(
        letter=letter,
        findings=server(name, info),
        heads=heads,
        slots=[slot for slot, holder in enumerate(holders) if holder],
        now_ms=now_ms,
        apart_ms=now_ms - own_ms,
    )


def _away(name: str, error: Exception) -> Finding:
    """Why a replica can't be asked; not in its own words, which may have a password in them."""
    if isinstance(error, RedisTimeoutError | TimeoutError):
        return fail(name, f"doesn't answer within {_ASK_S:.0f} s: {HANGS}", HANGS_STEP)
    if isinstance(error, AuthenticationError | NoPermissionError):
        step = "correct its user and password in LEDGER_REPLICAS"
        return fail(name, "refuses the user, or the password", step)
    step = "start it (`ledger status` says how it is), or correct LEDGER_REPLICAS"
    return fail(name, f"can't be reached ({type(error).__name__})", step)


async def _read(
    client: Redis, letter: str, settings: Settings
) -> tuple[list[Head], Sequence[bytes | str | None]]:
    # The catalog's comes last: its number is -1.
    names = [Keys(place).head for place in (*range(settings.partitions), CATALOG)]
    heads = [Head() if one is None else read_head(one) for one in await served(client, names)]
    member = f"{settings.topic_prefix}projector-{letter}"
    return heads, await client.mget([f"{member}-{slot}:holder" for slot in range(SLOTS)])


async def _info(client: Redis) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = await client.info()
    except ResponseError:
        return None
    return found


def server(name: str, info: Mapping[str, Any] | None) -> list[Finding]:
    """What a Redis says of itself; None: this user may not ask."""
    if info is None:
        step = "ask with a user that may call INFO"
        return [warn(name, "answers; its memory and disk can't be asked for", step)]
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    room = f"{size(used)} of {size(most) if most else 'unlimited memory'}"
    found = [ok(name, f"Redis {info.get('redis_version', '?')}, {room}")]
    if most and used > _MEMORY_WARN * most:
        step = "give it more: CONFIG SET maxmemory, and in its config, or a larger host"
        full = fail if used > _MEMORY_FAIL * most else warn
        found = [full(name, f"its memory is nearly full: {room}", step)]
    policy = info.get("maxmemory_policy")
    if policy != "noeviction":
        step = "CONFIG SET maxmemory-policy noeviction, and in its config"
        found.append(fail(name, f"maxmemory-policy is {policy}: it may drop licenses", step))
    if not int(info.get("aof_enabled", 0)):
        step = "CONFIG SET appendonly yes, and in its config"
        found.append(warn(name, "appendonly is off: after a kill it folds all anew", step))
    elif info.get("aof_last_write_status") != "ok":
        step = "free space on the disk of its append-only file"
        found.append(fail(name, "its last write to the disk failed", step))
    return found


def level(letter: str, heads: Sequence[Head], now_ms: int, ends: Mapping[int, int]) -> Finding:
    """How old the oldest partition's level is, on the replica's own clock, and how far behind."""
    name = f"level {letter}"
    behind = sum(max(end - heads[at].position, 0) for at, end in ends.items() if at < len(heads))
    lag = f", {behind} records behind" if behind else ""
    step = f"does its projector run? `ledger status`, and {_RUNBOOK} (not-level)"
    oldest = min((head.level_at_ms for head in heads), default=0)
    if not oldest:
        where = "the catalog" if all(head.level_at_ms for head in heads[:-1]) else "every partition"
        return fail(name, f"never was level in {where}{lag}", step)
    age_ms = max(now_ms - oldest, 0)
    said = f"{age_ms / 1000:.1f} s old{lag}"
    return warn(name, said, step) if age_ms > _AGE_WARN_MS else ok(name, said)


def projector(letter: str, slots: Sequence[int]) -> Finding:
    """Who holds the replica's slots."""
    name = f"projector {letter}"
    if not slots:
        step = (
            f"start it; where `ledger status` has it running it hangs: end its process, and it is "
            f"started anew. See {_RUNBOOK}"
        )
        return fail(name, f"nobody holds any of the slots 0 to {SLOTS - 1}", step)
    return ok(name, f"at work: slot {', '.join(map(str, slots))}")


def clocks(apart_ms: Sequence[int]) -> Finding:
    """How far this host's clock and the replicas' are apart."""
    if not apart_ms:
        return warn("clocks", "no replica tells its time", "start the replicas, run this again")
    most = max([0, *apart_ms]) - min([0, *apart_ms])
    said = f"{most / 1000:.1f} s apart (this host, {len(apart_ms)} replicas)"
    step = "set the clock that is off (NTP): docs/operations/projector.md, clocks-apart"
    if most > CLOCKS_APART_REFUSE_MS:
        return fail("clocks", said, step)
    return warn("clocks", said, step) if most > CLOCKS_APART_ALARM_MS else ok("clocks", said)
