"""`ledger neutralize` without any worker: keys, what is refused, what is printed and put down."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.neutralizing.incidents import incidents
from ledger.emergency.entries import Entry, OrderOver, OrderTaken
from ledger.emergency.orders import Start, decode, signer
from ledger.signing_keys import private_pem, public_hex, read_private
from tests.emergency import KEY, KEYS, NAME, end_of, signed, start
from tests.ledger.domain.given import ACCOUNT, LEDGER, PRODUCT
from tests.ports import free_ports

runner = CliRunner()
WHY = ["--reason", "a drill"]
WHOSE = ["--ledger", LEDGER, "--account", ACCOUNT]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No ledger here, and nothing of whoever runs the tests."""
    for name in ("LEDGER_KAFKA", "LEDGER_EMERGENCY_WORKERS", "LEDGER_API_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LEDGER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def key(tmp_path: Path) -> str:
    file = tmp_path / "key.pem"
    file.write_text(private_pem(KEY))
    file.chmod(0o600)
    return str(file)


def neutralize(*arguments: str) -> Result:
    return runner.invoke(app, ["neutralize", *arguments])


def test_a_key_is_made_for_its_owner_alone_and_only_its_public_half_is_told(tmp_path: Path) -> None:
    done = neutralize("keygen", "key.pem", "--name", "night-shift")
    assert done.exit_code == 0, done.output
    file = tmp_path / "key.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    made = read_private(file.read_bytes())
    assert done.stdout == f"night-shift={public_hex(made)}\n"
    assert "no server" in done.stderr
    assert made.private_bytes_raw().hex() not in done.output


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    assert neutralize("keygen", "key.pem").exit_code == 0
    before = (tmp_path / "key.pem").read_bytes()
    again = neutralize("keygen", "key.pem")
    assert again.exit_code == 2
    assert "there already" in again.stderr
    assert (tmp_path / "key.pem").read_bytes() == before


def test_a_key_is_not_put_where_the_ledger_s_host_has_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    for file in ("data/key.pem", "data/../data/key.pem", "link/key.pem"):
        refused = neutralize("keygen", file)
        assert refused.exit_code == 2
        assert "data folder" in refused.stderr
    assert list(folder.iterdir()) == []


def test_a_printed_order_says_what_was_asked_and_is_signed(key: str) -> None:
    more = ["--product", PRODUCT.upper(), "--unknown-keys", "--print"]
    done = neutralize("start", "--key", key, "--for", "90m", *WHY, *WHOSE, *more)
    assert done.exit_code == 0, done.output
    found = decode(done.stdout.encode().strip())
    assert signer(found, KEYS) == NAME
    order = found.order
    assert isinstance(order, Start)
    assert (order.ledger, order.account, order.product) == (LEDGER, ACCOUNT, PRODUCT)
    assert (order.duration_s, order.unknown_keys, order.reason) == (5400, True, "a drill")


def test_an_order_is_left_in_the_folder_whole(key: str, tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    missing = neutralize("start", "--key", key, "--for", "1h", *WHY, *WHOSE, "--orders", "orders")
    assert missing.exit_code == 2
    folder.mkdir()
    done = neutralize("start", "--key", key, "--for", "1h", *WHY, *WHOSE, "--orders", "orders")
    assert done.exit_code == 0, done.output
    assert "No worker was asked" in done.stderr
    [file] = folder.iterdir()
    assert file.name == f"{decode(file.read_bytes()).order.id}.json"
    assert stat.S_IMODE(file.stat().st_mode) & 0o444 == 0o444


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--for", "5h", *WHY, *WHOSE], "--for is from 1s to 4h"),
        (["--for", "0", *WHY, *WHOSE], "--for is from 1s to 4h"),
        (["--for", "soon", *WHY, *WHOSE], "--for is a number of seconds"),
        (["--for", "1h", "--reason", " ", *WHOSE], "--reason has 1 to 256"),
        (["--for", "1h", *WHY, "--ledger", LEDGER, "--account", "demo"], "--account is an id"),
        (["--for", "1h", *WHY, *WHOSE, "--product", "p"], "--product is an id"),
        (["--for", "1h", *WHY, "--account", ACCOUNT], "give --ledger and --account"),
        (["--for", "1h", *WHY, *WHOSE, "--to", "http://127.0.0.1:1"], "--print delivers nothing"),
    ],
)
def test_what_can_t_be_ordered_is_refused_before_anything_is_signed(
    key: str, arguments: list[str], said: str
) -> None:
    refused = neutralize("start", "--key", key, *arguments, "--print")
    assert refused.exit_code == 2, refused.output
    assert said in refused.stderr
    assert refused.stdout == ""


