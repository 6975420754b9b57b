"""How a command finds the ledger: by LEDGER_* of the environment, else by the data folder.

Where LEDGER_KAFKA is set the environment says it all; else `ledger up` has left in the data
folder how to reach what it runs.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.local.folder import data_folder, read_environment
from cli.local.security import without_access
from cli.replica import Replicas
from cli.trouble import Missing
from ledger.event_log import genesis
from ledger.event_log.genesis import Genesis
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import LogUnavailable, Topic, Topics
from ledger.sealing.key_ring import KeyRing
from ledger.sealing.sealer import Sealer
from ledger.settings import Settings, read_settings

_TRIES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A ledger within reach: its id, its log, its replicas, and what opens its sealed values."""

    settings: Settings
    ledger: str
    log: KafkaLog
    replicas: Replicas
    sealer: Sealer


def environment(data: Path, needed: str = "LEDGER_KAFKA") -> Mapping[str, str]:
    """The LEDGER_* to go by. Raises `Missing` where nothing runs and nothing is set."""
    if os.environ.get(needed):
        return os.environ
    folder = data_folder(data)
    found = read_environment(folder)
    if found is None:
        raise Missing(
            f"no ledger runs on {folder.root}: start it (`ledger up`), name another data folder "
            f"(--data, LEDGER_DATA), or set {needed} and the other LEDGER_* of one elsewhere"
        )
    return {**without_access(os.environ), **found}


def settings(data: Path) -> Settings:
    """The settings to go by. Raises `Missing`, `SettingsError`."""
    return read_settings(environment(data))


def new_log(these: Settings) -> KafkaLog:
    """A log of the settings; close it."""
    topics = Topics(prefix=these.topic_prefix)
    return KafkaLog(these.kafka, topics)


@asynccontextmanager
async def connected(these: Settings) -> AsyncIterator[Connection]:
    """Connect, and see that the log is this ledger's. Raises `LogError`, `ForeignLog`."""
    log, replicas = new_log(these), Replicas(these)
    try:
        first = await _genesis(log)
        check_value = these.pepper.check_value
        genesis.check(first, pepper_check=check_value, partitions=these.partitions)
        sealer = Sealer(
            ring=KeyRing(these.seal_keys),
            log=log,
            partitions=these.partitions,
            stored=replicas.data_key,
        )
        yield Connection(
            settings=these, ledger=first.ledger, log=log, replicas=replicas, sealer=sealer
        )
    finally:
        await replicas.close()
        await log.close()


async def _genesis(log: KafkaLog) -> Genesis:
    """Read the log's first record; a busy broker is asked again."""
    for _ in range(_TRIES - 1):
        try:
            return await genesis.read_genesis(log, Topic.LICENSE_EVENTS, 0)
        except LogUnavailable:
            continue
    return await genesis.read_genesis(log, Topic.LICENSE_EVENTS, 0)
