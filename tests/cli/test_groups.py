"""The groups of the command against a real API: licenses, machines, policies, products, tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.resources import (
    ENTITLEMENTS,
    LICENSES,
    MACHINES,
    POLICIES,
    PRODUCTS,
    TOKENS,
    print_resource,
)
from cli.resources import print_resources as print_table
from tests.system import TOKEN, System, running

runner = CliRunner()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("groups"), workers=1) as system:
        yield system


@pytest.fixture(autouse=True)
def found(ledger: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API and the token, as a person's environment names them."""
    monkeypatch.setenv("LEDGER_URL", ledger.workers[0].url)
    monkeypatch.setenv("LEDGER_TOKEN", TOKEN)


def invoke(*arguments: str, stdin: str | None = None) -> Result:
    return runner.invoke(app, arguments, input=stdin)


def asked(*arguments: str, stdin: str | None = None) -> Any:  # noqa: ANN401 - JSON
    """The JSON document of a command that does what it is asked."""
    done = invoke(*arguments, "--json", stdin=stdin)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def made(*arguments: str) -> dict[str, Any]:
    """The resource that a command makes."""
    resource: dict[str, Any] = asked(*arguments)["data"]
    return resource


@pytest.fixture(scope="module")
def policy(ledger: System) -> str:
    """Id of a policy of a product of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEDGER_URL", ledger.workers[0].url)
        patch.setenv("LEDGER_TOKEN", TOKEN)
        product = made("product", "create", "--name", "Editor", "--code", "editor")["id"]
        terms = ("--duration", "30d", "--floating", "--max-machines", "2")
        created = made("policy", "create", "--product", product, "--name", "Monthly", *terms)
    assert created["attributes"]["duration"] == 30 * 86_400
    id_: str = created["id"]
    return id_


def test_a_license_from_issue_to_end(policy: str) -> None:
    more = ("--name", "ACME", "--key", "ACME-LICENSE-1", "--metadata", "order=4711")
    license_ = made("license", "create", "--policy", policy, *more)
    id_, attributes = license_["id"], license_["attributes"]
    assert attributes["key"] == "ACME-LICENSE-1"
    assert attributes["metadata"] == {"order": 4711}
    assert made("license", "show", "ACME-LICENSE-1")["id"] == id_
    assert asked("license", "show", "-", stdin="ACME-LICENSE-1\n")["data"]["id"] == id_

    assert made("license", "suspend", id_)["attributes"]["status"] == "SUSPENDED"
    again = invoke("license", "suspend", id_)
    assert again.exit_code == 1
    assert "422" in again.stderr
    assert made("license", "reinstate", id_)["attributes"]["suspended"] is False
    renewed = made("license", "renew", id_)["attributes"]["expiry"]
    assert renewed > attributes["expiry"]
    assert made("license", "usage", id_, "--increment", "5")["attributes"]["uses"] == 5
    assert made("license", "usage", id_, "--decrement", "2")["attributes"]["uses"] == 3
    assert made("license", "usage", id_, "--reset")["attributes"]["uses"] == 0
    assert invoke("license", "usage", id_).exit_code == 2

    changed = made("license", "change", id_, "--max-machines", "7", "--expiry", "2099-12-31")
    assert changed["attributes"]["maxMachines"] == 7
    assert changed["attributes"]["expiry"] == "2100-01-01T00:00:00.000Z"
    given_back = made("license", "change", id_, "--set", "maxMachines=null")
    assert given_back["attributes"]["maxMachines"] == 2
    assert invoke("license", "change", id_).exit_code == 1
    assert invoke("license", "change", id_, "--expiry", "2031-02-30").exit_code == 2

    asked_first = invoke("license", "revoke", id_)
    assert asked_first.exit_code == 2
    assert "--yes" in asked_first.stderr
    assert asked("license", "revoke", id_, "--yes") == {"done": "revoked", "id": id_}
    gone = invoke("license", "show", id_)
    assert gone.exit_code == 1
    assert "404" in gone.stderr


def test_check_in_transfer_and_validation(policy: str) -> None:
    product = made("policy", "show", policy)["relationships"]["product"]["data"]["id"]
    weekly = ("--set", "requireCheckIn=true", "--set", "checkInInterval=week")
    other = made("policy", "create", "--product", product, "--name", "Weekly", *weekly)["id"]
    id_ = made("license", "create", "--policy", policy, "--name", "Wanderer")["id"]
    assert invoke("license", "check-in", id_).exit_code == 1
    moved = made("license", "transfer", id_, "--policy", other)
    assert moved["relationships"]["policy"]["data"]["id"] == other
    assert made("license", "check-in", id_)["attributes"]["lastCheckIn"]

    valid = invoke("license", "validate", id_, "--policy", other, "--json")
    assert json.loads(valid.stdout)["meta"]["code"] == "VALID"
    assert valid.exit_code == 0
    wrong = invoke("license", "validate", id_, "--policy", policy)
    assert wrong.stdout.splitlines()[0] == "POLICY_SCOPE_MISMATCH"
    assert wrong.exit_code == 1


def test_machines(policy: str) -> None:
    license_ = made("license", "create", "--policy", policy, "--key", "MACHINES-1")["id"]
    known = ("--hostname", "build-7", "--cores", "8", "--platform", "linux")
    by_key = ("machine", "activate", "--license", "MACHINES-1", "--fingerprint", "fp-1")
    machine = made(*by_key, *known)
    assert machine["relationships"]["license"]["data"]["id"] == license_
    taken = invoke(*by_key)
    assert taken.exit_code == 1
    assert "FINGERPRINT_TAKEN" in taken.stderr
    assert made("machine", "show", "fp-1")["attributes"]["hostname"] == "build-7"
    assert made("machine", "change", "fp-1", "--name", "Bob")["attributes"]["name"] == "Bob"
    valid = invoke("license", "validate", license_, "-f", "fp-1")
    assert valid.exit_code == 0, valid.output
    for filters in (("--license", "MACHINES-1"), ("-f", "fp-1", "--platform", "linux")):
        assert [one["id"] for one in asked("machine", "list", *filters)["data"]] == [machine["id"]]
    assert asked("machine", "list", "--license", license_, "-f", "fp-2")["data"] == []
    assert invoke("machine", "deactivate", "fp-1").exit_code == 2
    done = asked("machine", "deactivate", "fp-1", "--yes")
    assert done == {"done": "deactivated", "id": machine["id"]}
    assert invoke("machine", "show", "fp-1").exit_code == 1


def test_a_policy_changes_its_licenses_and_says_how_far_that_is(policy: str) -> None:
    license_ = made("license", "create", "--policy", policy, "--key", "FOLLOWS-1")["id"]
    before = made("policy", "show", policy)["attributes"]["version"]
    changed = made("policy", "change", policy, "--max-machines", "3", "--set", "metadata={}")
    assert changed["attributes"]["version"] == before + 1
    told = made("policy", "progress", policy)["attributes"]
    assert told["version"] == before + 1
    assert 0 <= told["behind"] <= told["licenses"]
    assert "behind" in invoke("policy", "progress", policy).stdout
    used = invoke("policy", "delete", policy, "--yes")
    assert used.exit_code == 1
    assert "IN_USE" in used.stderr
    made("policy", "change", policy, "--max-machines", "2")
    asked("license", "revoke", license_, "--yes")


def test_products_and_policies_come_and_go() -> None:
    product = made("product", "create", "--name", "Viewer", "--platform", "linux", "--set", "url=u")
    id_ = product["id"]
    assert product["attributes"]["platforms"] == ["linux"]
    assert made("product", "change", id_, "--code", "view")["attributes"]["code"] == "view"
    policy = made("policy", "create", "--product", id_, "--name", "Ever")["id"]
    [listed] = asked("policy", "list", "--product", id_)["data"]
    assert listed["id"] == policy
    for group, one in (("policy", policy), ("product", id_)):
        assert invoke(group, "delete", one).exit_code == 2
        assert asked(group, "delete", one, "--yes") == {"done": "deleted", "id": one}
        assert invoke(group, "show", one).exit_code == 1


def test_entitlements(policy: str) -> None:
    license_ = made("license", "create", "--policy", policy, "--name", "Entitled")["id"]
    id_ = made("entitlement", "create", "--name", "Export", "--code", "EXPORT")["id"]
    asked("entitlement", "attach", id_, "--license", license_)
    [held] = asked("entitlement", "list", "--license", license_)["data"]
    assert held["attributes"]["code"] == "EXPORT"
    assert invoke("license", "validate", license_, "--entitlement", "EXPORT").exit_code == 0
    asked("entitlement", "detach", id_, "--license", license_)
    assert asked("entitlement", "list", "--license", license_)["data"] == []
    asked("entitlement", "attach", id_, "--policy", policy)
    [held] = asked("entitlement", "list", "--policy", policy)["data"]
    assert held["id"] == id_
    asked("entitlement", "detach", id_, "--policy", policy)
    assert asked("entitlement", "list", "--policy", policy)["data"] == []
    for whose in ((), ("--license", license_, "--policy", policy)):
        assert invoke("entitlement", "attach", id_, *whose).exit_code == 2
    renamed = made("entitlement", "change", id_, "--name", "Out")
    assert made("entitlement", "show", id_)["attributes"] == renamed["attributes"]
    assert renamed["attributes"]["name"] == "Out"
    assert invoke("entitlement", "delete", id_).exit_code == 2
    asked("entitlement", "delete", id_, "--yes")
    assert id_ not in [one["id"] for one in asked("entitlement", "list")["data"]]


def test_a_token_is_printed_once_alone_on_stdout(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    license_ = made("license", "create", "--policy", policy, "--key", "TOKENS-1")["id"]
    created = invoke("token", "create", "--license", "TOKENS-1", "--name", "Kiosk")
    secret = created.stdout.strip()
    assert re.fullmatch(r"activation-\S+", secret)
    assert "shown this once" in created.stderr
    assert secret not in created.stderr
    listing = invoke("token", "list", "--license", "TOKENS-1", "--json")
    [listed] = json.loads(listing.stdout)["data"]
    assert secret not in listing.stdout
    assert made("token", "show", listed["id"])["attributes"] == listed["attributes"]
    monkeypatch.setenv("LEDGER_TOKEN", secret)
    assert asked("license", "show", license_)["data"]["id"] == license_
    assert asked("whoami")["data"]["id"] == license_
    assert listed["id"] in invoke("whoami").stdout
    refused = invoke("product", "create", "--name", "Mine")
    assert refused.exit_code == 1
    assert "403 ROLE_NOT_ALLOWED" in refused.stderr

    monkeypatch.setenv("LEDGER_TOKEN", TOKEN)
    assert invoke("token", "regenerate", listed["id"]).exit_code == 2
    renewed = asked("token", "regenerate", listed["id"], "--yes")["data"]["attributes"]["token"]
    assert renewed not in {secret, None}
    monkeypatch.setenv("LEDGER_TOKEN", renewed)
    assert asked("license", "show", license_)["data"]["id"] == license_
    monkeypatch.setenv("LEDGER_TOKEN", TOKEN)
    assert invoke("token", "revoke", listed["id"]).exit_code == 2
    asked("token", "revoke", listed["id"], "--yes")
    assert asked("token", "list", "--license", license_)["data"] == []
    assert invoke("token", "create", "--license", "x", "--product", "y").exit_code == 2


def test_a_token_itself_is_not_sent_as_its_id() -> None:
    for command in ("show", "regenerate", "revoke"):
        refused = invoke("token", command, "admin-secret")
        assert refused.exit_code == 2
        assert "ledger token list" in refused.stderr
        assert "admin-secret" not in refused.output


def test_who_runs_the_ledger_makes_accounts_and_their_first_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = made("account", "create", "--slug", "acme", "--name", "ACME")
    assert made("account", "show", "acme")["id"] == account["id"]
    renamed = made("account", "change", "acme", "--slug", "apex", "--domain", "apex.example")
    assert renamed["attributes"] | {"slug": "apex"} == renamed["attributes"]
    token = invoke("token", "create", "--account", "apex").stdout.strip()
    monkeypatch.setenv("LEDGER_TOKEN", token)
    assert invoke("product", "list").exit_code == 1
    monkeypatch.setenv("LEDGER_ACCOUNT", "apex")
    assert asked("whoami")["data"]["id"] == account["id"]
    assert asked("product", "list")["data"] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("policy show nobody", "`ledger policy list`"),
        ("license create --policy nobody", "`ledger policy list`"),
        ("policy create --product nobody --name A", "`ledger product list`"),
        ("license show nobody", "`ledger license list`"),
        ("entitlement attach nobody --license nobody", "`ledger license list`"),
    ],
)
def test_what_is_not_there_is_told_with_how_to_list_what_is(arguments: str, told: str) -> None:
    refused = invoke(*arguments.split())
    assert refused.exit_code == 1
    assert told in refused.stderr


def test_what_is_mistyped_is_told_with_what_may_be_meant() -> None:
    assert "'license'" in invoke("licens").stderr
    assert "'suspend'" in invoke("license", "suspnd").stderr
    assert "--policy" in invoke("license", "list", "--polcy", "x").stderr


def test_a_list_of_nothing_says_so() -> None:
    nothing = invoke("license", "list", "--policy", "0b7e5a3c-1111-4222-8333-444455556666")
    assert nothing.exit_code == 0
    assert "There is none" in nothing.stderr
    assert invoke("license", "list", "--status", "nonsense").exit_code == 2


def test_what_is_repeated_under_one_key_happens_once(policy: str) -> None:
    once = ("license", "create", "--policy", policy, "--idempotency-key", "order-1")
    assert made(*once)["id"] == made(*once)["id"]
    assert made("license", "create", "--policy", policy)["id"] != made(*once)["id"]


def test_lists_are_read_in_pages_and_filtered(policy: str) -> None:
    product = made("policy", "show", policy)["relationships"]["product"]["data"]["id"]
    own = made("policy", "create", "--product", product, "--name", "Listed")["id"]
    ids = [
        made("license", "create", "--policy", own, "--metadata", f"number={number}")["id"]
        for number in range(5)
    ]
    listed = ("license", "list", "--policy", own)
    page = asked(*listed, "--limit", "3")
    assert [one["id"] for one in page["data"]] == ids[:1:-1]
    assert page["more"] is True
    everything = asked(*listed, "--limit", "1", "--all")
    assert [one["id"] for one in everything["data"]] == ids[::-1]
    assert everything["more"] is False
    some = invoke(*listed, "--limit", "2")
    assert len(some.stdout.splitlines()) == 3
    assert "--all" in some.stderr
    asked("license", "suspend", ids[0])
    [suspended] = asked(*listed, "--status", "suspended")["data"]
    [numbered] = asked(*listed, "--metadata", "number=3")["data"]
    assert (suspended["id"], numbered["id"]) == (ids[0], ids[3])
    assert asked("license", "list", "--product", own)["data"] == []
    wrong = invoke("license", "list", "--metadata", "number")
    assert wrong.exit_code == 2


@pytest.mark.parametrize("width", [40, 80, 120])
def test_tables_fit_the_terminal_and_ids_stay_whole(
    policy: str, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "A name that is longer than any column in a narrow terminal takes"
    license_ = made(
        "license", "create", "--policy", policy, "--name", name, "--expiry", "2031-01-01"
    )
    more = ("--name", name, "--hostname", "a-host-with-a-name.example.com")
    asked("machine", "activate", "--license", license_["id"], "-f", f"wide-{width}", *more)
    asked("token", "create", "--license", license_["id"], "--name", name)
    asked("entitlement", "create", "--name", name, "--code", f"WIDE-{width}-{'X' * 50}")
    groups = {
        "license": LICENSES,
        "machine": MACHINES,
        "policy": POLICIES,
        "product": PRODUCTS,
        "entitlement": ENTITLEMENTS,
        "token": TOKENS,
    }
    lists = {group: asked(group, "list")["data"] for group in groups}
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for group, shape in groups.items():
        print_table(lists[group], shape)
        said = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
        assert max(map(len, said.splitlines())) <= width
        assert "…" not in said
        assert all(one["id"] in said for one in lists[group])
        print_resource(lists[group][0], shape)
        said = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
        assert max(map(len, said.splitlines())) <= width
        assert lists[group][0]["id"] in said


def test_an_api_that_is_away_is_3_and_says_how_to_repeat_a_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEDGER_URL", "http://127.0.0.1:1")
    assert invoke("license", "list").exit_code == 3
    done = invoke("license", "create", "--policy", "p")
    assert done.exit_code == 3
    assert re.search(r"--idempotency-key [0-9a-f]{32}$", done.stderr.strip())


def test_on_a_terminal_it_asks_and_no_leaves_all_as_it_is(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    license_ = made("license", "create", "--policy", policy)["id"]
    monkeypatch.setattr("cli.trouble._on_terminal", lambda: True)
    refused = invoke("license", "revoke", license_, stdin="\n")
    assert refused.exit_code == 1
    assert "[y/N]" in refused.stderr
    assert "nothing was done" in refused.stderr
    assert made("license", "show", license_)["id"] == license_
    assert invoke("license", "revoke", license_, stdin="y\n").exit_code == 0
    assert invoke("license", "show", license_).exit_code == 1
