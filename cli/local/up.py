"""`ledger up`: a whole ledger on this machine, started, watched, and stopped in order."""

from __future__ import annotations

import asyncio
import errno
import signal
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from cli.filling import ballast
from cli.local import folder as folders
from cli.local import kafka, kafka_users, processes, programs, supervision
from cli.local.folder import DataFolder
from cli.local.kafka import KafkaBroker
from cli.local.lock import locked
from cli.local.orphans import end_orphans
from cli.local.parts import READY, Part, look, parts
from cli.local.plan import Wish, choose
from cli.local.processes import Process
from cli.local.programs import Programs
from cli.local.screen import Screen
from cli.local.stopping import stop
from cli.local.supervision import State, Supervisor, SupervisorUnavailable, Told
from cli.patience import BrokerAwayError
from ledger.connections import client_context
from ledger.event_log.port import AppendRefused, AppendUnknown, LogUnavailable

START_LIMIT_S: Final = {1: 90.0, 3: 180.0}
"""By the number of brokers: three on a small machine start at each other's expense."""
_LOOK_EVERY_S: Final = 0.2
_FOLLOW_EVERY_S: Final = 1.0
_AGAIN_S: Final = 5.0
_BALLAST_EVERY_S: Final = 60.0
_LOG_LINES: Final = 12
_LOG_TAIL_BYTES: Final = 8_192


class UpError(Exception):
    """The local ledger can't be started; the message says what failed, with its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be started; `secure`: with TLS and users.

    `brokers`: how many; None: as the folder has them, one in a new folder.
    `initialize` makes topics, in as many copies as it is told, and genesis once the brokers answer;
    `welcome` runs when all is ready. Both get the ledger's environment.
    """

    folder: DataFolder
    ports: Wish
    environ: Mapping[str, str]
    secure: bool
    brokers: int | None
    initialize: Callable[[Mapping[str, str], int], Awaitable[None]]
    welcome: Callable[[Mapping[str, str], Screen], Awaitable[None]]
    unhurried: bool = False
    """Whether `initialize` may take any time, and the start's limit begins after it."""


def up(order: Order, screen: Screen) -> None:
    """Start everything and keep it until SIGINT, SIGTERM or SIGHUP, then stop it in order.

    Raises `UpError`, and what says why a folder, a port or a program can't be used.
    """
    with locked(order.folder):
        asyncio.run(_Run(order, screen).run())


def _all_answer(brokers: Sequence[KafkaBroker], tls: ssl.SSLContext | None) -> bool:
    return all(kafka.is_ready(broker.port, tls=tls) for broker in brokers)


