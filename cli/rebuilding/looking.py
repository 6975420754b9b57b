"""Looking at a replica's rebuild from elsewhere: once, or until nobody works on it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from cli import output
from cli.rebuilding import showing
from cli.rebuilding.bar import Shown, now_facts
from projector.rebuild.intent import Intent
from projector.rebuild.lock import holder
from projector.rebuild.progress import PROGRESS_KEY, Progress, read_progress
from projector.rebuild.site import Site

_EVERY_S: Final = 0.5


class Looked(Struct, frozen=True, kw_only=True):
    """What is under way (None: nothing), how far it was when that was last said, what serves.

    `holder`: the process that works on it, None: nobody does. `now_ms`: by the replica's clock.
    """

    intent: Intent | None
    moment: Progress | None
    serving: Mapping[int, str]
    holder: str | None
    now_ms: int

    def show(self) -> None:
        """Print it."""
        begun = self.intent is not None and self.intent.phase == "building"
        now = now_facts(self.moment, now_ms=self.now_ms, holder=self.holder, begun=begun)
        showing.print_intent(self.intent, now, self.serving)

    def document(self) -> dict[str, Any]:
        """Return the same for programs."""
        told = showing.intent_document(self.intent, self.moment, self.serving)
        age_ms = None if self.moment is None else max(0, self.now_ms - self.moment.at_ms)
        return told | {"works": self.holder, "progress_age_ms": age_ms}


async def look(site: Site) -> Looked:
    """Look once."""
    [document] = await site.store.get([PROGRESS_KEY])
    return Looked(
        intent=await site.store.intent(),
        moment=None if document is None else read_progress(document),
        serving=await site.store.serving(site.places),
        holder=await holder(site.model),
        now_ms=await site.store.time_ms(),
    )


async def watch(site: Site, *, as_json: bool) -> Looked:
    """Look until nobody works on it, and show each moment; the last look."""
    with Shown() as shown:
        while (looked := await look(site)).holder is not None:
            if as_json:
                output.print_json_line(looked.document())
            elif looked.moment is not None:
                shown.tell(looked.moment)
            await asyncio.sleep(_EVERY_S)
    return looked
