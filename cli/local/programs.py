"""The processes of a local ledger: their config for supervisor, and their environment."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from string import Template
from typing import Final

from cli.local import kafka, redis, security
from cli.local.folder import DataFolder
from cli.local.java import OLDEST_JAVA, find_java
from cli.local.plan import WORKERS, Ports
from cli.local.ports import LOOPBACK
from cli.local.security import Security

TEMPLATE: Final = Path(__file__).resolve().parents[2] / "infra/supervisor/supervisord.conf"
CACHE: Final = Path(__file__).resolve().parents[2] / ".cache"

_EVERY_PROGRAM: Final = """\
redirect_stderr = true
stdout_logfile_maxbytes = 4MB
stdout_logfile_backups = 2
autorestart = true
startsecs = 5
startretries = 3"""
"""One that ends within 5 s of its start, four times in a row, is given up (FATAL)."""

_BROKER_STOPS_S: Final = {1: 6, 3: 9}
"""What a broker may take to stop in order, by how many there are; then it is killed. Of three the
active controller waits 5 s for a successor."""

_SECRETS: Final = ("LEDGER_PEPPER", "LEDGER_SEAL_KEYS")
"""A local ledger takes its own from the data folder's files, whatever the environment has."""


_TAKEN_OVER: Final = (
    "LEDGER_ACCOUNT",
    "LEDGER_PRODUCT",
    "LEDGER_PARTITIONS",
    "LEDGER_EMERGENCY_KEYS",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """What runs: brokers, the replicas A and B, and the ports of all; `security` where asked."""

    folder: DataFolder
    ports: Ports
    brokers: tuple[kafka.KafkaBroker, ...]
    replicas: tuple[redis.RedisInstance, redis.RedisInstance]
    socket: Path
    security: Security | None = None
    python: str = sys.executable

    @property
    def bootstrap(self) -> str:
        """The brokers' addresses for clients."""
        return ",".join(broker.bootstrap for broker in self.brokers)

    @property
    def api_url(self) -> str:
        """Where the API answers."""
        return f"{self.api_scheme}://{LOOPBACK}:{self.ports['api']}"

    @property
    def api_scheme(self) -> str:
        """How the API's sockets are spoken to."""
        return "http" if self.security is None else "https"

    @property
    def ca_file(self) -> str | None:
        """Whom to trust; None where nothing is signed."""
        return None if self.security is None else str(self.security.certificates.ca)


def programs(
    folder: DataFolder,
    ports: Ports,
    socket: Path,
    environ: Mapping[str, str],
    *,
    brokers: int = 1,
    secure: bool = False,
) -> Programs:
    """The programs of a data folder. Raises `KafkaSetupError`, `RedisSetupError` by what lacks.

    `secure`: with TLS and users; certificates and passwords are made where they are missing.
    """
    java = find_java(environ)
    if java is None:
        raise kafka.KafkaSetupError(
            f"no Java ≥ {OLDEST_JAVA}: run `make` once, its set-up says how to get it"
        )
    redis_program = redis.find_program(environ)
    made = security.make(folder) if secure else None
    first, second = (
        redis.RedisInstance(
            directory=folder.redis(name),
            port=ports[f"redis-{name.lower()}"],
            program=redis_program,
            security=made,
        )
        for name in "AB"
    )
    jars = kafka.find_jars(CACHE)
    cluster = tuple(
        kafka.KafkaBroker(
            directory=directory,
            port=ports.brokers(brokers)[node - 1],
            controller_ports=ports.controllers(brokers),
            jars=jars,
            java=java.path,
            node=node,
            security=made,
        )
        for node, directory in enumerate(folder.kafka(brokers), start=1)
    )
    return Programs(
        folder=folder,
        ports=ports,
        brokers=cluster,
        replicas=(first, second),
        socket=socket,
        security=made,
    )


def prepare(these: Programs) -> None:
    """Write the servers' and supervisor's config; format the brokers' storage once."""
    kafka.prepare(*these.brokers)
    for replica in these.replicas:
        redis.prepare(replica)
    these.folder.supervisor_config.write_text(config_text(these), encoding="utf-8")


def config_text(these: Programs) -> str:
    """Supervisor's config, from infra/supervisor/supervisord.conf."""
    ports = these.ports
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        run=_escaped(str(these.folder.run)),
        logs=_escaped(str(these.folder.logs)),
        # Supervisor fills these in twice.
        process_logs=_escaped(_escaped(str(these.folder.logs))),
        socket=_escaped(str(these.socket)),
        brokers="\n\n".join(_broker(these, broker) for broker in these.brokers),
        broker_names=",".join(broker.name for broker in these.brokers),
        redis_a_command=_command(redis.run_argv(these.replicas[0])),
        redis_b_command=_command(redis.run_argv(these.replicas[1])),
        projector_command=_command([these.python, "-m", "projector"]),
        api_command=_command([these.python, "-m", "api"]),
        api_port=ports["api"],
        workers=WORKERS,
        workers_port=ports["workers"],
        projector_a_port=ports["projector-a"],
        projector_b_port=ports["projector-b"],
        projector_local_port=ports["projector-local"],
        projector_access=_access(these, "projector"),
        api_access=_access(these, "api"),
        program=_EVERY_PROGRAM,
    )


