"""How Kafka and Redis are reached: what is read, and what is refused by name, without a secret."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from api.settings import read_api_settings
from ledger.settings import SettingsError, read_settings
from projector.settings import read_projector_settings

HIDDEN = "hunter2"
ENVIRONMENT = {
    "LEDGER_KAFKA": "127.0.0.1:1",
    "LEDGER_REPLICAS": "redis://127.0.0.1:2/0",
    "LEDGER_PEPPER": secrets.token_hex(32),
    "LEDGER_SEAL_KEYS": f"k1:{secrets.token_hex(32)}",
}
SASL = {
    "LEDGER_KAFKA": "b1.example:9093, [2001:db8::1]:9093",
    "LEDGER_KAFKA_SECURITY": "SASL_SSL",
    "LEDGER_KAFKA_USER": "api",
    "LEDGER_KAFKA_PASSWORD": HIDDEN,
}
AWAY = {"LEDGER_REPLICAS": f"rediss://api:{HIDDEN}@r1.example:6380/0"}
API = {"LEDGER_API_TOKEN_DIGESTS": sha256(b"x" * 40).hexdigest(), "LEDGER_API_PORT": "8443"}


def refusal(changes: Mapping[str, str]) -> str:
    """What an API worker says of the settings."""
    with pytest.raises(SettingsError) as caught:
        read_api_settings({**ENVIRONMENT, **API, **changes})
    said = str(caught.value)
    for secret in (HIDDEN, ENVIRONMENT["LEDGER_PEPPER"], changes.get("LEDGER_PEPPER") or HIDDEN):
        assert secret not in said
    return said


def test_kafka_with_tls_and_a_password_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{HIDDEN}\n")
    file = {"LEDGER_KAFKA_PASSWORD_FILE": str(tmp_path / "password")}
    kafka = read_settings({**ENVIRONMENT, **SASL, **file, "LEDGER_KAFKA_PASSWORD": "other"}).kafka
    arguments = kafka.arguments()
    assert arguments["bootstrap_servers"] == "b1.example:9093,[2001:db8::1]:9093"
    assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
    assert arguments["sasl_plain_password"] == HIDDEN
    assert arguments["ssl_context"] is not None


def test_a_plain_broker_on_this_machine_gets_no_credentials() -> None:
    kafka = read_settings(ENVIRONMENT).kafka
    assert kafka.arguments() == {
        "bootstrap_servers": "127.0.0.1:1",
        "security_protocol": "PLAINTEXT",
    }


def test_user_and_password_of_redis_come_into_each_url(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a/b@c,d")
    changes = {
        "LEDGER_REPLICAS": "rediss://old:older@a.example:6380, rediss://[::1]:6381/3",
        "LEDGER_REDIS_USER": "api",
        "LEDGER_REDIS_PASSWORD_FILE": str(tmp_path / "password"),
    }
    assert read_settings({**ENVIRONMENT, **changes}).replicas == (
        "rediss://api:a%2Fb%40c%2Cd@a.example:6380/0",
        "rediss://api:a%2Fb%40c%2Cd@[::1]:6381/3",
    )


def test_nothing_secret_is_printed() -> None:
    environment = {**ENVIRONMENT, **API, **SASL, **AWAY}
    for settings in (read_api_settings(environment), read_projector_settings(environment)):
        shown = f"{settings!r} {settings}"
        for secret in (HIDDEN, ENVIRONMENT["LEDGER_PEPPER"], ENVIRONMENT["LEDGER_SEAL_KEYS"][3:]):
            assert secret not in shown
    assert HIDDEN not in repr(read_settings(environment).kafka)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("LEDGER_KAFKA", {"LEDGER_KAFKA": "broker"}),
        ("LEDGER_KAFKA", {"LEDGER_KAFKA": f"user:{HIDDEN}@broker:9092"}),
        ("LEDGER_KAFKA_SECURITY", {"LEDGER_KAFKA_SECURITY": "TLS"}),
        ("LEDGER_KAFKA_MECHANISM", {**SASL, "LEDGER_KAFKA_MECHANISM": "GSSAPI"}),
        ("LEDGER_KAFKA_USER", {**SASL, "LEDGER_KAFKA_USER": ""}),
        ("LEDGER_KAFKA_PASSWORD", {**SASL, "LEDGER_KAFKA_PASSWORD": ""}),
        ("LEDGER_KAFKA_PASSWORD_FILE", {**SASL, "LEDGER_KAFKA_PASSWORD_FILE": "no/such/file"}),
        ("LEDGER_KAFKA_SECURITY", {"LEDGER_KAFKA_USER": "api"}),
        ("LEDGER_KAFKA_SECURITY", {"LEDGER_KAFKA_CA_FILE": "ca.pem"}),
        ("LEDGER_KAFKA_CA_FILE", {**SASL, "LEDGER_KAFKA_CA_FILE": "no/such/file"}),
        ("LEDGER_KAFKA_CA_FILE", {**SASL, "LEDGER_KAFKA_CA_FILE": __file__}),
        ("LEDGER_KAFKA_CERT_FILE", {**SASL, "LEDGER_KAFKA_KEY_FILE": __file__}),
        ("LEDGER_KAFKA_CERT_FILE", {**SASL, "LEDGER_KAFKA_CERT_FILE": __file__}),
        ("LEDGER_REPLICAS", {"LEDGER_REPLICAS": f"http://x:{HIDDEN}@127.0.0.1/0"}),
        ("LEDGER_REPLICAS", {"LEDGER_REPLICAS": f"redis://x:{HIDDEN}@127.0.0.1:port/0"}),
        ("LEDGER_REDIS_CA_FILE", {"LEDGER_REPLICAS": "rediss://127.0.0.1:1/0?ssl_cert_reqs=none"}),
        ("LEDGER_REDIS_CA_FILE", {"LEDGER_REDIS_CA_FILE": "no/such/file"}),
        ("LEDGER_REDIS_PASSWORD_FILE", {"LEDGER_REDIS_USER": "api"}),
        ("LEDGER_REDIS_PASSWORD_FILE", {"LEDGER_REPLICAS": "redis://api@127.0.0.1:1/0"}),
        ("LEDGER_API_TLS_KEY_FILE", {"LEDGER_API_TLS_CERT_FILE": __file__}),
        (
            "LEDGER_API_TLS_CERT_FILE",
            {"LEDGER_API_TLS_CERT_FILE": __file__, "LEDGER_API_TLS_KEY_FILE": __file__},
        ),
    ],
)
def test_what_does_not_fit_is_named(name: str, changes: Mapping[str, str]) -> None:
    assert name in refusal(changes)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("LEDGER_KAFKA_SECURITY", {"LEDGER_KAFKA": "b.example:9092"}),
        ("LEDGER_KAFKA_SECURITY", {**SASL, "LEDGER_KAFKA_SECURITY": "SASL_PLAINTEXT"}),
        ("rediss://", {"LEDGER_REPLICAS": f"redis://:{HIDDEN}@r.example:6379/0"}),
        ("LEDGER_API_HOST", {"LEDGER_API_HOST": "192.0.2.1"}),
    ],
)
def test_an_open_wire_is_refused_until_it_is_allowed(name: str, changes: Mapping[str, str]) -> None:
    said = refusal(changes)
    assert name in said
    assert "LEDGER_ALLOW_PLAINTEXT=1" in said
    read_api_settings({**ENVIRONMENT, **API, **changes, "LEDGER_ALLOW_PLAINTEXT": "1"})


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("LEDGER_KAFKA_CERT_FILE", {"LEDGER_KAFKA": "b:1", "LEDGER_KAFKA_SECURITY": "SSL"}),
        ("LEDGER_REDIS_PASSWORD_FILE", {"LEDGER_REPLICAS": "rediss://r.example:6379/0"}),
        ("LEDGER_REDIS_PASSWORD_FILE", {"LEDGER_REPLICAS": "redis://r.example:6379/0"}),
        ("LEDGER_PEPPER", {"LEDGER_PEPPER": ""}),
        ("LEDGER_PEPPER", {"LEDGER_PEPPER": "5e" * 32}),
        ("LEDGER_PEPPER", {"LEDGER_PEPPER": "0123456789abcdef" * 4}),
        ("LEDGER_PEPPER", {"LEDGER_PEPPER": bytes(range(32)).hex()}),
        ("LEDGER_PEPPER", {"LEDGER_PEPPER": b"The quick brown fox jumps over it".hex()}),
        ("LEDGER_SEAL_KEYS", {"LEDGER_SEAL_KEYS": f"k2:{'00' * 32}"}),
        ("LEDGER_SEAL_KEYS", {"LEDGER_SEAL_KEYS": f"k1:{ENVIRONMENT['LEDGER_PEPPER']}"}),
        ("LEDGER_API_TOKEN_DIGESTS", {"LEDGER_API_TOKEN_DIGESTS": ""}),
        ("LEDGER_API_TOKEN_DIGESTS", {"LEDGER_API_TOKEN_DIGESTS": sha256(b"admin").hexdigest()}),
    ],
)
def test_a_missing_or_made_up_secret_is_refused_whatever_is_allowed(
    name: str, changes: Mapping[str, str]
) -> None:
    assert name in refusal({**changes, "LEDGER_ALLOW_PLAINTEXT": "1"})


@pytest.mark.parametrize(
    ("name", "changes"),
    [("LEDGER_KAFKA", SASL), ("LEDGER_REPLICAS", AWAY)],
)
def test_the_local_run_is_for_this_machine(name: str, changes: Mapping[str, str]) -> None:
    said = refusal({**changes, "LEDGER_LOCAL": "1"})
    assert name in said
    assert "LEDGER_LOCAL" in said


def test_made_up_secrets_are_fine_in_the_local_run() -> None:
    made_up = {"LEDGER_PEPPER": "5e" * 32, "LEDGER_SEAL_KEYS": f"k1:{'7a' * 32}"}
    assert read_settings({**ENVIRONMENT, **made_up, "LEDGER_LOCAL": "1"}).local
