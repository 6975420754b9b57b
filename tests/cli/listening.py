"""An API that says yes to everything, for tests of what a command asks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

ID: Final = "0f9619ff-8b86-8011-b42d-00cf4fc964ff"
"""Of everything that there is."""
_RESOURCE: Final = {
    "id": ID,
    "type": "accounts",
    "attributes": {
        "seats": {"used": 1, "limit": None, "peak": 2},
        "kind": "admin-token",
        "token": "admin-made-up",
    },
    "relationships": {},
}
_META: Final = {"valid": True, "code": "VALID", "detail": "is so"}
_VALIDATION: Final = {
    "type": "validations",
    "attributes": {**_META, "license": ID, "position": "x:1.2", "ageMs": 3, "source": "REPLICA_A"},
}
_LISTS: Final = ("licenses", "machines", "products", "policies", "entitlements", "tokens")


class Listening(ThreadingHTTPServer):
    """The server; `asked` has the method and the path of each request, in their order.

    `answers`: it waits for this before it answers.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Yes)
        self.asked: list[tuple[str, str]] = []
        self.many: list[dict[str, Any]] = []
        """Checks of requests with many."""
        self.was_asked = threading.Event()
        self.answers: threading.Event | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def writes(self) -> list[tuple[str, str]]:
        """What was asked of it that changes something."""
        return [one for one in self.asked if one[0] != "GET"]


@contextmanager
def listening() -> Iterator[Listening]:
    """Have one that listens."""
    server = Listening()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Yes(BaseHTTPRequestHandler):
    server: Listening

    def do_GET(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, _ = self.path.partition("?")
        self.server.asked.append((self.command, path))
        self.server.was_asked.set()
        if self.server.answers is not None:
            self.server.answers.wait()
            return
        listed = self.command == "GET" and path.endswith(_LISTS)
        data: Any = [] if listed else _RESOURCE
        if path.endswith("/validate-many"):
            self.server.many += json.loads(content)["meta"]["checks"]
            data = [_VALIDATION] * len(json.loads(content)["meta"]["checks"])
        body = json.dumps({"data": data, "meta": _META, "links": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names that are called

    def log_message(self, *_: object) -> None:
        """Say nothing."""
