"""The OpenAPI document against the running system: requests made from it by thousands.

What they find: a 5xx, an answer that isn't of its schema, type or status, a bad request that is
taken, a credential that is not looked at, a method that is not refused.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import FORMS
from api.openapi import examples
from ledger.domain.identifiers import partition_of, random_id
from tests.servers import wait_until
from tests.system import TOKEN, System, running
from tests.vendor import license_body, machine_body

SEED = 4711
NO_CHECKS = (
    # An id that fits its schema need not be anybody's: that is answered 400, 404 or 422.
    "positive_data_acceptance",
)
EXAMPLES = {
    "entitlements": examples.BODIES["Identifiers"]["data"][0]["id"],
    "licenses": examples.BODIES["NewMachine"]["data"]["relationships"]["license"]["data"]["id"],
    "policies": examples.BODIES["PolicyLink"]["data"]["id"],
    "products": examples.BODIES["PolicyBody"]["data"]["relationships"]["product"]["data"]["id"],
}
"""Ids that examples name, by their type."""
LICENSE = "(get|patch|post|put)LicensesById(?!ActionsReinstate|Commands)|deleteLicensesByIdEnt"
COMMAND = "getLicensesByIdCommandsByCommand"
PRODUCT = "(get|patch|post)Products"
"""Operations that take the license and the product that most of the run is about."""
SPARES = 3
"""Of what is there to be deleted, so many for each operation."""
_DONE = re.compile(r'requests_total\{method="(\w+)",route="([^"]+)",status="2')
FORM = "/v1/accounts/{account}/"
"""Both forms of a URL have one handler: one form is enough."""


def made(client: httpx.Client, path: str, body: dict[str, Any]) -> str:
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code == 201, answer.text
    id_: str = answer.json()["data"]["id"]
    return id_


def body(type_: str, **attributes: object) -> dict[str, Any]:
    return {"data": {"type": type_, "attributes": attributes}}


def stock(client: httpx.Client) -> dict[str, str]:
    """What the requests are about: ids by a pattern of the operations that take them."""
    product = made(client, "products", body("products", name="Editor"))
    policy_body = body("policies", name="Yearly", duration=31_536_000, maxMachines=100)
    policy_body["data"]["attributes"] |= {"requireCheckIn": True, "checkInInterval": "day"}
    policy_body["data"]["relationships"] = linked("product", "products", product)
    policy = made(client, "policies", policy_body)
    suspended, license_ = (
        made(client, "licenses", license_body(policy, name=name)) for name in ("late", "ACME")
    )
    answer = client.post(f"/v1/licenses/{suspended}/actions/suspend")
    assert answer.status_code == 200, answer.text
    machine = made(client, "machines", machine_body(license_, "a"))
    entitlement = body("entitlements", name="Export", code="EXPORT")
    return {
        PRODUCT: product,
        "(get|patch)Policies": policy,
        "postLicensesByIdActionsReinstate": suspended,
        LICENSE: license_,
        "(get|patch)Machines": machine,
        "(get|patch)Entitlements": made(client, "entitlements", entitlement),
        "(get|put)Tokens": made(client, f"licenses/{license_}/tokens", body("tokens", name="t")),
    }


def spares(client: httpx.Client, ids: dict[str, str]) -> dict[str, list[str]]:
    """What there is to be deleted, that nothing else needs, by the operation that does it."""
    license_ = ids[LICENSE]
    policy_body = body("policies", name="Spare")
    policy_body["data"]["relationships"] = linked("product", "products", ids[PRODUCT])
    policy = made(client, "policies", policy_body)

    def few(path: str, bodies: Callable[[str], dict[str, Any]]) -> list[str]:
        return [made(client, path, bodies(f"spare-{number}")) for number in range(SPARES)]

    return {
        "deleteEntitlementsById": few(
            "entitlements", lambda name: body("entitlements", name=name, code=name)
        ),
        "deleteLicensesById": few("licenses", lambda name: license_body(policy, name=name)),
        "deleteLicensesByIdActionsRevoke": few(
            "licenses", lambda name: license_body(policy, name=name)
        ),
        "deleteMachinesById": few("machines", lambda name: machine_body(license_, name)),
        "deletePoliciesById": few("policies", lambda _: policy_body),
        "deleteProductsById": few("products", lambda name: body("products", name=name)),
        "deleteTokensById": few(
            f"licenses/{license_}/tokens", lambda name: body("tokens", name=name)
        ),
    }


def linked(name: str, type_: str, id_: str) -> dict[str, Any]:
    return {name: {"data": {"type": type_, "id": id_}}}


def document(client: httpx.Client) -> str:
    """The document in one form, its examples about what there is."""
    found = client.get("/openapi.json").json()
    found["paths"] = {
        path: methods for path, methods in found["paths"].items() if not path.startswith(FORM)
    }
    [media] = found["paths"]["/v1/entitlements"]["post"]["requestBody"]["content"].values()
    # A code is free for one entitlement only, and a change may say but the one that it has.
    media["examples"] = {"usual": {"value": body("entitlements", name="Print", code="PRINT")}}
    text = json.dumps(found)
    for type_, example in EXAMPLES.items():
        newest = client.get(f"/v1/{type_}", params={"limit": 1}).json()["data"][0]["id"]
        text = text.replace(example, newest)
    return text


def on_its_way(system: System, license_: str) -> str:
    """Settings for a command on the license, at a position that nothing has come to yet."""
    partition = partition_of(license_, system.settings.partitions)
    given = {
        "path.id": license_,
        "path.command": random_id(),
        "query.position": f"{system.ledger}:{partition}.999999",
        "query.content": "0" * 16,
    }
    parameters = ", ".join(f'"{name}" = "{value}"' for name, value in given.items())
    return f"""
