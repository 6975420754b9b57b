"""The rows of docs/faults.md: each fault that is made, and each that can't be made yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault. `how`: what is really done."""

    id: str
    fault: str
    how: str


ROWS: Final = (
    Row(id="none", fault="none", how="the same load, and nothing breaks"),
    Row(id="worker-killed", fault="an API worker dies", how="kill -9 of one in turn, five times"),
    Row(id="projector-killed", fault="a projector dies", how="kill -9 of A's"),
    Row(id="projector-stopped", fault="a projector stands still", how="SIGSTOP of A's"),
    Row(
        id="partitions-move",
        fault="partitions move",
        how="a second projector of A comes and goes, twice",
    ),
    Row(id="projectors-behind", fault="all projectors are behind", how="SIGSTOP of all three"),
    Row(id="broker-killed", fault="the only broker is down", how="kill -9"),
    Row(id="broker-frozen", fault="the only broker is frozen", how="SIGSTOP"),
    Row(id="redis-killed", fault="one Redis is dead", how="kill -9 of A"),
    Row(id="redis-stopped", fault="one Redis stands still", how="SIGSTOP of A"),
    Row(id="redis-all-dead", fault="all Redis are dead", how="kill -9 of both"),
    Row(
        id="all-dead-cold",
        fault="Kafka and all Redis are dead, API hosts restarted cold",
        how="kill -9 of everything, then workers alone; each license asked for once first",
    ),
    Row(
        id="redis-empty",
        fault="a Redis comes back empty",
        how="A killed, wiped and started; its projector held for half of the time",
    ),
    Row(
        id="redis-older",
        fault="a Redis comes back at an old position",
        how="an older copy of A's folder put back; its projector held for half of the time",
    ),
    Row(
        id="redis-loading",
        fault="a Redis is LOADING",
        how="A killed and started four times with 300,000 foreign members in its file",
    ),
    Row(id="redis-full", fault="Redis' memory is full", how="maxmemory of both set to 1 MB"),
    Row(
        id="kafka-full",
        fault="Kafka's disk is full",
        how="a tmpfs of 256 MB, filled to the last byte; its ballast released",
    ),
    Row(
        id="sync-slow",
        fault="syncs are slow",
        how="300 ms more each, of broker and both Redis (strace)",
    ),
    Row(id="sync-fails", fault="syncs fail", how="EIO for each of the broker's (strace)"),
    Row(id="clock-host", fault="an API host's clock is wrong", how="+10 min, -10 min, +400 days"),
    Row(
        id="clock-replica",
        fault="a replica's clock is wrong",
        how="+10 min, -10 min, +400 days of A",
    ),
    Row(id="clock-broker", fault="the broker's clock is wrong", how="+10 min, -10 min, +400 days"),
    Row(
        id="packets-dropped",
        fault="packets are dropped",
        how="all, both ways, to a Redis A in a network of its own",
    ),
    Row(id="packets-lost", fault="packets are lost", how="30 %, both ways, to that Redis"),
    Row(
        id="poison",
        fault="a poison event",
        how="bytes that are no event, under the key of one license",
    ),
    Row(
        id="log-replaced",
        fault="the topics are replaced",
        how="deleted, and made anew with another genesis",
    ),
    Row(
        id="generations",
        fault="the generation that serves changes",
        how="a second one made by hand, the pointer set to and fro once a second",
    ),
    Row(
        id="rolling-restart",
        fault="everything is restarted in turn",
        how="SIGTERM and start of broker, Redis, projectors and workers, one by one",
    ),
    Row(
        id="rolling-upgrade",
        fault="everything is upgraded in turn, and back",
        how="projectors, then workers, one by one, to a copy of the source with another view and "
        "later rules; back in reverse order",
    ),
)
NOT_YET: Final = (
    ("1 of 3 brokers down", "this suite's ledger has one broker: tests/journeys/test_brokers.py"),
    ("the vendor's SQL database locked, full, hung or gone", "nothing follows a database yet"),
    (
        "rebuild under load",
        "no fault of a part: `python -m bench.rebuilds` judges each answer meanwhile",
    ),
    (
        "everybody comes back in one minute",
        "no fault, but too much at once: tests/faults/test_overload.py",
    ),
    (
        "everything killed at once",
        "nobody is left to be asked; that nothing is lost: tests/journeys/test_the_plug.py",
    ),
    (
        "wrong pepper, another N, a foreign log at the start",
        "a worker refuses to run: tests/api/test_start.py",
    ),
)
