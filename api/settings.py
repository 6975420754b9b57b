"""What an API worker is told besides what every process is: tokens, sockets, TLS, limits."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from msgspec import Struct

from api.addresses import Network, networks
from ledger.connections import is_loopback
from ledger.emergency.keys import read_keys
from ledger.environment import given
from ledger.outside import allows_plaintext, local_folders
from ledger.settings import Settings, SettingsError, read_settings, whole_number

DIGEST_BYTES: Final = 32
REQUESTS_MAX: Final = 2048
WRITES_MAX: Final = 1024
TOKEN_PER_MINUTE: Final = 120_000
FAILURES_PER_MINUTE: Final = 300
PORT_MAX: Final = 65_535
_GUESSABLE: Final = (
    *("", "admin", "admin-token", "changeme", "change-me", "default", "demo", "demo-token"),
    *("ledger", "license", "password", "secret", "test", "test-token", "token", "TOKEN", "123456"),
)


class ApiSettings(Struct, frozen=True, kw_only=True):
    """Settings of one API worker.

    `token_digests`: SHA-256 of each bearer token that may do everything. `shared_fd`: a listening
    socket that was handed over, else `host` and `port` are bound where `port` is given.
    `own_port`: a port of this worker alone, on loopback. `certificate_file` and `key_file`: PEM;
    with them every socket speaks TLS. `requests_max` and `writes_max`: requests
    in progress at once, above them 429.

    In a minute, for this worker: requests of one principal (`token_per_minute`) and from one
    address (`address_per_minute`), keys and tokens from one address that there are not
    (`failures_per_minute`); 0: any number. `proxies`: whose X-Forwarded-For is believed.

    `emergency_keys`: name and public half, as hex, of each key whose emergency orders are obeyed.
    `emergency_orders`: the folder that they are put into; empty: none.
    """

    ledger: Settings
    token_digests: tuple[bytes, ...]
    host: str = "127.0.0.1"
    port: int | None = None
    shared_fd: int | None = None
    own_port: int | None = None
    certificate_file: str = ""
    key_file: str = ""
    requests_max: int = REQUESTS_MAX
    writes_max: int = WRITES_MAX
    token_per_minute: int = TOKEN_PER_MINUTE
    address_per_minute: int = 0
    failures_per_minute: int = FAILURES_PER_MINUTE
    proxies: tuple[Network, ...] = ()
    access_log: bool = True
    emergency_keys: tuple[tuple[str, str], ...] = ()
    emergency_orders: str = ""

    def __repr__(self) -> str:
        """Print what may be printed."""
        return (
            f"ApiSettings({self.ledger!r}, tokens={len(self.token_digests)}, host={self.host!r}, "
            f"port={self.port}, shared_fd={self.shared_fd}, own_port={self.own_port}, "
            f"tls={bool(self.certificate_file)}, "
            f"requests_max={self.requests_max}, writes_max={self.writes_max}, "
            f"token_per_minute={self.token_per_minute}, "
            f"address_per_minute={self.address_per_minute}, "
            f"failures_per_minute={self.failures_per_minute}, proxies={len(self.proxies)}, "
            f"emergency_keys={[name for name, _ in self.emergency_keys]}, "
            f"emergency_orders={self.emergency_orders!r})"
        )


def read_api_settings(environment: Mapping[str, str]) -> ApiSettings:
    """Settings of the environment (`LEDGER_*`, `LEDGER_API_*`); raises `SettingsError` by name."""
    settings = ApiSettings(
        ledger=read_settings(environment),
        token_digests=_token_digests(environment),
        host=environment.get("LEDGER_API_HOST", "").strip() or "127.0.0.1",
        port=_port(environment, "LEDGER_API_PORT"),
        shared_fd=whole_number(environment, "LEDGER_API_SHARED_FD", None),
        own_port=_port(environment, "LEDGER_API_OWN_PORT"),
        certificate_file=given(environment, "LEDGER_API_TLS_CERT_FILE"),
        key_file=given(environment, "LEDGER_API_TLS_KEY_FILE"),
        requests_max=_at_least_one(environment, "LEDGER_API_REQUESTS_MAX", REQUESTS_MAX),
        writes_max=_at_least_one(environment, "LEDGER_API_WRITES_MAX", WRITES_MAX),
        token_per_minute=_per_minute(environment, "TOKEN", TOKEN_PER_MINUTE),
        address_per_minute=_per_minute(environment, "ADDRESS", 0),
        failures_per_minute=_per_minute(environment, "FAILURES", FAILURES_PER_MINUTE),
        proxies=_proxies(environment),
        access_log=environment.get("LEDGER_API_ACCESS_LOG", "1") != "0",
        emergency_keys=read_keys(environment),
        emergency_orders=given(environment, "LEDGER_EMERGENCY_ORDERS"),
    )
    if settings.shared_fd is None and settings.port is None and settings.own_port is None:
        raise SettingsError(
            "the API has nowhere to listen: set LEDGER_API_PORT (and LEDGER_API_HOST), "
            "LEDGER_API_SHARED_FD or LEDGER_API_OWN_PORT"
        )
    _check_certificate(settings)
    if not settings.ledger.local:
        _refuse_open_door(settings, environment)
    return settings


def _check_certificate(settings: ApiSettings) -> None:
    """See that certificate and key are there and belong together."""
    if not (settings.certificate_file or settings.key_file):
        return
    if not (settings.certificate_file and settings.key_file):
        raise SettingsError(
            "LEDGER_API_TLS_CERT_FILE and LEDGER_API_TLS_KEY_FILE go together: set both or none"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.certificate_file, settings.key_file, _no_passphrase)
    except FileNotFoundError:
        raise SettingsError(
            "LEDGER_API_TLS_CERT_FILE or LEDGER_API_TLS_KEY_FILE names a file that is not there"
        ) from None
    except OSError:
        raise SettingsError(
            "LEDGER_API_TLS_CERT_FILE and LEDGER_API_TLS_KEY_FILE are not a certificate with its "
            "key, in PEM, readable and without a passphrase"
        ) from None


def _no_passphrase() -> str:
    """Give none, where OpenSSL would ask for one at the terminal."""
    return ""


def _refuse_open_door(settings: ApiSettings, environment: Mapping[str, str]) -> None:
    """Outside the local run: no token that is known, none over an open wire."""
    known = {sha256(word.encode()).digest() for word in _GUESSABLE}
    if known & set(settings.token_digests):
        raise SettingsError(
            "LEDGER_API_TOKEN_DIGESTS holds the digest of a word that anybody guesses: make a "
            "token with `openssl rand -hex 32`"
        )
    for folder in local_folders(environment):
        token = (folder / "demo-token").read_text(encoding="utf-8", errors="replace").strip()
        if sha256(token.encode()).digest() in settings.token_digests:
            raise SettingsError(
                f"LEDGER_API_TOKEN_DIGESTS holds the demo token of a local ledger, in {folder}: "
                "make another with `openssl rand -hex 32`"
            )
    is_open = settings.shared_fd is None and settings.port and not is_loopback(settings.host)
    if is_open and not settings.certificate_file and not allows_plaintext(environment):
        raise SettingsError(
            "LEDGER_API_HOST is not loopback, and tokens would go over it in clear: set "
            "LEDGER_API_TLS_CERT_FILE and LEDGER_API_TLS_KEY_FILE, or LEDGER_ALLOW_PLAINTEXT=1 "
            "where a proxy on a private network speaks TLS for it"
        )


def _token_digests(environment: Mapping[str, str]) -> tuple[bytes, ...]:
    text = environment.get("LEDGER_API_TOKEN_DIGESTS", "")
    digests = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        try:
            digest = bytes.fromhex(entry)
        except ValueError:
            digest = b""
        if len(digest) != DIGEST_BYTES:
            raise SettingsError(
                "LEDGER_API_TOKEN_DIGESTS is a list of SHA-256 digests of tokens, 64 hex digits "
                "each, with a comma between them (printf %s TOKEN | sha256sum)"
            )
        digests.append(digest)
    if not digests:
        raise SettingsError(
            "LEDGER_API_TOKEN_DIGESTS is not set: it is the SHA-256 of each bearer token, "
            "64 hex digits (printf %s TOKEN | sha256sum)"
        )
    return tuple(digests)


def _port(environment: Mapping[str, str], name: str) -> int | None:
    port = whole_number(environment, name, None)
    if port is not None and not 1 <= port <= PORT_MAX:
        raise SettingsError(f"{name} is a port, 1 to {PORT_MAX}")
    return port


def _at_least_one(environment: Mapping[str, str], name: str, default: int) -> int:
    number = whole_number(environment, name, default) or 0
    if number < 1:
        raise SettingsError(f"{name} is a whole number from 1")
    return number


def _per_minute(environment: Mapping[str, str], what: str, default: int) -> int:
    return whole_number(environment, f"LEDGER_API_{what}_PER_MINUTE", default) or 0


def _proxies(environment: Mapping[str, str]) -> tuple[Network, ...]:
    try:
        return networks(environment.get("LEDGER_API_PROXIES", ""))
    except ValueError:
        raise SettingsError(
            "LEDGER_API_PROXIES is a list of addresses or networks with a comma between them, "
            "such as 10.1.0.0/16,2001:db8::7"
        ) from None
