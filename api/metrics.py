"""What a worker counts and shows. Labels are templates, codes and names, never what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from api.counting import Counts, Durations

_PREFIX: Final = "ledger_api_"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Counters, gauges and histograms of one worker, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counts(_PREFIX + "requests", "Requests", ("route", "method", "status"))
        self._seconds = Durations(
            _PREFIX + "request_seconds", "Time of a request", ("route", "method"), _SECONDS
        )
        self._checks = Counts(_PREFIX + "checks", "Checks by code and source", ("code", "source"))
        for counted in (self._requests, self._seconds, self._checks):
            self.registry.register(counted)
        self.in_progress = self._gauge("requests_in_progress", "Requests in progress")
        self.shed = self._counter("shed", "Requests refused for too many in progress", ("what",))
        self.throttled = self._counter(
            "throttled", "Requests refused for too many in a minute, or for guessing", ("what",)
        )
        self.verdicts = self._counter("verdicts", "Verdicts by type and code", ("type", "code"))
        self.undecided = self._counter(
            "undecided", "Commands without a verdict, by outcome", ("outcome",)
        )
        self.unnoticed = self._counter(
            "checks_unnoticed", "Checks of which no event could be written", ("why",)
        )
        self.emergency_answers = self._counter(
            "emergency_answers",
            "Checks that an emergency order has approved, by whether their license was read",
            ("known",),
        )
        self.emergency_orders = self._gauge("emergency_orders", "Emergency orders that run")
        self.waiting = self._gauge("verdicts_waiting", "Commands that wait for their verdict")
        self.append_seconds = self._histogram("append_seconds", "Time of an acknowledged append")
        self.verdict_seconds = self._histogram(
            "verdict_seconds", "Time from the acknowledgement to the verdict"
        )
        self.reachable = self._gauge("replica_reachable", "1: the replica answers", ("replica",))
        self.in_service = self._gauge(
            "replica_partitions_in_service", "Partitions that it serves", ("replica",)
        )
        self.age = self._gauge(
            "replica_age_seconds", "How long ago its oldest partition was level", ("replica",)
        )
        self.clocks_apart = self._gauge("clocks_apart_seconds", "How far the clocks are apart")
        self.errors = self._counter("errors", "Requests that failed inside", ("error",))

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered in so many seconds."""
        self._requests.add(route, method, str(status))
        self._seconds.add(seconds, route, method)

    def checked(self, code: str, source: str, times: int = 1) -> None:
        """Count a check, or so many of the same."""
        self._checks.add(code, source, times=times)

    def page(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(_PREFIX + name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(_PREFIX + name, meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str) -> Histogram:
        return Histogram(_PREFIX + name, meaning, buckets=_SECONDS, registry=self.registry)
