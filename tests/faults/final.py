"""All that the replicas hold, compared: both Redis byte for byte, and the local copy with them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec.structs import replace
from redis import Redis

from projector.read_model.lmdb import LmdbReader
from projector.rebuild.intent import KEY
from projector.views.documents import head_document, read_head
from tests.servers import ServerError, wait_until
from tests.system import System

Stored = dict[bytes, bytes | dict[bytes, float]]
_CHUNK: Final = 1_000
_SHOWN: Final = 200
_WAIT_S: Final = 60.0


def stored_in(url: str) -> Stored:
    """All that a replica holds of the ledger; heads without their level-at, no locks.

    And nothing of what is noted of its own rebuilds, but for one that is under way.
    """
    found: Stored = {}
    with Redis.from_url(url, socket_timeout=10) as client:
        noted = f"{KEY}:".encode()
        names = (one for one in client.scan_iter("{*", count=5_000) if not one.startswith(noted))
        while chunk := sorted(islice(names, _CHUNK)):
            pipeline = client.pipeline(transaction=False)
            for name in chunk:
                pipeline.type(name)
            kinds = pipeline.execute()
            for name, kind in zip(chunk, kinds, strict=True):
                if kind == b"zset":
                    pipeline.zrange(name, 0, -1, withscores=True)
                else:
                    pipeline.get(name)
            for name, value in zip(chunk, pipeline.execute(), strict=True):
                found[name] = dict(value) if isinstance(value, list) else _level_apart(name, value)
    return found


def differences(system: System) -> list[str]:
    """What the replicas hold otherwise, once all are level: names of keys and their values.

    Waits for that, since the data keys come by another topic.
    """
    last: list[str] = []

    def equal() -> bool:
        nonlocal last
        last = list(islice(_differences(system), 20))
        return not last

    try:
        wait_until(equal, what="equal replicas", timeout_s=_WAIT_S)
    except ServerError:
        return last
    return []


def _differences(system: System) -> Iterator[str]:
    first, second = [stored_in(replica.url) for replica in system.replicas]
    for name in sorted({*first, *second}):
        if first.get(name) != second.get(name):
            yield _shown(name, first.get(name), second.get(name))
    folder = system.env.get("LEDGER_LOCAL_COPY")
    if folder:
        yield from _unlike_copy(first, Path(folder))


def _unlike_copy(stored: Stored, folder: Path) -> Iterator[str]:
    reader = LmdbReader(folder)
    try:
        strings = [name for name, value in stored.items() if isinstance(value, bytes)]
        for start in range(0, len(strings), _CHUNK):
            names = strings[start : start + _CHUNK]
            found = reader.read([name.decode() for name in names])
            for name, value in zip(names, found, strict=True):
                kept = None if value is None else _level_apart(name, value)
                if kept != stored[name]:
                    yield _shown(name, stored[name], kept)
    finally:
        reader.close()


def _level_apart(name: bytes, value: bytes) -> bytes:
    if name.endswith(b":head"):
        return head_document(replace(read_head(value), level_at_ms=0))
    return value


def _shown(name: bytes, *values: object) -> str:
    return f"{name.decode()}: " + " / ".join(f"{value!r}"[:_SHOWN] for value in values)
