"""Orders come to a worker by a request or the folder; each is told of, counted and entered."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from api.emergency import orders as emergency_orders
from api.emergency.folder import Folder, Found
from api.emergency.orders import EmergencyOrders
from ledger.emergency.entries import Entry, OrderOver, OrderTaken, decode_entry
from ledger.emergency.orders import DOCUMENT_BYTES_MAX, encode, sign
from ledger.event_log.port import Topic
from tests.api.conftest import LocalLedger, Worker
from tests.api.emergency.alone import ORDERS, UNKNOWN, Alone, obedient
from tests.emergency import KEY, NAME, OTHER_KEY, end_of, signed, start


async def entered(ledger: LocalLedger) -> list[Entry]:
    batches = ledger.log.read(Topic.INCIDENT_EVENTS, 0, start=1)
    return [decode_entry(record.key, record.value) async for batch in batches for record in batch]


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


async def test_a_worker_that_obeys_no_key_says_so(ledger: LocalLedger, worker: Worker) -> None:
    order = start(ledger.first.ledger, worker.catalog.account)
    for document in (encode(signed(order)), b"{}", b""):
        answer = await worker.stranger.post(ORDERS, content=document)
        assert error_of(answer) == (403, "EMERGENCY_OFF")
    told = (await worker.stranger.get("/v1/emergency")).json()["meta"]
    assert (told["keys"], told["orders"]) == ([], [])


async def test_each_refusal_has_its_name_and_leaves_no_trace(ledger: LocalLedger) -> None:
    async with obedient(ledger) as one:
        good = start(one.ledger, one.account)
        now_ms, hour_ms = round(time.time() * 1000), 3_600_000
        refused = {
            encode(sign(good, OTHER_KEY)): (403, "ORDER_KEY_UNKNOWN"),
            encode(replace(sign(good, KEY), order=replace(good, unknown_keys=True))): (
                403,
                "ORDER_SIGNATURE_INVALID",
            ),
            encode(signed(replace(good, ledger=one.account))): (422, "ORDER_OF_ANOTHER_LEDGER"),
            encode(signed(replace(good, duration_s=4 * 3600 + 1))): (422, "ORDER_TOO_LONG"),
            encode(signed(replace(good, issued_ms=now_ms - hour_ms))): (422, "ORDER_EXPIRED"),
            encode(signed(replace(good, issued_ms=now_ms + hour_ms))): (
                422,
                "ORDER_FROM_THE_FUTURE",
            ),
            b"{": (400, "JSON_INVALID"),
            b'{"order": {"kind": "start"}}': (400, "MEMBER_MISSING"),
            b" " * DOCUMENT_BYTES_MAX + encode(signed(good)): (413, "BODY_TOO_LARGE"),
        }
        for document, error in refused.items():
            assert error_of(await one.post(document)) == error
        told = await one.standing()
        assert (told["orders"], told["entriesWaiting"]) == ([], 0)
        assert (await one.post(encode(signed(good)))).status_code == 200
        other = encode(signed(replace(good, unknown_keys=True)))
        assert error_of(await one.post(other)) == (422, "ORDER_ID_TAKEN")
        assert error_of(await one.worker.stranger.get(ORDERS)) == (405, "METHOD_NOT_ALLOWED")


async def test_more_run_than_a_worker_takes(ledger: LocalLedger) -> None:
    async with obedient(ledger) as one:
        for _ in range(16):
            await one.order()
        last = await one.post(encode(signed(start(one.ledger, one.account))))
        assert error_of(last) == (422, "ORDERS_EXCEEDED")


async def test_who_guesses_keys_of_orders_is_kept_out_as_who_guesses_license_keys(
    ledger: LocalLedger,
) -> None:
    more = {"LEDGER_API_FAILURES_PER_MINUTE": "3", "LEDGER_API_PROXIES": "127.0.0.1"}
    async with obedient(ledger, **more) as one:
        forged = encode(sign(start(one.ledger, one.account), OTHER_KEY))
        headers = {"X-Forwarded-For": "203.0.113.9", "Content-Type": "application/json"}
        answers = [
            await one.worker.stranger.post(ORDERS, content=forged, headers=headers)
            for _ in range(4)
        ]
        assert [answer.status_code for answer in answers] == [403, 403, 403, 429]


async def test_what_it_runs_is_shown_and_the_log_is_told_by_whom(
    ledger: LocalLedger, caplog: pytest.LogCaptureFixture
) -> None:
    async with obedient(ledger) as one:
        order = await one.order(unknown_keys=True, product=one.product)
        told = await one.standing()
        assert (told["ledger"], told["account"]) == (one.ledger, one.account)
        assert told["keys"] == [NAME]
        [shown] = told["orders"]
        assert 3590 <= shown.pop("leftS") <= 3600
        assert shown.pop("issued").endswith("Z")
        assert shown == {
            "id": order.id,
            "account": one.account,
            "product": one.product,
            "unknownKeys": True,
            "key": NAME,
            "way": "POST",
            "running": True,
            "over": None,
            "known": 0,
            "unknown": 0,
        }
        ready = (await one.worker.stranger.get("/health/ready")).json()
        assert [text for text in ready["degraded"] if order.id in text]
        fields = [vars(record).get("fields", {}) for record in caplog.records]
        [told_of] = [each for each in fields if each.get("alarm") == "emergency-order"]
        assert (told_of["order"], told_of["key"]) == (order.id, NAME)
        # The reason is for the log and the ledger, not for everybody.
        assert order.reason not in json.dumps(told)


async def test_while_it_can_be_told_an_order_changes_nothing(
    ledger: LocalLedger, issued: dict[str, Any]
) -> None:
    async with obedient(ledger) as one:
        await one.order(unknown_keys=True)
        key = issued["attributes"]["key"]
        assert await one.said(UNKNOWN) == "NOT_FOUND REPLICA_A"
        said = await one.said(key, {"fingerprint": "another"})
        assert said == "FINGERPRINT_SCOPE_MISMATCH REPLICA_A"
        assert await one.said(key, {"fingerprint": "f"}) == "VALID REPLICA_A"
        page = (await one.worker.stranger.get("/metrics")).text
        assert "ledger_api_emergency_orders 1.0" in page
        assert "ledger_api_emergency_answers_total{" not in page


async def test_an_order_in_the_folder_is_taken_by_every_worker_of_the_host(
    ledger: LocalLedger, tmp_path: Path
) -> None:
    folder = tmp_path / "orders"
    more = {"LEDGER_EMERGENCY_ORDERS": str(folder)}
    async with obedient(ledger, **more) as one, obedient(ledger, **more) as other:
        await _look(one, other)
        folder.mkdir()
        order = start(one.ledger, one.account)
        (folder / "from-the-operator.json").write_bytes(encode(signed(order)))
        (folder / "what-is-this.json").write_bytes(b"?")
        strange = signed(start(one.account, one.account))
        (folder / "strange.json").write_bytes(encode(strange))
        await _look(one, other)
        for each in (one, other):
            told = await each.standing()
            assert [(shown["id"], shown["way"]) for shown in told["orders"]] == [(order.id, "FILE")]
            assert sorted((one["file"], one["code"]) for one in told["refused"]) == [
                ("strange.json", "OF_ANOTHER_LEDGER"),
                ("what-is-this.json", "UNREADABLE"),
            ]
        (folder / "end.json").write_bytes(encode(signed(end_of(order))))
        await _look(one, other)
        for each in (one, other):
            assert [shown["over"] for shown in (await each.standing())["orders"]] == ["ENDED"]


async def test_what_a_request_brought_the_host_s_other_workers_take_too_also_later_ones(
    ledger: LocalLedger, tmp_path: Path
) -> None:
    more = {"LEDGER_EMERGENCY_ORDERS": str(tmp_path)}
    async with obedient(ledger, **more) as one, obedient(ledger, **more) as other:
        order = await one.order()
        await _look(other)
        assert [each["id"] for each in (await other.standing())["orders"]] == [order.id]
        assert (await one.post(encode(signed(end_of(order))))).status_code == 200
        await _look(other)
        assert [each["over"] for each in (await other.standing())["orders"]] == ["ENDED"]
    async with obedient(ledger, **more) as later:
        await _look(later)
        # Whoever kept the order can't have it run again at a worker that never saw it.
        again = await later.post(encode(signed(order)))
        assert error_of(again) == (422, "ORDER_ENDED")


async def test_a_folder_that_can_t_be_written_loses_no_order(
    ledger: LocalLedger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    more = {"LEDGER_EMERGENCY_ORDERS": str(tmp_path / "nowhere")}
    async with obedient(ledger, **more) as one:
        await one.order()
        assert [each["running"] for each in (await one.standing())["orders"]] == [True]
        assert [record for record in caplog.records if "can't be left" in record.getMessage()]


async def test_the_ledger_is_told_once_its_log_is_back(
    ledger: LocalLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.emergency.entering.AGAIN_S", 0.05)
    monkeypatch.setattr(emergency_orders, "LOOK_S", 0.05)
    ledger.log.unreachable = True
    async with obedient(ledger) as one:
        emergency = one.worker.services.emergency
        running = asyncio.create_task(emergency.run())
        order, short = await one.order(unknown_keys=True), await one.order(duration_s=1)
        assert (await one.post(encode(signed(end_of(order))))).status_code == 200
        await _until(lambda: emergency.entering.waiting == 4)
        ledger.log.unreachable = False
        await _until(lambda: emergency.entering.waiting == 0)
        last = await one.order()
        await _until(lambda: emergency.entering.waiting == 0)
        running.cancel()
        await emergency.stop()
    entries = await entered(ledger)
    assert [(each.order, type(each.data)) for each in entries] == [
        (order.id, OrderTaken),
        (short.id, OrderTaken),
        (order.id, OrderOver),
        (short.id, OrderOver),
        (last.id, OrderTaken),
        (last.id, OrderOver),
    ]
    whys = [each.data.why for each in entries if isinstance(each.data, OrderOver)]
    assert whys == ["ENDED", "TIME", "STOPPED"]
    taken = entries[0].data
    assert isinstance(taken, OrderTaken)
    assert (taken.key, taken.way, taken.order) == (NAME, "POST", signed(order))
    assert {each.data.worker for each in entries} == {emergency.worker}


async def test_a_worker_without_keys_looks_at_no_folder(
    ledger: LocalLedger, tmp_path: Path
) -> None:
    worker = await ledger.worker(LEDGER_EMERGENCY_ORDERS=str(tmp_path))
    (tmp_path / "a.json").write_bytes(b"?")
    async with asyncio.timeout(5):
        await worker.services.emergency.run()
    told = (await worker.stranger.get("/v1/emergency")).json()["meta"]
    assert told["refused"] == []


async def _look(*those: Alone) -> None:
    for one in those:
        emergency: EmergencyOrders = one.worker.services.emergency
        await emergency.look()


async def _until(holds: Any) -> None:  # noqa: ANN401 - called
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_folder_that_hangs_holds_up_one_thread_and_no_order(
    ledger: LocalLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a mounted one may."""
    hang = threading.Event()
    asked: list[str] = []

    def hangs(*_: object) -> list[Found]:
        asked.append("once")
        hang.wait(20)
        return []

    monkeypatch.setattr(Folder, "look", hangs)
    monkeypatch.setattr(Folder, "keep", hangs)
    monkeypatch.setattr(emergency_orders, "LOOK_S", 0.02)
    monkeypatch.setattr(emergency_orders, "KEEP_S", 0.05)
    async with obedient(ledger, LEDGER_EMERGENCY_ORDERS=str(tmp_path)) as one:
        try:
            for _ in range(3):
                await _look(one)
            assert asked == ["once"]
            await one.order()
            assert [each["running"] for each in (await one.standing())["orders"]] == [True]
        finally:
            hang.set()
        await _look(one)
