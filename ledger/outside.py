"""What a process refuses outside the local run: an open wire, missing or made-up secrets.

`LEDGER_LOCAL=1` (`ledger up` sets it) is for what is on this machine only, and is refused by
itself where a server is elsewhere. `LEDGER_ALLOW_PLAINTEXT=1` says that a private network keeps
others out; it allows the open wire and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ledger.connections import KafkaBrokers, is_loopback
from ledger.environment import SettingsError, given

ALLOW_PLAINTEXT: Final = "LEDGER_ALLOW_PLAINTEXT"
_OPT_OUT: Final = f"or set {ALLOW_PLAINTEXT}=1 where a private network keeps others out"
_DIFFERENT_MIN: Final = 12
"""Different bytes, or different steps from byte to byte, of 32 that are random: about 30."""


def allows_plaintext(environment: Mapping[str, str]) -> bool:
    """Whether the open wire was allowed, by `LEDGER_ALLOW_PLAINTEXT`."""
    return given(environment, ALLOW_PLAINTEXT) == "1"


def refuse_elsewhere(kafka: KafkaBrokers, replicas: Sequence[str]) -> None:
    """In the local run: raise `SettingsError` where a server is not on this machine."""
    for name, hosts in (("LEDGER_KAFKA", _hosts(kafka)), ("LEDGER_REPLICAS", _names(replicas))):
        if not all(map(is_loopback, hosts)):
            raise SettingsError(
                f"LEDGER_LOCAL=1 is for servers on this machine, and {name} names another: "
                "take LEDGER_LOCAL away"
            )


def refuse_open_wire(
    kafka: KafkaBrokers, replicas: Sequence[str], *, allows_plaintext: bool
) -> None:
    """Raise `SettingsError` for what goes to another machine in clear, or without credentials."""
    if not all(map(is_loopback, _hosts(kafka))):
        if not kafka.has_tls and not allows_plaintext:
            raise SettingsError(
                f"LEDGER_KAFKA_SECURITY is {kafka.security} and a broker of LEDGER_KAFKA is on "
                f"another machine: set it to SASL_SSL (or SSL), {_OPT_OUT}"
            )
        if kafka.security == "SSL" and not kafka.certificate_file:
            raise SettingsError(
                "LEDGER_KAFKA_SECURITY is SSL without credentials: set LEDGER_KAFKA_CERT_FILE and "
                "LEDGER_KAFKA_KEY_FILE, or SASL_SSL with LEDGER_KAFKA_USER and its password"
            )
    for letter, url in zip(_letters(), replicas, strict=False):
        parts = urlsplit(url)
        if is_loopback(parts.hostname or ""):
            continue
        if parts.scheme != "rediss" and not allows_plaintext:
            raise SettingsError(
                f"LEDGER_REPLICAS: replica {letter} is on another machine and its URL is redis://, "
                f"without TLS: write rediss://, {_OPT_OUT}"
            )
        if not parts.password:
            raise SettingsError(
                f"LEDGER_REPLICAS: replica {letter} is on another machine and has no password: set "
                "LEDGER_REDIS_PASSWORD_FILE (and LEDGER_REDIS_USER)"
            )


def refuse_weak_secrets(
    environment: Mapping[str, str], pepper: bytes, seal_keys: Sequence[tuple[str, bytes]]
) -> None:
    """Raise `SettingsError` for a secret that is the local run's, or that nobody drew."""
    drawn = [("LEDGER_PEPPER", pepper), *(("LEDGER_SEAL_KEYS", key) for _, key in seal_keys)]
    for name, value in drawn:
        if _is_regular(value):
            raise SettingsError(
                f"{name} is not random: its bytes follow a pattern; make it with "
                "`openssl rand -hex 32`"
            )
        for folder in local_folders(environment):
            if value.hex() in _text(folder / "pepper") + _text(folder / "seal-keys"):
                raise SettingsError(
                    f"{name} is that of a local ledger, in {folder}: make another with "
                    "`openssl rand -hex 32`; to run a ledger that began as a local one, move its "
                    "secrets out of that folder first"
                )
    if pepper in (key for _, key in seal_keys):
        raise SettingsError("LEDGER_SEAL_KEYS holds the pepper: each secret is drawn for itself")


def local_folders(environment: Mapping[str, str]) -> list[Path]:
    """The data folders of local ledgers in sight: the usual one, and those that files lie in."""
    named = (given(environment, f"{name}_FILE") for name in ("LEDGER_PEPPER", "LEDGER_SEAL_KEYS"))
    candidates = [Path(given(environment, "LEDGER_DATA") or "ledger-data")]
    candidates += [Path(file).parent for file in named if file]
    return [folder for folder in dict.fromkeys(candidates) if (folder / "demo-token").is_file()]


def _is_regular(value: bytes) -> bool:
    steps = {(after - before) % 256 for before, after in pairwise(value)}
    few = min(len(set(value)), len(steps)) < _DIFFERENT_MIN
    return few or (value.isascii() and value.decode().isprintable())


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").lower()
    except (OSError, UnicodeDecodeError):
        return ""


def _hosts(kafka: KafkaBrokers) -> list[str]:
    return [one.rpartition(":")[0] for one in kafka.bootstrap.split(",")]


def _names(replicas: Sequence[str]) -> list[str]:
    return [urlsplit(url).hostname or "" for url in replicas]


def _letters() -> Iterator[str]:
    return map(chr, range(ord("A"), ord("Z") + 1))
