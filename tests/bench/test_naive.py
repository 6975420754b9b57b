"""The naive service on a real Postgres: what it answers, and that it gives no seat twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import psycopg
import pytest

from bench.naive import Naive, naive
from bench.open_loop import Latencies, OpenLoopError, open_loop
from cli.drill.postgres import INSTALL, programs
from tests.servers import wait_until
from tests.vendor import machine_body

CHECK = "/v1/licenses/actions/validate-key"
MACHINES = "/v1/machines"

pytestmark = pytest.mark.skipif(programs() is None, reason=f"Postgres isn't installed: {INSTALL}")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Naive]:
    with naive(tmp_path_factory.mktemp("naive"), licenses=3) as started:
        yield started


def code(service: Naive, key: str, fingerprint: str | None = None) -> str:
    scope = {} if fingerprint is None else {"fingerprint": fingerprint}
    answer = httpx.post(service.url + CHECK, json={"meta": {"key": key, "scope": scope}})
    assert answer.status_code == 200
    said: str = answer.json()["meta"]["code"]
    return said


def activate(service: Naive, license_: str, fingerprint: str) -> tuple[int, str]:
    answer = httpx.post(service.url + MACHINES, json=machine_body(license_, fingerprint))
    document = answer.json()
    said = document["errors"][0]["code"] if "errors" in document else document["data"]["type"]
    return answer.status_code, said


def ordered(service: Naive, statement: str, *values: object) -> None:
    with psycopg.connect(service.database.url) as connection:
        connection.execute(statement, values)


def test_it_checks_by_key_and_fingerprint(service: Naive) -> None:
    id_, key = service.licenses[0]
    assert code(service, key) == "VALID"
    assert code(service, key, f"first of {id_}") == "VALID"
    assert code(service, key, "another") == "FINGERPRINT_SCOPE_MISMATCH"
    assert code(service, "nobody's") == "NOT_FOUND"
    ordered(service, "UPDATE licenses SET expiry = now() WHERE id = %s", id_)
    assert code(service, key) == "EXPIRED"
    assert activate(service, id_, "late") == (422, "LICENSE_EXPIRED")
    ordered(service, "UPDATE licenses SET suspended = true WHERE id = %s", id_)
    assert code(service, key) == "SUSPENDED"
    assert activate(service, id_, "late") == (422, "LICENSE_SUSPENDED")


def test_it_gives_no_more_seats_than_there_are(service: Naive) -> None:
    id_, _ = service.licenses[1]
    ordered(service, "UPDATE licenses SET max_machines = 4 WHERE id = %s", id_)
    with ThreadPoolExecutor(8) as crowd:
        answers = list(crowd.map(lambda n: activate(service, id_, f"m{n}"), range(12)))
    assert answers.count((201, "machines")) == 3
    assert answers.count((422, "MACHINE_LIMIT_EXCEEDED")) == 9
    ordered(service, "UPDATE licenses SET max_machines = NULL WHERE id = %s", id_)
    assert activate(service, id_, f"first of {id_}") == (422, "FINGERPRINT_TAKEN")
    assert activate(service, str(uuid4()), "m") == (404, "NOT_FOUND")


def test_what_it_has_said_is_on_the_disk(service: Naive) -> None:
    with psycopg.connect(service.database.url) as connection:
        for name in ("fsync", "synchronous_commit"):
            row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
            assert row == ("on",)


def test_an_open_loop_sends_at_its_rate_whatever_the_answers_take(service: Naive) -> None:
    _, key = service.licenses[2]
    body = f'{{"meta": {{"key": "{key}"}}}}'

    def run(**more: int) -> Latencies:
        return open_loop(
            service.url, CHECK, [body], **{"expect": 200, "per_s": 200, "seconds": 1, **more}
        )

    got = run()
    assert (got.answered, got.unanswered) == (200, 0)
    assert 0 < got.p50_ms <= got.p99_ms <= got.max_ms
    with pytest.raises(OpenLoopError, match="expected 201, got 200"):
        run(expect=201)
    # While its database is held up requests wait, each from its own time on.
    with psycopg.connect(service.database.url) as connection, ThreadPoolExecutor(1) as beside:
        connection.execute("LOCK TABLE licenses IN ACCESS EXCLUSIVE MODE")
        held = beside.submit(run, per_s=100, seconds=2, connections=1)
        wait_until(lambda: waits(connection), what="a check that waits")
        connection.execute("SELECT pg_sleep(0.5)")
        connection.commit()
        got = held.result(timeout=30)
    assert (got.answered, got.unanswered) == (200, 0)
    assert got.max_ms >= 500
    assert got.p99_ms >= 400, "the one behind it was due 10 ms later"


def waits(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Whether a session waits for a lock."""
    waiting = connection.execute("SELECT FROM pg_locks WHERE NOT granted").fetchone()
    return waiting is not None
