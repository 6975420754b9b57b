"""How Kafka and Redis are reached: LEDGER_KAFKA, LEDGER_REPLICAS, and what goes with them.

The user and the password of Redis may stand in each URL or, for all of them, in variables of
their own. What is given back is a URL as redis-py reads it, with both and with the CA's file in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

from ledger.connections import (
    MECHANISMS,
    SECURITIES,
    KafkaBrokers,
    Mechanism,
    Security,
    client_context,
)
from ledger.environment import SettingsError, given, required, secret

_BROKER: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s,:@/\[\]]+):\d{1,5}")
_REDIS_FORM: Final = "redis://host:port/0 or, with TLS, rediss://user@host:port/0"


def read_brokers(environment: Mapping[str, str]) -> KafkaBrokers:
    """The brokers of LEDGER_KAFKA and LEDGER_KAFKA_*; raises `SettingsError` by name."""
    bootstrap = required(environment, "LEDGER_KAFKA", "host:port of a broker")
    hosts = [host.strip() for host in bootstrap.split(",") if host.strip()]
    if not hosts or not all(map(_BROKER.fullmatch, hosts)):
        raise SettingsError("LEDGER_KAFKA is a list of host:port, with a comma between them")
    security = _one_of(environment, "LEDGER_KAFKA_SECURITY", SECURITIES)
    mechanism = _one_of(environment, "LEDGER_KAFKA_MECHANISM", MECHANISMS)
    found = KafkaBrokers(
        bootstrap=",".join(hosts),
        security=cast("Security", security),
        mechanism=cast("Mechanism", mechanism),
        user=given(environment, "LEDGER_KAFKA_USER"),
        password=secret(environment, "LEDGER_KAFKA_PASSWORD"),
        ca_file=given(environment, "LEDGER_KAFKA_CA_FILE"),
        certificate_file=given(environment, "LEDGER_KAFKA_CERT_FILE"),
        key_file=given(environment, "LEDGER_KAFKA_KEY_FILE"),
    )
    _check_user(found)
    _check_tls(found)
    return found


def read_replicas(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The Redis URL of each replica, A first; raises `SettingsError` by name."""
    listed = required(environment, "LEDGER_REPLICAS", f"{_REDIS_FORM}, comma between A and B")
    urls = [url.strip() for url in listed.split(",") if url.strip()]
    if not urls:
        raise SettingsError("LEDGER_REPLICAS names no replica")
    user = given(environment, "LEDGER_REDIS_USER")
    password = secret(environment, "LEDGER_REDIS_PASSWORD")
    if user and not password:
        raise SettingsError(
            "LEDGER_REDIS_USER is set, but not its password: set LEDGER_REDIS_PASSWORD_FILE "
            "(or LEDGER_REDIS_PASSWORD)"
        )
    ca_file = given(environment, "LEDGER_REDIS_CA_FILE")
    if ca_file:
        _check_file("LEDGER_REDIS_CA_FILE", ca_file)
    return tuple(_replica(url, user, password, ca_file) for url in urls)


def _replica(url: str, user: str, password: str, ca_file: str) -> str:
    parts, port = _parsed(url)
    if ca_file and parts.scheme != "rediss":
        raise SettingsError(
            "LEDGER_REDIS_CA_FILE is set, but a URL of LEDGER_REPLICAS is redis://, without TLS: "
            "write rediss://"
        )
    name = user or unquote(parts.username or "")
    word = password or unquote(parts.password or "")
    if name and not word:
        raise SettingsError(
            "a URL of LEDGER_REPLICAS has a user without a password: set "
            "LEDGER_REDIS_PASSWORD_FILE (or LEDGER_REDIS_PASSWORD)"
        )
    access = f"{quote(name, safe='')}:{quote(word, safe='')}@" if word else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    query = "?" + urlencode({"ssl_ca_certs": ca_file}) if ca_file else ""
    return f"{parts.scheme}://{access}{host}:{port or 6379}{parts.path or '/0'}{query}"


def _parsed(url: str) -> tuple[SplitResult, int | None]:
    """Parts of a Redis URL and its port; the URL itself is never shown, it may have a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError(f"a URL of LEDGER_REPLICAS can't be read: {_REDIS_FORM}") from None
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise SettingsError(f"a URL of LEDGER_REPLICAS is not of the form {_REDIS_FORM}")
    if parts.query or parts.fragment or not re.fullmatch(r"(/\d*)?", parts.path):
        raise SettingsError(
            "a URL of LEDGER_REPLICAS has more than user, password, host, port and database: "
            f"{_REDIS_FORM} (the CA's file is LEDGER_REDIS_CA_FILE; in a password % / ? # @ are "
            "written %25 %2F %3F %23 %40)"
        )
    return parts, port


def _one_of(environment: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = given(environment, name) or allowed[0]
    if value not in allowed:
        raise SettingsError(f"{name} is one of {', '.join(allowed)}, not {value[:32]!r}")
    return value


def _check_user(found: KafkaBrokers) -> None:
    if not found.has_user:
        if found.user or found.password:
            raise SettingsError(
                f"LEDGER_KAFKA_USER and LEDGER_KAFKA_PASSWORD are not sent with "
                f"LEDGER_KAFKA_SECURITY={found.security}: set it to SASL_SSL"
            )
        return
    if not found.user:
        raise SettingsError(f"LEDGER_KAFKA_USER is not set: {found.security} sends a user's name")
    if not found.password:
        raise SettingsError(
            f"LEDGER_KAFKA_PASSWORD is not set: {found.security} sends a password; name its file "
            "in LEDGER_KAFKA_PASSWORD_FILE"
        )


def _check_tls(found: KafkaBrokers) -> None:
    files = {
        "LEDGER_KAFKA_CA_FILE": found.ca_file,
        "LEDGER_KAFKA_CERT_FILE": found.certificate_file,
        "LEDGER_KAFKA_KEY_FILE": found.key_file,
    }
    if not found.has_tls:
        if named := [name for name, file in files.items() if file]:
            raise SettingsError(
                f"{named[0]} is set, but LEDGER_KAFKA_SECURITY={found.security} has no TLS: set it "
                "to SASL_SSL (or SSL)"
            )
        return
    if found.key_file and not found.certificate_file:
        raise SettingsError("LEDGER_KAFKA_KEY_FILE is set, but not LEDGER_KAFKA_CERT_FILE")
    if found.ca_file:
        _check_file("LEDGER_KAFKA_CA_FILE", found.ca_file)
    try:
        client_context(found.ca_file, found.certificate_file, found.key_file)
    except OSError:
        raise SettingsError(
            "LEDGER_KAFKA_CERT_FILE and LEDGER_KAFKA_KEY_FILE are not a certificate with its key, "
            "in PEM and without a passphrase"
        ) from None


def _check_file(name: str, file: str) -> None:
    """See that a file holds certificates."""
    try:
        client_context(file)
    except FileNotFoundError:
        raise SettingsError(f"{name} names a file that is not there") from None
    except OSError:
        raise SettingsError(f"{name} is not a readable file of certificates in PEM") from None
