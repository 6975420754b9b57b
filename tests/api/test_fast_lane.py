"""The fast lane and the ordinary way: one contract, so one suite that both have to pass."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from api.checking import Checker
from tests.api.conftest import LocalLedger
from tests.api.lanes import Lanes, body
from tests.api.ordering import BY_KEY
from tests.vendor import resource_body

CHANGING = "ts|position|ageMs|lastValidated"


def same(fast: httpx.Response, ordinary: httpx.Response) -> None:
    """All that doesn't change with the moment is the same, to the order of the members."""
    assert fast.status_code == ordinary.status_code
    names = [name for name, _ in fast.headers.raw]
    assert names == [name for name, _ in ordinary.headers.raw]
    for name in ("content-type", "keygen-version"):
        assert fast.headers[name] == ordinary.headers[name]
    assert fast.headers["x-request-id"] != ordinary.headers["x-request-id"]
    assert still(fast) == still(ordinary)


def still(answer: httpx.Response) -> str:
    """A document without what changes, its members in their order."""
    text = re.sub(rf'"({CHANGING})":("[^"]*"|[0-9]+)', r'"\1":…', answer.text)
    return text.replace(answer.headers["x-request-id"], "…")


SCOPES: list[dict[str, object]] = [
    {},
    {"fingerprint": "f"},
    {"fingerprints": ["f", "g"]},
    {"product": "another"},
    {"policy": "another", "fingerprint": "f"},
    {"entitlements": []},
    {"fingerprint": ""},
    {"fingerprint": "another"},
    {"machine": "another"},
    {"entitlements": ["E"]},
]


@pytest.mark.parametrize("scope", SCOPES, ids=str)
async def test_both_ways_say_the_same(
    lanes: Lanes, issued: dict[str, Any], scope: dict[str, object]
) -> None:
    same(*await lanes.both(json=body(issued, 7, **scope)))
    same(*await lanes.both(json=body(issued, **scope), headers={"Keygen-Version": "v1.7"}))


async def test_what_stands_of_a_license_is_the_same_both_ways(
    lanes: Lanes, issued: dict[str, Any]
) -> None:
    actions = f"/v1/licenses/{issued['id']}/actions"
    for path in ("suspend", "reinstate", "renew"):
        await lanes.worker.client.post(f"{actions}/{path}")
        same(*await lanes.both(json=body(issued)))
    assert lanes.taken >= 3
    await lanes.worker.client.patch(
        f"/v1/licenses/{issued['id']}",
        json=resource_body("licenses", {"expiry": "2020-01-01T00:00:00Z"}),
    )
    same(*await lanes.both(json=body(issued)))
    await lanes.worker.client.delete(f"{actions}/revoke")
    same(*await lanes.both(json=body(issued)))


async def test_a_plain_check_takes_the_lane_in_each_form_of_the_path(
    lanes: Lanes, issued: dict[str, Any]
) -> None:
    account = lanes.worker.catalog.account
    for place, path in enumerate((BY_KEY, f"/v1/accounts/demo{BY_KEY[3:]}"), start=1):
        same(*await lanes.both(path, json=body(issued, fingerprint="f")))
        assert lanes.taken == place
    same(*await lanes.both(f"/v1/accounts/{account}{BY_KEY[3:]}", json=body(issued)))
    assert lanes.taken == 3
    same(*await lanes.both(f"/v1/accounts/nobody{BY_KEY[3:]}", json=body(issued)))
    assert lanes.taken == 3


