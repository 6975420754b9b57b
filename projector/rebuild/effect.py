"""What builders at work do to what serves: looked at before them, and while some are."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from msgspec import Struct

from projector.read_model.port import ReadModelUnavailableError
from projector.rebuild.site import Site
from projector.rebuild.watching import lag_ms, ping_ms

T = TypeVar("T")

_EVERY_S: Final = 0.2
_LOOKS: Final = 5


class Effect(Struct, frozen=True, kw_only=True):
    """Age of what serves, and what its Redis takes to answer, in ms.

    `lag_ms`, `ping_ms`: the least that was seen before; `lag_building_ms`, `ping_building_ms`: the
    most while builders were at work.
    """

    lag_ms: int
    ping_ms: float
    lag_building_ms: int
    ping_building_ms: float


async def while_building(site: Site, work: Coroutine[Any, Any, T]) -> tuple[Effect, T]:
    """Look, have the work done, and look meanwhile. Raises what the work raises."""
    lags: list[int] = []
    pings: list[float] = []
    task = None
    try:
        for _ in range(_LOOKS):
            await _look(site, lags, pings)
            await asyncio.sleep(_EVERY_S)
        lag, ping = min(lags), min(pings)
        lags, pings = [0], [0.0]
        task = asyncio.create_task(work)
        while not task.done():
            with suppress(ReadModelUnavailableError):
                await _look(site, lags, pings)
            await asyncio.wait([task], timeout=_EVERY_S)
        done = task.result()
    finally:
        if task is None:
            work.close()
        else:
            task.cancel()
            await asyncio.wait([task])
    return Effect(
        lag_ms=lag, ping_ms=ping, lag_building_ms=max(lags), ping_building_ms=max(pings)
    ), done


async def _look(site: Site, lags: list[int], pings: list[float]) -> None:
    lag, _ = await lag_ms(site)
    lags.append(lag)
    pings.append(await ping_ms(site.store))