[[operations]]
include-operation-id = "{COMMAND}"
parameters = {{ {parameters} }}
"""


def settings(ids: dict[str, str], gone: dict[str, list[str]]) -> str:
    """Ids for all but what would end them.

    A deletion is tried on spares, and on what the run itself has made before, by its links: never
    on an id that was seen in an answer, which may be one that all the others need.
    """
    parts = [
        f"""
[[operations]]
include-operation-id-regex = "^({pattern})"
parameters = {{ "path.id" = "{id_}" }}
"""
        for pattern, id_ in ids.items()
    ]
    parts += [
        f"""
[dictionaries.{operation}]
values = {json.dumps(spare)}

[[operations]]
include-operation-id = "{operation}"
parameters = {{ "path.id" = {{ dictionary = "{operation}", probability = 0.5 }} }}
phases.coverage.extra-data-sources.responses = false
phases.fuzzing.extra-data-sources.responses = false
"""
        for operation, spare in gone.items()
    ]
    return "".join(parts)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_what_the_document_says_is_what_is_answered(tmp_path: Path) -> None:
    with running(tmp_path / "system", workers=1) as system:
        run = _run(system, tmp_path)
        page = httpx.get(f"{system.workers[0].url}/metrics").text
    assert run.returncode == 0, run.stdout
    routes = {(form.route.method, f"/v1{form.route.path.removeprefix('/v1')}") for form in FORMS}
    untouched = routes - set(_DONE.findall(page))
    assert not untouched, "\n".join(map(str, untouched))


def _run(system: System, folder: Path) -> subprocess.CompletedProcess[str]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = system.workers[0].url
    with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        wait_until(lambda: bool(client.get("/health/ready").json()["writes"]), what="writes")
        ids = stock(client)
        (folder / "openapi.json").write_text(document(client))
        gone = spares(client, ids)
    told = settings(ids, gone) + on_its_way(system, ids[LICENSE])
    (folder / "schemathesis.toml").write_text(told)
    return subprocess.run(
        [
            Path(sys.executable).parent / "schemathesis",
            f"--config-file={folder / 'schemathesis.toml'}",
            "run",
            folder / "openapi.json",
            f"--url={url}",
            f"--header=Authorization: Bearer {TOKEN}",
            f"--seed={SEED}",
            "--generation-database=none",
            "--checks=all",
            "--max-examples=60",
            f"--exclude-checks={','.join(NO_CHECKS)}",
            "--phases=examples,coverage,fuzzing,stateful",
            "--continue-on-failure",
            "--no-color",
        ],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
    )
