"""A rehearsal of a ledger within reach, with progress; what is kept of one of later rules."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Final

from msgspec import Struct

from cli import rules as rules_
from cli.connection import Connection, connected
from cli.importing.progress import on_stderr
from cli.patience import patiently
from cli.replica import ReplicasAwayError
from cli.trouble import Failed, Missing
from ledger.domain.events import RULES_VERSION
from ledger.event_log.codec import UnknownRulesError
from ledger.event_log.port import Topic
from ledger.settings import Settings
from projector.discards import Discards
from projector.folding import LostRecordError
from projector.read_model.keys import Keys
from projector.read_model.port import ReadModelUnavailableError
from projector.rebuild.license_events import LicenseEvents
from projector.rebuild.store import Store
from projector.rehearsal.changes import Rehearsed
from projector.rehearsal.comparing import Comparing, ReplicaMovedError
from projector.rehearsal.outcome import KEY, Outcome, outcome_document
from projector.rehearsal.run import beside_a_replica, under_rules
from projector.release import release
from projector.views.digests import weigher
from projector.views.documents import read_head

NO_REPLICA: Final = (
    "no replica answers (LEDGER_REPLICAS); is the system running? `ledger up` starts it"
)


class _History(Struct, frozen=True, kw_only=True):
    """What the progress is of."""

    moves: int
    path: Path = Path("records folded")


async def rehearse(settings: Settings) -> tuple[Rehearsed, str]:
    """Compare this release with what the first replica that answers holds; also its letter.

    Raises `Missing` where that can't be done, `Failed`, `ReplicasAwayError`, `LogError`,
    `ReadModelError`.
    """
    async with _trouble_told(), connected(settings) as connection, _a_replica(settings) as found:
        letter, store = found
        discards = Discards(connection.log)
        with _progress(await _position(store, settings.partitions)) as tell:
            comparing = Comparing(
                store,
                LicenseEvents(connection.log),
                weigher(settings.pepper),
                partitions=settings.partitions,
                tell=tell,
            )
            return await beside_a_replica(comparing, discards, settings.partitions), letter


async def suppose(settings: Settings, version: int) -> Rehearsed:
    """Compare the history with what it would be under rules `version`; replicas keep the outcome.

    Raises as `rehearse` does.
    """
    if version > RULES_VERSION:
        raise Missing(f"this software knows rules up to {RULES_VERSION}: upgrade it first")
    now = rules_.active(await rules_.look(settings))
    if now is None:
        raise ReplicasAwayError(NO_REPLICA)
    if version < now:
        raise Missing(f"rules {now} are active, and there is no way back: name {now} or later")
    async with _trouble_told(), connected(settings) as connection:
        log = connection.log
        ends = await patiently(lambda: log.ends(Topic.LICENSE_EVENTS))
        with _progress(sum(ends.values())) as tell:
            found = await under_rules(LicenseEvents(log), Discards(log), ends, version, tell)
        await _keep(connection, version, found)
    return found


async def _keep(connection: Connection, version: int, found: Rehearsed) -> None:
    """Leave word of it in every replica that answers. Raises `ReadModelUnavailableError`: none."""
    outcome = Outcome(
        ledger=connection.ledger,
        rules=version,
        release=release(),
        positions=found.positions,
        chains=tuple(one.head.chain for one in found.partitions),
        before_last=tuple(one.head.before_last for one in found.partitions),
        verdicts=found.verdicts,
        licenses=found.licenses,
        changed_verdicts=found.changed_verdicts,
        changed_licenses=found.changed_licenses,
        at_ms=(await connection.replicas.now()).time_ms,
    )
    trouble: ReadModelUnavailableError | None = None
    kept = 0
    for url in connection.settings.replicas:
        store = Store(url)
        try:
            await store.put(KEY, outcome_document(outcome), ttl_s=None)
            kept += 1
        except ReadModelUnavailableError as error:
            trouble = error
        finally:
            await store.close()
    if trouble is not None and not kept:
        raise trouble


@asynccontextmanager
async def _a_replica(settings: Settings) -> AsyncIterator[tuple[str, Store]]:
    """Connect to the first replica that answers. Raises `ReplicasAwayError`."""
    for number, url in enumerate(settings.replicas):
        store = Store(url)
        try:
            try:
                await store.ping()
            except ReadModelUnavailableError:
                continue
            yield chr(ord("A") + number), store
            return
        finally:
            await store.close()
    raise ReplicasAwayError(NO_REPLICA)


@asynccontextmanager
async def _trouble_told() -> AsyncIterator[None]:
    """Say in a line what keeps a history from being folded here."""
    try:
        yield
    except (UnknownRulesError, ReplicaMovedError) as error:
        raise Missing(str(error)) from None
    except LostRecordError as error:
        raise Failed(f"a record is missing in the log: {error}") from None
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise Failed(
            f"what differs takes more room than there is in {gettempdir()}: make some, or name "
            "another folder (TMPDIR)"
        ) from None


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    watching = on_stderr()
    try:
        yield watching.begin(_History(moves=total))
    finally:
        watching.end()


async def _position(store: Store, partitions: int) -> int:
    """How many records the replica has folded."""
    serving = await store.serving(range(partitions))
    heads = await store.get([Keys(place, each).head for place, each in serving.items()])
    return sum(read_head(head).position for head in heads if head is not None)
