"""The projector's smaller parts: settings, lock, logs, the consumer group's member, health."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest

from ledger.domain.events import RULES_VERSION
from ledger.settings import SettingsError
from projector import slot
from projector.logs import _JsonFormatter, _Quieter, alarm, say
from projector.membership import Membership
from projector.metrics import Metrics, MetricsServer
from projector.read_model.memory import MemoryReadModel
from projector.read_model.port import ReadModelUnavailableError
from projector.reading import LogRecord
from projector.session import Session
from projector.settings import read_projector_settings
from projector.slot import SlotLock, SlotTakenError, announced_rules
from tests.activity import Activity
from tests.ports import free_ports
from tests.projector.replica import PARTITIONS, Replica

ENVIRONMENT = {
    "LEDGER_KAFKA": "localhost:9092",
    "LEDGER_REPLICAS": "redis://127.0.0.1:1/0,redis://:hidden@127.0.0.1:2/0",
    "LEDGER_LOCAL": "1",
    "LEDGER_PEPPER": "5e" * 32,
    "LEDGER_SEAL_KEYS": f"k1:{'7a' * 32}",
}


def test_settings_pick_the_replica_and_print_no_secret() -> None:
    settings = read_projector_settings(
        {**ENVIRONMENT, "LEDGER_REPLICA": "B", "LEDGER_SLOT": "3", "LEDGER_TOPIC_PREFIX": "x-"}
    )
    assert settings.url == "redis://:hidden@127.0.0.1:2/0"
    assert (settings.group, settings.member) == ("x-projector-B", "x-projector-B-3")
    assert settings.metrics_port is None
    for secret in ("hidden", "5e5e", "7a7a"):
        assert secret not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEDGER_REPLICA", "C"),
        ("LEDGER_SLOT", "one"),
        ("LEDGER_SLOT", "1000"),
        ("LEDGER_METRICS_PORT", "70000"),
        ("LEDGER_METRICS_PORT", "0"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_projector_settings({**ENVIRONMENT, name: value})


@pytest.fixture
def quick_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RENEW_S", 0.01), ("TAKE_LIMIT_S", 0.2), ("_TRY_S", 0.01)):
        monkeypatch.setattr(slot, name, value)


async def test_a_slot_is_taken_kept_and_given_back(quick_slot: None) -> None:
    model = MemoryReadModel()
    first, second = SlotLock(model, "slot"), SlotLock(model, "slot")
    await first.take()
    with pytest.raises(SlotTakenError, match="another running projector"):
        await second.take()
    await first.give_back()
    await second.take()
    with pytest.raises(SlotTakenError, match="another projector took slot"):
        await asyncio.wait_for(first.keep(), 5)


async def test_a_lock_that_is_gone_is_taken_again_and_an_outage_is_waited_for(
    quick_slot: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MemoryReadModel()
    lock = SlotLock(model, "slot")
    await lock.take()
    calls = 0
    hold = model.hold

    async def trouble(name: str, owner: str, ttl_ms: int) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ReadModelUnavailableError("away")
        if calls == 2:
            await model.release(name, owner)
        return await hold(name, owner, ttl_ms)

    monkeypatch.setattr(model, "hold", trouble)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lock.keep(), 0.5)
    assert calls > 2
    assert not await hold("slot:holder", "somebody else", 1)


async def test_an_announcement_is_renewed_with_the_lock_and_expires_with_it(
    quick_slot: None,
) -> None:
    now = 1_000.0
    model = MemoryReadModel(clock=lambda: now)
    lock = SlotLock(model, "slot")
    await lock.take()
    keeping = asyncio.create_task(lock.keep())
    for _ in range(5):
        now += slot.HELD_MS / 1000 * 0.9
        await asyncio.sleep(0.05)
        assert await announced_rules(model, ["slot"]) == {"slot": RULES_VERSION}
    keeping.cancel()
    await asyncio.wait([keeping])
    now += slot.HELD_MS / 1000
    assert await announced_rules(model, ["slot"]) == {}
    assert await model.get([slot.rules_key("slot")]) == [None]


async def test_a_lock_that_cannot_be_given_back_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(name: str, owner: str) -> None:
        raise ReadModelUnavailableError("away")

    model = MemoryReadModel()
    monkeypatch.setattr(model, "release", away)
    await SlotLock(model, "slot").give_back()


def _formatted(record: logging.LogRecord) -> dict[str, object]:
    return cast("dict[str, object]", json.loads(_JsonFormatter().format(record)))


def test_logs_are_json_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("projector.test")
    with caplog.at_level(logging.INFO):
        say(logger, logging.INFO, "hello", partition=3)
        alarm(logger, "poison-record", "look", offset=7)
    hello, look = (_formatted(record) for record in caplog.records)
    assert (hello["text"], hello["level"], hello["partition"]) == ("hello", "info", 3)
    assert look["runbook"] == "docs/operations/projector.md#poison-record"
    assert (look["alarm"], look["offset"]) == ("poison-record", 7)


def test_an_exception_is_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("a secret value")
    except ValueError:
        logging.getLogger("projector.test").exception("failed")
    line = _formatted(caplog.records[0])
    assert line["error"] == "ValueError"
    assert "test_parts.py" in str(line["trace"])
    assert "secret" not in json.dumps(line)


def test_a_library_repeats_itself_no_more_than_once_in_ten_seconds() -> None:
    quieter = _Quieter()
    theirs = logging.LogRecord("aiokafka", logging.ERROR, "", 0, "no %s", ("broker",), None)
    ours = logging.LogRecord("projector.x", logging.ERROR, "", 0, "no broker", (), None)
    assert [quieter.filter(theirs) for _ in range(3)] == [True, False, False]
    assert all(quieter.filter(ours) for _ in range(3))


class Broken(Session):
    """A session that runs out of memory at its first record."""

    topic = "t"

    async def _stored_position(self) -> int:
        return 0

    async def _work(self, records: Sequence[LogRecord]) -> None:
        raise MemoryError(len(records))


async def test_a_session_that_fails_for_no_records_fault_ends_the_member(replica: Replica) -> None:
    metrics = Metrics()
    member = Membership(
        kafka=replica.kafka.bootstrap,
        group=f"{replica.topics.prefix}broken",
        member="broken-0",
        topics=[replica.events],
        open_session=lambda _, partition, cursor: Broken(partition, cursor, metrics),
        metrics=metrics,
    )
    await replica.append(list(Activity(1, partitions=PARTITIONS).appendables(10)))
    with pytest.raises(MemoryError):
        await asyncio.wait_for(member.run(), 60)
    assert not member.joined
    assert not member.sessions


@pytest.fixture
async def served() -> AsyncIterator[tuple[int, dict[str, str | None]]]:
    state: dict[str, str | None] = {"missing": None}
    server = MetricsServer(Metrics(), lambda: state["missing"])
    (port,) = free_ports(1)
    await server.start(port)
    yield port, state
    await server.stop()


async def _ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_health_and_metrics_are_served(served: tuple[int, dict[str, str | None]]) -> None:
    port, state = served
    assert b"200 OK" in await _ask(port, b"GET /health HTTP/1.1\r\n\r\n")
    assert b"ledger_projector_events_total 0.0" in await _ask(
        port, b"GET /metrics HTTP/1.1\r\n\r\n"
    )
    assert b"404" in await _ask(port, b"GET /x?y HTTP/1.1\r\n\r\n")
    state["missing"] = "2 partitions are stopped"
    answer = await _ask(port, b"GET /health/ready?a=b HTTP/1.1\r\n\r\n")
    assert b"503 Service Unavailable" in answer
    assert answer.endswith(b"2 partitions are stopped\n")
    assert b"200 OK" in await _ask(port, b"GET /health/live HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize("request_", [b"\r\n\r\n", b"GET " + b"x" * 20_000, b"\xff\xff\r\n\r\n"])
async def test_strange_requests_harm_nothing(
    served: tuple[int, dict[str, str | None]], request_: bytes
) -> None:
    port, _ = served
    assert b"200" not in await _ask(port, request_)
    assert b"200 OK" in await _ask(port, b"GET /health/live HTTP/1.1\r\n\r\n")
