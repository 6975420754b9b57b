"""`ledger maintenance watch` on a real Postgres: what it sees, and what it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import psycopg
import pytest

from cli.drill.postgres import INSTALL, programs
from cli.maintenance.moments import Limits, Moment, Outcome
from cli.maintenance.progress import TOLD_FROM
from cli.maintenance.watching import Watch
from cli.trouble import Missing
from tests.cli.maintenance.volume import connect
from tests.postgres import PostgresServer
from tests.servers import ROOT, wait_until

pytestmark = pytest.mark.skipif(programs() is None, reason=f"Postgres isn't installed: {INSTALL}")

ROWS = 1_200
NO_FLOOR = Limits(floor_bytes=0)
WRITE = "INSERT INTO slow VALUES (0, '')"


@pytest.fixture(scope="module", autouse=True)
def slow_table(server: PostgresServer) -> None:
    """A table whose index takes some seconds, a millisecond a row."""
    with connect(server) as connection:
        connection.execute(
            "CREATE FUNCTION slowly(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql "
            "AS 'BEGIN PERFORM pg_sleep(0.001); RETURN n; END'"
        )
        connection.execute("CREATE TABLE slow (n int, filler text)")
        connection.execute(
            "INSERT INTO slow SELECT n, repeat('x', 700) FROM generate_series(1, %s) n", (ROWS,)
        )
        connection.execute("CREATE INDEX of_old ON slow (n)")
        connection.execute("ANALYZE slow")


class Session:
    """Statements that run in a session of their own, and how they ended."""

    def __init__(self, server: PostgresServer, *statements: str) -> None:
        self._connection = connect(server)
        self.pid = self._connection.info.backend_pid
        self._statements = statements
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            for statement in self._statements:
                self._connection.execute(statement.encode())
        except psycopg.Error as error:
            self.error = error

    def end(self) -> None:
        with suppress(psycopg.Error):
            self._connection.cancel()
        self.thread.join(10)
        self._connection.close()


@contextmanager
def session(server: PostgresServer, *statements: str) -> Iterator[Session]:
    one = Session(server, *statements)
    try:
        yield one
    finally:
        one.end()


def watched(
    server: PostgresServer,
    limits: Limits = NO_FLOOR,
    *,
    pid: int | None = None,
    tell: Callable[[Moment], None] = lambda _: None,
) -> tuple[Outcome, list[Moment]]:
    moments: list[Moment] = []

    def told(moment: Moment) -> None:
        moments.append(moment)
        tell(moment)

    watch = Watch(server.url, limits=limits, tell=told)
    try:
        return watch.run(watch.find(pid, 10)), moments
    finally:
        watch.close()


def told(moments: list[Moment]) -> Iterator[tuple[float, tuple[float, float]]]:
    for moment in moments:
        if moment.left_s is not None and moment.share is not None:
            yield moment.share, moment.left_s


def test_a_build_is_watched_to_its_end(server: PostgresServer) -> None:
    with session(server, "CREATE INDEX by_n ON slow (slowly(n))") as build:
        outcome, moments = watched(server)
        build.thread.join(10)
        assert build.error is None
    assert outcome.done is True
    assert outcome.aborted == ""
    shares = [one.share for one in moments if one.share is not None]
    assert shares == sorted(shares)
    assert len(set(shares)) > 5
    assert {one.phase for one in moments} & {"reads the table and sorts"}
    assert outcome.least_free_bytes is not None
    for moment in moments:
        assert (moment.left_s is None) or (moment.share or 0) >= TOLD_FROM
    for share, (least, most) in told(moments):
        assert least < most, f"a point at {share}"


def test_create_index_concurrently_is_watched_through_its_phases(server: PostgresServer) -> None:
    moments: list[Moment] = []
    with psycopg.connect(server.url) as writer, psycopg.connect(server.url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT count(*) FROM pg_class")
        writer.execute("UPDATE slow SET n = n WHERE n = 1")

        def seen(moment: Moment) -> None:
            """End what it waits for, once it is seen to."""
            moments.append(moment)
            if writer.info.backend_pid in moment.waiting.waits_for:
                writer.commit()
            if reader.info.backend_pid in moment.waiting.waits_for:
                reader.commit()

        with session(server, "CREATE INDEX CONCURRENTLY by_m ON slow (slowly(n))"):
            outcome, _ = watched(server, tell=seen)
    assert outcome.done is True
    phases = list(dict.fromkeys(one.phase for one in moments))
    assert phases == [
        "waits for whoever writes to the table",
        "reads the table and sorts",
        "waits for older transactions",
    ]
    assert moments[-1].share == 1
    assert moments[-1].left_s is None, "what is built says nothing of what is waited for"
    for share, (least, most) in told(moments):
        assert share < 1
        assert most >= 2 * least


def test_a_reindex_that_is_cancelled_by_somebody_else_has_failed(server: PostgresServer) -> None:
    with session(server, "CREATE INDEX by_k ON slow (slowly(n))") as build:
        canceller = threading.Timer(0.8, build._connection.cancel)  # noqa: SLF001 - the test's own
        canceller.start()
        outcome, _ = watched(server)
    assert outcome.done is False
    assert outcome.aborted == ""


def test_it_is_ended_where_others_wait_too_long_behind_it(server: PostgresServer) -> None:
    with (
        session(
            server, "BEGIN", "LOCK TABLE slow", "CREATE INDEX by_o ON slow (slowly(n))"
        ) as build,
        session(server, "SELECT count(*) FROM slow") as reader,
    ):
        outcome, moments = watched(server, Limits(floor_bytes=0, blocked_s=1.0))
        build.thread.join(5)
        assert isinstance(build.error, psycopg.errors.QueryCanceled)
        reader.thread.join(5)
        assert reader.error is None
    assert outcome.aborted.startswith("1 sessions wait behind it, one for 1.")
    assert outcome.done is False
    assert not outcome.by_force
    assert max(one.waiting.sessions for one in moments) == 1
    assert moments[0].elapsed_s < 1.5, "it looks without waiting for that lock itself"


def test_what_does_not_go_when_cancelled_is_terminated(server: PostgresServer) -> None:
    stubborn = (
        "DO $$ BEGIN LOOP BEGIN CREATE INDEX by_p ON slow (slowly(n)); "
        "EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$"
    )
    with session(server, stubborn) as build, session(server, "SELECT pg_sleep(0.2)", WRITE):
        outcome, _ = watched(server, Limits(floor_bytes=0, blocked_s=0.2), pid=build.pid)
        build.thread.join(5)
        assert isinstance(build.error, psycopg.errors.AdminShutdown)
    assert outcome.by_force
    assert outcome.aborted


def test_only_looking_ends_nothing(server: PostgresServer) -> None:
    with (
        session(server, "CREATE INDEX by_q ON slow (slowly(n))") as build,
        session(server, "SELECT pg_sleep(0.2)", WRITE),
    ):
        limits = Limits(floor_bytes=1 << 60, blocked_s=0.2, abort=False)
        outcome, moments = watched(server, limits, pid=build.pid)
        build.thread.join(5)
        assert build.error is None
    assert any(one.waiting.longest_s > 0.2 for one in moments)
    assert outcome.done is True
    assert outcome.aborted == ""


def test_a_transaction_that_stays_open_has_not_ended(server: PostgresServer) -> None:
    with session(server, "BEGIN", "CREATE INDEX by_r ON slow (slowly(n))") as build:
        moments: list[Moment] = []
        watch = Watch(server.url, limits=NO_FLOOR, tell=moments.append)
        found = watch.find(None, 10)
        outcomes: list[Outcome] = []
        looking = threading.Thread(target=lambda: outcomes.append(watch.run(found)))
        looking.start()
        build.thread.join(10)
        wait_until(lambda: "still has its locks" in moments[-1].phase, what="the phase")
        assert looking.is_alive()
        build._connection.execute("ROLLBACK")  # noqa: SLF001 - the test's own
        looking.join(5)
        watch.close()
    assert outcomes[0].done is False, "it was rolled back"


def test_several_must_be_told_apart_and_none_is_said(server: PostgresServer) -> None:
    watch = Watch(server.url, limits=NO_FLOOR)
    try:
        with pytest.raises(Missing, match="no REINDEX or CREATE INDEX runs"):
            watch.find(None, 0)
        with pytest.raises(Missing, match="pid 1 runs nothing"):
            watch.find(1, 0)
        with (
            session(server, "CREATE INDEX by_s ON slow (slowly(n))") as one,
            session(server, "CREATE INDEX by_t ON slow (slowly(n))"),
        ):
            wait_until(lambda: several(watch), what="both run")
            assert watch.find(one.pid, 0).statement == "CREATE INDEX by_s ON slow (slowly(n))"
    finally:
        watch.close()


def several(watch: Watch) -> bool:
    try:
        watch.find(None, 0)
    except Missing as error:
        return str(error).startswith("several run, say which: --pid ")
    return False


def test_who_may_not_end_it_is_told_before(server: PostgresServer) -> None:
    with connect(server) as connection:
        connection.execute("CREATE ROLE looker LOGIN")
        connection.execute("GRANT pg_read_all_stats, pg_read_all_settings TO looker")
    url = server.url.replace("bench@", "looker@")
    with session(server, "CREATE INDEX by_u ON slow (slowly(n))"):
        watch = Watch(url, limits=NO_FLOOR)
        with pytest.raises(Missing, match="may not end what bench runs"):
            watch.find(None, 10)
        watch.close()
        watch = Watch(url, limits=Limits(floor_bytes=0, abort=False))
        assert watch.find(None, 10).user == "bench"
        watch.close()


def test_a_disk_that_cannot_be_seen_is_told_and_nothing_is_promised(
    server: PostgresServer,
) -> None:
    with connect(server) as connection:
        connection.execute("CREATE ROLE blind LOGIN")
    url = server.url.replace("bench@", "blind@")
    with pytest.raises(Missing, match="the disk can't be watched: this role may not read where"):
        Watch(url, limits=Limits())
    with closing(Watch(url, limits=Limits(blocked_s=1.0))) as watch:
        assert "--data-directory" in watch.unseen
    with closing(Watch(server.url, limits=Limits())) as watch:
        assert watch.unseen == ""


def started_command(server: PostgresServer, *more: str) -> subprocess.Popen[str]:
    program = "from cli.start import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, "maintenance", "watch", "--wait", "20s", *more],
        env={**os.environ, "LEDGER_MAINTENANCE_DATABASE": server.url, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_leaves_it_running_and_says_so(server: PostgresServer) -> None:
    command = started_command(server, "--floor", "0")
    with session(server, "CREATE INDEX by_v ON slow (slowly(n))") as build:
        assert command.stderr is not None
        first = command.stderr.readline()
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=20)
        build.thread.join(10)
        assert build.error is None
    assert "time left unknown" in first or "left" in first
    assert command.returncode == 130
    assert f"pid {build.pid} goes on; nobody watches the disk for it now" in err
    assert out == ""


def test_as_json_it_is_a_line_a_second_and_the_outcome_last(server: PostgresServer) -> None:
    command = started_command(server, "--floor", "0", "--json")
    with session(server, "SELECT pg_sleep(2)", "CREATE INDEX by_w ON slow (slowly(n))"):
        out, err = command.communicate(timeout=30)
    assert command.returncode == 0, err
    *moments, last = [json.loads(line) for line in out.splitlines()]
    assert len(moments) >= 2
    assert {"phase", "share", "left_s", "disks", "waiting"} <= moments[0]["moment"].keys()
    assert last["outcome"]["done"] is True
    assert err == ""
