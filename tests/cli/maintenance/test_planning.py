"""`ledger maintenance plan reindex` on a real Postgres: what it says, and in nobody's way."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from cli.drill.postgres import INSTALL, programs
from cli.main import app
from cli.maintenance.plan import LONG_S, Plan
from cli.maintenance.planning import plan_reindex
from cli.trouble import Failed
from tests.cli.maintenance.shapes import fill
from tests.cli.maintenance.volume import connect, started
from tests.postgres import PostgresServer
from tests.servers import wait_until

pytestmark = pytest.mark.skipif(programs() is None, reason=f"Postgres isn't installed: {INSTALL}")

PLENTY = 100 << 30


def planned(
    server: PostgresServer,
    table: str = "machines",
    *,
    free: int | None = PLENTY,
    at: Path | None = None,
    concurrently: bool = False,
) -> Plan:
    return plan_reindex(
        server.url, table, free_bytes=free, data_directory=at, concurrently=concurrently
    )


def ran(server: PostgresServer, *arguments: str) -> Result:
    env = {"LEDGER_MAINTENANCE_DATABASE": server.url}
    return CliRunner().invoke(app, ["maintenance", "plan", "reindex", *arguments], env=env)


@contextmanager
def transaction(server: PostgresServer, statement: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that stays open after its statement."""
    with psycopg.connect(server.url, application_name="the nightly report") as connection:
        connection.execute(statement.encode())
        yield connection
        connection.rollback()


def test_it_says_what_is_needed_and_where(server: PostgresServer) -> None:
    done = ran(server, "public.machines", "--reserve", "0")
    assert done.exit_code == 0, done.output
    for part in (
        "REINDEX TABLE public.machines",
        "public.machines_license_fingerprint_key",
        "more at the peak",
        "must be free before it begins",
        f"{server.data_directory}: ",
        "no replication slot retains any",
        "a plain SELECT waits too",
        "raise deadlock_timeout",
        "gives all room back at once",
        "CONCURRENTLY takes as much room",
        "\nGO\n",
    ):
        assert part in done.stdout
    document = json.loads(ran(server, "machines", "--reserve", "0", "--json").stdout)
    assert document["go"] is True
    assert document["gate_bytes"] > document["expected_bytes"] > 0
    assert document["indexes"][0]["name"] == "public.machines_pkey"


def test_no_go_is_exit_code_1_with_the_numbers(server: PostgresServer) -> None:
    done = ran(server, "machines", "--free", "1M")
    assert done.exit_code == 1
    assert "NO-GO\n  the disk (by --free) has 1.0 MiB free" in done.stdout


def test_an_unknown_table_is_told_with_what_is_near(server: PostgresServer) -> None:
    with connect(server) as connection:
        connection.execute('CREATE TABLE IF NOT EXISTS "Orders" (id int PRIMARY KEY)')
    for name, near in (
        ("machine", "near: public.machines"),
        ("public.machins", "near: public.machines"),
        ("orders", 'near: public."Orders"'),
        ("a.b.c.d", ""),
        ("", ""),
    ):
        done = ran(server, name)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"ledger: there is no table {name!r} in ")
        assert done.stderr.count("\n") == 1
        assert near in done.stderr
    assert ran(server, 'public."Orders"', "--free", "1G").exit_code == 0


def test_a_partitioned_table_names_its_parts(server: PostgresServer) -> None:
    with connect(server) as connection:
        connection.execute("CREATE TABLE events (at date) PARTITION BY RANGE (at)")
        connection.execute(
            "CREATE TABLE events_2026 PARTITION OF events "
            "FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')"
        )
    done = ran(server, "events")
    assert done.exit_code == 2
    assert "partitioned: plan each of its partitions (events_2026 …)" in done.stderr


@pytest.mark.parametrize(
    ("database", "code"),
    [
        ("postgresql://ops:hush-hush@127.0.0.1:1/x", 3),
        ("postgresql://ops:hush-hush@127.0.0.1:1/x?sslmode=hush-hush", 3),
        ("postgresql//ops:hush-hush@127.0.0.1:1/x", 2),
        ("postgresql://ops:hush-hush@[::1/x", 2),
    ],
)
def test_no_password_is_printed(database: str, code: int) -> None:
    arguments = ["maintenance", "plan", "reindex", "machines", "--database", database]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code
    assert done.stderr.startswith("ledger: ")
    assert "ops:hush" not in done.output
    assert "hush-hush@" not in done.output


