"""Backup and restore over TLS, as a user; and what a user without the rights is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from cli.archiving.restore import Restore
from cli.local.security import Security
from cli.patience import patiently
from ledger.archive.folder import Folder
from ledger.archive.reading import Archive
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import LogError, Topics
from ledger.event_log.restoring import NotMade, Restorer
from tests.activity import Activity
from tests.cli.archiving.ledgers import (
    PARTITIONS,
    QUIET,
    CompactedLog,
    all_records,
    back_up,
    begin,
    live,
    settings,
)
from tests.secure.test_kafka import brokers
from tests.servers import KafkaServer

LIMIT_S = 60.0
THESE = settings()
Opened = Callable[[str], tuple[KafkaLog, Restorer]]


@pytest.fixture
async def opened(
    secure_kafka: KafkaServer,
    secured: Security,
    topics: Topics,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Opened]:
    """Open the log and a restorer as a user."""
    monkeypatch.setattr("ledger.event_log.kafka.READ_TIMEOUT_S", LIMIT_S)
    made: list[KafkaLog | Restorer] = []

    def open_as(user: str) -> tuple[KafkaLog, Restorer]:
        these = brokers(secure_kafka, secured, user)
        log, restorer = KafkaLog(these, topics), Restorer(these, topics, PARTITIONS, 1)
        made.extend((log, restorer))
        return log, restorer

    yield open_as
    for one in made:
        await one.close()


@pytest.fixture
async def archive(tmp_path: Path) -> Archive:
    original = CompactedLog()
    await begin(original, THESE)
    await live(original, Activity(9, partitions=PARTITIONS), 60)
    await back_up(original, tmp_path, THESE.pepper)
    return Archive(tmp_path, Folder(tmp_path).manifest())


async def test_it_is_restored_and_backed_up_again(
    archive: Archive, opened: Opened, tmp_path: Path
) -> None:
    log, restorer = opened("admin")
    # A broker hears of its users from the controller, some time after that took them.
    await patiently(restorer.found)
    restored = await Restore(archive, log, restorer).run(QUIET)
    assert restored.written == sum(map(len, (await all_records(log)).values()))
    assert (await back_up(log, tmp_path, THESE.pepper)).records == 0


async def test_a_user_without_the_rights_is_refused_at_once(
    archive: Archive, opened: Opened
) -> None:
    log, restorer = opened("projector")
    await patiently(opened("admin")[1].found)
    with pytest.raises(LogError) as refused:
        await Restore(archive, log, restorer).run(QUIET)
    assert isinstance(refused.value, NotMade)
    assert "authoriz" in str(refused.value).lower()
