"""What is approved while an emergency order runs and all is away; and, more, what isn't."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from ledger.emergency.orders import encode
from tests.api.emergency.alone import NOWHERE, UNKNOWN, Alone, Left, left_alone, obedient
from tests.emergency import end_of, signed
from tests.servers import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def left(
    redis_pair: list[RedisServer], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Left]:
    async with left_alone(redis_pair, tmp_path_factory.mktemp("copy")) as left:
        yield left


@pytest_asyncio.fixture(loop_scope="module")
async def one(left: Left) -> AsyncIterator[Alone]:
    async with obedient(left.ledger, LEDGER_LOCAL_COPY=str(left.folder)) as alone:
        yield alone


async def test_a_key_that_nothing_is_known_of_needs_an_order_that_says_so(
    left: Left, one: Alone
) -> None:
    assert await one.said(UNKNOWN) == "503 REPLICA_BEHIND"
    await one.order()
    assert await one.said(UNKNOWN) == "503 REPLICA_BEHIND"
    order = await one.order(unknown_keys=True)
    answer = await one.asked(UNKNOWN, {"fingerprint": "any"})
    assert answer.status_code == 200
    document = answer.json()
    assert document["data"] is None
    moment = document["meta"].pop("ts")
    assert moment.endswith("Z")
    assert document["meta"] == {
        "valid": True,
        "code": "VALID",
        "detail": "The license is valid.",
        "scope": {"fingerprint": "any"},
        "nonce": 7,
        "position": None,
        "ageMs": None,
        "source": "EMERGENCY_GRACE",
        "order": order.id,
    }
    # What can be answered is answered as ever.
    assert await one.said(left.issued["attributes"]["key"]) == "VALID LOCAL_COPY"


async def test_nothing_is_approved_outside_the_order_s_account(left: Left, one: Alone) -> None:
    await one.order(unknown_keys=True)
    assert await one.said(UNKNOWN, account=NOWHERE) == "503 REPLICA_BEHIND"
    # Whose host this is can't be told, so it may be another account's.
    assert await one.said(UNKNOWN, account=None) == "503 REPLICA_BEHIND"
    assert await one.said(UNKNOWN) == "VALID EMERGENCY_GRACE"


async def test_the_host_of_nobody_s_is_not_approved_but_a_license_that_was_read_is(
    left: Left, one: Alone
) -> None:
    await one.order(unknown_keys=True)
    key = left.issued["attributes"]["key"]
    assert await one.said(key, {"fingerprint": "new"}, account=None) == "VALID EMERGENCY_GRACE"


async def test_an_account_that_the_order_names_by_its_id_needs_no_catalog(
    left: Left, one: Alone
) -> None:
    assert await one.said(UNKNOWN, account=NOWHERE) == "503 REPLICA_BEHIND"
    await one.order(account=NOWHERE, unknown_keys=True)
    assert await one.said(UNKNOWN, account=NOWHERE) == "VALID EMERGENCY_GRACE"
    assert await one.said(UNKNOWN, account=NOWHERE.upper()) == "VALID EMERGENCY_GRACE"
    assert await one.said(UNKNOWN) == "503 REPLICA_BEHIND"
    answer = await one.worker.client.get(f"/v1/accounts/{NOWHERE}/licenses")
    assert answer.status_code == 503


async def test_without_any_copy_nothing_is_known_of_any_key(left: Left) -> None:
    key = left.issued["attributes"]["key"]
    async with obedient(left.ledger) as one:
        assert await one.said(key) == "503 UNAVAILABLE"
        await one.order()
        assert await one.said(key) == "503 UNAVAILABLE"
        await one.order(unknown_keys=True)
        for asked in (key, UNKNOWN, left.suspended["attributes"]["key"]):
            assert await one.said(asked) == "VALID EMERGENCY_GRACE"


async def test_a_license_whose_only_trouble_is_absence_is_approved(left: Left, one: Alone) -> None:
    key = left.issued["attributes"]["key"]
    scopes: list[dict[str, Any]] = [
        {"fingerprint": "another"},
        {"fingerprints": ["another", "third"], "product": one.product},
        {"machine": NOWHERE},
        {"entitlements": ["E"]},
    ]
    for scope in scopes:
        assert await one.said(key, scope) == "503 REPLICA_BEHIND"
    order = await one.order()
    for scope in scopes:
        answer = (await one.asked(key, scope)).json()
        meta = answer["meta"]
        assert (meta["code"], meta["valid"], meta["source"]) == ("VALID", True, "EMERGENCY_GRACE")
        assert meta["order"] == order.id
        assert meta["position"].startswith(one.worker.catalog.ledger)
        assert meta["ageMs"] >= 0
        assert answer["data"]["id"] == left.issued["id"]
    # A mismatch that is known for sure is told as ever.
    for scope, code in (
        ({"product": NOWHERE, "fingerprint": "another"}, "PRODUCT_SCOPE_MISMATCH"),
        ({"policy": NOWHERE, "entitlements": ["E"]}, "POLICY_SCOPE_MISMATCH"),
        ({"fingerprint": ""}, "FINGERPRINT_SCOPE_EMPTY"),
        ({"entitlements": []}, "ENTITLEMENTS_SCOPE_EMPTY"),
    ):
        assert await one.said(key, scope) == f"{code} LOCAL_COPY"


async def test_a_known_denial_wins_however_old_it_is(left: Left, one: Alone) -> None:
    suspended, revoked, expired = (
        each["attributes"]["key"] for each in (left.suspended, left.revoked, left.expired)
    )
    await one.order(unknown_keys=True)
    assert await one.said(expired) == "EXPIRED LOCAL_COPY"
    for scope in ({}, {"fingerprint": "f"}, {"entitlements": ["E"]}):
        assert await one.said(revoked, scope) == "503 REPLICA_BEHIND"
        assert await one.said(suspended, scope) == "SUSPENDED LOCAL_COPY"
    for scope in ({"fingerprint": "f"}, {"entitlements": ["E"]}):
        assert await one.said(expired, scope) == "503 REPLICA_BEHIND"
    assert (await one.standing())["orders"][0]["known"] == 0


async def test_an_order_for_a_product_approves_nothing_else(left: Left, one: Alone) -> None:
    key, scope = left.issued["attributes"]["key"], {"fingerprint": "another"}
    await one.order(product=NOWHERE, unknown_keys=True)
    assert await one.said(key, scope) == "503 REPLICA_BEHIND"
    assert await one.said(UNKNOWN) == "503 REPLICA_BEHIND"
    assert await one.said(UNKNOWN, {"product": one.product}) == "503 REPLICA_BEHIND"
    assert await one.said(UNKNOWN, {"product": NOWHERE}) == "VALID EMERGENCY_GRACE"
    order = await one.order(product=one.product)
    assert (await one.asked(key, scope)).json()["meta"]["order"] == order.id
    assert await one.said(UNKNOWN, {"product": one.product}) == "503 REPLICA_BEHIND"


async def test_a_state_that_was_asked_for_and_can_t_be_had_is_no_obstacle(
    left: Left, one: Alone
) -> None:
    partitions = one.worker.replicas.partition_of

    def later(license_: dict[str, Any]) -> dict[str, str]:
        at = f"{one.worker.catalog.ledger}:{partitions(license_['id'])}.99999"
        return {"Ledger-At-Least": at}

    issued, suspended = left.issued, left.suspended
    key, denied = issued["attributes"]["key"], suspended["attributes"]["key"]
    assert await one.said(key, headers=later(issued)) == "503 REPLICA_BEHIND"
    await one.order()
    assert await one.said(key, headers=later(issued)) == "VALID EMERGENCY_GRACE"
    assert await one.said(denied, headers=later(suspended)) == "503 REPLICA_BEHIND"
    assert await one.said(key, headers={"Ledger-At-Least": "x"}) == "400 POSITION_INVALID"


async def test_a_credential_that_can_t_be_looked_at_is_as_none(left: Left, one: Alone) -> None:
    strange = {"Authorization": "Bearer admin-0123456789abcdef"}
    key = left.issued["attributes"]["key"]
    assert (await one.said(key, headers=strange)).startswith("503 ")
    await one.order(unknown_keys=True)
    assert await one.said(key, headers=strange) == "VALID LOCAL_COPY"
    assert await one.said(UNKNOWN, headers=strange) == "VALID EMERGENCY_GRACE"
    answer = await one.worker.stranger.get(f"/v1/licenses/{left.issued['id']}", headers=strange)
    assert answer.status_code == 503


async def test_bad_input_and_too_many_requests_are_refused_as_ever(left: Left) -> None:
    more = {"LEDGER_LOCAL_COPY": str(left.folder), "LEDGER_API_ADDRESS_PER_MINUTE": "6"}
    async with obedient(left.ledger, **more) as one:
        await one.order(unknown_keys=True)
        assert await one.said("k" * 600) == "400 VALUE_TOO_LONG"
        assert await one.said("k", {"strange": 1}) == "400 MEMBER_UNKNOWN"
        assert await one.said("k", {"fingerprints": ["f"] * 21}) == "400 TOO_MANY_FINGERPRINTS"
        said = [await one.said(UNKNOWN) for _ in range(6)]
        assert said[0] == "VALID EMERGENCY_GRACE"
        assert said[-1] == "429 TOO_MANY_REQUESTS"


async def test_an_end_ends_it_at_once(left: Left, one: Alone) -> None:
    order = await one.order(unknown_keys=True)
    assert await one.said(UNKNOWN) == "VALID EMERGENCY_GRACE"
    ended = await one.post(encode(signed(end_of(order))))
    assert ended.status_code == 200
    [shown] = ended.json()["meta"]["orders"]
    assert (shown["running"], shown["over"], shown["unknown"]) == (False, "ENDED", 1)
    assert await one.said(UNKNOWN) == "503 REPLICA_BEHIND"
    again = await one.post(encode(signed(order)))
    assert again.json()["errors"][0]["code"] == "ORDER_ENDED"


async def test_it_ends_by_itself(left: Left, one: Alone) -> None:
    await one.order(unknown_keys=True, duration_s=3600)
    book = one.worker.services.emergency._book  # noqa: SLF001 - its time is moved on
    [taken] = book.running(0.0)
    assert await one.said(UNKNOWN) == "VALID EMERGENCY_GRACE"
    taken.until_s -= 3600
    assert await one.said(UNKNOWN) == "503 REPLICA_BEHIND"


async def test_a_product_s_token_is_told_nothing_of_another_product(left: Left, one: Alone) -> None:
    await one.order(unknown_keys=True)
    headers, scope = {"Authorization": f"Bearer {left.token}"}, {"fingerprint": "new"}
    key = left.issued["attributes"]["key"]
    assert await one.said(key, scope, headers=headers) == "503 REPLICA_BEHIND"
    assert await one.said(UNKNOWN, headers=headers) == "503 REPLICA_BEHIND"
    assert await one.said(key, scope) == "VALID EMERGENCY_GRACE"
