"""The topic that came later than the others: missing, it is a warning and no failure."""

from __future__ import annotations

from cli.doctor.finding import Level
from cli.doctor.log import incidents
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import LogUnavailable, MissingTopic, Topic


class Without(MemoryLog):
    """A log in memory that tells no ends of that topic."""

    error: Exception

    async def ends(self, topic: Topic) -> dict[int, int]:
        assert topic is Topic.INCIDENT_EVENTS
        raise self.error


async def test_a_ledger_of_before_is_told_to_make_it() -> None:
    missing = Without(1)
    missing.error = MissingTopic("it is not there")
    for log in (missing, MemoryLog(1)):
        [found] = await incidents(log)
        assert (found.level, found.name) == (Level.WARN, "incidents")
        assert "ledger init" in found.step


async def test_one_that_has_it_is_told_nothing() -> None:
    log = MemoryLog(1)
    await log.append(Topic.INCIDENT_EVENTS, 0, key=b"genesis", value=b"{}")
    assert await incidents(log) == []


async def test_a_broker_that_does_not_say_is_a_warning_too() -> None:
    log = Without(1)
    log.error = LogUnavailable("the broker does not tell")
    [found] = await incidents(log)
    assert found.level is Level.WARN
