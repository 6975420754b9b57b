"""Why a record is set aside, and what this software would make of it; nothing is written.

What is said is structure: never a value of the record, which may be anybody's secret.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from cli.quarantining.looking import Frozen, Held, records_of, stray_at
from cli.replica import Replicas
from cli.trouble import Failed
from ledger.domain.identifiers import is_id, partition_of
from ledger.event_log.codec import UndecodableError, UnknownRulesError, decode
from ledger.settings import Settings
from projector.loaded import Documents
from projector.loading import load
from projector.read_model.redis import RedisReadModel
from projector.retry_folding import PIECE, Waiting, fold_again, read_again
from projector.views.digests import weigher
from projector.views.documents import Head

LATER: Final = "a later release may know it"


class Explained(Struct, frozen=True, kw_only=True):
    """A record set aside.

    `license` None: its key is no license id of the partition. `why`: in words. `foldable`: whether
    this software folds it. `behind`: how many records wait behind it; `next_poison`: the first of
    those that this software can't fold, as far as was tried.
    """

    partition: int
    offset: int
    timestamp_ms: int
    license: str | None
    size: int
    type: str | None
    rules: int | None
    why: str
    foldable: bool
    behind: int = 0
    next_poison: int | None = None


async def explain(
    replicas: Replicas, settings: Settings, held: Held, found: Frozen
) -> Explained | None:
    """Explain what froze a license in one replica; None where it is frozen no more.

    Raises `RedisError`, `ReadModelError`.
    """
    records = await records_of(replicas, held, found.partition, found.license)
    if not records:
        return None
    poison, next_poison, failure = await _tried(settings, held, found, records)
    record = records[0]
    type_, rules, said = _read(record)
    foldable = poison != record.offset
    if said is None:
        said = (
            "this software can decode and fold it"
            if foldable
            else f"it can be decoded, and folding it fails ({failure or 'an error'}); {LATER}"
        )
    return Explained(
        partition=found.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        license=found.license,
        size=len(record.value or b""),
        type=type_,
        rules=rules,
        why=said,
        foldable=foldable,
        behind=len(records) - 1,
        next_poison=next_poison,
    )


async def explain_stray(
    replicas: Replicas, held: Held, partition: int, offset: int, partitions: int
) -> Explained | None:
    """Explain a record of no license; None where there is none at that offset."""
    record = await stray_at(replicas, held, partition, offset)
    if record is None:
        return None
    type_, rules, _ = _read(record)
    return Explained(
        partition=partition,
        offset=offset,
        timestamp_ms=record.timestamp,
        license=None,
        size=len(record.value or b""),
        type=type_,
        rules=rules,
        why=_stray(record.key, partitions),
        foldable=False,
    )


def _stray(key: bytes | None, partitions: int) -> str:
    text = (key or b"").decode("ascii", "replace")
    if not is_id(text):
        return "its key is no license id: no check would ever look for it"
    return (
        f"its key is a license id of partition {partition_of(text, partitions)}: something appends "
        "with another LEDGER_PARTITIONS"
    )


def _read(record: Waiting) -> tuple[str | None, int | None, str | None]:
    """Type and rules of an event; or why it can't be decoded."""
    try:
        event = decode(record.key, record.value)
    except UnknownRulesError as error:
        return None, error.rules, f"it asks for rules {error.rules}: a release that knows them"
    except UndecodableError as error:
        return None, None, f"it can't be decoded: {error}; {LATER}"
    except Exception as error:  # noqa: BLE001 - whatever it is, the record stays set aside
        kind = type(error).__name__
        return None, None, f"it can't be decoded: {kind}; {LATER}"
    return event.type, event.rules, None


async def _tried(
    settings: Settings, held: Held, found: Frozen, records: list[Waiting]
) -> tuple[int | None, int | None, str | None]:
    """Fold in memory: the first that can't be folded, the first behind, and what fails."""
    poison, failure = await _poison(settings, held, found, records, frozenset())
    if poison != records[0].offset:
        return poison, poison, failure
    behind, _ = await _poison(settings, held, found, records, frozenset({poison}))
    return poison, behind, failure


async def _poison(
    settings: Settings,
    held: Held,
    found: Frozen,
    records: list[Waiting],
    discarded: frozenset[int],
) -> tuple[int | None, str | None]:
    """Fold what waits, as far as one piece reaches, as if some of it were discarded."""
    model = RedisReadModel(settings.replicas[ord(held.letter) - ord("A")])
    names = held.names(found.partition)
    documents = Documents(names, weigher(settings.pepper))
    try:
        reading = read_again(found.license, records, discarded)
        last = records[min(len(records), PIECE) - 1]
        await load(model, names, documents, reading, last.elapsed_ms)
    finally:
        await model.close()
    state = documents.licenses.get(found.license)
    if state is None or state.frozen_at is None:
        raise Failed(f"license {found.license} is frozen no more in replica {held.letter}")
    head = Head(position=held.positions[found.partition])
    again = fold_again(found.license, records, reading, discarded, head, documents, names)
    return again.poison, again.notes.failure