def test_a_key_that_can_t_be_used_is_named_and_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("secret-words")
    for file in ("bad.pem", "nowhere.pem"):
        arguments = ["start", "--key", file, "--for", "1h", *WHY, *WHOSE, "--print"]
        refused = neutralize(*arguments)
        assert refused.exit_code == 2
        assert file in refused.stderr
        assert "secret-words" not in refused.output


def test_a_key_that_others_may_read_is_used_and_told_of(key: str) -> None:
    Path(key).chmod(0o644)
    done = neutralize("end", LEDGER, "--key", key, "--ledger", LEDGER, "--print")
    assert done.exit_code == 0
    assert "chmod 600" in done.stderr


def test_where_no_ledger_runs_and_no_worker_is_named_it_says_what_to_do(key: str) -> None:
    for arguments in (["status"], ["end", LEDGER, "--key", key], ["history"]):
        refused = neutralize(*arguments)
        assert refused.exit_code == 2
        assert "ledger up" in refused.stderr
    odd = neutralize("status", "--to", "127.0.0.1:7101")
    assert odd.exit_code == 2
    assert "like http://" in odd.stderr


def test_a_worker_that_is_away_is_named(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.neutralizing.delivery.LIMIT_S", 0.3)
    (port,) = free_ports(1)
    at = ["--to", f"http://127.0.0.1:{port}"]
    asked = neutralize("status", *at, "--json")
    assert asked.exit_code == 1
    assert str(port) in json.loads(asked.stdout)["workers"][0]["why"]
    given = neutralize("start", "--key", key, "--for", "1h", *WHY, *WHOSE, *at, "--json")
    assert given.exit_code == 1
    [row] = json.loads(given.stdout)["workers"]
    assert row["runs"] is None
    assert str(port) in row["why"]


def test_entries_are_put_together_by_order_and_worker_and_once() -> None:
    order = signed(start(LEDGER, ACCOUNT))
    end = signed(end_of(start(LEDGER, ACCOUNT)))
    taken: list[OrderTaken | OrderOver] = [
        OrderTaken(worker=worker, key=NAME, way="FILE", left_s=9, order=order) for worker in "ab"
    ]
    over: list[OrderTaken | OrderOver] = [
        OrderOver(worker="a", account=ACCOUNT, why="TIME", known=3, unknown=0),
        OrderOver(worker="b", account=ACCOUNT, why="ENDED", known=4, unknown=1, end=end),
    ]
    entries = [
        Entry(
            id=f"{at:08x}-0000-4000-8000-000000000000", order=order.order.id, time_ms=at, data=data
        )
        for at, data in enumerate([*taken, *over])
    ]
    [incident] = incidents([*entries, *entries])
    shown = incident.shown()
    assert (shown["id"], shown["key"]) == (order.order.id, NAME)
    assert shown["end"]["signature"] == end.signature
    assert [
        (one["worker"], one["why"], one["known"], one["unknown"]) for one in shown["workers"]
    ] == [("a", "TIME", 3, 0), ("b", "ENDED", 4, 1)]
    [unfinished] = incidents(entries[:2])
    assert [one["over"] for one in unfinished.shown()["workers"]] == [None, None]
