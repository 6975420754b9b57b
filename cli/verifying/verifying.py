"""Verifying the log by checkpoints, and the replicas by the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from cli import connection
from cli.trouble import Missing
from cli.verifying.files import Kept, check_whose
from cli.verifying.making import known_of, stops_of
from cli.verifying.reading import Place, Read, first_genesis, read_log
from cli.verifying.replicas import Held, held
from ledger.checkpoints.comparing import Finding, Known, away, compare_replica
from ledger.event_log import genesis
from ledger.event_log.genesis import Genesis
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import ForeignLog
from ledger.settings import Settings


class Verified(Struct, frozen=True, kw_only=True):
    """What came of it: the log's ledger (None where its first record is lost), and `findings`."""

    ledger: str | None
    records_read: int
    replicas: Sequence[Held]
    findings: Sequence[Finding]


async def verify(
    settings: Settings, checkpoints: Sequence[Kept], *, with_replicas: bool
) -> Verified:
    """Read the log up to what checkpoints and replicas know, and compare.

    Raises `Missing` where checkpoints, or the settings, are of another ledger, or no topic is
    there; `BrokerAwayError`.
    """
    log = connection.new_log(settings)
    try:
        first = await whose_log(log, settings, checkpoints)
        # Before the log's ends are asked for: so it is no less than what a replica can have.
        replicas = await held(settings) if with_replicas else []
        known = known_of(checkpoints)
        read = await read_log(log, stops=stops_of(_all(known, replicas)), to_end=False)
        if not read.ends:
            raise Missing(_none_there(settings))
    finally:
        await log.close()
    whose = first.ledger if first is not None else None
    if whose is None and checkpoints:
        whose = checkpoints[0].checkpoint.ledger
    return Verified(
        ledger=None if first is None else first.ledger,
        records_read=read.records,
        replicas=replicas,
        findings=[*read.findings(known, whose), *_of_replicas(read, replicas)],
    )


def _none_there(settings: Settings) -> str:
    prefix = settings.topic_prefix or "(none)"
    return (
        f"{settings.kafka.named} has no topic of a ledger under LEDGER_TOPIC_PREFIX {prefix}: set "
        "both as the ledger's processes have them. If they are so, all topics are gone: stop "
        "writing, and restore (docs/operations/backup.md)"
    )


async def whose_log(
    log: KafkaLog, settings: Settings, checkpoints: Sequence[Kept]
) -> Genesis | None:
    """The log's first record, None where it is lost; it is the checkpoints' and the settings'.

    Raises `Missing` where it is another ledger's, `BrokerAwayError`.
    """
    try:
        first = await first_genesis(log)
        if first is not None:
            check_whose(checkpoints, first)
            check = settings.pepper.check_value
            genesis.check(first, pepper_check=check, partitions=settings.partitions)
    except ForeignLog as error:
        raise Missing(str(error)) from None
    return first


def _all(
    known: Mapping[Place, Sequence[Known]], replicas: Sequence[Held]
) -> dict[Place, list[Known]]:
    """What anybody knows of each partition."""
    found = {place: list(here) for place, here in known.items()}
    for one in replicas:
        for place, own in one.known.items():
            found.setdefault(place, []).append(own)
    return found


def _of_replicas(read: Read, replicas: Sequence[Held]) -> list[Finding]:
    found = []
    for one in replicas:
        if one.trouble is not None:
            found.append(away(one.name, one.trouble))
        for (topic, partition), known in one.known.items():
            walk = read.walks.get((topic, partition))
            if walk is None:
                # That the topic isn't there is told without it.
                continue
            finding = compare_replica(walk, read.ends[topic][partition], known)
            found += [] if finding is None else [finding]
    return found
