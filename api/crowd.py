"""How many are in progress of those of whom only so many may be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from api.metrics import Metrics
from api.problems import too_many_requests


class Crowd:
    """How many requests are in progress, of how many may be. Entered by each that is."""

    __slots__ = ("_count", "_limit")

    def __init__(self, limit: int) -> None:
        self._count = 0
        self._limit = limit

    @property
    def has_room(self) -> bool:
        """Whether one more may come."""
        return self._count < self._limit

    def is_over(self, share: float = 1.0) -> bool:
        """Whether more came than may be, or than a share of that; one always may."""
        return self._count > max(1, self._limit * share)

    def enter(self) -> None:
        """Count one more."""
        self._count += 1

    def leave(self) -> None:
        """Count one less."""
        self._count -= 1

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, *_: object) -> None:
        self.leave()

    @contextmanager
    def entered(self, metrics: Metrics, what: str, said: str = "") -> Iterator[None]:
        """Be in it; raises a 429 `Problem` where it is full, counted as `what`, told as `said`."""
        with self:
            if self.is_over():
                metrics.shed.labels(what).inc()
                raise too_many_requests(said or what)
            yield
