"""A second generation, made by hand: one that a rebuild made would answer as what serves does.

In this one all licenses are suspended, and every partition is a million records further: so each
answer tells by its position which generation it is of, and by its code which one it should be of.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from msgspec.structs import replace as replaced
from redis import Redis

from projector.read_model.keys import Keys, serving
from projector.views.documents import head_document, license_document, read_head, read_license
from tests.faults.truth import Change
from tests.faults.world import World
from tests.system import System

FURTHER: Final = 1_000_000
_FIRST: Final = "1"
_SECOND: Final = "2"


def make(system: System, world: World) -> None:
    """Make the second generation in both replicas, and say in the stories what it holds."""
    for server in system.replicas:
        with Redis.from_url(server.url, socket_timeout=30) as client:
            for partition in range(system.settings.partitions):
                _copy(client, Keys(partition, _FIRST), Keys(partition, _SECOND))
    for known in world.all:
        if known.story.last.live:
            state = replace(known.story.last, suspended=True)
            # Nobody has acknowledged it: it is what stands at those positions, and no more.
            change = Change(offset=FURTHER // 2, state=state, at=float("inf"))
            known.story.note(change)


def _copy(client: Redis, old: Keys, new: Keys) -> None:
    for name in client.scan_iter(f"{old.prefix}*", count=5_000):
        text = name.decode()
        kind = text.removeprefix(old.prefix)[:2]
        if kind not in {"L:", "M:"} and text != old.head:
            continue
        document = client.get(name)
        assert isinstance(document, bytes)
        if text == old.head:
            head = read_head(document)
            document = head_document(replaced(head, position=head.position + FURTHER))
        elif kind == "L:":
            document = license_document(replaced(read_license(document), suspended=True))
        client.set(new.prefix + text.removeprefix(old.prefix), document)


async def turn_to_and_fro(system: System, turn_s: float) -> None:
    """Let one generation serve, then the other, each for so long, until cancelled."""
    clients = [Redis.from_url(server.url, socket_timeout=5) for server in system.replicas]
    number = 0
    try:
        while True:
            number += 1
            generation = (_FIRST, _SECOND)[number % 2]
            pointers = {serving(each): generation for each in range(system.settings.partitions)}
            for client in clients:
                client.mset(pointers)
            await asyncio.sleep(turn_s)
    finally:
        for client in clients:
            client.close()
