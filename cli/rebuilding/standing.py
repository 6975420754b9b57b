"""How a replica stands: what is under way there, how the last one ended, who folds what."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from cli import output
from cli.rebuilding.bar import Shown, now_facts
from cli.rebuilding.showing import intent_document, print_intent
from projector.rebuild.intent import Closed, Intent
from projector.rebuild.lock import holder
from projector.rebuild.progress import PROGRESS_KEY, Progress, read_progress
from projector.rebuild.releases import Kept, kept
from projector.rebuild.site import Site

_EVERY_S: Final = 0.5
_TWO: Final = frozenset({"flipping", "undoing", "window"})
"""Phases in which two generations are folded on."""


class Standing(Struct, frozen=True, kw_only=True):
    """What is under way (None: nothing), how far it is, what serves each place.

    `closed`: how the last one ended; `kept`: both generations, while either may serve. `holder`:
    the process that works on it, None: nobody does. `now_ms`: by the replica's clock.
    """

    intent: Intent | None
    moment: Progress | None
    serving: Mapping[int, str]
    closed: Closed | None
    kept: Sequence[Kept]
    holder: str | None
    now_ms: int


async def look(site: Site) -> Standing:
    """Look how a replica stands."""
    [document] = await site.store.get([PROGRESS_KEY])
    intent = await site.store.intent()
    two = intent is not None and intent.phase in _TWO
    return Standing(
        intent=intent,
        moment=None if document is None else read_progress(document),
        serving=await site.store.serving(site.places),
        closed=await site.store.closed(),
        kept=await kept(site.store, intent, site.places) if intent is not None and two else (),
        holder=await holder(site.model),
        now_ms=await site.store.time_ms(),
    )


async def watch(site: Site, *, as_json: bool) -> Standing:
    """Look until nobody works on it, and show each moment; the last look."""
    with Shown() as shown:
        while (standing := await look(site)).holder is not None:
            if as_json:
                output.print_json_line(standing_document(standing))
            elif standing.moment is not None:
                shown.tell(standing.moment)
            await asyncio.sleep(_EVERY_S)
    return standing


def print_standing(standing: Standing) -> None:
    """Print it."""
    intent, more = standing.intent, {}
    if intent is None and standing.closed is not None:
        more["the last one"] = ended(standing.closed)
    for one in standing.kept:
        if intent is not None:
            of = f"generation {one.generation}"
            more[of] = _folded(one) + (
                "" if one.as_built_by(intent.release) else f". {mixed(one, intent.release)}"
            )
    begun = intent is not None and intent.phase == "building"
    now = now_facts(standing.moment, now_ms=standing.now_ms, holder=standing.holder, begun=begun)
    print_intent(intent, now, standing.serving, more)


def standing_document(standing: Standing) -> dict[str, Any]:
    """Return the same for programs."""
    closed, moment = standing.closed, standing.moment
    return intent_document(standing.intent, standing.moment, standing.serving) | {
        "closed": None if closed is None else msgspec.to_builtins(closed),
        "kept": msgspec.to_builtins(list(standing.kept)),
        "works": standing.holder,
        "progress_age_ms": None if moment is None else max(0, standing.now_ms - moment.at_ms),
    }


def ended(closed: Closed) -> str:
    """Say how the last rebuild ended, after "and"."""
    at = datetime.fromtimestamp(closed.at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if not closed.flipped:
        return f"the last one was given up at {at}, before it was flipped"
    return (
        f"the window of the last one closed at {at}: generation {closed.dropped} was deleted, and "
        f"generation {closed.serves} serves"
    )


def mixed(one: Kept, release: str) -> str:
    """Say what a generation is that not only `release`, which built the other one, had to do with.

    Its state is right all the same.
    """
    said = []
    others = [each for each in one.releases if each != release]
    if others:
        said.append(
            f"since the flip it was folded on by {_named(one.releases)}, and release {release} did "
            "the rebuild"
        )
    if one.otherwise:
        said.append(
            f"in {one.otherwise} of {one.places} places some answers may be as another release "
            "renders them"
        )
    return (
        f"Generation {one.generation} isn't of one release: {'; '.join(said)}. Its state is what "
        "the log says (docs/operations/rebuild.md)"
    )


def _folded(one: Kept) -> str:
    return f"folded on by {_named(one.releases)}"


def _named(releases: Sequence[str]) -> str:
    return f"release{'s' if len(releases) > 1 else ''} {', '.join(releases) or 'unknown'}"
