"""Every code of a check against every other: where two apply, the contract's first is said."""

from __future__ import annotations

import re
from itertools import combinations, groupby, pairwise
from typing import Any

import httpx
import msgspec
import pytest
from msgspec import UNSET

from api import checks
from api.catalog.bodies import PolicyAttributes
from api.catalog.requests import policy_created
from api.checks import Answer, Scope
from ledger.domain.events import CheckedIn, Event
from ledger.domain.identifiers import random_id
from ledger.domain.license import License, Machine
from ledger.domain.spans import settled
from ledger.event_log.codec import encode
from tests.api.conftest import LocalLedger, Worker
from tests.api.desk import Desk
from tests.api.ordering import BY_KEY, append
from tests.api.situations import (
    ORDER,
    OWN,
    POLICY_USUAL,
    SCOPE_USUAL,
    USUAL,
    Facts,
    Situation,
    alone,
    first,
    neighbors,
    together,
)
from tests.servers import ROOT

MANY = "/v1/licenses/actions/validate-many"
NOW = 1_700_000_000_000
DAY_MS = 86_400_000
PAIRS = [
    (one, other, facts)
    for one, other in combinations(ORDER, 2)
    if (facts := together(one, other)) is not None
]
EXCLUDING = {
    ("PRODUCT_SCOPE_MISMATCH", "PRODUCT_SCOPE_REQUIRED"),
    ("POLICY_SCOPE_MISMATCH", "POLICY_SCOPE_REQUIRED"),
    ("ENTITLEMENTS_SCOPE_EMPTY", "ENTITLEMENTS_MISSING"),
    ("NO_MACHINE", "NO_MACHINES"),
    ("MACHINE_SCOPE_MISMATCH", "MACHINE_SCOPE_REQUIRED"),
    ("FINGERPRINT_SCOPE_MISMATCH", "FINGERPRINT_SCOPE_REQUIRED"),
    ("NO_MACHINES", "TOO_MANY_MACHINES"),
    ("TOO_MANY_MACHINES", "TOO_MANY_MACHINES"),
    ("EXPIRED", "EXPIRED"),
}
"""Codes that stand one after the other in the table, and never both apply."""


def policy_of(facts: Facts) -> dict[str, Any]:
    """Attributes of the policy."""
    attributes = {name: facts[name] for name in POLICY_USUAL}
    return attributes | ({"checkInInterval": "day"} if facts["requireCheckIn"] else {})


def scope_of(facts: Facts, own: dict[str, str]) -> dict[str, Any]:
    """The scope, with the license's own ids in it where these are meant."""
    asked = {name: facts[name] for name in SCOPE_USUAL if facts[name] is not UNSET}
    return {name: own[name] if value == OWN else value for name, value in asked.items()}


def license_of(facts: Facts) -> License:
    attributes = msgspec.convert({"name": "p", **policy_of(facts)}, PolicyAttributes)
    license_ = License(
        id="license",
        status="revoked" if facts["revoked"] else "live",
        product="product",
        policy="policy",
        terms=policy_created(attributes, product="product").terms,
        suspended=facts["suspended"],
        last_check_in_ms=NOW - (2 * DAY_MS if facts["overdue"] else 0),
        seats_held=facts["machines"],
        machines=facts["machines"],
    )
    expiry_ms = NOW if facts["expired"] else None
    return msgspec.structs.replace(settled(license_), expiry_ms=expiry_ms)


def machine_of(facts: Facts, name: str) -> Machine | None:
    """The machine that the scope names; None where there is none."""
    if facts[name] != OWN or not facts["machines"]:
        return None
    return Machine(
        id="machine",
        license="license",
        epoch=0,
        seats=1,
        fingerprint="sealed",
        fingerprint_digest="digest",
        activated_ms=0,
        activated_offset=1,
    )


def checked(facts: Facts, *, quick: bool = False) -> tuple[str, bool]:
    """What the check answers by itself."""
    scope = scope_of(facts, {"machine": "machine", "fingerprint": "this"})
    answer = checks.check(
        license_of(facts),
        [machine_of(facts, "fingerprint")] if facts["fingerprint"] else [],
        Scope(quick=True) if quick else Scope(**scope),
        NOW,
        machine_of(facts, "machine"),
    )
    return answer.code, answer.valid


def told(facts: Facts) -> str:
    """Facts that aren't usual, for a failure's message."""
    return str({name: value for name, value in facts.items() if value != USUAL[name]})


@pytest.mark.parametrize("situation", ORDER, ids=lambda each: each.code)
def test_each_situation_says_its_code(situation: Situation) -> None:
    facts = alone(situation)
    assert first(facts) is situation
    assert checked(facts) == situation.says


def test_where_two_situations_hold_the_first_one_says_the_code() -> None:
    assert len(PAIRS) > 200
    wrong = [
        f"{one.code}, then {other.code}: {found} for {told(facts)}"
        for one, other, facts in PAIRS
        if (found := checked(facts)) != first(facts).says
    ]
    assert not wrong, "\n".join(wrong)


def test_each_situation_is_set_against_the_next_one_unless_they_exclude_each_other() -> None:
    """So that two that change places are seen, wherever there is anything to see."""
    unseen = {
        (one.code, other.code)
        for one, other in pairwise(ORDER)
        if (facts := together(one, other)) is None or first(facts) is not one
    }
    assert unseen == EXCLUDING


