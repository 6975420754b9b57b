"""What is under way in the ledger's other replicas: one is rebuilt at a time."""

from __future__ import annotations

import asyncio
from typing import Final

from projector.read_model.port import ReadModelUnavailableError
from projector.rebuild.intent import Intent
from projector.rebuild.site import Site
from projector.rebuild.store import Store

ANSWER_S: Final = 5.0
_SETTLED: Final = frozenset({"window"})
"""Phases in which what serves there was proved, and nothing changes."""


async def objections(site: Site) -> list[str]:
    """Why none is to be begun here, in words, each with the replica's name; empty: nothing.

    While one replica is rebuilt the others have to serve, so they have to answer.
    """
    numbers = [number for number in range(len(site.settings.replicas)) if number != site.replica]
    found = await asyncio.gather(*(_objection(site, number) for number in numbers))
    return [one for one in found if one is not None]


async def _objection(site: Site, number: int) -> str | None:
    letter = chr(ord("A") + number)
    store = Store(site.settings.replicas[number])
    try:
        async with asyncio.timeout(ANSWER_S):
            intent = await store.intent()
    except (ReadModelUnavailableError, TimeoutError) as error:
        why = str(error) or f"not within {ANSWER_S:.0f} s"
        return (
            f"replica {letter} doesn't answer ({why}), and it has to serve while this one is "
            "rebuilt: `ledger doctor`"
        )
    finally:
        await store.close()
    return None if intent is None else _said(intent, letter)


def _said(intent: Intent, letter: str) -> str | None:
    if intent.phase in _SETTLED:
        return None
    return (
        f"a rebuild of replica {letter} is under way (generation {intent.generation}, "
        f"{intent.phase}), and one is rebuilt at a time: see "
        f"`ledger rebuild status --replica {letter}`, and end that one first"
    )
