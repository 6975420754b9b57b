"""What goes out over a wire: reads that share an MGET, and single commands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from hiredis import ReplyError

from projector.read_model.wire import NO_ANSWER, Away, RefusedError, packed

T = TypeVar("T")

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

    def fail(self, reply: object) -> None:
        """Say that there is no answer, by the reply that is none."""
        if not self.values.done():
            self.values.set_exception(trouble(reply))


class SharedReads:
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

    def answer(self, reply: object) -> bool:
        """Give everybody what they asked for; False, and nothing done, where that is no answer."""
        if not isinstance(reply, list) or len(reply) != len(self.names):
            return False
        for read, places in zip(self.reads, self._places, strict=True):
            read.answer([reply[place] for place in places])
        return True


class Command(Generic[T]):
    """One command, whose reply is of a `kind`; `reply` raises `Away`, or `RefusedError`."""

    __slots__ = ("_kind", "answered_at", "packed", "reply", "sent_at")

    def __init__(self, kind: type[T], *words: object) -> None:
        self.reply: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.packed = packed(*words)
        self.sent_at = self.answered_at = time.monotonic()
        self._kind = kind

    def answer(self, reply: object) -> None:
        """Give the reply, where it is still wanted."""
        self.answered_at = time.monotonic()
        if self.reply.done():
            return
        if isinstance(reply, self._kind):
            self.reply.set_result(reply)
        else:
            self.reply.set_exception(trouble(reply))


class Several:
    """Commands that go out in one piece; `replies`, in their order, raises as a command's does."""

    __slots__ = ("_left", "_refused", "_replies", "packed", "replies", "sent_at")

    def __init__(self, commands: Sequence[Sequence[object]]) -> None:
        self.replies: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.packed = b"".join([packed(*words) for words in commands])
        self.sent_at = time.monotonic()
        self._replies: list[object] = []
        self._left = len(commands)
        self._refused: object = None

    def answer(self, reply: object) -> None:
        """Take the next reply; the last one gives them all, where they are still wanted."""
        self._left -= 1
        if isinstance(reply, ReplyError | Away | RefusedError):
            self._refused = reply
        self._replies.append(reply)
        if self._left or self.replies.done():
            return
        if self._refused is None:
            self.replies.set_result(self._replies)
        else:
            self.replies.set_exception(trouble(self._refused))


class Next:
    """The next reply of several commands: there is nothing of it to send."""

    __slots__ = ("_several",)

    packed = b""

    def __init__(self, several: Several) -> None:
        self._several = several

    @property
    def sent_at(self) -> float:
        """When the piece went out."""
        return self._several.sent_at

    def answer(self, reply: object) -> None:
        """Take it."""
        self._several.answer(reply)


def trouble(reply: object) -> Away | RefusedError:
    """What to raise of a reply that is none, for each of those who wait an exception of its own."""
    if isinstance(reply, Away | RefusedError):
        return type(reply)(*reply.args)
    return RefusedError() if isinstance(reply, ReplyError) else Away(NO_ANSWER)
