"""Which process of the local ledger listens on which port.

Our own default ports: Debian's packages start servers on 6379, 5432 and 9092. A taken port is an
error that says how to name another, unless `auto` lets the ledger choose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cli.local.folder import BROKERS
from cli.local.ports import free_ports, is_taken

WORKERS: Final = 2
"""API workers; each has a port of its own beside the shared one."""

DEFAULTS: Final = {
    "api": 7100,
    "workers": 7101,
    "kafka": 7110,
    "kafka-controller": 7111,
    "redis-a": 7120,
    "redis-b": 7121,
    "projector-a": 7130,
    "projector-b": 7131,
    "projector-local": 7132,
}
"""`workers` is the first worker's own port; the others' follow it."""

MORE_BROKERS: Final = {
    "kafka-2": 7112,
    "kafka-2-controller": 7113,
    "kafka-3": 7114,
    "kafka-3-controller": 7115,
}
"""Of the second and the third of three brokers; the first has those of the only one."""

AUTO: Final = "auto"
_PORT_MAX: Final = 65_535
_TRIES: Final = 200


class PortError(Exception):
    """A port can't be used as asked; the message names it and says how to name another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The port of each process, by its name in `DEFAULTS` or `MORE_BROKERS`."""

    by_name: Mapping[str, int]

    def __getitem__(self, name: str) -> int:
        """The port of a process."""
        return self.by_name[name]

    def brokers(self, count: int) -> tuple[int, ...]:
        """The brokers' ports, the first one's first."""
        return tuple(self["kafka" if node == 1 else f"kafka-{node}"] for node in _nodes(count))

    def controllers(self, count: int) -> tuple[int, ...]:
        """The ports of the brokers as controllers, the first one's first."""
        names = ("kafka" if node == 1 else f"kafka-{node}" for node in _nodes(count))
        return tuple(self[f"{name}-controller"] for name in names)

    @property
    def workers(self) -> range:
        """The API workers' own ports."""
        return _span("workers", self["workers"])


def _nodes(count: int) -> range:
    return range(1, count + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for: `named` ports, and whether the rest may be `auto`."""

    named: Mapping[str, int]
    auto: bool


def defaults(brokers: int) -> dict[str, int]:
    """The usual port of each process of a ledger with so many brokers."""
    return dict(DEFAULTS) if brokers == 1 else {**DEFAULTS, **MORE_BROKERS}


def parse(text: str) -> Wish:
    """Read `auto`, `NAME=PORT`, or several of them with commas between. Raises `PortError`.

    Ports of three brokers may be named for a ledger that has one: they wait until they count.
    """
    known = defaults(max(BROKERS))
    named: dict[str, int] = {}
    auto = False
    for part in filter(None, (part.strip() for part in text.split(","))):
        if part == AUTO:
            auto = True
            continue
        name, _, number = part.partition("=")
        if name not in known:
            raise PortError(f"{part}: ports are named {', '.join(known)}, or {AUTO}")
        named[name] = _port(part, number, room=len(_span(name, 0)))
    return Wish(named=named, auto=auto)


def _port(part: str, number: str, *, room: int) -> int:
    highest = _PORT_MAX + 1 - room
    is_number = number.isascii() and number.isdigit() and len(number) <= len(str(_PORT_MAX))
    if not is_number or not 1 <= int(number) <= highest:
        raise PortError(f"{part}: a port is a number from 1 to {highest}")
    return int(number)


def choose(wish: Wish, *, brokers: int = 1, taken: Callable[[int], bool] = is_taken) -> Ports:
    """Give each process its port: the named one, else the default, else (`auto`) a free one.

    Raises `PortError` for a port that is taken, or given to two.
    """
    chosen: dict[str, int] = {}
    usual = defaults(brokers)
    for name in sorted(usual, key=lambda name: name not in wish.named):
        port = wish.named.get(name, usual[name])
        trouble = _trouble(name, port, chosen, taken)
        if trouble is not None and wish.auto and name not in wish.named:
            port = _free(name, chosen, taken)
        elif trouble is not None:
            raise PortError(f"{trouble}: {_way_out(name, named=name in wish.named)}")
        chosen[name] = port
    return Ports(by_name=chosen)


def _span(name: str, port: int) -> range:
    return range(port, port + (WORKERS if name == "workers" else 1))


def _trouble(
    name: str, port: int, chosen: Mapping[str, int], taken: Callable[[int], bool]
) -> str | None:
    for wanted in _span(name, port):
        for other, first in chosen.items():
            if wanted in _span(other, first):
                return f"port {wanted} would be {name}'s and {other}'s at once"
        if taken(wanted):
            return f"port {wanted}, which is {name}'s, is taken by another program"
    return None


def _free(name: str, chosen: Mapping[str, int], taken: Callable[[int], bool]) -> int:
    for _ in range(_TRIES):
        [port] = free_ports(1)
        if _trouble(name, port, chosen, taken) is None:
            return port
    raise PortError(f"found no free port for {name} in {_TRIES} tries: name one (--ports {name}=…)")


def _way_out(name: str, *, named: bool) -> str:
    other = f"name another one (--ports {name}=PORT, or LEDGER_PORTS)"
    return other if named else f"{other}, or let free ones be chosen (--ports {AUTO})"
