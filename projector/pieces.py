"""Many things in pieces of a bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def pieces(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """Give them in order, `size` at a time, each piece when it is asked for; the last may be short.

    (`itertools.batched` comes with Python 3.12.)
    """
    rest = iter(things)
    while piece := list(islice(rest, size)):
        yield piece
