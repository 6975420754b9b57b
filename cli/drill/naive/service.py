"""A license service as one would write it first: FastAPI, one Postgres, a pool of connections.

It is no straw man: the key has an index, statements are prepared, the count of seats is locked. A
check is one SELECT; an activation locks its license, counts, and inserts.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from cli.drill.naive.bodies import Check, Machine

CONNECTIONS = 10
Pool = AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]]

_CHECK = """
    SELECT l.id, l.name, l.max_machines, l.suspended, l.expiry,
           (SELECT count(*) FROM machines m WHERE m.license_id = l.id),
           EXISTS (SELECT FROM machines m WHERE m.license_id = l.id AND m.fingerprint = %s)
    FROM licenses l WHERE l.key = %s
"""
_LOCK = "SELECT max_machines, suspended, expiry FROM licenses WHERE id = %s FOR UPDATE"
_COUNT = "SELECT count(*) FROM machines WHERE license_id = %s"
_INSERT = """
    INSERT INTO machines (license_id, fingerprint, hostname) VALUES (%s, %s, %s)
    RETURNING id, created
"""


@asynccontextmanager
async def _pooled(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ["NAIVE_DATABASE_URL"]
    async with AsyncConnectionPool(
        url, min_size=CONNECTIONS, max_size=CONNECTIONS, configure=_prepare_at_once
    ) as pool:
        app.state.pool = pool
        yield


async def _prepare_at_once(connection: psycopg.AsyncConnection[TupleRow]) -> None:
    connection.prepare_threshold = 0


app = FastAPI(lifespan=_pooled)


@app.get("/health/live")
async def live(request: Request) -> dict[str, bool]:
    """Say that it and its database are there."""
    pool: Pool = request.app.state.pool
    async with pool.connection() as connection:
        await connection.execute("SELECT 1")
    return {"live": True}


@app.post("/v1/licenses/actions/validate-key")
async def check(request: Request, body: Check) -> JSONResponse:
    """Check a license by its key, and whether it holds the machine that asks."""
    pool: Pool = request.app.state.pool
    fingerprint = body.meta.scope.fingerprint
    async with pool.connection() as connection:
        cursor = await connection.execute(_CHECK, (fingerprint, body.meta.key))
        row = await cursor.fetchone()
    return JSONResponse(_checked(row, fingerprint))


def _checked(row: TupleRow | None, fingerprint: str | None) -> dict[str, Any]:
    if row is None:
        return {"meta": {"valid": False, "code": "NOT_FOUND"}, "data": None}
    id_, name, max_machines, suspended, expiry, used, holds = row
    code = "VALID"
    if suspended:
        code = "SUSPENDED"
    elif expiry is not None and expiry <= datetime.now(UTC):
        code = "EXPIRED"
    elif fingerprint is not None and not holds:
        code = "FINGERPRINT_SCOPE_MISMATCH" if used else "NO_MACHINES"
    attributes = {
        "name": name,
        "maxMachines": max_machines,
        "suspended": suspended,
        "expiry": None if expiry is None else expiry.isoformat(),
        "machines": used,
    }
    return {
        "meta": {"ts": datetime.now(UTC).isoformat(), "valid": code == "VALID", "code": code},
        "data": {"type": "licenses", "id": str(id_), "attributes": attributes},
    }


@app.post("/v1/machines")
async def activate(request: Request, body: Machine) -> JSONResponse:
    """Activate a machine on a license, unless that has no seat left."""
    pool: Pool = request.app.state.pool
    license_ = body.data.relationships.license.data.id
    wanted = body.data.attributes
    try:
        async with pool.connection() as connection, connection.transaction():
            locked = await (await connection.execute(_LOCK, (license_,))).fetchone()
            if locked is None:
                return _refused(404, "NOT_FOUND")
            max_machines, suspended, expiry = locked
            if suspended:
                return _refused(422, "LICENSE_SUSPENDED")
            if expiry is not None and expiry <= datetime.now(UTC):
                return _refused(422, "LICENSE_EXPIRED")
            counted = await (await connection.execute(_COUNT, (license_,))).fetchone()
            if max_machines is not None and counted is not None and counted[0] >= max_machines:
                return _refused(422, "MACHINE_LIMIT_EXCEEDED")
            inserted = await connection.execute(
                _INSERT, (license_, wanted.fingerprint, wanted.hostname)
            )
            made = await inserted.fetchone()
    except psycopg.errors.UniqueViolation:
        return _refused(422, "FINGERPRINT_TAKEN")
    assert made is not None  # noqa: S101 - RETURNING always returns
    id_, created = made
    attributes = {**wanted.model_dump(), "created": created.isoformat()}
    return JSONResponse(
        {"data": {"type": "machines", "id": str(id_), "attributes": attributes}}, status_code=201
    )


def _refused(status: int, code: str) -> JSONResponse:
    return JSONResponse({"errors": [{"code": code}]}, status_code=status)
