"""`python -m projector.rebuild`: a builder, told what to build on stdin, until that ends.

A line in is an `Order`, a line out a `Report`, as JSON. It is one of several that `ledger rebuild`
starts, and ends with it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from ledger.event_log.codec import UnknownRulesError
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import LogError, LogUnavailable, Topics
from ledger.settings import Settings, read_settings
from projector.discards import Discards
from projector.folding import LostRecordError
from projector.logs import set_up
from projector.read_model.port import ReadModelError, ReadModelUnavailableError
from projector.rebuild.building import Builder, Gate, PartitionTooLargeError, Told, memory_bytes
from projector.rebuild.license_events import LicenseEvents
from projector.rebuild.pace import Pace, pace_of
from projector.rebuild.store import Store
from projector.views.digests import weigher

TRIES: Final = 4
"""Of a partition, while a broker or a Redis is too busy to answer in time."""
_AGAIN_S: Final = 1.0
NICE: Final = 10
"""What serves comes first wherever they share a processor."""
REPLICA: Final = "LEDGER_REBUILD_REPLICA"
MEMORY: Final = "LEDGER_REBUILD_MEMORY_MB"


class Order(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A partition to build, or to fold a part of for its pace; or whether to hold still."""

    partition: int | None = None
    generation: str = ""
    end: int = 0
    pace: bool = False
    hold: bool | None = None


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a builder: how far it is, or how fast, or why it can't build a partition.

    `memory`: bytes that it takes. `away`: the log or the replica can't be reached.
    """

    partition: int
    folded: int = 0
    written: int = 0
    done: bool = False
    memory: int = 0
    pace: Pace | None = None
    too_large: str = ""
    failed: str = ""
    away: bool = False


def main() -> None:
    """Build what is ordered, until stdin ends."""
    set_up()
    os.nice(NICE)
    # What is folded has no cycles; looking for them among all that is held costs more than it does.
    gc.disable()
    settings = read_settings(os.environ)
    try:
        asyncio.run(_serve(settings))
    except _AloneError:
        # What wasn't written yet has nowhere to go, at the end neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _serve(settings: Settings) -> None:
    log = KafkaLog(settings.kafka, Topics(prefix=settings.topic_prefix))
    store = Store(settings.replicas[int(os.environ[REPLICA])])
    source, gate = LicenseEvents(log), Gate()
    builder = Builder(
        source,
        store,
        weigher(settings.pepper),
        partitions=settings.partitions,
        memory_bytes_max=int(os.environ[MEMORY]) << 20,
        tell=_tell,
        may_go_on=gate.passed,
    )
    orders: asyncio.Queue[Order] = asyncio.Queue()
    pace = partial(pace_of, source, store, weigher(settings.pepper), partitions=settings.partitions)
    building = asyncio.create_task(_build(builder, pace, Discards(log), orders))
    hearing = asyncio.create_task(_hear(gate, orders))
    try:
        done, _ = await asyncio.wait([building, hearing], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        building.cancel()
        await store.close()
        await log.close()


async def _hear(gate: Gate, orders: asyncio.Queue[Order]) -> None:
    """Take orders until whoever gives them is gone."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    decoder = msgspec.json.Decoder(Order)
    while line := await reader.readline():
        order = decoder.decode(line)
        if order.hold is None:
            orders.put_nowait(order)
        elif order.hold:
            gate.close()
        else:
            gate.open()


async def _build(
    builder: Builder,
    pace: Callable[..., Awaitable[Pace]],
    discards: Discards,
    orders: asyncio.Queue[Order],
) -> None:
    while True:
        order = await orders.get()
        assert order.partition is not None  # noqa: S101 - any other order was to hold
        for left in reversed(range(TRIES)):
            try:
                if order.pace:
                    found = await pace(order.partition, generation=order.generation, end=order.end)
                    _say(Report(partition=order.partition, pace=found, done=True))
                    break
                await discards.refresh()
                discarded = discards.of(order.partition)
                await builder.build(order.partition, order.generation, order.end, discarded)
            except PartitionTooLargeError as error:
                _say(Report(partition=order.partition, too_large=str(error)))
            except (LogUnavailable, ReadModelUnavailableError) as error:
                if left:
                    await asyncio.sleep(_AGAIN_S)
                    continue
                _say(Report(partition=order.partition, failed=str(error), away=True))
            except (LogError, ReadModelError, LostRecordError, UnknownRulesError) as error:
                _say(Report(partition=order.partition, failed=str(error)))
            break
        gc.collect()


def _tell(told: Told) -> None:
    _say(
        Report(
            partition=told.partition,
            folded=told.folded,
            written=told.written,
            done=told.done,
            memory=memory_bytes(),
        )
    )


def _say(report: Report) -> None:
    try:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise _AloneError from None


class _AloneError(Exception):
    """Whoever has given the orders is gone."""


if __name__ == "__main__":
    main()
