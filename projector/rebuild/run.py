"""A rebuild from its beginning to the flip: each step may be repeated after a kill.

What serves is never touched before the flip. The intent in the replica says what is under way; who
comes next goes on from there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar

from msgspec.structs import replace

from projector.discards import Discards
from projector.rebuild.builders import BuilderFailedError, Builders
from projector.rebuild.built import Built
from projector.rebuild.collecting import collect
from projector.rebuild.elsewhere import objections
from projector.rebuild.exchange import flip, refuse_flip
from projector.rebuild.folded_on import refuse_where_nobody_folds_on
from projector.rebuild.following import Following
from projector.rebuild.intent import Foreseen, Intent, guessed
from projector.rebuild.progress import Progress, Work
from projector.rebuild.proof import Changes, Proof, see_to_agreed
from projector.rebuild.proving import Proving
from projector.rebuild.room import room_of
from projector.rebuild.site import RebuildRefusedError, Site
from projector.rebuild.tally import Tally
from projector.rebuild.watching import EVERY_S, Watch
from projector.release import release
from projector.verifying.reading import LogSource
from projector.views.digests import VIEW

T = TypeVar("T")

LEVEL_S: Final = 120.0
"""A generation that gets no further for so long isn't folded on."""
TAKEN_OVER_S: Final = 60.0
READ_BACK_S: Final = 60.0
"""What was read back longer ago is read back once more before it serves."""
_LOOKED_S: Final = 2.0
"""By then the projector has seen which generation serves: it looks four times a second."""
_AGAIN_S: Final = 0.05


async def begun(site: Site, foreseen: Foreseen | None = None) -> Intent:
    """Begin a rebuild, or take up the one that was begun. Raises `RebuildRefusedError`."""
    intent = await site.store.intent()
    if intent is None or intent.phase == "building":
        await _alone_in_the_ledger(site)
    if intent is None:
        return await _begin(site, foreseen)
    if intent.phase == "building" and (intent.view, intent.release) != (VIEW, release()):
        raise RebuildRefusedError(
            f"a rebuild by release {intent.release} is under way, and this is {release()}: "
            "`ledger rebuild cancel` it first"
        )
    if intent.phase == "collecting":
        raise RebuildRefusedError(
            f"generation {intent.dropped} of the last rebuild is still being deleted: a projector "
            "goes on with that, and so does `ledger rebuild finish` or `cancel`"
        )
    if intent.phase not in {"building", "proved", "flipping"}:
        raise RebuildRefusedError(
            f"generations {intent.generation} and {intent.previous} are there, and either may "
            "serve: `ledger rebuild finish` deletes the one that doesn't"
        )
    return intent


async def _begin(site: Site, foreseen: Foreseen | None) -> Intent:
    serving = await site.store.serving(site.places)
    generations = set(serving.values())
    if not generations:
        raise RebuildRefusedError(
            "this replica holds nothing: its projector fills it, there is nothing to rebuild"
        )
    if len(generations) > 1 or len(serving) < len(site.places):
        raise RebuildRefusedError(
            f"not all partitions are served from one generation ({', '.join(sorted(generations))}; "
            f"{len(site.places) - len(serving)} from none): start the replica's projector"
        )
    [previous] = generations
    ends = await site.ends()
    intent = Intent(
        generation=str(int(previous) + 1),
        previous=previous,
        phase="building",
        ends=tuple(ends[partition] for partition in range(site.settings.partitions)),
        view=VIEW,
        release=release(),
        started_ms=await site.store.time_ms(),
        foreseen=foreseen,
    )
    # Whatever was left behind under that number would be taken for built.
    await collect(site.store, intent.generation, site.places)
    await site.store.intend(intent)
    try:
        # Who has begun in another replica at the same moment sees this one, or is seen here.
        await _alone_in_the_ledger(site)
    except RebuildRefusedError:
        await site.store.intend(None)
        raise
    return intent


async def _alone_in_the_ledger(site: Site) -> None:
    if reasons := await objections(site):
        raise RebuildRefusedError("; ".join(reasons))


