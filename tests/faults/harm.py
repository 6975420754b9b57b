"""Harm that lasts as long as a row does: what many faults have in common."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Final, TypeVar

from tests.faults.stage import Stage
from tests.servers import Server

ALL: Final = ("REPLICA_A", "REPLICA_B", "LOCAL_COPY")
S = TypeVar("S", bound=Server)
Harm = tuple[Callable[[S], object], Callable[[S], object]]
"""What breaks a server, and what mends it."""
KILLED: Final[Harm[Server]] = (methodcaller("kill"), methodcaller("start"))
FROZEN: Final[Harm[Server]] = (methodcaller("freeze"), methodcaller("thaw"))


async def harmed(
    stage: Stage, servers: Sequence[S], harm: Harm[S], still: Sequence[str] = ()
) -> None:
    """Harm servers for as long as the row lasts; `still`: the sources that can't be level then."""
    break_, mend = harm
    stage.begins()
    for server in servers:
        await asyncio.to_thread(break_, server)
    since = time.monotonic()
    await stage.enough()
    stage.lifted()
    if still:
        stage.stands_still(since, stage.ended, still)
    for server in servers:
        await asyncio.to_thread(mend, server)
    await stage.recovered()


async def shared(stage: Stage, second: Server, times: int) -> None:
    """Have a second projector take half of the partitions, so many times, and give them back."""
    for turn in range(times):
        await asyncio.to_thread(second.start)
        await stage.enough((turn + 0.5) / times)
        await asyncio.to_thread(second.stop)
        await stage.enough((turn + 1) / times)
