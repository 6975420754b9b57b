"""The parts of a local ledger as a person sees them: what each is for, and whether it is ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

from cli.local import kafka, redis
from cli.local.programs import Programs
from cli.local.supervision import State, Told
from cli.web import answers_ok
from ledger.connections import client_context

PROBE_TIMEOUT_S: Final = 1.0
_STATES: Final = {
    State.STOPPED: "stopped",
    State.STARTING: "starting",
    State.RUNNING: "running, not ready yet",
    State.BACKOFF: "ended, started again soon",
    State.STOPPING: "stopping",
    State.EXITED: "ended, started again",
    State.FATAL: "given up",
    State.UNKNOWN: "unknown",
}
READY: Final = "ready"
WAITING: Final = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A process: its name at supervisor, what it is, its port, and how to ask if it is ready."""

    name: str
    title: str
    port: int
    is_ready: Callable[[], bool]


def parts(these: Programs) -> list[Part]:
    """All parts in the order of their need."""
    ports = these.ports
    tls = None if these.ca_file is None else client_context(these.ca_file)
    found = []
    for broker in these.brokers:
        probe = partial(kafka.is_ready, broker.port, tls=tls, timeout_s=PROBE_TIMEOUT_S)
        title = f"Kafka broker {broker.node}" if len(these.brokers) > 1 else "Kafka broker"
        found.append(Part(name=broker.name, title=title, port=broker.port, is_ready=probe))
    for letter in "ab":
        port = ports[f"redis-{letter}"]
        probe = partial(redis.is_ready, port, security=these.security, timeout_s=PROBE_TIMEOUT_S)
        title = f"replica {letter.upper()} (Redis)"
        found.append(Part(name=f"redis-{letter}", title=title, port=port, is_ready=probe))
    for letter in "ab":
        port = ports[f"projector-{letter}"]
        title = f"projector of {letter.upper()}"
        found.append(_program(f"projector-{letter}", title, port, "http"))
    port = ports["projector-local"]
    found.append(_program("projector-local", "projector of the copy", port, "http"))
    for number, port in enumerate(ports.workers, start=1):
        found.append(
            _program(
                f"worker-{port}", f"API worker {number}", port, these.api_scheme, these.ca_file
            )
        )
    return found


def _program(name: str, title: str, port: int, scheme: str, ca_file: str | None = None) -> Part:
    url = f"{scheme}://127.0.0.1:{port}/health/ready"
    probe = partial(answers_ok, url, ca_file=ca_file, timeout_s=PROBE_TIMEOUT_S)
    return Part(name=name, title=title, port=port, is_ready=probe)


def look(these: list[Part], told: Mapping[str, Told]) -> dict[str, str]:
    """What to say of each part now, by name: `READY`, or how far it is. Bounded in time."""
    with ThreadPoolExecutor(max_workers=len(these)) as threads:
        return dict(
            zip(
                (part.name for part in these),
                threads.map(lambda part: _word(part, told.get(part.name)), these),
                strict=True,
            )
        )


def _word(part: Part, told: Told | None) -> str:
    if told is None:
        return WAITING
    if told.state in {State.STARTING, State.RUNNING} and part.is_ready():
        return READY
    return _STATES[told.state]