class Run:
    """One run of a rebuild; `environment`: the ledger's `LEDGER_*`, for the builders."""

    def __init__(
        self,
        site: Site,
        environment: Mapping[str, str],
        tell: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._site = site
        self.environment = environment
        self._watch = Watch(site, tell)
        site.store.may_go_on = self._watch.gate.passed
        self._seconds: dict[str, float] = {}
        self._tally = Tally(self._watch, ())
        self._grown_bytes: int | None = None
        self._rendered = 0

    async def build(
        self, intent: Intent, *, builders: int, memory_mb: int, against_log: bool = False
    ) -> Built:
        """Build a generation and prove it; what serves is what served before.

        `against_log`: by a fresh fold of the log, where what serves may be wrong. Raises
        `NotProvedError`, `BuilderFailedError`, `RebuildRefusedError`, and trouble with the log and
        the replica.
        """
        against_log = against_log or intent.against_log
        async with self._followed(intent) as following:
            if intent.phase == "building":
                before = await self._used_bytes()
                is_whole = await self._build(intent, builders, memory_mb)
                intent = await self._read_back(intent, following)
                self._grown_bytes = await self._used_bytes() - before if is_whole else None
            proof = await self._compare(intent, following, against_log=against_log)
            if intent.phase in {"building", "proved"}:
                proved = replace(intent, phase="proved", against_log=against_log)
                await self._site.store.intend(proved)
        return self._told(intent, proof)

    async def changes(self, intent: Intent) -> Proof:
        """See what will be another than in what serves. Raises as `build` does."""
        async with self._followed(intent) as following:
            return await self._beside(intent, following, lambda one: one.changes(intent.previous))

    async def flip(self, intent: Intent, *, window_s: int, agreed: Changes | None = None) -> Built:
        """Have a generation serve that was proved, once it is level and compared again.

        One that nobody has read back for a while is read back once more. `agreed`: what may be
        another than in what serves, where it was proved by the log. Raises as `build` does.
        """
        refuse_flip(intent)
        await refuse_where_nobody_folds_on(self._site)
        async with self._followed(intent) as following:
            if intent.phase == "proved" and await self._is_long_ago(intent.read_back_ms):
                intent = await self._read_back(intent, following)
                await self._site.store.intend(intent)
            proof = await self._compare_again(intent, following, agreed)
            with self._timed("flipping"):
                opened = await flip(self._site, intent, window_s=window_s)
            with self._timed("handing over"):
                await self._hand_over(intent, following)
        return replace(
            self._told(intent, proof), window_s=window_s, until_ms=max(1, opened.until_ms)
        )

    @asynccontextmanager
    async def _followed(self, intent: Intent) -> AsyncIterator[Following]:
        """Give what folds the generation on, not begun yet; and watch meanwhile."""
        if intent.phase != "building" and not self._watch.work.events_total:
            self._watch.begin(Work.done(sum(intent.ends)))
        watching = asyncio.create_task(self._watch.run())
        following = self._site.following(intent.generation, self._watch.gate.passed)
        try:
            yield following
            await self._watch.look()
        finally:
            await following.stop()
            watching.cancel()

    def _told(self, intent: Intent, proof: Proof) -> Built:
        return Built(
            generation=intent.generation,
            previous=intent.previous,
            events=sum(intent.ends),
            keys=self._watch.work.read,
            too_large=self._watch.too_large,
            foreseen=intent.foreseen,
            grown_bytes=self._grown_bytes,
            rendered=self._rendered,
            seconds=dict(self._seconds),
            proof=proof,
        )

    async def _used_bytes(self) -> int:
        return room_of(await self._site.store.info()).used

    async def _build(self, intent: Intent, count: int, memory_mb: int) -> bool:
        """Build what isn't there yet; whether that was all of it."""
        heads = await self._site.heads(intent.generation)
        left = [(place, end) for place, end in enumerate(intent.ends) if heads[place].position == 0]
        self._tally = Tally(self._watch, intent.ends)
        total, todo = sum(intent.ends), sum(end for _, end in left)
        foreseen = intent.foreseen or guessed(total)
        self._watch.begin(Work(total, foreseen, folded=total - todo))
        await self._watch.see_to_room(round(foreseen.bytes * todo / max(1, total)))
        builders = Builders(
            self.environment,
            replica=self._site.replica,
            count=count,
            memory_mb=memory_mb,
            tell=self._tally.built,
        )
        # The largest first, so that they end together.
        left.sort(key=lambda each: -each[1])
        with self._timed("building"):
            await self._watch.look()
            builders.hold(still=self._watch.held)
            building = asyncio.create_task(builders.build(intent.generation, left))
            try:
                while not building.done():
                    await asyncio.wait([building], timeout=EVERY_S)
                    builders.hold(still=self._watch.held)
                    self._watch.builder_bytes = builders.memory_bytes
                    self._watch.check()
                await self._see_to_built(building)
            finally:
                building.cancel()
                await asyncio.wait([building])
                self._watch.builder_bytes = 0
        return todo == total

    async def _see_to_built(self, building: asyncio.Task[None]) -> None:
        """Raise what has made builders fail: that there is no room, with the numbers, if so."""
        try:
            building.result()
        except BuilderFailedError:
            await self._watch.see_to_room()
            raise

    async def _read_back(self, intent: Intent, following: Following) -> Intent:
        with self._timed("catching up"):
            following.start()
            await self._level(following, intent.generation)
            self._watch.work.built()
            # Nobody writes while it is read back; the log goes on, and is caught up with after.
            await following.stop()
        with self._timed("reading back"):
            self._watch.work.read = 0
            reading = asyncio.create_task(self._proving(intent).read_back(self._tally.read))
            try:
                while not reading.done():
                    await asyncio.wait([reading], timeout=EVERY_S)
                    self._watch.check()
                found = reading.result()
            finally:
                reading.cancel()
                await asyncio.wait([reading])
        self._rendered = sum(one.rendered for one in found.values())
        return replace(intent, read_back_ms=await self._site.store.time_ms())

    async def _is_long_ago(self, time_ms: int) -> bool:
        return await self._site.store.time_ms() - time_ms > READ_BACK_S * 1000

    async def _compare(self, intent: Intent, following: Following, *, against_log: bool) -> Proof:
        """Compare with what serves; or with the log, and tell how what serves differs."""
        if not against_log:
            return await self._beside(intent, following, lambda one: one.compare(intent.previous))
        if intent.phase != "flipping":
            await self._beside(intent, following, Proving.by_log, phase="comparing with the log")
        return await self._beside(intent, following, lambda one: one.changes(intent.previous))

    async def _compare_again(
        self, intent: Intent, following: Following, agreed: Changes | None
    ) -> Proof:
        if not intent.against_log:
            return await self._compare(intent, following, against_log=False)
        proof = await self._beside(intent, following, lambda one: one.changes(intent.previous))
        see_to_agreed(proof, agreed)
        return proof

    async def _beside(
        self,
        intent: Intent,
        following: Following,
        compare: Callable[[Proving], Awaitable[T]],
        *,
        phase: str = "comparing",
    ) -> T:
        """Compare in some way, while the generation is level and is folded on."""
        with self._timed(phase):
            if not following.started:
                following.start()
            await self._level(following, intent.generation)
            comparing = asyncio.ensure_future(compare(self._proving(intent)))
            try:
                while not comparing.done():
                    await asyncio.wait([comparing], timeout=EVERY_S)
                    _see_to(following)
                    if intent.phase == "building":
                        self._watch.check()
                return comparing.result()
            finally:
                comparing.cancel()
                await asyncio.wait([comparing])

    async def _level(self, following: Following, generation: str) -> None:
        """Wait until all places are folded to the log's end, and say so."""
        deadline, reached = time.monotonic() + LEVEL_S, 0
        while True:
            _see_to(following)
            self._watch.check()
            ends, heads = await self._site.ends(), await self._site.heads(generation)
            if all(heads[place].position >= end for place, end in ends.items()) and all(
                head.level_at_ms for head in heads.values()
            ):
                return
            self._tally.folded_on(heads)
            total = sum(head.position for head in heads.values())
            if total > reached:
                deadline, reached = time.monotonic() + LEVEL_S, total
            if time.monotonic() > deadline:
                raise RebuildRefusedError(
                    f"the new generation gets no further since {LEVEL_S:.0f} s; the same command "
                    "again goes on where it was"
                )
            await asyncio.sleep(_AGAIN_S)

    async def _hand_over(self, intent: Intent, following: Following) -> None:
        """Leave the generation to the projector, which folds what serves."""
        await asyncio.sleep(_LOOKED_S)
        await following.stop()
        left_at_ms = await self._site.store.time_ms()
        deadline = time.monotonic() + TAKEN_OVER_S
        while True:
            heads = await self._site.heads(intent.generation)
            if all(head.level_at_ms > left_at_ms for head in heads.values()):
                return
            if time.monotonic() > deadline:
                raise RebuildRefusedError(
                    f"generation {intent.generation} serves, and no projector folds it on: its age "
                    "grows. Start the replica's projector (`ledger doctor` says what is missing)"
                )
            await asyncio.sleep(_AGAIN_S)

    def _proving(self, intent: Intent) -> Proving:
        return Proving(
            self._site.store,
            LogSource(self._site.log),
            self._site.weigher,
            Discards(self._site.log),
            partitions=self._site.settings.partitions,
            generation=intent.generation,
        )

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        """Say which phase it is, and add up what it takes."""
        self._watch.phase = phase
        began = time.monotonic()
        try:
            yield
        finally:
            took = self._seconds.get(phase, 0.0) + time.monotonic() - began
            self._seconds[phase] = round(took, 2)


def _see_to(following: Following) -> None:
    """Raise what keeps a generation from being folded on."""
    following.check()
    if following.stopped:
        place, why = next(iter(following.stopped.items()))
        raise RebuildRefusedError(
            f"partition {place} of the new generation can't be folded on ({why}): see "
            f"docs/operations/projector.md#{why}"
        )
