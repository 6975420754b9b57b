"""keygen-rs, a client that knows nothing of this ledger, does its everyday work against it.

The crate is used as it was published, with a URL of one's own. What it needs beyond everyday work
is not tried: users, groups, components, releases, license files, and the examples that insist on
a public key, since answers are not signed; our program does what those do without one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.keygen_rs import built_examples, built_program, fetched
from tests.local import Local

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
RUN_S = 120.0

OUTCOMES: dict[str, Any] = {
    "ping": ["pong", True],
    "me": ["accounts", "admin-token"],
    "me.wrong": "TokenInvalid TOKEN_INVALID",
    "product.create": ["Drawing board", "drawing-board", "https://example.com/board"],
    "product.get": True,
    "product.update": ["Drawing board 2", "drawing-board"],
    "product.list": True,
    "policy.create": ["Team", 31536000, 2, True],
    "policy.update": ["Teams", 3],
    "policy.list": [True, True],
    "entitlement.update": ["EXPORT", "Export as PDF"],
    "entitlement.list": True,
    "policy.entitlements": "EXPORT",
    "policy.entitlements.detached": 0,
    "license.create": ["ACME", "ACTIVE", 2, 4711],
    "license.relationships": True,
    "license.create.again": "Unknown KEY_TAKEN",
    "license.create.no-policy": "Unknown POLICY_NOT_FOUND",
    "license.get": True,
    "license.update": ["ACME Ltd", {"tier": "gold"}, True],
    "license.update.clear": None,
    "license.suspend": ["SUSPENDED", True],
    "license.suspend.check": [False, "SUSPENDED", 12, True],
    "license.suspend.again": "Unknown ALREADY_SUSPENDED",
    "license.reinstate": ["ACTIVE", False],
    "license.reinstate.check": [False, "NO_MACHINES", 12, True],
    "license.renew": 365,
    "license.check-in": [True, True],
    "license.uses.increment": 2,
    "license.uses.over": "Unknown USES_LIMIT_EXCEEDED",
    "license.uses.decrement": 1,
    "license.uses.below": "Unknown USES_INVALID",
    "license.uses.reset": 0,
    "entitlements.missing": [False, "ENTITLEMENTS_MISSING"],
    "entitlements.attached": [1, "EXPORT"],
    "entitlements.there": ["NO_MACHINES", ["EXPORT"]],
    "entitlements.detached": 0,
    "license.transfer": [True, 20, None],
    "license.transfer.back": [2, 3],
    "license.list": [5, "ACME-2030-0001"],
    "license.list.pages": [3, True],
    "license.list.status": 0,
    "license.list.metadata": 1,
    "license.delete": "NotFound NOT_FOUND",
    "license.revoke": "NotFound NOT_FOUND",
    "license.revoke.check": [False, "NOT_FOUND", 12, False],
    "license.revoke.again": "NotFound NOT_FOUND",
    "check.not-activated": [False, "NO_MACHINES"],
    "machine.activate": ["4c:aa:16:b2", "linux/x86_64"],
    "check.activated": [True, "VALID"],
    "machine.activate.again": "FingerprintTaken FINGERPRINT_TAKEN",
    "machine.activate.third": "MachineLimitExceeded MACHINE_LIMIT_EXCEEDED",
    "machine.by-fingerprint": True,
    "license.machines": 2,
    "machine.deactivate.again": "NotFound NOT_FOUND",
    "check.deactivated": [False, "FINGERPRINT_SCOPE_MISMATCH"],
    "check.other-product": "PRODUCT_SCOPE_MISMATCH",
    "check.unknown-key": "LicenseKeyInvalid LICENSE_INVALID",
    "machine.create": ["Reception", "192.0.2.7", 4, {"floor": 2}],
    "machine.heartbeat": [False, "NOT_STARTED"],
    "machine.update": ["Reception, left", 8, "front-1"],
    "machine.list": ["9f:00:1d:77", "build server/7"],
    "machine.list.fingerprint": ["build server/7"],
    "machine.gone": "NotFound NOT_FOUND",
    "token.create": ["product-token", "shop", False],
    "token.me": "products",
    "token.list": [1, True, None],
    "token.get": ["shop", None],
    "token.regenerate": [True, True],
    "token.regenerate.old": "TokenInvalid TOKEN_INVALID",
    "token.regenerate.new": "products",
    "token.revoke": "TokenInvalid TOKEN_INVALID",
    "token.gone": "NotFound NOT_FOUND",
    "token.license": ["activation-token", "licenses"],
    "token.license.reads": True,
    "token.license.deletes": "Unknown ROLE_NOT_ALLOWED",
    "token.license.gone": "TokenInvalid TOKEN_INVALID",
    "product.delete.used": "Unknown IN_USE",
    "policy.gone": "NotFound NOT_FOUND",
    "product.gone": "NotFound NOT_FOUND",
    "entitlement.gone": "NotFound NOT_FOUND",
}
"""What our program has to tell, step by step; an error as the crate's kind and the code."""

