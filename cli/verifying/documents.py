"""What replicas hold, compared with the log and with each other while they serve."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from itertools import combinations
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from cli import connection, output
from cli.importing.progress import on_stderr
from cli.trouble import Failed, Missing
from cli.verifying.verifying import whose_log
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Topic
from ledger.settings import Settings
from projector.discards import Discards
from projector.read_model.keys import CATALOG, Keys
from projector.read_model.port import ReadModelUnavailableError
from projector.rebuild.store import Store
from projector.verifying.beside import NotComparedError, Verifying
from projector.verifying.between import EQUAL_S, Between, compare_all
from projector.verifying.comparison import Beside
from projector.verifying.patience import patiently
from projector.verifying.reading import LogSource
from projector.views.digests import weigher
from projector.views.documents import read_head

LAG_S: Final = 2.0
"""A live projector has folded by then what was in the log before."""
WAITED_S: Final = 5.0
_AGAIN_S: Final = 0.1
_LAG: Final = "records behind the log, and these aren't compared: see `ledger doctor`"


class _Work(Struct, frozen=True, kw_only=True):
    """What the progress is of: each record is folded, and what it has made is read."""

    path: Path
    moves: int


class OfReplica(Struct, frozen=True, kw_only=True):
    """A replica (its letter) beside the log, place by place."""

    replica: str
    places: Sequence[Beside]


class OfPair(Struct, frozen=True, kw_only=True):
    """Two replicas (their letters) beside each other, place by place."""

    replicas: tuple[str, str]
    places: Sequence[Between]


def letters_of(settings: Settings, named: Sequence[str]) -> list[str]:
    """Letters of the replicas that are named. Raises `Missing`."""
    known = [chr(ord("A") + number) for number in range(len(settings.replicas))]
    found = list(dict.fromkeys(one.upper() for one in named))
    for one in found:
        if one not in known:
            raise Missing(f"--documents is one of {', '.join(known)}, not {one!r}")
    return found


async def beside_the_log(settings: Settings, letters: Sequence[str]) -> list[OfReplica]:
    """Compare what replicas hold with a fresh fold of the log, one replica after the other.

    Raises `Missing`, `Failed`, `LogError`, `ReadModelUnavailableError`, `BrokerAwayError`.
    """
    log = connection.new_log(settings)
    try:
        await whose_log(log, settings, ())
        found = []
        for letter in letters:
            store = Store(settings.replicas[ord(letter) - ord("A")])
            try:
                verifying = Verifying(
                    store,
                    LogSource(log),
                    weigher(settings.pepper),
                    Discards(log),
                    partitions=settings.partitions,
                )
                places = await _all_places(
                    verifying, store, settings, letter, ends_of=lambda: _ends(log)
                )
            finally:
                await store.close()
            found.append(OfReplica(replica=letter, places=places))
    finally:
        await log.close()
    return found


async def beside_each_other(settings: Settings) -> list[OfPair]:
    """Compare every two replicas. Raises `Missing`, `ReadModelUnavailableError`."""
    if len(settings.replicas) < 2:  # noqa: PLR2004 - a pair
        raise Missing("--between compares replicas with each other, and LEDGER_REPLICAS names one")
    async with AsyncExitStack() as stack:
        stores = {}
        for number, url in enumerate(settings.replicas):
            store = stores[chr(ord("A") + number)] = Store(url)
            stack.push_async_callback(store.close)
        found = []
        for one, other in combinations(stores, 2):
            for letter in (one, other):
                await _positions(stores[letter], settings, letter)
            places = await _pair(stores, (one, other), settings)
            found.append(OfPair(replicas=(one, other), places=places))
    return found


async def _pair(
    stores: Mapping[str, Store], pair: tuple[str, str], settings: Settings
) -> list[Between]:
    one, other = pair
    places = _places(settings)
    watching = on_stderr()
    work = _Work(path=Path(f"replicas {one} and {other}"), moves=len(places))
    tell: Callable[[int], None] = watching.begin(work)
    left = set(places)

    def told(found: Between) -> None:
        left.discard(found.place)
        tell(1)

    waiting = asyncio.create_task(_say_who_is_waited_for(stores, pair, settings, left))
    try:
        names = (f"replica {one}", f"replica {other}")
        return await compare_all(stores[one], stores[other], places, names, told)
    finally:
        waiting.cancel()
        await asyncio.wait([waiting])
        watching.end()


async def _say_who_is_waited_for(
    stores: Mapping[str, Store], pair: tuple[str, str], settings: Settings, left: Collection[int]
) -> None:
    """Say now and then how many places never stood at one position so far, and who is behind."""
    while True:
        await asyncio.sleep(WAITED_S)
        with suppress(ReadModelUnavailableError, Missing):
            one, other = [await _positions(stores[letter], settings, letter) for letter in pair]
            apart = sum(one) - sum(other)
            behind = "" if not apart else f": {pair[apart > 0]} is {abs(apart):,} records behind"
            output.remark(
                f"replicas {pair[0]} and {pair[1]}: {len(left)} of {len(one)} places are still "
                f"waited for, up to {EQUAL_S:.0f} s{behind}"
            )


async def _all_places(
    verifying: Verifying,
    store: Store,
    settings: Settings,
    letter: str,
    *,
    ends_of: Callable[[], Awaitable[Mapping[int, int]]],
) -> list[Beside]:
    positions = await _positions(store, settings, letter)
    ends = await ends_of()
    watching = on_stderr()
    work = _Work(path=Path(f"replica {letter}"), moves=2 * sum(positions))
    tell: Callable[[int], None] = watching.begin(work)
    try:
        found = [await verifying.place(place, tell) for place in _places(settings)]
        return await _with_lag(found, store, ends)
    except NotComparedError as error:
        raise Failed(f"replica {letter}: {error}") from None
    finally:
        watching.end()


async def _with_lag(found: Sequence[Beside], store: Store, ends: Mapping[int, int]) -> list[Beside]:
    """Note what a replica hasn't folded that was in the log before it was looked at."""
    deadline = time.monotonic() + LAG_S
    while True:
        heads = await store.get([Keys(one.place, one.generation).head for one in found])
        behind = {
            one.place: ends[one.place] - max(one.position, _position(head))
            for one, head in zip(found, heads, strict=True)
        }
        if max(behind.values()) <= 0 or time.monotonic() > deadline:
            break
        await asyncio.sleep(_AGAIN_S)
    return [
        replace(one, notes=[*one.notes, f"{behind[one.place]:,} {_LAG}"])
        if behind[one.place] > 0
        else one
        for one in found
    ]


async def _ends(log: KafkaLog) -> dict[int, int]:
    """Where the log ends, by place."""
    licenses = await patiently(lambda: log.ends(Topic.LICENSE_EVENTS))
    catalog = await patiently(lambda: log.ends(Topic.CATALOG_EVENTS))
    return {**licenses, CATALOG: catalog[0]}


async def _positions(store: Store, settings: Settings, letter: str) -> list[int]:
    """How far a replica has folded each place. Raises `Missing` where it holds nothing."""
    serving = await store.serving(_places(settings))
    heads = await store.get([Keys(place, each).head for place, each in serving.items()])
    if not any(heads):
        raise Missing(f"replica {letter} holds nothing: its projector fills it")
    return [_position(head) for head in heads]


def _position(head: bytes | None) -> int:
    try:
        return 0 if head is None else read_head(head).position
    except ValueError:
        # It is told when the place is compared.
        return 0


def _places(settings: Settings) -> list[int]:
    return [*range(settings.partitions), CATALOG]