def test_it_writes_nothing_and_takes_no_lock_that_anybody_waits_for(
    server: PostgresServer,
) -> None:
    with connect(server) as connection:
        before = state(connection)
        # Somebody who wants it for himself, as DDL does, waits for no plan longer than a moment.
        plan = planned(server)
        assert state(connection) == before
        connection.execute("SET lock_timeout = '1s'")
        connection.execute("BEGIN")
        connection.execute("LOCK TABLE machines IN ACCESS EXCLUSIVE MODE")
        connection.execute("ROLLBACK")
    assert plan.go


def state(connection: psycopg.Connection[Any]) -> list[Any]:
    """The catalog, and how many transactions have written."""
    rows = connection.execute(
        "SELECT oid, relfilenode, xmin::text FROM pg_class ORDER BY oid"
    ).fetchall()
    return [rows, connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())").fetchone()]


def test_a_table_that_is_locked_is_told_with_who_has_it(server: PostgresServer) -> None:
    with transaction(server, "LOCK TABLE machines IN ACCESS EXCLUSIVE MODE"):
        done = ran(server, "machines", "--free", "9G")
    assert done.exit_code == 1
    assert "machines is locked now" in done.stderr
    assert "the nightly report" in done.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM machines WHERE id < 0",
        "UPDATE machines SET last_seen = now() WHERE id = 1",
    ],
)
def test_a_long_transaction_forbids_it(
    server: PostgresServer, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.maintenance.plan.LONG_S", 0.0)
    with transaction(server, statement):
        plan = planned(server)
        [reason] = plan.reasons
        assert "the nightly report" in reason
        assert "everybody behind it" in reason
        assert planned(server, concurrently=True).go
        monkeypatch.setattr("cli.maintenance.plan.LONG_S", LONG_S)
        young = planned(server)
        assert young.go
        assert [one.pid for one in young.holders] == [one.pid for one in plan.holders]
    assert not planned(server).holders


def test_a_prepared_transaction_forbids_it(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.maintenance.plan.LONG_S", 0.0)
    with connect(server) as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE machines SET last_seen = now() WHERE id = 1")
        connection.execute("PREPARE TRANSACTION 'half done'")
        try:
            [reason] = planned(server).reasons
        finally:
            connection.execute("ROLLBACK PREPARED 'half done'")
    assert "prepared transaction half done" in reason


def test_a_stuck_slot_forbids_it(server: PostgresServer) -> None:
    with connect(server) as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('standby_2', true)")
        try:
            plan = planned(server)
            done = ran(server, "machines", "--free", "9G")
        finally:
            connection.execute("SELECT pg_drop_replication_slot('standby_2')")
    [reason] = plan.reasons
    assert "nobody reads from replication slot standby_2" in reason
    assert done.exit_code == 1
    assert "standby_2: nobody reads from it, retains" in done.stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [("false", "the archiver fails since "), ("", "nothing is told to archive")],
)
def test_an_archiver_that_does_not_archive_forbids_it(command: str, said: str) -> None:
    settings = {"archive_mode": "on", "archive_command": command, "fsync": "off"}
    with started(PostgresServer(settings)) as server, connect(server) as connection:
        fill(connection, "machines", 1_000)
        connection.execute("SELECT pg_switch_wal()")
        failed = "SELECT failed_count FROM pg_stat_archiver"
        if command:
            wait_until(lambda: connection.execute(failed).fetchone() != (0,), what="a failure")
        [reason] = planned(server).reasons
    assert said in reason
    assert "until it archives again, all WAL stays" in reason


def test_its_data_directory_is_known_by_its_server(server: PostgresServer, tmp_path: Path) -> None:
    own = planned(server, free=None)
    [place] = own.places
    assert place.path == str(server.data_directory)
    seen = os.statvfs(server.data_directory)
    assert place.total_bytes == seen.f_blocks * seen.f_frsize
    through = Path(f"/proc/{os.getpid()}/root{server.data_directory}")
    assert planned(server, free=None, at=through).places[0].path == str(through)
    with pytest.raises(Exception, match="--data-directory: there is no data directory"):
        planned(server, free=None, at=tmp_path)
    (tmp_path / "global").mkdir()
    (tmp_path / "global" / "pg_control").write_bytes(b"12345678" * 64)
    with pytest.raises(Exception, match="is the data directory of another server"):
        planned(server, free=None, at=tmp_path)


def test_a_role_that_may_only_read_gets_a_plan_that_says_what_it_cannot_know(
    server: PostgresServer,
) -> None:
    with connect(server) as connection:
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute("GRANT SELECT ON machines TO reader")
        connection.execute("CREATE TABLE secret (id int PRIMARY KEY)")
    url = server.url.replace("bench@", "reader@")
    plan = plan_reindex(url, "machines")
    [reason] = plan.reasons
    assert "may not read where the server's data directory is" in reason
    assert "--free SIZE" in reason
    told = plan_reindex(url, "machines", free_bytes=PLENTY)
    assert told.go
    assert told.indexes == planned(server).indexes
    assert any("pg_monitor" in one for one in told.unknown)
    with pytest.raises(Exception, match="may not read it: permission denied for table secret"):
        plan_reindex(url, "secret", free_bytes=PLENTY)


def test_rows_that_a_policy_hides_are_not_left_out_in_silence(server: PostgresServer) -> None:
    with connect(server) as connection:
        connection.execute("CREATE ROLE tenant LOGIN")
        connection.execute("CREATE TABLE hidden (id int PRIMARY KEY)")
        connection.execute("ALTER TABLE hidden ENABLE ROW LEVEL SECURITY")
        connection.execute("GRANT SELECT ON hidden TO tenant")
    with pytest.raises(Failed, match="would be affected by row-level security policy"):
        plan_reindex(server.url.replace("bench@", "tenant@"), "hidden", free_bytes=PLENTY)


def test_the_statement_that_is_told_is_one_that_leaves_nothing_behind(
    server: PostgresServer,
) -> None:
    """CONCURRENTLY leaves invalid indexes where it gives up; the other one leaves nothing."""
    for options, kind in (((), "TABLE"), (("--concurrently",), "TABLE CONCURRENTLY")):
        done = ran(server, "machines", "--free", "9G", *options)
        told = done.stdout.rpartition("in another:")[2].strip().replace("'2s'", "'300ms'")
        assert f"REINDEX {kind} public.machines;" in told
        *before, reindex = told.removesuffix(";").split("; ")
        with (
            transaction(server, "SELECT count(*) FROM machines WHERE id < 0") as reader,
            connect(server) as connection,
        ):
            for statement in before:
                connection.execute(statement.encode())
            if options:
                threading.Timer(0.5, reader.rollback).start()
                connection.execute(reindex.encode())
            else:
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    connection.execute(reindex.encode())
            left = connection.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
            assert left.fetchone() == (0,)


def test_no_function_of_somebody_else_is_run(server: PostgresServer) -> None:
    with connect(server) as connection:
        connection.execute("CREATE TABLE traps (id int, name text)")
        connection.execute("INSERT INTO traps SELECT n, n::text FROM generate_series(1, 5000) n")
        body = "CREATE OR REPLACE FUNCTION {name} RETURNS {of} IMMUTABLE LANGUAGE plpgsql AS '{do}'"
        for do in ("BEGIN RETURN {what}; END", "BEGIN RAISE EXCEPTION ''it was run''; END"):
            for name, of, what in (("f(t text)", "text", "t"), ("g(n int)", "boolean", "n > 0")):
                text = body.format(name=name, of=of, do=do.format(what=what))
                connection.execute(text.encode())
            if what in do.format(what=what):
                connection.execute("CREATE INDEX by_f ON traps (f(name))")
                connection.execute("CREATE INDEX by_g ON traps (id) WHERE g(id)")
                connection.execute("ANALYZE traps")
        with pytest.raises(psycopg.errors.RaiseException):
            connection.execute("REINDEX TABLE traps")
    plan = planned(server, "traps")
    assert plan.go
    assert plan.rows == pytest.approx(5000)
    assert plan.seconds is None
    assert any("how long" in one for one in plan.unknown)


def test_what_is_no_size_is_told(server: PostgresServer) -> None:
    for option in ("--free", "--reserve"):
        done = ran(server, "machines", option, "much")
        assert done.exit_code == 2
        assert done.stderr == f"ledger: {option} is a size like 300G or 512MB, not 'much'\n"
