"""Every route of the API has a command that asks it, or a reason to have none."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from api.app import FORMS
from cli.main import app
from tests.cli.listening import ID, Listening

runner = CliRunner()

COMMANDS = {
    "POST /licenses/actions/validate-key": "check KEY-0001",
    "POST /licenses/actions/validate-many": "check --file /dev/null KEY-0001",
    "POST /licenses": f"license create --policy {ID}",
    "GET /licenses": "license list",
    "GET /licenses/{id}": f"license show {ID}",
    "PATCH /licenses/{id}": f"license change {ID} --name A",
    "PUT /licenses/{id}/policy": f"license transfer {ID} --policy {ID}",
    "POST /licenses/{id}/actions/validate": f"license validate {ID}",
    "POST /licenses/{id}/actions/suspend": f"license suspend {ID}",
    "POST /licenses/{id}/actions/reinstate": f"license reinstate {ID}",
    "POST /licenses/{id}/actions/renew": f"license renew {ID}",
    "POST /licenses/{id}/actions/check-in": f"license check-in {ID}",
    "POST /licenses/{id}/actions/increment-usage": f"license usage {ID} --increment 2",
    "POST /licenses/{id}/actions/decrement-usage": f"license usage {ID} --decrement 2",
    "POST /licenses/{id}/actions/reset-usage": f"license usage {ID} --reset",
    "DELETE /licenses/{id}/actions/revoke": f"license revoke {ID} --yes",
    "POST /machines": f"machine activate --license {ID} --fingerprint f",
    "GET /machines": "machine list",
    "GET /machines/{id}": f"machine show {ID}",
    "PATCH /machines/{id}": f"machine change {ID} --name A",
    "DELETE /machines/{id}": f"machine deactivate {ID} --yes",
    "POST /products": "product create --name A",
    "GET /products": "product list",
    "GET /products/{id}": f"product show {ID}",
    "PATCH /products/{id}": f"product change {ID} --name A",
    "DELETE /products/{id}": f"product delete {ID} --yes",
    "POST /policies": f"policy create --product {ID} --name A",
    "GET /policies": "policy list",
    "GET /policies/{id}": f"policy show {ID}",
    "PATCH /policies/{id}": f"policy change {ID} --name A",
    "DELETE /policies/{id}": f"policy delete {ID} --yes",
    "GET /policies/{id}/progress": f"policy progress {ID}",
    "POST /entitlements": "entitlement create --name A --code A",
    "GET /entitlements": "entitlement list",
    "GET /entitlements/{id}": f"entitlement show {ID}",
    "PATCH /entitlements/{id}": f"entitlement change {ID} --name A",
    "DELETE /entitlements/{id}": f"entitlement delete {ID} --yes",
    "GET /licenses/{id}/entitlements": f"entitlement list --license {ID}",
    "POST /licenses/{id}/entitlements": f"entitlement attach {ID} --license {ID}",
    "DELETE /licenses/{id}/entitlements": f"entitlement detach {ID} --license {ID}",
    "GET /policies/{id}/entitlements": f"entitlement list --policy {ID}",
    "POST /policies/{id}/entitlements": f"entitlement attach {ID} --policy {ID}",
    "DELETE /policies/{id}/entitlements": f"entitlement detach {ID} --policy {ID}",
    "POST /tokens": "token create",
    "POST /products/{id}/tokens": f"token create --product {ID}",
    "POST /licenses/{id}/tokens": f"token create --license {ID}",
    "GET /tokens": "token list",
    "GET /tokens/{id}": f"token show {ID}",
    "PUT /tokens/{id}": f"token regenerate {ID} --yes",
    "DELETE /tokens/{id}": f"token revoke {ID} --yes",
    "GET /me": "whoami",
    "POST /accounts": "account create --slug acme",
    "GET /accounts/{account}": "account show acme",
    "PATCH /accounts/{account}": "account change acme --name A",
}
NONE = {
    "GET /licenses/{id}/actions/validate": "`license validate` asks the same with a scope",
    "GET /licenses/{id}/machines": "`machine list --license` asks the same with more filters",
    "DELETE /licenses/{id}": "`license revoke` asks the same by its name",
    "GET /licenses/{id}/commands/{command}": "no command prefers an answer before the verdict",
}
"""Routes without a command, and why."""


def test_every_route_has_a_command_or_a_reason() -> None:
    routes = {f"{one.route.method} {one.route.path.removeprefix('/v1')}" for one in FORMS}
    assert COMMANDS.keys() | NONE.keys() == routes
    assert not COMMANDS.keys() & NONE.keys()
    assert all(NONE.values())


@pytest.mark.parametrize("route", COMMANDS)
def test_the_command_asks_the_route(route: str, server: Listening) -> None:
    done = runner.invoke(app, COMMANDS[route].split())
    assert done.exit_code == 0, (done.output, done.exception)
    method, path = route.split()
    form = re.compile(re.sub(r"\{\w+\}", "[^/]+", f"/v1{path}"))
    assert [one for one in server.asked if one[0] == method and form.fullmatch(one[1])]
    json.loads(runner.invoke(app, [*COMMANDS[route].split(), "--json"]).stdout)


def test_whose_it_is_stands_in_the_path(server: Listening) -> None:
    done = runner.invoke(app, ["license", "list", "--account", "acme"])
    assert done.exit_code == 0, done.output
    assert server.asked == [("GET", "/v1/accounts/acme/licenses")]
