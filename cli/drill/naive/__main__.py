"""The naive service as a process: `NAIVE_DATABASE_URL` and `NAIVE_PORT`, one worker."""

from __future__ import annotations

import os

import uvicorn

from cli.drill.naive.service import app

uvicorn.run(
    app,
    host="127.0.0.1",
    port=int(os.environ["NAIVE_PORT"]),
    loop="uvloop",
    http="httptools",
    access_log=False,
    log_level="warning",
)
