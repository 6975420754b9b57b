"""The commands on a real ledger (log, replicas, projectors): what they print, how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from ledger.domain.identifiers import slug_id, token_digest
from tests.local import LEDGER
from tests.servers import ROOT
from tests.system import PEPPER, TOKEN, System, running

SAMPLE = str(ROOT / "examples" / "activity.csv")
runner = CliRunner()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("ledger"), workers=1) as system:
        yield system


@pytest.fixture(scope="module")
def imported(ledger: System) -> list[dict[str, Any]]:
    """What the import of the sample says of its features."""
    done = invoke(ledger, "import", "activity", SAMPLE, "--json")
    assert done.exit_code == 0, done.output
    [document] = json.loads(done.stdout)
    features: list[dict[str, Any]] = document["features"]
    assert document["brokenLines"] == 0
    assert document["leftOut"] == {}
    return features


def invoke(ledger: System, *arguments: str, stdin: str | None = None, **env: str) -> Result:
    return runner.invoke(app, arguments, input=stdin, env={**ledger.env, **env})


def key_of(ledger: System, imported: list[dict[str, Any]]) -> str:
    shown = json.loads(invoke(ledger, "show", imported[0]["license"], "--json").stdout)
    key: str = shown["key"]
    return key


def test_init_again_says_whose_log_it_is(ledger: System) -> None:
    done = invoke(ledger, "init", "--json")
    assert json.loads(done.stdout) == {"ledger": ledger.ledger, "partitions": 16}
    assert ledger.ledger in invoke(ledger, "init").stdout


def test_init_of_another_number_of_partitions_is_refused(ledger: System) -> None:
    done = invoke(ledger, "init", LEDGER_PARTITIONS="8")
    assert done.exit_code == 2
    assert "LEDGER_PARTITIONS" in done.stderr


def test_another_pepper_is_refused_by_name(ledger: System, imported: list[dict[str, Any]]) -> None:
    done = invoke(ledger, "show", imported[0]["license"], LEDGER_PEPPER="ab" * 32)
    assert done.exit_code == 2
    assert "LEDGER_PEPPER" in done.stderr


def test_an_import_prints_what_the_ledger_says(
    ledger: System, imported: list[dict[str, Any]]
) -> None:
    done = invoke(ledger, "import", "activity", SAMPLE)
    assert done.exit_code == 0, done.output
    for one in imported:
        counts = [one[name] for name in ("seats", "checkouts", "refused", "denied", "peak", "left")]
        row = next(line for line in done.stdout.splitlines() if line.startswith(one["feature"]))
        assert row.split()[1:] == [str(count) for count in counts]
    assert "3 features, 555 checkouts" in done.stdout


def test_show_finds_a_license_by_id_and_by_key(
    ledger: System, imported: list[dict[str, Any]]
) -> None:
    key = key_of(ledger, imported)
    by_key = invoke(ledger, "show", "-", "--json", stdin=f"{key}\n")
    by_id = invoke(ledger, "show", imported[0]["license"].upper(), "--json")
    assert json.loads(by_key.stdout) == json.loads(by_id.stdout)


def test_many_keys_are_checked_each_by_its_line(
    ledger: System, imported: list[dict[str, Any]]
) -> None:
    url = {"LEDGER_URL": ledger.workers[0].url, "LEDGER_TOKEN": TOKEN}
    lines = f"{key_of(ledger, imported)}\nnobody's\n"
    done = invoke(ledger, "check", "--file", "-", "--json", stdin=lines, **url)
    assert done.exit_code == 1
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["number"], one["code"]) for one in told] == [(1, "VALID"), (2, "NOT_FOUND")]
    assert told[0]["license"] == imported[0]["license"]
    done = invoke(ledger, "check", *lines.split()[:1] * 2, **url)
    assert done.exit_code == 0, done.output


def test_show_tells_state_and_every_event_and_why(
    ledger: System, imported: list[dict[str, Any]]
) -> None:
    first = imported[0]
    done = invoke(ledger, "show", first["license"], "--json", "--last", "0")
    shown = json.loads(done.stdout)
    assert shown["state"] == "active"
    assert shown["name"] == first["feature"]
    assert shown["seats"]["peak"] == first["peak"]
    assert shown["seats"]["used"] == shown["machines"] == first["left"]
    assert shown["refusals"] == {}
    history = shown["history"]
    assert len(history) == shown["events"]
    assert (
        sum(one["type"] == "license.activation-requested" for one in history)
        == (first["checkouts"])
    )
    activated = history[1]
    assert activated["fingerprint"] == "user-0001@host-0001#1"
    assert activated["hostname"] == "host-0001"
    assert activated["occurredAt"] == "2022-06-09T08:29:20.000Z"
    assert activated["why"] == f"1 of {first['seats']} seats held now"
    deactivated = next(one for one in history if one["type"] == "license.deactivation-requested")
    assert deactivated["fingerprint"].startswith("user-")


def test_show_for_people_says_the_same(ledger: System, imported: list[dict[str, Any]]) -> None:
    first = imported[0]
    done = invoke(ledger, "show", first["license"], "--last", "2")
    assert f"{first['left']} of {first['seats']} held; peak {first['peak']}" in done.stdout
    assert "earlier events; --last 0 shows all" in done.stdout
    assert "their source's" in done.stdout
    assert len([line for line in done.stdout.splitlines() if " granted " in line]) == 2


def test_show_of_nothing_is_1_and_names_where_it_looked(ledger: System) -> None:
    done = invoke(ledger, "show", "LIC-NOBODY")
    assert done.exit_code == 1
    assert "no record" in done.stderr
    assert "LIC-NOBODY" not in done.stderr


def test_what_was_forgotten_is_shown_no_more(ledger: System) -> None:
    done = invoke(ledger, "import", "activity", SAMPLE, "--json")
    license_ = json.loads(done.stdout)[0]["features"][-1]["license"]

    forgotten = invoke(ledger, "forget", license_, "--yes", "--json")
    assert forgotten.exit_code == 0, forgotten.output
    document = json.loads(forgotten.stdout)
    assert document["erasedNow"] == 1
    assert [one["erased"] for one in document["replicas"]] == [True, True]
    again = invoke(ledger, "forget", license_, "--yes")
    assert again.exit_code == 0, again.output
    assert "replica B: erased" in again.stdout

    shown = json.loads(invoke(ledger, "show", license_, "--json", "--last", "0").stdout)
    assert shown["key"] == "(erased)"
    assert shown["state"] == "active"
    said = {one.get("fingerprint", "(erased)") for one in shown["history"]}
    assert said == {"(erased)"}


def test_forget_of_nobody_is_1(ledger: System) -> None:
    done = invoke(ledger, "forget", "LIC-NOBODY", "--yes")
    assert done.exit_code == 1
    assert "Nothing was erased" in done.stderr


def test_a_lost_seal_key_hides_names_and_nothing_else(
    ledger: System, imported: list[dict[str, Any]]
) -> None:
    other = f"k2:{'cd' * 32}"
    done = invoke(ledger, "show", imported[0]["license"], "--json", LEDGER_SEAL_KEYS=other)
    shown = json.loads(done.stdout)
    assert "LEDGER_SEAL_KEYS" in shown["key"]
    assert shown["seats"]["peak"] == imported[0]["peak"]


def test_a_vendors_export_is_checked_loaded_and_loaded_once(ledger: System, tmp_path: Path) -> None:
    licenses, machines = tmp_path / "licenses.csv", tmp_path / "machines.csv"
    licenses.write_text("key;name;max_machines\nVEND-0001;ACME;1\nVEND-0002;Beta;x\n")
    machines.write_text("license,fingerprint,hostname\nVEND-0001,fp-1,host\nVEND-0001,fp-2,host\n")
    files: tuple[str, ...] = (str(machines), str(licenses))
    unsaid = invoke(ledger, "import", "csv", *files)
    assert unsaid.exit_code == 2
    assert "--policy" in unsaid.stderr
    policy = ("--policy", slug_id(ledger.ledger, "policy", ledger.settings.catalog.policy))
    files = (*files, *policy)

    dry = invoke(ledger, "import", "csv", *files, "--dry-run")
    assert dry.exit_code == 1
    assert "licenses.csv line 3, max_machines x: it is a whole number" in dry.stdout
    assert "Nothing was written" in dry.stdout
    assert invoke(ledger, "show", "VEND-0001").exit_code == 1

    done = invoke(ledger, "import", "csv", *files, "--json")
    assert done.exit_code == 1
    first, second = json.loads(done.stdout)
    assert (first["kind"], first["added"], first["badRows"]) == ("licenses", 1, 1)
    assert (second["added"], second["bad"][0]["line"]) == (1, 3)
    bad = second["bad"][0]
    assert (bad["column"], bad["value"]) == ("seats", "1")
    assert "1 of 1 are held" in bad["reason"]
    assert "VEND" not in done.stdout.replace(str(tmp_path), "")
    assert "fp-" not in done.stdout

    rejects = tmp_path / "rejects.csv"
    again = invoke(ledger, "import", "csv", str(licenses), *policy, "--rejects", str(rejects))
    assert again.exit_code == 1
    assert rejects.read_text() == "key;name;max_machines\nVEND-0002;Beta;x\n"
    rejects.write_text(rejects.read_text().replace("x\n", "3\n"))
    mended = invoke(ledger, "import", "csv", str(rejects), *policy)
    assert mended.exit_code == 0, mended.output
    shown = json.loads(invoke(ledger, "show", "VEND-0001", "--json").stdout)
    assert (shown["key"], shown["seats"]["used"]) == ("VEND-0001", 1)
    assert shown["history"][1]["fingerprint"] == "fp-1"


@pytest.mark.parametrize(
    "arguments", [["--kind", "nonsense"], ["--kind", "machines"], ["--rejects", "licenses.csv"]]
)
def test_an_export_with_options_that_mean_nothing_is_2(
    ledger: System, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "licenses.csv").write_text("key\nVEND-0009\n")
    done = invoke(ledger, "import", "csv", "licenses.csv", *arguments)
    assert done.exit_code == 2
    assert (tmp_path / "licenses.csv").read_text() == "key\nVEND-0009\n"


def tailed(ledger: System, *arguments: str) -> list[dict[str, Any]]:
    done = invoke(ledger, "tail", "--no-follow", "--json", *arguments)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_tail_of_one_license_tells_every_verdict_that_show_tells(
    ledger: System, imported: list[dict[str, Any]]
) -> None:
    license_ = imported[0]["license"]
    shown = json.loads(invoke(ledger, "show", license_, "--json", "--last", "0").stdout)["history"]
    found = tailed(ledger, "--license", license_, "--since", "beginning")
    assert [(one["offset"], one["verdict"], one["why"]) for one in found] == [
        (one["offset"], one["verdict"], one["why"]) for one in shown
    ]
    by_key = tailed(ledger, "--license", key_of(ledger, imported), "-n", "3")
    assert by_key == found[-3:]


def test_tail_of_all_is_in_the_order_of_time_and_hides_what_is_sealed(
    ledger: System, imported: list[dict[str, Any]]
) -> None:
    done = invoke(ledger, "tail", "--no-follow", "--since", "beginning")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines == sorted(lines, key=lambda line: line.split()[0])
    assert len(lines) > sum(one["checkouts"] for one in imported)
    assert "host-0001" not in done.stdout
    assert "LIC-" not in done.stdout
    issued = tailed(ledger, "--since", "beginning", "--type", "issued", "--actor", "imp")
    assert {one["feature"] for one in imported} <= {one["name"] for one in issued}
    # Nobody but a fold can tell of imported events, and nothing is guessed.
    assert {one["verdict"] for one in issued} == {None}
    assert tailed(ledger, "--since", "beginning", "--verdict", "refused") == []
    assert tailed(ledger, "--since", "2999-01-01T00:00:00Z") == []
    assert len(tailed(ledger)) == 10


def test_tail_tells_of_the_catalog_too_by_account_type_and_license(ledger: System) -> None:
    at = {"LEDGER_URL": ledger.workers[0].url, "LEDGER_TOKEN": TOKEN}

    def made(*arguments: str) -> dict[str, Any]:
        done = invoke(ledger, *arguments, "--json", **at)
        assert done.exit_code == 0, done.output
        resource: dict[str, Any] = json.loads(done.stdout)["data"]
        return resource

    account = made("account", "create", "--slug", "tailed")
    policy = slug_id(ledger.ledger, "policy", ledger.settings.catalog.policy)
    made("policy", "change", policy, "--max-machines", "5")
    license_ = made("license", "create", "--policy", policy, "--name", "Tailed")["id"]
    token = made("token", "create", "--license", license_, "--name", "kiosk")
    secret = token["attributes"]["token"]
    assert invoke(ledger, "token", "revoke", token["id"], "--yes", **at).exit_code == 0

    def told(*arguments: str) -> list[tuple[str, str]]:
        return [(one["type"], one["verdict"]) for one in tailed(ledger, *arguments)]

    assert told("--account", "tailed") == [("catalog.account-created", "granted")]
    assert told("--account", account["id"]) == told("--account", "tailed")
    assert told("--license", license_, "--since", "beginning") == [
        ("license.issued", "granted"),
        ("catalog.token-created", "granted"),
        ("catalog.token-revoked", "granted"),
    ]
    [changed] = tailed(ledger, "--type", "policy-changed")
    assert (changed["changed"], changed["version"]) == (["max_machines"], 1)
    done = invoke(ledger, "tail", "--no-follow", "--type", "token-created", "--type", "issued")
    assert "kiosk" in done.stdout
    assert "token created" in done.stdout
    assert secret not in done.stdout
    assert (
        token_digest(ledger.settings.pepper, secret)
        not in invoke(ledger, "tail", "--no-follow", "--since", "beginning", "--json").stdout
    )
    nobody = invoke(ledger, "tail", "--account", "nobody")
    assert nobody.exit_code == 2
    assert "--account nobody" in nobody.stderr
    mistyped = invoke(ledger, "tail", "--type", "polcy-changed")
    assert "policy-changed" in mistyped.stderr


def test_a_stream_that_is_followed_ends_quietly_by_an_interruption(ledger: System) -> None:
    arguments = [LEDGER, "tail", "--follow", "--since", "beginning"]
    env = {"PATH": os.environ["PATH"], **ledger.env}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, env=env, text=True, **pipes) as tail:  # type: ignore[call-overload]
        try:
            assert "account created" in tail.stdout.readline()
            tail.send_signal(signal.SIGINT)
            _, errors = tail.communicate(timeout=60)
        finally:
            tail.kill()
    assert (tail.returncode, errors) == (130, "")


def test_the_replicas_have_folded_the_log_that_a_checkpoint_knows(
    ledger: System, imported: list[dict[str, Any]], tmp_path: Path
) -> None:
    key, file = str(tmp_path / "key.pem"), str(tmp_path / "checkpoint.json")
    public = invoke(ledger, "checkpoint", "keygen", key).stdout.strip()
    made = invoke(ledger, "checkpoint", "make", file, "--key", key, "--json")
    assert made.exit_code == 0, made.output
    ledger.wait_level()
    by = ("--checkpoint", file, "--public-key", public)
    done = invoke(ledger, "verify", *by, "--replicas", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert (document["ledger"], document["equal"]) == (ledger.ledger, True)
    # All but the genesis of the topic that nothing is folded from.
    records = json.loads(made.stdout)["records"] - 1
    assert records > sum(one["checkouts"] for one in imported)
    assert [one["records"] for one in document["replicas"]] == [records, records]


@pytest.mark.parametrize(("option", "value"), [("--type", "none"), ("--since", "yesterday")])
def test_tail_with_what_means_nothing_is_2(ledger: System, option: str, value: str) -> None:
    done = invoke(ledger, "tail", option, value)
    assert done.exit_code == 2
    assert f"{option} {value}" in done.stderr


def test_doctor_finds_nothing_wrong_with_a_healthy_ledger(ledger: System) -> None:
    ledger.wait_level()
    done = invoke(ledger, "doctor", "--json")
    document = json.loads(done.stdout)
    found = {one["name"]: one for one in document["findings"]}
    failed = [one for one in document["findings"] if one["level"] == "fail"]
    assert (done.exit_code, failed) == (0, [])
    assert ledger.ledger in found["genesis"]["said"]
    assert "slot 0" in found["projector A"]["said"]
    assert {found[name]["level"] for name in ("topics", "level A", "level B", "clocks")} == {"ok"}
    assert "free" in found["disk"]["said"]
    assert PEPPER not in done.output


@pytest.mark.parametrize(
    ("name", "value", "finding"),
    [
        ("LEDGER_PEPPER", "ab" * 32, "genesis"),
        ("LEDGER_PARTITIONS", "8", "topics"),
        ("LEDGER_TOPIC_PREFIX", "nobody-", "topics"),
        ("LEDGER_SEAL_KEYS", "nonsense", "settings"),
    ],
)
def test_doctor_names_the_setting_that_is_wrong_and_is_1(
    ledger: System, name: str, value: str, finding: str
) -> None:
    done = invoke(ledger, "doctor", "--json", **{name: value})
    found = {one["name"]: one for one in json.loads(done.stdout)["findings"]}
    assert done.exit_code == 1
    assert found[finding]["level"] == "fail"
    assert found[finding]["step"]
    assert value not in done.output or name != "LEDGER_PEPPER"