def test_a_quick_check_passes_over_what_is_about_a_scope() -> None:
    wrong = [
        f"{found} for {told(facts)}"
        for _, _, facts in PAIRS
        if (found := checked(facts, quick=True)) != first(facts, quick=True).says
    ]
    assert not wrong, "\n".join(wrong)


def test_the_table_and_the_documentation_have_every_code_in_the_same_order() -> None:
    made = {each.code for each in vars(checks).values() if isinstance(each, Answer)}
    assert {each.code for each in ORDER} == made | {"TOO_MANY_MACHINES"}
    text = (ROOT / "docs/api/checks.md").read_text()
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", text[text.index("## Codes") :], re.MULTILINE)
    documented = [code for row in rows for code in re.findall(r"`([A-Z_]+)`", row)]
    assert documented == [code for code, _ in groupby(each.code for each in ORDER)]


class Reality:
    """The same situations over HTTP."""

    def __init__(self, ledger: LocalLedger, worker: Worker) -> None:
        self._ledger = ledger
        self._worker = worker
        self._desk = Desk(worker)
        self.asked: list[dict[str, Any]] = []
        """All that was asked so far, by key and by id, to be asked in one request."""

    async def answers(self, facts: Facts) -> dict[str, tuple[str, bool]]:
        """What each way to check says; a check by key that nobody asks has a lane of its own."""
        policy = await self._desk.policy(**policy_of(facts))
        license_ = await self._desk.license(policy, maxMachines=9)
        machines = [await self._machine(license_["id"], n) for n in range(facts["machines"])]
        await self._bring_about(license_, facts)
        own = {"product": self._worker.catalog.product, "policy": policy, "fingerprint": "host-0"}
        scope = scope_of(facts, {**own, "machine": machines[0] if machines else license_["id"]})
        by_key = {"meta": {"key": license_["attributes"]["key"], "scope": scope}}
        path = f"/v1/licenses/{license_['id']}/actions/validate"
        client, stranger = self._worker.client, self._worker.stranger
        self.asked += [by_key["meta"], {"id": license_["id"], "scope": scope}]
        return {
            "by key": await _said(client, "POST", BY_KEY, by_key),
            "by nobody": await _said(stranger, "POST", BY_KEY, by_key),
            "by id": await _said(client, "POST", path, {"meta": {"scope": scope}}),
            "quick": await _said(client, "GET", path, None),
        }

    async def together(self) -> list[tuple[str, bool]]:
        """What all that was asked says in one request, in its order."""
        body = {"meta": {"checks": self.asked}}
        answer = await self._worker.client.post(MANY, json=body)
        assert answer.status_code == 200, answer.text
        said = [each["attributes"] for each in answer.json()["data"]]
        return [(each["code"], each["valid"]) for each in said]

    async def _machine(self, license_: str, number: int) -> str:
        answer = await self._worker.vendor.activate(license_, f"host-{number}")
        assert answer.status_code == 201, answer.text
        id_: str = answer.json()["data"]["id"]
        return id_

    async def _bring_about(self, license_: dict[str, Any], facts: Facts) -> None:
        ended = {"expiry": "2001-01-01T00:00:00Z"} if facts["expired"] else {}
        changed = await self._desk.change(license_, maxMachines=None, **ended)
        assert changed.status_code == 200, changed.text
        if facts["overdue"] and facts["requireCheckIn"]:
            await self._check_in_late(license_["id"])
        if facts["suspended"]:
            assert (await self._desk.order(license_, "suspend")).status_code == 200
        if facts["revoked"]:
            path = f"/v1/licenses/{license_['id']}"
            assert (await self._worker.client.delete(path)).status_code == 204

    async def _check_in_late(self, license_: str) -> None:
        """Let the last check-in have been two days ago."""
        event = Event(
            id=random_id(),
            source="test",
            license=license_,
            time_ms=self._worker.services.clock.check_ms - 2 * DAY_MS,
            actor="test",
            content_digest="0" * 32,
            data=CheckedIn(),
            rules=2,
        )
        await append(self._ledger, self._worker, license_, encode(event))


async def _said(
    client: httpx.AsyncClient, method: str, path: str, body: object
) -> tuple[str, bool]:
    answer = await client.request(method, path, json=body)
    document = answer.json()
    if answer.status_code == 404:
        return document["errors"][0]["code"], False
    assert answer.status_code == 200, answer.text
    return document["meta"]["code"], document["meta"]["valid"]


async def test_over_http_each_code_comes_before_the_next(
    ledger: LocalLedger, worker: Worker
) -> None:
    reality = Reality(ledger, worker)
    wrong, singly = [], []
    for facts in [*map(alone, ORDER), *(facts for _, _, facts in neighbors())]:
        asked, quick = first(facts).says, first(facts, quick=True).says
        found = await reality.answers(facts)
        singly += [found["by key"], found["by id"]]
        if found != {**dict.fromkeys(("by key", "by nobody", "by id"), asked), "quick": quick}:
            wrong.append(f"{found}, not {asked} and {quick}, for {told(facts)}")
    assert not wrong, "\n".join(wrong)
    assert len(singly) > 100
    assert await reality.together() == singly
