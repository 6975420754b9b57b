"""What `ledger init` does: topics, their genesis records, the catalog's first events, once."""

from __future__ import annotations

from cli.connection import new_log
from cli.patience import patiently
from ledger.event_log import genesis
from ledger.event_log.port import NotInitialized, Topics
from ledger.event_log.restoring import GO_ON, half_restored
from ledger.event_log.seeding import seed_catalog
from ledger.event_log.topics import create_topics, describe
from ledger.settings import Settings


async def initialize(settings: Settings, copies: int, go_on: str = GO_ON) -> str:
    """Make what is missing of a ledger's beginning, and see whose log it is: the ledger's id.

    `copies`: on how many brokers each record of a topic lies that is made. `go_on`: what to do
    where a restore did not come to its end.
    Raises `SettingsError`; `ForeignLog` for a log of another ledger, N or pepper; `MissingTopic`,
    `NotInitialized` for one that is restored by half, `LogUnavailable`, `BrokerAwayError`.
    """
    topics = Topics(prefix=settings.topic_prefix)
    found = await patiently(lambda: describe(settings.kafka, topics))
    if (half := half_restored(found)) is not None:
        raise NotInitialized(f"{half}; {go_on}")
    await create_topics(
        settings.kafka, partitions=settings.partitions, topics=topics, replication=copies
    )
    log = new_log(settings)
    try:
        # A broker that has just begun is slow at times; doing it twice is doing it once.
        first = await patiently(
            lambda: genesis.initialize(
                log, pepper_check=settings.pepper.check_value, partitions=settings.partitions
            )
        )
        await patiently(lambda: seed_catalog(log, settings, first.ledger))
    finally:
        await log.close()
    return first.ledger
