"""Verifying the log: by checkpoints, and what the replicas have of it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from cli import connection
from cli.trouble import Missing
from cli.verifying.files import Kept, check_whose
from cli.verifying.making import known_of, stops_of
from cli.verifying.reading import first_genesis, read_log
from ledger.checkpoints.comparing import Finding
from ledger.event_log import genesis
from ledger.event_log.port import ForeignLog
from ledger.settings import Settings


class Verified(Struct, frozen=True, kw_only=True):
    """What came of it: the log's ledger (None where its first record is lost), and `findings`."""

    ledger: str | None
    records_read: int
    findings: Sequence[Finding]


async def verify(settings: Settings, checkpoints: Sequence[Kept]) -> Verified:
    """Read the log up to what the checkpoints know, and compare.

    Raises `Missing` where they, or the settings, are of another ledger; `BrokerAwayError`.
    """
    log = connection.new_log(settings)
    try:
        try:
            first = await first_genesis(log)
            if first is not None:
                check_whose(checkpoints, first)
                check = settings.pepper.check_value
                genesis.check(first, pepper_check=check, partitions=settings.partitions)
        except ForeignLog as error:
            raise Missing(str(error)) from None
        known = known_of(checkpoints)
        read = await read_log(log, stops=stops_of(known), to_end=False)
    finally:
        await log.close()
    ledger = first.ledger if first is not None else checkpoints[0].checkpoint.ledger
    return Verified(
        ledger=None if first is None else first.ledger,
        records_read=read.records,
        findings=read.findings(known, ledger),
    )
