"""Raw ASGI hello: what the server alone can do, the baseline of everything over HTTP."""

from __future__ import annotations

import os

import uvicorn

BODY = b'{"hello":"world"}'


async def app(scope: dict[str, object], receive: object, send: object) -> None:
    """Answer every request with the same few bytes."""
    if scope["type"] != "http":
        return
    assert callable(receive)
    assert callable(send)
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"17")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["LEDGER_BENCH_PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        lifespan="off",
        log_level="warning",
    )
