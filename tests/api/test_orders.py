"""Orders about licenses: what each does, and what it is refused for."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.conftest import Worker
from tests.api.desk import Desk
from tests.api.fanning import all_have_it, change, fanning_out
from tests.vendor import resource_body

DAY_S = 86_400


@pytest.fixture
def desk(worker: Worker) -> Desk:
    return Desk(worker)


def shown(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["ledger-position"]
    attributes: dict[str, Any] = answer.json()["data"]["attributes"]
    return attributes


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


async def test_a_suspension_ends_when_it_is_lifted(desk: Desk) -> None:
    license_ = await desk.license(await desk.policy())
    assert shown(await desk.order(license_, "suspend"))["status"] == "SUSPENDED"
    assert await desk.check(license_) == ("SUSPENDED", False)
    assert refused(await desk.order(license_, "suspend")) == (422, "ALREADY_SUSPENDED")
    assert shown(await desk.order(license_, "reinstate"))["suspended"] is False
    assert await desk.check(license_) == ("VALID", True)
    assert refused(await desk.order(license_, "reinstate")) == (422, "NOT_SUSPENDED")


@pytest.mark.parametrize(
    ("basis", "starts_at"),
    [("FROM_EXPIRY", "2001-01-01"), ("FROM_NOW", "now"), ("FROM_NOW_IF_EXPIRED", "now")],
)
async def test_a_renewal_counts_from_its_basis(desk: Desk, basis: str, starts_at: str) -> None:
    policy = await desk.policy(duration=10 * DAY_S, renewalBasis=basis)
    license_ = await desk.license(policy, expiry="2001-01-01T00:00:00Z")
    renewed = shown(await desk.order(license_, "renew"))
    if starts_at == "now":
        assert renewed["status"] == "ACTIVE"
    else:
        assert renewed["expiry"] == "2001-01-11T00:00:00.000Z"


async def test_without_a_duration_there_is_nothing_to_renew_by(desk: Desk) -> None:
    license_ = await desk.license(await desk.policy())
    assert refused(await desk.order(license_, "renew")) == (422, "DURATION_MISSING")


async def test_uses_are_counted_within_their_limits(desk: Desk) -> None:
    license_ = await desk.license(await desk.policy(maxUses=5))
    assert shown(await desk.order(license_, "increment-usage"))["uses"] == 1
    assert shown(await desk.order(license_, "increment-usage", increment=4))["uses"] == 5
    over = await desk.order(license_, "increment-usage")
    assert refused(over) == (422, "USES_LIMIT_EXCEEDED")
    assert over.json()["errors"][0]["source"] == {"pointer": "/data/attributes/uses"}
    assert shown(await desk.order(license_, "decrement-usage", decrement=2))["uses"] == 3
    assert refused(await desk.order(license_, "decrement-usage", decrement=4)) == (
        422,
        "USES_INVALID",
    )
    assert shown(await desk.order(license_, "reset-usage"))["uses"] == 0
    assert (await desk.order(license_, "increment-usage", increment=0)).status_code == 400
    assert (await desk.order(license_, "increment-usage", decrement=1)).status_code == 400


async def test_a_check_in_moves_the_next_one_on(desk: Desk) -> None:
    policy = await desk.policy(requireCheckIn=True, checkInInterval="week")
    license_ = await desk.license(policy)
    assert license_["attributes"]["requireCheckIn"] is True
    checked_in = shown(await desk.order(license_, "check-in"))
    assert checked_in["lastCheckIn"] < checked_in["nextCheckIn"]
    assert await desk.check(license_) == ("VALID", True)
    other = await desk.license(await desk.policy())
    assert refused(await desk.order(other, "check-in")) == (422, "CHECK_IN_NOT_REQUIRED")


async def test_what_is_set_on_a_license_wins_until_it_is_cleared(desk: Desk) -> None:
    license_ = await desk.license(await desk.policy(maxMachines=3), name="first")
    changed = shown(await desk.change(license_, maxMachines=7, metadata={"a": 1}))
    assert (changed["maxMachines"], changed["name"], changed["metadata"]) == (7, "first", {"a": 1})
    cleared = shown(await desk.change(license_, maxMachines=None, name=None))
    assert (cleared["maxMachines"], cleared["name"], cleared["metadata"]) == (3, None, {"a": 1})
    assert refused(await desk.change(license_)) == (422, "NOTHING_CHANGED")
    assert refused(await desk.change(license_, key="another")) == (422, "ATTRIBUTE_NOT_SUPPORTED")


@pytest.mark.parametrize(("strategy", "same"), [("KEEP_EXPIRY", True), ("RESET_EXPIRY", False)])
async def test_a_transfer_keeps_or_resets_the_expiry(desk: Desk, strategy: str, same: bool) -> None:  # noqa: FBT001 - a parameter
    license_ = await desk.license(await desk.policy(duration=10 * DAY_S))
    policy = await desk.policy(duration=90 * DAY_S, transferStrategy=strategy, maxMachines=2)
    moved = await desk.move(license_, policy)
    attributes = shown(moved)
    assert moved.json()["data"]["relationships"]["policy"]["data"]["id"] == policy
    assert attributes["maxMachines"] == 2
    assert (attributes["expiry"] == license_["attributes"]["expiry"]) is same


async def test_a_revoked_license_is_gone_and_its_key_free_again(worker: Worker, desk: Desk) -> None:
    policy = await desk.policy()
    license_ = await desk.license(policy, key="once-and-again")
    path = f"/v1/licenses/{license_['id']}"
    assert (await worker.client.delete(f"{path}/actions/revoke")).status_code == 204
    assert refused(await worker.client.delete(path)) == (404, "NOT_FOUND")
    assert await desk.check(license_) == ("NOT_FOUND", False)
    assert (await desk.license(policy, key="once-and-again"))["id"] == license_["id"]


@pytest.mark.parametrize(
    ("strategy", "valid"),
    [
        ("RESTRICT_ACCESS", False),
        ("REVOKE_ACCESS", False),
        ("MAINTAIN_ACCESS", True),
        ("ALLOW_ACCESS", True),
    ],
)
async def test_an_expired_license_is_what_its_strategy_says(
    desk: Desk,
    strategy: str,
    valid: bool,  # noqa: FBT001 - a parameter
) -> None:
    policy = await desk.policy(expirationStrategy=strategy)
    license_ = await desk.license(policy, expiry="2001-01-01T00:00:00Z")
    assert await desk.check(license_) == ("EXPIRED", valid)


async def test_a_policy_may_ask_for_scopes(worker: Worker, desk: Desk) -> None:
    policy = await desk.policy(
        requireProductScope=True,
        requirePolicyScope=True,
        requireMachineScope=True,
        requireFingerprintScope=True,
    )
    license_ = await desk.license(policy)
    machine = (await worker.vendor.activate(license_["id"], "f")).json()["data"]["id"]
    scope: dict[str, object] = {}
    for code, name, value in (
        ("PRODUCT_SCOPE_REQUIRED", "product", worker.catalog.product),
        ("POLICY_SCOPE_REQUIRED", "policy", policy),
        ("MACHINE_SCOPE_REQUIRED", "machine", machine),
        ("FINGERPRINT_SCOPE_REQUIRED", "fingerprint", "f"),
    ):
        assert (await desk.check(license_, **scope))[0] == code
        scope[name] = value
    assert await desk.check(license_, **scope) == ("VALID", True)
    assert (await worker.client.delete("/v1/machines/f")).status_code == 204
    assert (await desk.check(license_, **scope))[0] == "NO_MACHINES"


async def test_a_policy_that_begins_to_ask_for_a_scope_asks_it_of_its_licenses(
    worker: Worker, desk: Desk
) -> None:
    policy = await desk.policy()
    license_ = await desk.license(policy)
    async with fanning_out(worker):
        for required, says in ((True, "MACHINE_SCOPE_REQUIRED"), (None, "VALID")):
            await change(worker, policy, requireMachineScope=required)
            await all_have_it(worker, policy)
            assert (await desk.check(license_))[0] == says
            shown_policy = (await worker.client.get(f"/v1/policies/{policy}")).json()["data"]
            assert shown_policy["attributes"]["requireMachineScope"] is bool(required)


async def test_entitlements_are_the_policy_s_and_the_license_s_own(
    worker: Worker, desk: Desk
) -> None:
    codes = ("OWN", "SHARED")
    ids = {}
    for code in codes:
        body = resource_body("entitlements", {"name": code, "code": code})
        ids[code] = (await worker.client.post("/v1/entitlements", json=body)).json()["data"]["id"]
    policy = await desk.policy()
    shared = {"data": [{"type": "entitlements", "id": ids["SHARED"]}]}
    attached = await worker.client.post(f"/v1/policies/{policy}/entitlements", json=shared)
    assert attached.status_code in {200, 204}, attached.text
    license_ = await desk.license(policy)
    path = f"/v1/licenses/{license_['id']}/entitlements"
    own = {"data": [{"type": "entitlements", "id": ids["OWN"]}]}
    assert (await desk.check(license_, entitlements=["OWN"]))[0] == "ENTITLEMENTS_MISSING"
    assert (await worker.client.post(path, json=own)).status_code == 200
    assert refused(await worker.client.post(path, json=own)) == (422, "ENTITLEMENT_TAKEN")
    listed = (await worker.client.get(path)).json()["data"]
    assert {each["attributes"]["code"] for each in listed} == set(codes)
    assert await desk.check(license_, entitlements=list(codes)) == ("VALID", True)
    assert (await desk.check(license_, entitlements=[]))[0] == "ENTITLEMENTS_SCOPE_EMPTY"
    assert (await worker.client.request("DELETE", path, json=own)).status_code == 204
    gone = await worker.client.request("DELETE", path, json=own)
    assert refused(gone) == (422, "ENTITLEMENT_NOT_ATTACHED")
