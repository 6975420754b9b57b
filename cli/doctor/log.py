"""The log: the broker, its topics and their configs, the genesis, how fast it grows."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from msgspec import Struct

from cli import connection
from cli.doctor.finding import HANGS, HANGS_STEP, Finding, fail, ok, warn
from ledger.event_log import genesis
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import (
    FOLDED,
    EventLog,
    ForeignLog,
    LogError,
    MissingTopic,
    NotInitialized,
    TimedLog,
    Topic,
    Topics,
)
from ledger.event_log.restoring import GO_ON, half_restored
from ledger.event_log.topics import Described, describe
from ledger.settings import Settings
from projector.read_model.keys import CATALOG

LOOK_S: Final = 4.0
DAY_MS: Final = 24 * 3600 * 1000
_RECORDS_MIN: Final = 1_000
_AGE_MIN_MS: Final = 3600 * 1000
_INIT: Final = "`ledger init` makes the topics and their genesis"


class Log(Struct, frozen=True, kw_only=True):
    """What was found of the log. `records_a_day` None: it is too young to say.

    `ends`: of license-events by partition, and of the catalog; empty where they can't be told.
    `records`: all of license-events.
    """

    findings: list[Finding]
    ends: dict[int, int]
    records: int = 0
    records_a_day: float | None = None


async def look(settings: Settings) -> Log:
    """Look at the log; bounded in time. However that ends, all connections are closed."""
    log = connection.new_log(settings)
    try:
        async with asyncio.timeout(LOOK_S):
            return await _look(settings, log)
    except TimeoutError:
        return hung(settings)
    finally:
        await log.close()


def hung(settings: Settings) -> Log:
    """What is found of a broker that takes connections and answers nothing."""
    said = f"{settings.kafka.bootstrap} doesn't answer in time: {HANGS}"
    return Log(findings=[fail("broker", said, HANGS_STEP)], ends={})


async def _look(settings: Settings, log: KafkaLog) -> Log:
    counts: dict[Topic, dict[int, int]] = {}
    try:
        for topic in FOLDED:
            counts[topic] = await log.ends(topic)
    except MissingTopic as error:
        return Log(findings=[fail("topics", str(error), await _missing_step(settings))], ends={})
    except LogError as error:
        if isinstance(error.__context__, TimeoutError):
            return hung(settings)
        step = "is it running? `ledger status`; else start it, or correct LEDGER_KAFKA"
        return Log(findings=[fail("broker", str(error), step)], ends={})
    findings = [
        ok("broker", f"{settings.kafka.bootstrap} answers"),
        *await _topics(settings, counts),
        *await incidents(log),
    ]
    records = sum(counts[Topic.LICENSE_EVENTS].values())
    ends = counts[Topic.LICENSE_EVENTS] | {CATALOG: counts[Topic.CATALOG_EVENTS].get(0, 0)}
    findings.append(await _genesis(settings, log))
    return Log(
        findings=findings, ends=ends, records=records, records_a_day=await growth(log, records)
    )


async def _missing_step(settings: Settings) -> str:
    """What to do where topics are missing."""
    try:
        described = await describe(settings.kafka, Topics(prefix=settings.topic_prefix))
    except LogError:
        return _INIT
    half = half_restored(described)
    return _INIT if half is None else f"{half}: {GO_ON}"


async def _topics(settings: Settings, counts: dict[Topic, dict[int, int]]) -> list[Finding]:
    wrong = [
        f"{topic} has {len(ends)} partitions, not {topic.partition_count(settings.partitions)}"
        for topic, ends in counts.items()
        if len(ends) != topic.partition_count(settings.partitions)
    ]
    if wrong:
        step = "set LEDGER_PARTITIONS to what the ledger was made with; it never changes"
        return [fail("topics", "; ".join(wrong), step)]
    try:
        described = await describe(settings.kafka, Topics(prefix=settings.topic_prefix))
    except LogError as error:
        return [warn("topics", f"they are there, but {error}", "look at the broker's log")]
    said = [
        f"{name}: {key} is {value or 'not told'}"
        for name, others in described.differing.items()
        for key, value in others.items()
    ]
    found = ok(
        "topics", f"{len(counts)}, {settings.partitions} partitions, configs as they must be"
    )
    if said:
        step = "set it as docs/format.md has it (kafka-configs.sh --alter): records may be lost"
        if half_restored(described) is not None:
            step = f"a restore did not come to its end: {GO_ON}"
        found = fail("topics", "; ".join(said), step)
    return [found, judge_copies(described)]


def judge_copies(described: Described) -> Finding:
    """Whether every broker has what it is to have a copy of."""
    name = "copies"
    step = "docs/operations/brokers.md: a broker is down, or was lost"
    if not described.lacking:
        return ok(name, f"{described.copies} of each record, all full")
    lacking = sorted(described.lacking.items())
    said = ", ".join(f"broker {node} lacks {count} partitions" for node, count in lacking)
    if described.refusing:
        return fail(name, f"{said}; {described.refusing} partitions take nothing", step)
    return warn(name, said, step)


async def incidents(log: EventLog) -> list[Finding]:
    """Find out whether what became of emergency orders can be entered; nothing where it can."""
    try:
        if (await log.ends(Topic.INCIDENT_EVENTS)).get(0):
            return []
    except MissingTopic:
        pass
    except LogError as error:
        return [warn("incidents", str(error), "look at the broker's log, and run this again")]
    said = f"{Topic.INCIDENT_EVENTS} isn't there: what emergency orders do can't be entered"
    return [warn("incidents", said, _INIT)]


async def _genesis(settings: Settings, log: KafkaLog) -> Finding:
    try:
        first = await genesis.read_genesis(log, Topic.LICENSE_EVENTS, 0)
        check = settings.pepper.check_value
        genesis.check(first, pepper_check=check, partitions=settings.partitions)
    except NotInitialized as error:
        return fail("genesis", str(error), _INIT)
    except ForeignLog as error:
        return fail("genesis", str(error), "correct the setting; never mend it by another pepper")
    except LogError as error:
        return fail("genesis", str(error), "look at the broker's log, and run this again")
    return ok("genesis", f"ledger {first.ledger}, pepper and partitions match")


async def growth(log: TimedLog, records: int) -> float | None:
    """Records a day: of the last day, or at the pace of a younger ledger's life; None: too few."""
    now_ms = time.time_ns() // 1_000_000
    try:
        day_ago = await log.since(Topic.LICENSE_EVENTS, now_ms - DAY_MS)
        came, age_ms = records - sum(day_ago.values()), DAY_MS
        if not any(day_ago.values()):
            async for batch in log.read(Topic.LICENSE_EVENTS, 0, start=0, stop=1):
                age_ms = min(now_ms - batch[0].timestamp_ms, DAY_MS)
    except LogError:
        return None
    if came < _RECORDS_MIN or age_ms < _AGE_MIN_MS:
        return None
    return came * DAY_MS / age_ms