EXAMPLES = (
    *("ping_service", "health_check"),
    *("create_product", "get_product", "list_products", "update_product", "delete_product"),
    "generate_product_token_with_options",
    *("create_policy", "get_policy", "list_policies", "update_policy", "delete_policy"),
    *("create_entitlement", "get_entitlement", "list_entitlements", "update_entitlement"),
    *("attach_entitlements", "detach_entitlements", "list_license_entitlements"),
    "delete_entitlement",
    *("create_license", "list_licenses", "update_license", "renew_license"),
    *("suspend_license", "reinstate_license", "revoke_license", "delete_license"),
    *("increment_usage", "decrement_usage", "reset_usage"),
    *("create_machine", "get_machine", "list_machines", "update_machine"),
    *("get_token", "list_tokens", "regenerate_token", "revoke_token"),
)


class Examples:
    """The built examples, the variables that they read, and which of them ran."""

    def __init__(self, folder: Path, env: dict[str, str], cwd: Path) -> None:
        self._folder, self._cwd = folder, cwd
        self.env = env
        self.ran: set[str] = set()

    def run(self, name: str, *arguments: str, stdin: str = "", refused: str = "") -> str:
        """Run an example; all it said, which is no complaint but of what is `refused`."""
        done = subprocess.run(
            [self._folder / name, *arguments],
            env={**os.environ, **self.env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
            cwd=self._cwd,
        )
        said = done.stdout + done.stderr
        # Most of them end with 0 whatever happened.
        assert done.returncode == 0, said
        assert ("Failed" in said) == bool(refused), said
        assert refused in said, said
        self.ran.add(name)
        return done.stdout

    def create(self, name: str) -> str:
        """Run an example that creates something; its id."""
        return _id_in(self.run(name))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """`ledger up`, where there is a crate to try on it."""
    fetched()
    started = Local(tmp_path_factory.mktemp("keygen-rs"))
    try:
        started.start()
        started.ready()
        yield started
    finally:
        started.end()


@pytest.fixture
def env(local: Local) -> dict[str, str]:
    """Where the API is, and the token for it."""
    found = re.search(r"API +(http://\S+)/v1", local.text)
    assert found is not None, local.text
    return {
        "KEYGEN_API_URL": found[1],
        "KEYGEN_ACCOUNT": "not-sent-with-a-url-of-ones-own",
        "KEYGEN_ADMIN_TOKEN": (local.folder.root / "demo-token").read_text().strip(),
    }


def test_a_vendor_s_day(env: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [built_program()],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
        cwd=tmp_path,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (told[-1:], done.stderr)
    assert {each["step"]: each["outcome"] for each in told} == OUTCOMES


def test_the_crate_s_own_examples(env: dict[str, str], tmp_path: Path) -> None:
    examples = Examples(built_examples(EXAMPLES), env, tmp_path)
    assert "Supports API contract 1.8: true" in examples.run("ping_service")
    assert "Service is healthy" in examples.run("health_check")
    _stock(examples)
    _sell(examples)
    _use(examples)
    _hand_out_tokens(examples)
    _clear(examples)
    assert examples.ran == set(EXAMPLES)


def _stock(examples: Examples) -> None:
    product = examples.create("create_product")
    examples.env |= {"KEYGEN_PRODUCT_ID": product, "KEYGEN_PRODUCT": product}
    assert f"Product found: {product}" in examples.run("get_product")
    assert f"ID: {product}" in examples.run("list_products")
    assert "New Name: My Software Product (Updated)" in examples.run("update_product")
    policy = examples.create("create_policy")
    examples.env["KEYGEN_POLICY_ID"] = policy
    assert "Authentication Strategy: License" in examples.run("get_policy")
    assert f"ID: {policy}" in examples.run("list_policies")
    assert "New Expiration Strategy: MaintainAccess" in examples.run("update_policy")
    code = _found(r"Entitlement created: (\S+)", examples.run("create_entitlement"))
    listed = examples.run("list_entitlements")
    entitlement = _found(rf"Code: {code} \| ID: (\S+)", listed)
    examples.env |= {
        "KEYGEN_ENTITLEMENT_ID": entitlement,
        "KEYGEN_ENTITLEMENT_IDS": entitlement,
    }
    assert f"{code} (Premium Features)" in examples.run("get_entitlement")
    assert f"Entitlement updated: {code}" in examples.run("update_entitlement")


def _sell(examples: Examples) -> None:
    said = examples.run("create_license")
    license_ = _id_in(said)
    key = _found(r"\((\S+)\)", said)
    examples.env |= {"KEYGEN_LICENSE_ID": license_, "KEYGEN_LICENSE_KEY": key}
    assert f"ID: {license_}" in examples.run("list_licenses")
    assert 'Name: Some("Premium License - Updated")' in examples.run("update_license")
    assert "License extended by: 730 days" in examples.run("renew_license")
    assert 'Status: Some("SUSPENDED")' in examples.run("suspend_license")
    assert 'Status: Some("ACTIVE")' in examples.run("reinstate_license")
    assert "Uses: Some(1)" in examples.run("increment_usage")
    assert "Current Uses: Some(0)" in examples.run("decrement_usage")
    examples.run("increment_usage")
    assert "Reset: 1 usage count(s) to 0" in examples.run("reset_usage")
    assert "Total entitlements: 1" in examples.run("attach_entitlements")
    assert "Total entitlements: 1" in examples.run("list_license_entitlements")
    assert "Remaining entitlements: 0" in examples.run("detach_entitlements")


def _use(examples: Examples) -> None:
    machine = examples.create("create_machine")
    examples.env["KEYGEN_MACHINE_ID"] = machine
    assert f"Machine found: {machine}" in examples.run("get_machine")
    assert f"ID: {machine}" in examples.run("list_machines")
    assert 'Hostname: Some("updated-server")' in examples.run("update_machine")


def _hand_out_tokens(examples: Examples) -> None:
    said = examples.run("generate_product_token_with_options")
    assert "(generated token found: true)" in said
    assert "Revoked temp product token" in said
    made = httpx.post(
        f"{examples.env['KEYGEN_API_URL']}/v1/products/{examples.env['KEYGEN_PRODUCT_ID']}/tokens",
        headers={"Authorization": f"Bearer {examples.env['KEYGEN_ADMIN_TOKEN']}"},
        timeout=RUN_S,
    )
    token = made.json()["data"]["id"]
    assert "Kind: ProductToken" in examples.run("get_token", token)
    assert f"ID: {token}" in examples.run("list_tokens")
    # It asks for another name and fewer permissions: that is refused, not dropped.
    examples.run("regenerate_token", token, refused="/data/attributes/permissions")
    assert "Token revoked successfully" in examples.run("revoke_token", token)


def _clear(examples: Examples) -> None:
    assert "License deleted" in examples.run("delete_license", stdin="yes\n")
    examples.env["KEYGEN_LICENSE_ID"] = examples.create("create_license")
    assert "License revoked successfully" in examples.run("revoke_license", "--yes")
    assert "policy action completed" in examples.run("delete_policy", "--yes")
    assert "Entitlement deleted" in examples.run("delete_entitlement", stdin="yes\n")
    assert "Product deleted" in examples.run("delete_product")


def _id_in(said: str) -> str:
    return _found(r"created: ([0-9a-f-]{36})", said)


def _found(pattern: str, said: str) -> str:
    found = re.search(pattern, said)
    assert found is not None, said
    return found[1]
