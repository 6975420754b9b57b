"""Settings: each variable by name, no secret shown."""

from __future__ import annotations

import secrets
from hashlib import sha256

import pytest

from api.settings import read_api_settings
from ledger.settings import SettingsError

PEPPER = secrets.token_hex(32)
SEAL_KEY = secrets.token_hex(32)
DIGEST = sha256(b"a token").hexdigest()
"""The same in every process of a run: a test is named for it."""
ENVIRONMENT = {
    "LEDGER_KAFKA": "localhost:9092",
    "LEDGER_REPLICAS": "redis://:password@localhost:1/0,redis://localhost:2/0",
    "LEDGER_PEPPER": PEPPER,
    "LEDGER_SEAL_KEYS": f"k1:{SEAL_KEY}",
    "LEDGER_API_TOKEN_DIGESTS": DIGEST,
    "LEDGER_API_PORT": "8080",
}


def test_what_is_set_is_read() -> None:
    other = sha256(b"other").hexdigest()
    settings = read_api_settings(
        ENVIRONMENT
        | {
            "LEDGER_API_TOKEN_DIGESTS": f" {DIGEST}, {other.upper()} ,",
            "LEDGER_API_SHARED_FD": "0",
            "LEDGER_API_OWN_PORT": "9001",
            "LEDGER_API_HOST": "::1",
            "LEDGER_API_WRITES_MAX": "7",
            "LEDGER_API_ACCESS_LOG": "0",
            "LEDGER_API_TOKEN_PER_MINUTE": "0",
            "LEDGER_API_ADDRESS_PER_MINUTE": "600",
            "LEDGER_API_PROXIES": "10.1.0.0/16, 2001:db8::7",
        }
    )
    assert settings.token_digests == (bytes.fromhex(DIGEST), bytes.fromhex(other))
    assert (settings.shared_fd, settings.port, settings.own_port) == (0, 8080, 9001)
    assert (settings.host, settings.writes_max, settings.access_log) == ("::1", 7, False)
    assert (settings.token_per_minute, settings.address_per_minute) == (0, 600)
    assert settings.failures_per_minute == 300
    assert [str(network) for network in settings.proxies] == ["10.1.0.0/16", "2001:db8::7/128"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEDGER_API_TOKEN_DIGESTS", ""),
        ("LEDGER_API_TOKEN_DIGESTS", "token-in-the-clear"),
        ("LEDGER_API_TOKEN_DIGESTS", DIGEST[:-2]),
        ("LEDGER_API_PORT", "0"),
        ("LEDGER_API_PORT", "65536"),
        ("LEDGER_API_PORT", "http"),
        ("LEDGER_API_PORT", ""),
        ("LEDGER_API_OWN_PORT", "70000"),
        ("LEDGER_API_REQUESTS_MAX", "0"),
        ("LEDGER_API_WRITES_MAX", "-1"),
        ("LEDGER_API_TOKEN_PER_MINUTE", "-1"),
        ("LEDGER_API_ADDRESS_PER_MINUTE", "some"),
        ("LEDGER_API_FAILURES_PER_MINUTE", "1.5"),
        ("LEDGER_API_PROXIES", "proxy.example"),
        ("LEDGER_API_PROXIES", "10.0.0.0/8 fd00::/8"),
    ],
)
def test_what_is_wrong_is_named_and_not_shown(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_api_settings(ENVIRONMENT | {name: value})
    assert name in str(caught.value)
    assert "token-in-the-clear" not in str(caught.value)


def test_no_secret_is_printed() -> None:
    shown = repr(read_api_settings(ENVIRONMENT))
    for secret in (PEPPER, SEAL_KEY, DIGEST, "password"):
        assert secret not in shown