def ledger_environment(these: Programs, environ: Mapping[str, str]) -> dict[str, str]:
    """The `LEDGER_*` that say what this ledger is, for its processes and for other commands.

    The catalog's (LEDGER_ACCOUNT, LEDGER_POLICY_…) are taken over from `environ`, and whose
    emergency orders are obeyed: that key is made by a person, and its private half isn't here.
    """
    taken_over = {
        name: value
        for name, value in environ.items()
        if name in _TAKEN_OVER or name.startswith("LEDGER_POLICY")
    }
    return {
        **taken_over,
        "LEDGER_LOCAL": "1",
        "LEDGER_KAFKA": these.bootstrap,
        "LEDGER_REPLICAS": ",".join(replica.url for replica in these.replicas),
        "LEDGER_PEPPER_FILE": str(these.folder.pepper),
        "LEDGER_SEAL_KEYS_FILE": str(these.folder.seal_keys),
        "LEDGER_LOCAL_COPY": str(these.folder.local_copy),
        "LEDGER_API_URL": these.api_url,
        "LEDGER_EMERGENCY_ORDERS": str(these.folder.emergency_orders),
        "LEDGER_EMERGENCY_WORKERS": ",".join(
            f"{these.api_scheme}://{LOOPBACK}:{port}" for port in these.ports.workers
        ),
        **({} if these.security is None else these.security.environment()),
    }


def process_environment(
    ledger: Mapping[str, str], token: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """The environment that supervisor and so each process gets; the token's digest only."""
    others = security.without_access(environ)
    kept = {name: value for name, value in others.items() if name not in _SECRETS}
    return {
        **kept,
        **ledger,
        "LEDGER_API_TOKEN_DIGESTS": sha256(token.encode()).hexdigest(),
        "PYTHONUNBUFFERED": "1",
    }


def _broker(these: Programs, broker: kafka.KafkaBroker) -> str:
    """A broker's part of supervisor's config."""
    log = _escaped(_escaped(str(these.folder.log(broker.name))))
    return f"""\
[program:{broker.name}]
command = {_command(kafka.run_argv(broker))}
stopwaitsecs = {_BROKER_STOPS_S[len(these.brokers)]}
stdout_logfile = {log}
{_EVERY_PROGRAM}"""


def _access(these: Programs, user: str) -> str:
    """What makes a program a user, to go on in a line of its environment."""
    if these.security is None:
        return ""
    pairs = these.security.access(user).items()
    return "".join(f',{name}="{_escaped(_escaped(value))}"' for name, value in pairs)


def _command(argv: Sequence[str]) -> str:
    return _escaped(shlex.join(argv))


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
