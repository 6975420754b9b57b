"""Making a checkpoint: the log is read, compared with what is known of it already, and signed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from cli import connection
from cli.patience import patiently
from cli.trouble import Failed
from cli.verifying.files import Kept, check_whose, write
from cli.verifying.reading import Place, Read, read_log
from ledger.checkpoints.comparing import Finding, Known
from ledger.checkpoints.document import Checkpoint, Mark, checkpoint_of, sign
from ledger.event_log.genesis import Genesis
from ledger.event_log.port import FOLDED, EventLog, Topic
from ledger.settings import Settings


class Made(Struct, frozen=True, kw_only=True):
    """A checkpoint that was made; None where the log isn't as earlier ones know it: `findings`."""

    checkpoint: Checkpoint | None
    findings: Sequence[Finding]
    records_read: int


async def make(
    settings: Settings,
    file: Path,
    key: Ed25519PrivateKey,
    *,
    begun: Kept | None,
    others: Sequence[Kept],
) -> Made:
    """Make a checkpoint of the log as it is, and write it where nothing speaks against it.

    `begun`: it is read on from there; None: from the beginning. `others` are compared as well.
    Raises `LogError`, `Missing`, `Failed`.
    """
    earlier = [*others] if begun is None else [begun, *others]
    async with connection.connected(settings) as connected:
        first = Genesis(
            ledger=connected.ledger,
            partition=0,
            partitions=settings.partitions,
            pepper_check=settings.pepper.check_value,
        )
        check_whose(earlier, first)
        await _check_complete(connected.log, settings.partitions)
        known = known_of(earlier)
        read = await read_log(
            connected.log,
            stops=stops_of(known),
            starts=None if begun is None else _starts(begun.checkpoint),
            to_end=True,
        )
    findings = read.findings(known, first.ledger)
    if findings:
        return Made(checkpoint=None, findings=findings, records_read=read.records)
    checkpoint = checkpoint_of(
        ledger=first.ledger,
        partitions=first.partitions,
        pepper_check=first.pepper_check,
        made_ms=time.time_ns() // 1_000_000,
        marks=_marks(read),
    )
    write(sign(checkpoint, key), file)
    return Made(checkpoint=checkpoint, findings=(), records_read=read.records)


async def _check_complete(log: EventLog, partitions: int) -> None:
    """See that all is there that a checkpoint speaks for. Raises `Failed`, `MissingTopic`."""
    for topic in FOLDED:
        has, wanted = (
            len(await patiently(partial(log.ends, topic))),
            topic.partition_count(partitions),
        )
        if has != wanted:
            raise Failed(f"{topic} has {has} partitions, and its ledger has {wanted}")


def known_of(kept: Sequence[Kept]) -> dict[Place, list[Known]]:
    """What checkpoints know of each partition."""
    found: dict[Place, list[Known]] = {}
    for one in kept:
        for topic, marks in one.checkpoint.marks.items():
            for partition, mark in enumerate(marks):
                known = Known(witness=one.file, mark=mark)
                found.setdefault((topic, partition), []).append(known)
    return found


def stops_of(known: Mapping[Place, Sequence[Known]]) -> dict[Place, list[int]]:
    """Where a walk has to keep its mark."""
    return {place: [one.mark.position for one in here] for place, here in known.items()}


def _starts(checkpoint: Checkpoint) -> dict[Place, Mark]:
    return {
        (topic, partition): mark
        for topic, marks in checkpoint.marks.items()
        for partition, mark in enumerate(marks)
    }


def _marks(read: Read) -> dict[Topic, tuple[Mark, ...]]:
    found: dict[Topic, tuple[Mark, ...]] = {}
    for (topic, _), walk in read.walks.items():
        found[topic] = (*found.get(topic, ()), walk.found[walk.end])
    return found
