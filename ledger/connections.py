"""How Kafka and Redis are reached: addresses, TLS and credentials, and words for what goes wrong.

A description never shows its password: neither its `repr` nor any text made here holds one.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, Literal, get_args

from msgspec import Struct

Security = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["SCRAM-SHA-512", "PLAIN"]
SECURITIES: Final[tuple[Security, ...]] = get_args(Security)
MECHANISMS: Final[tuple[Mechanism, ...]] = get_args(Mechanism)


class KafkaBrokers(Struct, frozen=True, kw_only=True):
    """How every client reaches the brokers.

    `bootstrap`: `host:port,…`. `ca_file`: who signs the brokers' certificates, empty: whom the
    system trusts. `certificate_file`, `key_file`: the client's own, for brokers that ask for one.
    """

    bootstrap: str
    security: Security = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    user: str = ""
    password: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""

    @property
    def named(self) -> str:
        """Who they are, for people."""
        return f"Kafka at {self.bootstrap}"

    @property
    def has_tls(self) -> bool:
        """Whether what goes over the wire is encrypted."""
        return self.security in {"SSL", "SASL_SSL"}

    @property
    def has_user(self) -> bool:
        """Whether a user and a password are sent."""
        return self.security in {"SASL_PLAINTEXT", "SASL_SSL"}

    def arguments(self) -> dict[str, object]:
        """What each client of aiokafka is made with."""
        found: dict[str, object] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security,
        }
        if self.has_tls:
            context = client_context(self.ca_file, self.certificate_file, self.key_file)
            found["ssl_context"] = context
        if self.has_user:
            found["sasl_mechanism"] = self.mechanism
            found["sasl_plain_username"] = self.user
            found["sasl_plain_password"] = self.password
        return found

    def __repr__(self) -> str:
        """Print what may be printed."""
        user = f", user={self.user!r}" if self.has_user else ""
        return f"KafkaBrokers({self.bootstrap!r}, {self.security}{user})"


def brokers(these: KafkaBrokers | str) -> KafkaBrokers:
    """A description as it is; of a bare `host:port,…` the plain one."""
    return KafkaBrokers(bootstrap=these) if isinstance(these, str) else these


@lru_cache(maxsize=16)
def client_context(
    ca_file: str = "", certificate_file: str = "", key_file: str = ""
) -> ssl.SSLContext:
    """TLS as a client does it: certificate and name of the server are always checked.

    The files are read once a process. Raises `OSError` (`ssl.SSLError` is one).
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    if certificate_file:
        context.load_cert_chain(certificate_file, key_file or None)
    return context


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address."""
    bare = host.strip("[]").rstrip(".").lower()
    if bare == "localhost":
        return True
    try:
        return ip_address(bare).is_loopback
    except ValueError:
        return False


def tls_trouble(error: BaseException) -> str | None:
    """What went wrong with TLS, in words without a secret; None where it was something else."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message.rstrip('.')}"
        if isinstance(cause, ssl.SSLError):
            reason = (cause.reason or "").replace("_", " ").lower()
            if reason in {"wrong version number", "record layer failure"}:
                return "it does not speak TLS"
            return f"TLS with it fails: {reason or 'no reason given'}"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, innermost last."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
