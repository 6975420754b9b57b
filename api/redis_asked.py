"""What a worker asks a replica's connection for: reads that share an MGET, and single commands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from projector.read_model.wire import NO_ANSWER, Away, packed

Values = list[bytes | None]


class Read:
    """Names that somebody asked for."""

    __slots__ = ("names", "values")

    def __init__(self, names: Sequence[str], values: asyncio.Future[Values]) -> None:
        self.names = names
        self.values = values

    def answer(self, values: Values) -> None:
        """Give what was asked for, where it is still wanted."""
        if not self.values.done():
            self.values.set_result(values)

    def fail(self, away: Away) -> None:
        """Say that there is no answer."""
        if not self.values.done():
            self.values.set_exception(Away(*away.args))


class Batch:
    """Reads that share one MGET; a name that several ask for is asked for once."""

    __slots__ = ("_places", "names", "reads", "sent_at")

    def __init__(self) -> None:
        self.reads: list[Read] = []
        self.names: dict[str, int] = {}
        self.sent_at = time.monotonic()
        self._places: list[list[int]] = []

    def add(self, read: Read) -> None:
        """Let a read share it."""
        names = self.names
        self.reads.append(read)
        self._places.append([names.setdefault(name, len(names)) for name in read.names])

    @property
    def packed(self) -> bytes:
        """The command."""
        return packed("MGET", *self.names)

    def answer(self, values: Values) -> None:
        """Give everybody what they asked for."""
        for read, places in zip(self.reads, self._places, strict=True):
            if not read.values.done():
                read.values.set_result([values[place] for place in places])


class Command:
    """One command with a list for a reply."""

    __slots__ = ("answered_at", "packed", "reply", "sent_at")

    def __init__(self, *words: str) -> None:
        self.reply: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        self.packed = packed(*words)
        self.sent_at = self.answered_at = time.monotonic()

    def answer(self, reply: object) -> None:
        """Give the reply."""
        self.answered_at = time.monotonic()
        if self.reply.done():
            return
        if isinstance(reply, list):
            self.reply.set_result(reply)
        else:
            self.reply.set_exception(reply if isinstance(reply, Away) else Away(NO_ANSWER))


Asked = Batch | Command
