"""The processes that build partitions, as seen by who started them."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from projector.rebuild.__main__ import MEMORY, REPLICA, Order, Report
from projector.rebuild.pace import Pace

_decoder: Final = msgspec.json.Decoder(Report)
_END_S: Final = 5.0


class BuilderFailedError(Exception):
    """A partition can't be built; the text says which one, and why."""


class BuilderAwayError(BuilderFailedError):
    """The same, where the log or the replica could not be reached."""


class Builders:
    """`count` processes, each building one partition after the other.

    `environment`: the ledger's `LEDGER_*`. `replica`: number of the replica, from 0. `memory_mb`:
    what each may take. `tell`: is called with each report.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        replica: int,
        count: int,
        memory_mb: int,
        tell: Callable[[Report], None],
    ) -> None:
        self._environment = {
            **environment,
            REPLICA: str(replica),
            MEMORY: str(memory_mb),
        }
        self._count = count
        self._tell = tell
        self._processes: list[Process] = []
        self._memory: dict[Process, int] = {}
        self._still = False
        self.too_large: list[int] = []
        """Partitions that didn't fit the memory: they are to be folded another way."""

    async def build(self, generation: str, ends: Sequence[tuple[int, int]]) -> None:
        """Build partitions, each up to its end; `(partition, end)`, in this order.

        Raises `BuilderFailedError`. Cancelled, it ends the processes.
        """
        left = deque(ends)
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(self._count, len(left))):
                    tasks.create_task(self._work(generation, left))
        except BaseExceptionGroup as group:
            raise _first(group) from None
        finally:
            await self._end()

    async def pace(self, generation: str, ends: Sequence[tuple[int, int]]) -> list[Pace]:
        """How fast builders are that work side by side: each folds a part of one partition.

        Raises `BuilderFailedError`. Nothing is written.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                asked = [
                    tasks.create_task(self._pace(generation, partition, end))
                    for partition, end in ends[: self._count]
                ]
        except BaseExceptionGroup as group:
            raise _first(group) from None
        finally:
            await self._end()
        return [one.result() for one in asked]

    @property
    def memory_bytes(self) -> int:
        """What all of them took, as far as they have said."""
        return sum(self._memory.values())

    def hold(self, *, still: bool) -> None:
        """Have all of them hold still, or go on."""
        self._still = still
        for process in self._processes:
            _order(process, Order(hold=still))

    async def _work(self, generation: str, left: deque[tuple[int, int]]) -> None:
        process = await self._started()
        while left:
            partition, end = left.popleft()
            _order(process, Order(partition=partition, generation=generation, end=end))
            report = await self._follow(process, partition)
            if report.too_large and left:
                # What a process has taken it doesn't give back, not all of it, nor at once.
                await self._end(process)
                process = await self._started()

    async def _pace(self, generation: str, partition: int, end: int) -> Pace:
        process = await self._started()
        order = Order(partition=partition, generation=generation, end=end, pace=True)
        _order(process, order)
        report = await self._follow(process, partition)
        assert report.pace is not None  # noqa: S101 - it was asked for
        return report.pace

    async def _started(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "projector.rebuild",
            env=self._environment,
            stdin=PIPE,
            stdout=PIPE,
            # Ctrl-C is for who started them, and ends them with it.
            process_group=0,
        )
        self._processes.append(process)
        if self._still:
            _order(process, Order(hold=True))
        return process

    async def _follow(self, process: Process, partition: int) -> Report:
        """Hear of a partition until it is done; the last that was heard."""
        assert process.stdout is not None  # noqa: S101 - it was asked for
        while line := await process.stdout.readline():
            report = _decoder.decode(line)
            if report.failed:
                error = BuilderAwayError if report.away else BuilderFailedError
                raise error(f"partition {partition} can't be built: {report.failed}")
            if report.too_large:
                self.too_large.append(partition)
            if report.memory:
                self._memory[process] = report.memory
            self._tell(report)
            if report.done or report.too_large:
                return report
        code = await process.wait()
        raise BuilderFailedError(
            f"the process that built partition {partition} ended with {code}: the same command "
            "again goes on where it was"
        )

    async def _end(self, *processes: Process) -> None:
        """End these, or all."""
        ended = processes or tuple(self._processes)
        for process in ended:
            if process.stdin is not None:
                process.stdin.close()
        for process in ended:
            try:
                async with asyncio.timeout(_END_S):
                    await process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            self._processes.remove(process)
            self._memory.pop(process, None)


def _first(error: BaseException) -> BaseException:
    """What went wrong first, of several builders."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _order(process: Process, order: Order) -> None:
    if process.stdin is not None and not process.stdin.is_closing():
        process.stdin.write(msgspec.json.encode(order) + b"\n")
