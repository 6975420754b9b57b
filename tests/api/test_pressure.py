"""Too much at once: lists are refused first, then writes, checks last; slow readers are let go."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from api.gate import READS_LATE_S, WRITES_LATE_S
from api.lists import WAITING_MAX
from api.pressure import TICK_S, WHILE_S, Pressure
from api.serving import make_server
from tests.api.conftest import Worker
from tests.vendor import machine_body

BY_KEY = "/v1/licenses/actions/validate-key"


@given(st.lists(st.floats(min_value=0, max_value=3), max_size=50))
def test_only_what_is_late_all_the_time_is_pressure(late: list[float]) -> None:
    pressure, now, looks = Pressure(), 1000.0, list[tuple[float, float]]()
    for late_s in late:
        now += TICK_S + late_s
        pressure.note(now, late_s)
        looks.append((now, late_s))
        lately = [each for at, each in looks if at >= now - WHILE_S]
        assert pressure.late_s == (min(lately) if len(lately) > 1 else 0)


def test_a_pause_is_no_pressure() -> None:
    pressure = Pressure()
    for number in range(20):
        pressure.note(number * TICK_S, 0.0)
    pressure.note(60.0, 59.0)
    assert pressure.late_s == 0
    pressure.note(60.0 + TICK_S, 0.001)
    assert pressure.late_s == 0.001


async def test_it_is_seen_of_a_loop_that_can_t_keep_up() -> None:
    pressure = Pressure()
    looking = asyncio.create_task(pressure.run())
    try:
        async with asyncio.timeout(30):
            while pressure.late_s < 0.02:
                await asyncio.sleep(0)
                time.sleep(0.1)  # noqa: ASYNC251 - more work than there is time for
        async with asyncio.timeout(30):
            while pressure.late_s > 0.02:
                await asyncio.sleep(TICK_S)
    finally:
        looking.cancel()


async def statuses(worker: Worker, issued: dict[str, Any]) -> tuple[int, int, int]:
    """What a list, a write and a check are answered."""
    license_ = issued["id"]
    key = issued["attributes"]["key"]
    answers = (
        await worker.client.get("/v1/licenses"),
        await worker.client.post("/v1/machines", json=machine_body(license_, str(time.time()))),
        await worker.stranger.post(BY_KEY, json={"meta": {"key": key}}),
    )
    for answer in answers:
        assert (answer.status_code == 429) == ("retry-after" in answer.headers)
    listed, written, checked = (answer.status_code for answer in answers)
    return listed, written, checked


async def test_lists_are_refused_before_writes_and_checks_last(
    worker: Worker, issued: dict[str, Any]
) -> None:
    pressure = worker.app.pressure
    assert await statuses(worker, issued) == (200, 201, 200)
    pressure.late_s = READS_LATE_S
    assert await statuses(worker, issued) == (429, 201, 200)
    pressure.late_s = WRITES_LATE_S
    assert await statuses(worker, issued) == (429, 429, 200)
    pressure.late_s = 0.0
    assert await statuses(worker, issued) == (200, 201, 200)
    page = (await worker.stranger.get("/metrics")).text
    assert 'ledger_api_shed_total{what="reads"} 2.0' in page
    assert 'ledger_api_shed_total{what="writes"} 1.0' in page


@pytest.mark.parametrize(
    ("in_progress", "expected"),
    [(510, (200, 201, 200)), (512, (429, 201, 200)), (1024, (429, 429, 200)), (2048, (429,) * 3)],
)
async def test_room_is_kept_for_checks(
    worker: Worker, issued: dict[str, Any], in_progress: int, expected: tuple[int, int, int]
) -> None:
    crowd = worker.app.crowd
    for _ in range(in_progress):
        crowd.enter()
    try:
        assert await statuses(worker, issued) == expected
        assert (await worker.stranger.get("/health/live")).status_code == 200
    finally:
        for _ in range(in_progress):
            crowd.leave()


async def much(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with more than all buffers on the way hold."""
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(512):
        await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def test_a_client_that_doesn_t_read_is_let_go(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.connection.UNREAD_S", 0.2)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = make_server(much, worker.settings)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            while not server.server_state.connections:
                await asyncio.sleep(0.01)
            while server.server_state.connections:
                await asyncio.sleep(0.01)
            got = 0
            with suppress(ConnectionError):
                while read := await reader.read(65_536):
                    got += len(read)
            assert got < 512 * 65_536
            writer.close()
            monkeypatch.undo()
            # Whoever reads gets all of it, however long it is.
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"http://127.0.0.1:{port}/")
            assert len(answer.content) == 512 * 65_536
    finally:
        server.should_exit = True
        await serving


async def test_lists_that_wait_are_bounded(worker: Worker) -> None:
    lists = worker.services.lists
    for _ in range(WAITING_MAX):
        lists.crowd.enter()
    try:
        refused = await worker.client.get("/v1/machines")
    finally:
        for _ in range(WAITING_MAX):
            lists.crowd.leave()
    assert refused.status_code == 429
    assert (await worker.client.get("/v1/machines")).status_code == 200
    assert 'shed_total{what="lists"} 1.0' in (await worker.stranger.get("/metrics")).text
