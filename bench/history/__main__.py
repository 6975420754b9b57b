"""`python -m bench.history`: write a history into an empty ledger, and say how to run it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated, Final

import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from bench.history.history import History
from bench.history.shapes import Shape, Size
from bench.history.writing import NotEmptyError, write
from cli.patience import BrokerAwayError
from ledger.event_log.port import LogError
from ledger.settings import SettingsError

_TROUBLE: Final = (NotEmptyError, BrokerAwayError, LogError, SettingsError, KafkaError, ValueError)


def main(  # noqa: PLR0913, PLR0917 - each is an option of the command
    kafka: Annotated[str, typer.Option(help="Address of a broker, host:port.")],
    licenses: Annotated[int, typer.Option(min=1, help="How many licenses are issued.")] = 500_000,
    events: Annotated[int, typer.Option(min=1, help="How many events there are.")] = 5_000_000,
    shape: Annotated[Shape, typer.Option(help="How the events lie on the licenses.")] = "mixed",
    seed: Annotated[int, typer.Option(help="The same seed makes the same history.")] = 1,
    span_days: Annotated[int, typer.Option(min=1, help="How long ago it begins.")] = 400,
    until_ms: Annotated[
        int | None, typer.Option(help="When it ends, in ms since 1970; unless said, now.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Before the names of the topics.")] = "",
    partitions: Annotated[int, typer.Option(help="N, a power of two.")] = 16,
    processes: Annotated[int, typer.Option(min=1, help="How many make it, side by side.")] = 2,
    replication: Annotated[int, typer.Option(min=1, help="Copies of each topic.")] = 1,
    *,
    append_time: Annotated[
        bool, typer.Option("--append-time", help="Records have the broker's time of now.")
    ] = False,
) -> None:
    """Write a big, realistic history into an empty ledger.

    The ledger's settings are taken from the environment (LEDGER_*). Where there is no pepper in it,
    they are made of the seed, and printed for the processes that are to run on the ledger.
    """
    environment = _environment(kafka, prefix, partitions, seed)
    size = Size(
        shape=shape,
        licenses=licenses,
        events=events,
        seed=seed,
        span_days=span_days,
        until_ms=until_ms or time.time_ns() // 1_000_000,
    )
    began = time.perf_counter()
    try:
        history = asyncio.run(
            _write(
                environment,
                size,
                processes=processes,
                replication=replication,
                append_time=append_time,
            )
        )
    except _TROUBLE as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print("interrupted: the ledger has a part of its history; drop its topics", file=sys.stderr)
        raise typer.Exit(130) from None
    took_s = time.perf_counter() - began
    print(f"{events:,} events of {licenses:,} licenses in {took_s:.1f} s: {events / took_s:,.0f}/s")
    print(f"ledger {history.whose.ledger}, until {size.until_ms}, seed {seed}")
    for name, value in environment.items():
        if name not in os.environ:
            print(f"export {name}={value}")


async def _write(
    environment: Mapping[str, str],
    size: Size,
    *,
    processes: int,
    replication: int,
    append_time: bool,
) -> History:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("events", total=size.events)
        return await write(
            environment,
            size,
            processes=processes,
            replication=replication,
            append_time=append_time,
            tell=lambda count: progress.advance(bar, count),
        )


def _environment(kafka: str, prefix: str, partitions: int, seed: int) -> dict[str, str]:
    """What is in the environment, or made of the seed: a bench's ledger has no secrets."""

    def made(purpose: bytes) -> str:
        return blake2b(b"%d" % seed, digest_size=32, person=purpose).hexdigest()

    given = {name: value for name, value in os.environ.items() if name.startswith("LEDGER_")}
    return {
        "LEDGER_LOCAL": "1",
        "LEDGER_REPLICAS": "redis://127.0.0.1:6379",
        "LEDGER_PEPPER": made(b"history.pepper"),
        "LEDGER_SEAL_KEYS": f"k1:{made(b'history.seal')}",
        **given,
        "LEDGER_KAFKA": kafka,
        "LEDGER_TOPIC_PREFIX": prefix,
        "LEDGER_PARTITIONS": str(partitions),
    }


if __name__ == "__main__":
    typer.run(main)