REFUSED: dict[str, dict[str, Any]] = {
    "no JSON": {"content": b"{"},
    "no UTF-8": {"content": b'{"meta":{"key":"\xff"}}'},
    "half a character": {"content": b'{"meta":{"key":"\\ud800"}}'},
    "no body": {"content": b""},
    "another media type": {"content": b"{}", "headers": {"Content-Type": "text/plain"}},
    "an unknown member": {"json": {"meta": {"key": "k", "scopes": {}}}},
    "no key": {"json": {"meta": {}}},
    "a long key": {"json": {"meta": {"key": "k" * 600}}},
    "a long body": {"json": {"meta": {"key": "k", "scope": {"fingerprint": "f" * 70_000}}}},
    "too many": {"json": {"meta": {"key": "k", "scope": {"fingerprints": ["f"] * 21}}}},
    "an unknown version": {"json": {"meta": {"key": "k"}}, "headers": {"Keygen-Version": "2.0"}},
    "an environment": {"json": {"meta": {"key": "k"}}, "headers": {"Keygen-Environment": "e"}},
    "a bad token": {"json": {"meta": {"key": "k"}}, "headers": {"Authorization": "Bearer x"}},
    "a bad token asked": {"json": {"meta": {"key": "k"}}, "params": {"token": "x"}},
    "a bad position": {"json": {"meta": {"key": "k"}}, "headers": {"Ledger-At-Least": "x"}},
    "large headers": {"json": {"meta": {"key": "k"}}, "headers": {"X-Large": "x" * 17_000}},
    "another's page": {"json": {"meta": {"key": "k"}}, "headers": {"Origin": "https://a.example"}},
    "an unknown key": {"json": {"meta": {"key": "nobody's"}}},
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_isn_t_plain_is_answered_the_ordinary_way(lanes: Lanes, what: str) -> None:
    same(*await lanes.both(**REFUSED[what]))
    assert lanes.taken == 0


async def test_a_given_request_id_is_kept(lanes: Lanes, issued: dict[str, Any]) -> None:
    headers = {"X-Request-Id": "given-by-the-caller"}
    fast, ordinary = await lanes.both(json=body(issued), headers=headers)
    for answer in (fast, ordinary):
        assert answer.headers["x-request-id"] == headers["X-Request-Id"]
    assert lanes.taken == 1


async def test_a_replica_that_is_lost_or_behind_leaves_the_lane_for_the_ordinary_way(
    ledger: LocalLedger, lanes: Lanes, issued: dict[str, Any]
) -> None:
    await asyncio.to_thread(ledger.servers[0].kill)
    fast, ordinary = await lanes.both(json=body(issued, fingerprint="f"))
    same(fast, ordinary)
    assert fast.json()["meta"]["source"] == "REPLICA_B"
    await asyncio.to_thread(ledger.servers[1].kill)
    fast, ordinary = await lanes.both(json=body(issued))
    assert fast.status_code == ordinary.status_code == 503


async def test_a_mistake_in_the_lane_leaves_the_check_to_the_ordinary_way(
    lanes: Lanes, issued: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    for place, name in enumerate(("look_at_once", "seen_at_once")):
        with monkeypatch.context() as patch:
            patch.setattr(Checker, name, broken)
            fast, ordinary = await lanes.both(json=body(issued))
        same(fast, ordinary)
        assert fast.status_code == 200, place
    assert lanes.taken == 0


async def test_too_many_at_once_are_refused_by_both(
    ledger: LocalLedger, issued: dict[str, Any]
) -> None:
    lanes = Lanes(await ledger.worker(LEDGER_API_REQUESTS_MAX="1"))
    try:
        await lanes.start()
        for client in (lanes.fast, lanes.ordinary):
            answers = await asyncio.gather(
                *(client.post(BY_KEY, json=body(issued)) for _ in range(10))
            )
            assert {answer.status_code for answer in answers} == {200, 429}
    finally:
        await lanes.stop()


async def test_lines_and_figures_are_those_of_the_ordinary_way(
    lanes: Lanes, issued: dict[str, Any]
) -> None:
    await lanes.both(json=body(issued))
    worker = lanes.worker
    worker.lines.flush()
    lines = worker.access_log.getvalue().splitlines()[-2:]
    assert all('"route":"/v1/licenses/actions/validate-key"' in line for line in lines)
    assert len({line.count('":') for line in lines}) == 1
    page = (await worker.stranger.get("/metrics")).text
    [count] = [
        line.split()[-1]
        for line in page.splitlines()
        if line.startswith("ledger_api_requests_total") and "validate-key" in line
    ]
    assert float(count) >= 3
