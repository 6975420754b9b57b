"""Local Kafka 4 brokers, one or three: their config, their storage, their command lines.

Each is a controller as well. Nothing here starts or keeps a process but the one that formats an
empty storage; `ledger up` and the tests start a broker by what `run_argv` and `environment` say.
"""

import os
import re
import ssl
import struct
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from cli.local.certificates import subject
from cli.local.folder import write_private
from cli.local.ports import LOOPBACK, connected
from cli.local.security import Security

TEMPLATE = Path(__file__).resolve().parents[2] / "infra" / "kafka" / "server.properties"
SECURE_TEMPLATE = TEMPLATE.with_name("secure.properties")

_FORMAT_TIMEOUT_S = 60.0
_HEAP_MB = {1: 512, 3: 320}
"""By how many brokers the machine has to carry."""
# Warnings go to the standard output, where whoever starts the broker puts them where they belong.
_LOGGING = ("-Dlog4j2.level=WARN",)


class KafkaSetupError(Exception):
    """The local broker cannot be prepared; the message says what is missing and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaBroker:
    """A broker on this machine: the folder that holds all it writes, its ports, what runs it.

    `node`: its number among its cluster's, from 1. `controller_ports`: of all of them, in that
    order. `security`: with it clients come over TLS, as users with passwords.
    """

    directory: Path
    port: int
    controller_ports: tuple[int, ...]
    jars: Path
    java: Path
    node: int = 1
    security: Security | None = None

    @property
    def controller_port(self) -> int:
        """Where it is reached as a controller."""
        return self.controller_ports[self.node - 1]

    @property
    def name(self) -> str:
        """What its process is called: as its folder is."""
        return self.directory.name

    @property
    def bootstrap(self) -> str:
        """The address for clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def config_path(self) -> Path:
        """Where the broker reads its config from."""
        return self.directory / "server.properties"

    @property
    def data_directory(self) -> Path:
        """Where the log itself lies."""
        return self.directory / "data"


def find_jars(cache: Path) -> Path:
    """The newest `kafka-<version>` folder of jars in the cache. Raises KafkaSetupError."""
    folders = [folder for folder in cache.glob("kafka-*") if any(folder.glob("kafka_2.13-*.jar"))]
    if not folders:
        message = f"no Kafka jars in {cache}: run `make` once, its set-up fetches them"
        raise KafkaSetupError(message)
    return max(folders, key=_version_of)


def _version_of(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder.name))


def prepare(*cluster: KafkaBroker) -> None:
    """Write the brokers' config and format what storage is empty. Raises KafkaSetupError.

    Safe to run at every start: the data stays, the ports may differ from those of the last time.
    A broker whose data is gone joins the others' cluster again, and is sent all that they hold.
    """
    cluster_id = next(filter(None, map(_cluster_id, cluster)), None) or new_cluster_id()
    for broker in cluster:
        broker.directory.mkdir(parents=True, exist_ok=True)
        write_private(broker.config_path, config_text(broker))
        if _cluster_id(broker) is None:
            _format(broker, cluster_id)


def _cluster_id(broker: KafkaBroker) -> str | None:
    """The cluster that the broker's storage was formatted for; None of an empty one."""
    try:
        text = (broker.data_directory / "meta.properties").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    found = re.search(r"^cluster\.id=(\S+)$", text, re.MULTILINE)
    if found is None:
        raise KafkaSetupError(
            f"{broker.data_directory}/meta.properties names no cluster: put it back from a copy"
        )
    return found[1]


def config_text(broker: KafkaBroker) -> str:
    """The broker's config, from infra/kafka/server.properties (and secure.properties)."""
    security = broker.security
    count = len(broker.controller_ports)
    voters = (
        f"{node}@{LOOPBACK}:{port}" for node, port in enumerate(broker.controller_ports, start=1)
    )
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        node=broker.node,
        voters=",".join(voters),
        copies=count,
        in_sync=min(2, count),
        port=broker.port,
        controller_port=broker.controller_port,
        data=broker.data_directory,
        client="PLAINTEXT" if security is None else "SASL_SSL",
        controller="PLAINTEXT" if security is None else "SSL",
    )
    if security is None:
        return text
    return text + Template(SECURE_TEMPLATE.read_text(encoding="utf-8")).substitute(
        keystore=security.certificates.keystore,
        ca=security.certificates.ca,
        password=security.password("admin"),
        broker=subject("kafka"),
    )


def _format(broker: KafkaBroker, cluster_id: str) -> None:
    try:
        subprocess.run(
            format_argv(broker, cluster_id=cluster_id),
            capture_output=True,
            text=True,
            timeout=_FORMAT_TIMEOUT_S,
            check=True,
            env=environment(os.environ),
        )
    except subprocess.CalledProcessError as error:
        last_line = (error.stderr or error.stdout).strip().rpartition("\n")[2]
        message = f"Kafka's storage in {broker.data_directory} was not formatted: {last_line}"
        raise KafkaSetupError(message) from None
    except (OSError, subprocess.SubprocessError) as error:
        message = f"Kafka's storage in {broker.data_directory} was not formatted: {error}"
        raise KafkaSetupError(message) from error


def new_cluster_id() -> str:
    """A random cluster id in Kafka's notation (22 characters, which may not begin with a dash)."""
    while True:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not cluster_id.startswith("-"):
            return cluster_id


def format_argv(broker: KafkaBroker, *, cluster_id: str) -> list[str]:
    """The command that formats the broker's empty storage; takes about a second."""
    tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(broker.config_path)]
    return [*_java_argv(broker), *tool]


def run_argv(broker: KafkaBroker) -> list[str]:
    """The command that runs the broker in the foreground; SIGTERM stops it in order."""
    return [*_java_argv(broker), "kafka.Kafka", str(broker.config_path)]


def _java_argv(broker: KafkaBroker) -> list[str]:
    return [
        str(broker.java),
        f"-Xmx{_HEAP_MB[len(broker.controller_ports)]}m",
        # One collector thread and the quick compiler: a small machine starts it in two seconds.
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "-Xshare:auto",
        "-Djava.awt.headless=true",
        *_LOGGING,
        "-cp",
        str(broker.jars / "*"),
    ]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for the broker: nothing of ours but what a process needs to run at all."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
    return {name: environ[name] for name in kept if name in environ}


def is_ready(port: int, *, tls: ssl.SSLContext | None = None, timeout_s: float = 1.0) -> bool:
    """Whether the broker answers a request (ApiVersions), not only accepts a connection.

    Over TLS where a context is given; before anybody has to say who they are.
    """
    body = struct.pack(">hhih", 18, 0, 1, -1)
    try:
        with connected(port, tls=tls, timeout_s=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            answer = connection.recv(10)
    except OSError:
        return False
    no_error = struct.pack(">ih", 1, 0)
    return answer[4:] == no_error
