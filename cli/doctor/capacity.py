"""How long there is room, in everything that `ledger capacity` looks at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from cli.doctor.finding import Finding, ok, warn
from cli.filling import looking
from cli.filling.showing import RUNBOOK, first
from cli.trouble import Away
from ledger.event_log.port import LogError
from ledger.settings import Settings
from projector.capacity.forecast import Store, is_alarming
from projector.capacity.wording import told

LOOK_S: Final = 4.0


async def look(settings: Settings) -> list[Finding]:
    """Tell how long there is room; nothing where it can't be told: other findings say why."""
    try:
        async with asyncio.timeout(LOOK_S):
            found = await looking.look(settings, None)
    except (Away, LogError, TimeoutError):
        return []
    return [judge(found.stores)]


def judge(stores: Sequence[Store]) -> Finding:
    """Whether anything is full soon."""
    alarming = [told(store) for store in stores if is_alarming(store)]
    if alarming:
        return warn("capacity", "; ".join(alarming), f"`ledger capacity`, and {RUNBOOK}")
    return ok("capacity", first(stores))
