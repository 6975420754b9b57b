"""What replicas hold, compared with the log and with each other while they serve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from itertools import combinations
from pathlib import Path

from msgspec import Struct

from cli import connection
from cli.importing.progress import on_stderr
from cli.trouble import Failed, Missing
from cli.verifying.verifying import whose_log
from ledger.settings import Settings
from projector.discards import Discards
from projector.read_model.keys import CATALOG, Keys
from projector.rebuild.store import Store
from projector.verifying.beside import NotComparedError, Verifying
from projector.verifying.between import Between, compare
from projector.verifying.comparison import Beside
from projector.verifying.reading import LogSource
from projector.views.digests import weigher
from projector.views.documents import read_head


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
                places = await _all_places(verifying, store, settings, letter)
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
            places = [
                await compare(stores[one], stores[other], place) for place in _places(settings)
            ]
            found.append(OfPair(replicas=(one, other), places=places))
    return found


async def _all_places(
    verifying: Verifying, store: Store, settings: Settings, letter: str
) -> list[Beside]:
    positions = await _positions(store, settings, letter)
    watching = on_stderr()
    work = _Work(path=Path(f"replica {letter}"), moves=2 * sum(positions))
    tell: Callable[[int], None] = watching.begin(work)
    try:
        return [await verifying.place(place, tell) for place in _places(settings)]
    except NotComparedError as error:
        raise Failed(f"replica {letter}: {error}") from None
    finally:
        watching.end()


async def _positions(store: Store, settings: Settings, letter: str) -> list[int]:
    """How far a replica has folded each place. Raises `Missing` where it holds nothing."""
    serving = await store.serving(_places(settings))
    heads = await store.get([Keys(place, each).head for place, each in serving.items()])
    if not any(heads):
        raise Missing(f"replica {letter} holds nothing: its projector fills it")
    found = []
    for head in heads:
        try:
            found.append(0 if head is None else read_head(head).position)
        except ValueError:
            # It is told when the place is compared.
            found.append(0)
    return found


def _places(settings: Settings) -> list[int]:
    return [*range(settings.partitions), CATALOG]
