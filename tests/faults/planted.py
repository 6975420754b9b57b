"""Eight bugs that the suite must catch, each a patch of one named thing in one process.

`python -m tests.faults.planted BUG MODULE` plants a bug and runs the module as the product does.
The product itself has no switch for any of it; a name that is gone from it fails the process.
"""

from __future__ import annotations

import asyncio
import runpy
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from api import clock, replicas, standing
from api.replica import Names, Reading, Replica
from projector import projection
from projector.loaded import Documents
from projector.read_model.keys import names_of
from projector.read_model.wire import Away
from projector.views.digests import Digests
from projector.views.documents import Head, read_head


def _first_reachable(with_level: bool) -> Callable[..., Any]:  # noqa: FBT001 - which of two bugs
    """Read what the first replica that answers holds, and look nowhere else."""

    async def read(
        self: replicas.Replicas,
        partition: int,
        names: Names,
        extra: Sequence[str] = (),
        *,
        absent: object = None,
    ) -> Reading:
        for each in self._all():
            keys = names_of(partition, each.standing.generation[partition])
            try:
                head_, *values = await each.link.read([keys.head, *names(keys), *extra])
            except Away:
                continue
            head = Head() if head_ is None else read_head(head_)
            if with_level and not head.level_at_ms:
                continue
            age_ms = each.standing.age_ms(partition, head.level_at_ms) if head_ else 0
            return Reading(
                values=values,
                partition=partition,
                position=head.position,
                age_ms=age_ms,
                source=each.source,
                behind=False,
            )
        raise replicas._nobody()  # noqa: SLF001

    return read


def not_found_from_an_empty_replica() -> None:
    """What isn't in the first replica that answers isn't anywhere."""
    _plant_in_reads(replicas.Replicas, _first_reachable(with_level=False))


def denial_from_the_lagging_replica() -> None:
    """The first replica's word is good, however far it is behind."""
    _plant_in_reads(replicas.Replicas, _first_reachable(with_level=True))


def approval_after_revocation() -> None:
    """Documents are kept at hand and never looked at again; the head is read anew."""
    kept: dict[str, bytes | None] = {}
    original = Replica.read

    async def read(
        self: Replica, partition: int, names: Names, extra: Sequence[str]
    ) -> Reading | None:
        reading = await original(self, partition, names, extra)
        if reading is None:
            return None
        wanted = [*names(names_of(partition, "1")), *extra]
        values = [
            value if value is None else kept.setdefault(name, value)
            for name, value in zip(wanted, reading.values, strict=True)
        ]
        return replace(reading, values=values)

    _plant_in_reads(Replica, read)


def age_by_the_wrong_clock() -> None:
    """Age is told by this host's wall clock, not by the replica's."""
    _plant(standing.Standing, "now_ms", property(lambda _: round(time.time() * 1000)))


def endless_retry() -> None:
    """A replica that doesn't answer is asked again, and again."""
    original = Replica.read

    async def read(
        self: Replica, partition: int, names: Names, extra: Sequence[str]
    ) -> Reading | None:
        while True:
            try:
                return await original(self, partition, names, extra)
            except Away:
                await asyncio.sleep(0.05)

    _plant_in_reads(Replica, read)


def mixed_generations() -> None:
    """The head and what it is the head of are read one after the other."""
    original = Replica.read

    async def read(
        self: Replica, partition: int, names: Names, extra: Sequence[str]
    ) -> Reading | None:
        reading = await original(self, partition, lambda _: (), ())
        if reading is None:
            return None
        keys = names_of(partition, self.standing.generation[partition])
        serving, *values = await self.link.read([keys.serving, *names(keys), *extra])
        if serving is not None and serving.decode() != self.standing.generation[partition]:
            keys = names_of(partition, serving.decode())
            values = await self.link.read([*names(keys), *extra])
        return replace(reading, values=values)

    _plant_in_reads(Replica, read)


def stale_projector_cache() -> None:
    """What a projector has at hand outlives the assignment."""
    kept: dict[int, Documents] = {}
    original = projection.Projection._begin  # noqa: SLF001

    async def begin(self: projection.Projection, digests: Digests | None) -> None:
        await original(self, digests)
        self._documents = kept.setdefault(self.partition, self._documents)

    _plant(projection.Projection, "_begin", begin)


def expiry_by_one_wrong_clock() -> None:
    """What is expired is told by this host's clock alone."""
    _plant(clock.Clock, "check_ms", property(lambda _: round(time.time() * 1000)))


BUGS: Final[dict[str, Callable[[], None]]] = {
    bug.__name__: bug
    for bug in (
        not_found_from_an_empty_replica,
        approval_after_revocation,
        age_by_the_wrong_clock,
        endless_retry,
        mixed_generations,
        denial_from_the_lagging_replica,
        stale_projector_cache,
        expiry_by_one_wrong_clock,
    )
}


def _plant(owner: type, name: str, patch: object) -> None:
    """Put a patch in the place of what is there; raises AttributeError where nothing is."""
    getattr(owner, name)
    setattr(owner, name, patch)


def _plant_in_reads(owner: type, read: object) -> None:
    """Patch `read`, and have the fast lane, which reads otherwise, leave every check to it."""
    _plant(owner, "read", read)
    _plant(replicas.Replicas, "ask_at_once", lambda *_: None)


def main(bug: str, module: str) -> None:
    """Plant a bug, then run a module as a program."""
    BUGS[bug]()
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
