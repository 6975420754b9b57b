"""Two ways into one worker: servers with the fast lane and without, and what is asked of them."""

from __future__ import annotations

import socket
from asyncio import Task, create_task
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import httpx

from api.fast_lane import FastLane
from api.serving import Server, make_server
from tests.api.ordering import BY_KEY

if TYPE_CHECKING:
    from tests.api.conftest import Worker


class Lanes:
    """Two servers of one worker, with the fast lane and without."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.taken = 0
        self.ports: list[int] = []
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        app = self.worker.app
        lane = FastLane(self.worker.services, app.crowd, self.worker.lines)
        for each in (lane, None):
            listener = socket.create_server(("127.0.0.1", 0))
            server = make_server(app, self.worker.settings, each)
            self.ports.append(listener.getsockname()[1])
            self._stack.push_async_callback(
                self._end, server, create_task(server.serve([listener]))
            )
        self.fast, self.ordinary = [
            await self._stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30))
            for url in (f"http://127.0.0.1:{port}" for port in self.ports)
        ]

    @staticmethod
    async def _end(server: Server, serving: Task[None]) -> None:
        server.should_exit = True
        await serving

    async def stop(self) -> None:
        await self._stack.aclose()

    async def both(
        self,
        path: str = BY_KEY,
        **request: Any,  # noqa: ANN401 - as httpx has it
    ) -> tuple[httpx.Response, httpx.Response]:
        fast = await self.fast.post(path, **request)
        return fast, await self.ordinary.post(path, **request)


def body(license_: dict[str, Any], nonce: int | None = None, /, **scope: object) -> dict[str, Any]:
    meta: dict[str, Any] = {"key": license_["attributes"]["key"], "scope": scope}
    return {"meta": meta | ({} if nonce is None else {"nonce": nonce})}