class _Run:
    def __init__(self, order: Order, screen: Screen) -> None:
        self._order = order
        self._screen = screen
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._programs: Programs | None = None
        self._kept: subprocess.Popen[bytes] | None = None
        self._self: Process | None = None
        self._ids: dict[str, int] = {}
        self._given_up: dict[str, float] = {}
        self._trouble = "the broker does not answer"
        self._start_limit_s = START_LIMIT_S[1]

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked_to_stop)
        starting = asyncio.create_task(asyncio.to_thread(self._start))
        work = asyncio.create_task(self._work(starting))
        asked = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            # Whatever was begun is known only when starting has come to its end.
            await asyncio.wait({starting})
            work.cancel()
            asked.cancel()
            await asyncio.wait({work})
            self._screen.settle()
            if self._kept is not None and self._programs is not None:
                await stop(self._kept, self._programs, self._hurry, self._screen)

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _work(self, starting: asyncio.Task[tuple[Programs, dict[str, str]]]) -> None:
        these, ledger = await asyncio.shield(starting)
        shown = parts(these)
        await self._get_ready(shown, ledger)
        self._screen.settle()
        follow = asyncio.ensure_future(self._follow(shown))
        try:
            await self._order.welcome(ledger, self._screen)
            await follow
        finally:
            follow.cancel()

    def _start(self) -> tuple[Programs, dict[str, str]]:
        try:
            return self._started()
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            root = self._order.folder.root
            raise UpError(
                f"the disk under {root} is full: make room there, at once with `ledger ballast "
                f"release {root}/kafka` where there is one (docs/operations/capacity.md)"
            ) from None

    def _started(self) -> tuple[Programs, dict[str, str]]:
        order = self._order
        brokers = folders.choose_brokers(order.folder, order.brokers)
        self._start_limit_s = START_LIMIT_S[brokers]
        folders.make(order.folder)
        end_orphans(order.folder, self._screen.line)
        socket = folders.socket_path(order.folder)
        these = programs.programs(
            order.folder,
            choose(order.ports, brokers=brokers),
            socket,
            order.environ,
            brokers=brokers,
            secure=order.secure,
        )
        programs.prepare(these)
        ledger = programs.ledger_environment(these, order.environ)
        token = folders.read_token(order.folder)
        self._programs = these
        self._keep_ballast()
        self._kept = supervision.start(
            order.folder, programs.process_environment(ledger, token, order.environ)
        )
        self._self = processes.identify(self._kept.pid)
        self._note({})
        folders.write_environment(order.folder, ledger)
        return these, ledger

    def _keep_ballast(self) -> None:
        """See that there is some on the brokers' disks, where room is plenty."""
        assert self._programs is not None  # noqa: S101 - set before
        for broker in self._programs.brokers:
            ballast.keep(broker.directory)

    def _note(self, ids: dict[str, int]) -> None:
        if self._self is not None and self._programs is not None:
            processes.note(self._order.folder, self._self, ids, self._programs.socket)
            self._ids = ids

    async def _get_ready(self, shown: list[Part], ledger: Mapping[str, str]) -> None:
        deadline = time.monotonic() + self._start_limit_s
        initializing = asyncio.ensure_future(self._initialize(ledger))
        try:
            while True:
                words = await self._look(shown)
                self._screen.parts(shown, words)
                if self._order.unhurried and not initializing.done():
                    deadline = time.monotonic() + self._start_limit_s
                if initializing.done():
                    initializing.result()
                    if all(word == READY for word in words.values()):
                        return
                if time.monotonic() > deadline:
                    raise UpError(self._too_late(shown, words))
                await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            initializing.cancel()

    async def _initialize(self, ledger: Mapping[str, str]) -> None:
        """Make topics and genesis as soon as the brokers answer; it may be started twice."""
        assert self._programs is not None  # noqa: S101 - set before
        brokers, ca_file = self._programs.brokers, self._programs.ca_file
        tls = None if ca_file is None else client_context(ca_file)
        security = self._programs.security
        while True:
            if await asyncio.to_thread(_all_answer, brokers, tls):
                try:
                    if security is not None:
                        await kafka_users.set_up(security, *brokers[0].controller_ports)
                    return await self._order.initialize(ledger, len(brokers))
                except (LogUnavailable, AppendRefused, AppendUnknown, BrokerAwayError) as error:
                    # Also what was tried for long: how long a start may take is decided elsewhere.
                    self._trouble = str(error)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _look(self, shown: list[Part]) -> dict[str, str]:
        told = await asyncio.to_thread(self._told)
        for name, one in told.items():
            if one.state is State.FATAL:
                raise UpError(self._gave_up(name, one))
        return await asyncio.to_thread(look, shown, told)

    def _told(self) -> dict[str, Told]:
        """What supervisor says, noted down; nothing while it doesn't listen yet."""
        assert self._programs is not None  # noqa: S101 - set before anybody looks
        assert self._kept is not None  # noqa: S101 - the same
        if (code := self._kept.poll()) is not None:
            last = self._last_lines("supervisord-start") or self._last_lines("supervisord")
            raise UpError(f"supervisor ended with code {code}:\n{last}")
        try:
            told = Supervisor(self._programs.socket).processes()
        except SupervisorUnavailable:
            return {}
        ids = {name: one.pid for name, one in told.items() if one.pid}
        if ids != self._ids:
            # On a full disk they are noted later: everything goes on meanwhile.
            with suppress(OSError):
                self._note(ids)
        return told

    def _too_late(self, shown: list[Part], words: Mapping[str, str]) -> str:
        late = [part for part in shown if words.get(part.name) != READY]
        if not late:
            return f"no topics and genesis within {self._start_limit_s:.0f} s: {self._trouble}"
        named = ", ".join(f"{part.title} ({words.get(part.name)})" for part in late)
        last = self._last_lines(late[0].name)
        return (
            f"not ready within {self._start_limit_s:.0f} s: {named}; "
            f"the end of {late[0].name}:\n{last}"
        )

    def _gave_up(self, name: str, told: Told) -> str:
        log = self._order.folder.log(name)
        reason = told.spawnerr or "it ends at once"
        return f"{name} does not start ({reason}); the end of {log}:\n{self._last_lines(name)}"

    def _last_lines(self, name: str) -> str:
        try:
            content = self._order.folder.log(name).read_bytes()[-_LOG_TAIL_BYTES:]
        except OSError:
            return ""
        lines = content.decode(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-_LOG_LINES:])

    async def _follow(self, shown: list[Part]) -> None:
        """Say it when a process ends, comes back, or is given up."""
        before = {part.name: READY for part in shown}
        ballast_at = time.monotonic() + _BALLAST_EVERY_S
        while True:
            await asyncio.sleep(_FOLLOW_EVERY_S)
            if time.monotonic() >= ballast_at:
                await asyncio.to_thread(self._keep_ballast)
                ballast_at = time.monotonic() + _BALLAST_EVERY_S
            told = await asyncio.to_thread(self._told)
            words = await asyncio.to_thread(look, shown, told)
            for part in shown:
                word = words[part.name]
                given_up = part.name in self._given_up and word != READY
                if word != before[part.name] and told and not given_up:
                    self._screen.line(f"{part.title}: {word}")
                    before[part.name] = word
                one = told.get(part.name)
                if one and one.state is State.FATAL:
                    await asyncio.to_thread(self._start_again, one)
                elif word == READY:
                    self._given_up.pop(part.name, None)

    def _start_again(self, told: Told) -> None:
        """Start what supervisor has given up, now and then: a full disk may have room by now."""
        assert self._programs is not None  # noqa: S101 - set before anybody looks
        now, before = time.monotonic(), self._given_up.get(told.name)
        if before is None:
            self._screen.line(self._gave_up(told.name, told))
            self._screen.line(f"It is started again every {_AGAIN_S:.0f} s from now on.")
        if before is None or now - before >= _AGAIN_S:
            self._given_up[told.name] = now
            with suppress(SupervisorUnavailable):
                Supervisor(self._programs.socket).start_again(told)
