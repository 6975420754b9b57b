"""`ledger maintenance health` on a real Postgres: what is due, and nothing where nothing is."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from cli.drill.postgres import INSTALL, programs
from cli.main import app
from cli.maintenance.health import Due, Health, examine
from tests.cli.maintenance.volume import connect, started
from tests.postgres import PostgresServer
from tests.servers import wait_until

pytestmark = pytest.mark.skipif(programs() is None, reason=f"Postgres isn't installed: {INSTALL}")

ROWS = 400_000


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with started(PostgresServer({"autovacuum": "off", "fsync": "off"})) as server:
        yield server


@pytest.fixture
def connection(server: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    with connect(server) as connection:
        yield connection
    with connect(server) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def due(server: PostgresServer, kind: str) -> list[Due]:
    return [one for one in looked(server).due if one.kind == kind]


def looked(server: PostgresServer) -> Health:
    return examine(server.url)


def ran(server: PostgresServer, *arguments: str) -> Result:
    env = {"LEDGER_MAINTENANCE_DATABASE": server.url}
    return CliRunner().invoke(app, ["maintenance", "health", *arguments], env=env)


def test_nothing_is_due_in_a_database_that_is_well(
    server: PostgresServer, connection: psycopg.Connection[Any]
) -> None:
    connection.execute("CREATE TABLE licenses (id bigint PRIMARY KEY, key text NOT NULL)")
    connection.execute(
        "INSERT INTO licenses SELECT n::bigint * 7919 %% %s, md5(n::text) "
        "FROM generate_series(1, %s) n",
        (ROWS, ROWS),
    )
    connection.execute("CREATE INDEX licenses_key ON licenses (key)")
    connection.execute("VACUUM ANALYZE licenses")
    done = ran(server)
    assert done.exit_code == 0, done.stdout
    assert "nothing is due" in done.stdout
    assert json.loads(ran(server, "--json").stdout)["well"] is True


def test_an_index_that_wastes_its_room_is_due(
    server: PostgresServer, connection: psycopg.Connection[Any]
) -> None:
    connection.execute("CREATE TABLE machines (id bigint PRIMARY KEY, name text NOT NULL)")
    connection.execute("CREATE INDEX machines_name ON machines (name)")
    connection.execute(
        "INSERT INTO machines SELECT n, repeat(md5(n::text), 3) FROM generate_series(1, %s) n",
        (ROWS,),
    )
    connection.execute("VACUUM ANALYZE machines")
    assert due(server, "bloat") == []
    connection.execute("DELETE FROM machines WHERE id % 10 <> 0")
    connection.execute("VACUUM ANALYZE machines")
    [one] = due(server, "bloat")
    assert one.what == "public.machines_name"
    assert one.do[1] == "REINDEX INDEX CONCURRENTLY public.machines_name"
    done = ran(server)
    assert done.exit_code == 1
    assert "public.machines_name of public.machines: " in done.stdout
    before = size(connection, "machines_name")
    connection.execute(one.do[1].encode())
    gained = before - size(connection, "machines_name")
    assert one.bytes == pytest.approx(gained, rel=0.1)
    assert due(server, "bloat") == []


def size(connection: psycopg.Connection[Any], name: str) -> int:
    row = connection.execute("SELECT pg_relation_size(%s::text::regclass)", (name,)).fetchone()
    assert row is not None
    found: int = row[0]
    return found


def test_an_invalid_index_is_due_and_one_that_is_left_behind(
    server: PostgresServer, connection: psycopg.Connection[Any]
) -> None:
    connection.execute("CREATE TABLE keys (key text)")
    connection.execute("CREATE INDEX keys_key ON keys (key)")
    connection.execute("INSERT INTO keys VALUES ('a'), ('a')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY keys_once ON keys (key)")
    # As a REINDEX CONCURRENTLY leaves it that is ended.
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("REINDEX INDEX CONCURRENTLY keys_once")
    found = {one.what: one for one in due(server, "invalid")}
    assert set(found) == {"public.keys_once", "public.keys_once_ccnew"}
    assert found["public.keys_once"].do == ["REINDEX INDEX CONCURRENTLY public.keys_once"]
    [drop] = found["public.keys_once_ccnew"].do
    connection.execute(drop.encode())
    assert [one.what for one in due(server, "invalid")] == ["public.keys_once"]
    done = ran(server)
    assert done.exit_code == 1
    assert "→ REINDEX INDEX CONCURRENTLY public.keys_once" in done.stdout


def test_an_order_that_has_changed_names_its_indexes_those_of_keys_first(
    server: PostgresServer, connection: psycopg.Connection[Any]
) -> None:
    found = connection.execute(
        "SELECT collname FROM pg_collation WHERE collprovider = 'i' AND collname = 'und-x-icu'"
    ).fetchone()
    if found is None:
        pytest.skip("this Postgres is built without ICU")
    connection.execute('CREATE TABLE names (name text COLLATE "und-x-icu", key text)')
    connection.execute("CREATE INDEX names_name ON names (name)")
    connection.execute("CREATE UNIQUE INDEX names_once ON names (name, key)")
    connection.execute("CREATE INDEX names_key ON names (key)")
    assert due(server, "collation") == []
    # As it is after an upgrade of the operating system.
    connection.execute("UPDATE pg_collation SET collversion = '1' WHERE collname = 'und-x-icu'")
    once, name, collation = due(server, "collation")
    assert (once.what, name.what) == ("public.names_once", "public.names_name")
    assert "let a key in twice" in once.said
    assert collation.do == ['ALTER COLLATION pg_catalog."und-x-icu" REFRESH VERSION']
    assert ran(server).exit_code == 1
    for one in (once, name, collation):
        connection.execute(one.do[0].encode())
    assert due(server, "collation") == []


def test_a_databases_own_order_counts_too(
    server: PostgresServer, connection: psycopg.Connection[Any]
) -> None:
    if connection.info.server_version < 150_000:
        pytest.skip("before Postgres 15 a database has no version of its order")
    try:
        connection.execute(
            "CREATE DATABASE ordered TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' "
            "LOCALE 'C'"
        )
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this Postgres is built without ICU")
    connection.execute("UPDATE pg_database SET datcollversion = '1' WHERE datname = 'ordered'")
    url = server.url.replace("/postgres", "/ordered")
    with psycopg.connect(url, autocommit=True) as ordered:
        ordered.execute("CREATE TABLE names (name text PRIMARY KEY, number int)")
        ordered.execute("CREATE INDEX names_number ON names (number)")
    found = [one for one in examine(url).due if one.kind == "collation"]
    assert [one.what for one in found] == ["public.names_pkey", "ordered"]
    assert found[1].do == ["ALTER DATABASE ordered REFRESH COLLATION VERSION"]


def test_files_that_a_crash_leaves_are_told(
    server: PostgresServer, connection: psycopg.Connection[Any]
) -> None:
    connection.execute("CREATE TABLE logs (id bigint)")
    connection.execute("INSERT INTO logs SELECT generate_series(1, 50000)")
    assert due(server, "orphans") == []
    with psycopg.connect(server.url) as other:
        other.execute("CREATE INDEX logs_id ON logs (id)")
        row = other.execute("SELECT pg_relation_filepath('logs_id')").fetchone()
        assert row is not None
        other.execute("SELECT 1")
        # Somebody may commit it yet.
        assert due(server, "orphans") == []
        os.kill(other.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            other.execute("SELECT 1")
    wait_until(server.is_ready, what="recovery")
    [one] = due(server, "orphans")
    assert Path(row[0]).name in one.said
    assert one.bytes == (server.data_directory / row[0]).stat().st_size
    (server.data_directory / row[0]).unlink()


def test_a_table_that_is_locked_is_named_and_the_rest_looked_at(
    server: PostgresServer, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.maintenance.health.WASTE_BYTES", 0)
    connection.execute("CREATE TABLE a (id int PRIMARY KEY)")
    connection.execute("CREATE TABLE b (id int PRIMARY KEY)")
    with psycopg.connect(server.url) as other:
        other.execute("LOCK TABLE a IN ACCESS EXCLUSIVE MODE")
        found = looked(server)
        other.rollback()
    assert found.looked_at == 2
    assert found.unknown == ["a: canceling statement due to lock timeout"]
