"""Settings that every process shares: one frozen object, read once from the environment.

Outside the local run (`LEDGER_LOCAL=1`, which `ledger up` sets) nothing secret has a default:
a process that lacks its pepper or its seal keys refuses to start and names the variable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct, ValidationError, convert

from ledger.domain.identifiers import Pepper, partition_count
from ledger.domain.terms import Terms

SEAL_KEY_BYTES: Final = 32
_KID: Final = re.compile(r"[0-9A-Za-z]{1,64}")


class SettingsError(Exception):
    """A setting is missing or wrong; its text names the variable and the way out, no secret."""


class CatalogSettings(Struct, frozen=True, kw_only=True):
    """The one account, product and policy of a ledger without a catalog, by slug."""

    account: str
    product: str
    policy: str
    terms: Terms


class Settings(Struct, frozen=True, kw_only=True):
    """What every process of a ledger is told.

    `kafka`: bootstrap servers, `host:port,…`. `replicas`: a Redis URL each, A first.
    `partitions`: N of the license topics. `topic_prefix` keeps tests apart on one broker.
    `seal_keys`: (kid, 32 bytes), the current one first; older ones still open.
    """

    kafka: str
    partitions: int
    topic_prefix: str
    replicas: tuple[str, ...]
    pepper: Pepper
    seal_keys: tuple[tuple[str, bytes], ...]
    catalog: CatalogSettings
    local: bool

    def __repr__(self) -> str:
        """Print what may be printed: no secret, no password in a URL."""
        return (
            f"Settings(kafka={self.kafka!r}, partitions={self.partitions}, "
            f"topic_prefix={self.topic_prefix!r}, replicas={len(self.replicas)}, "
            f"seal_keys={[kid for kid, _ in self.seal_keys]}, local={self.local})"
        )


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings of the environment (`LEDGER_*`); raises `SettingsError` by name."""
    replicas = _required(
        environment, "LEDGER_REPLICAS", "redis://host:port/0, comma between A and B"
    )
    return Settings(
        kafka=_required(environment, "LEDGER_KAFKA", "host:port of a broker"),
        partitions=_partitions(environment),
        topic_prefix=environment.get("LEDGER_TOPIC_PREFIX", ""),
        replicas=tuple(url.strip() for url in replicas.split(",") if url.strip()),
        pepper=_pepper(environment),
        seal_keys=_seal_keys(environment),
        catalog=_catalog(environment),
        local=environment.get("LEDGER_LOCAL") == "1",
    )


def whole_number(environment: Mapping[str, str], name: str, default: int | None) -> int | None:
    """Whole number of a variable; empty or missing gives `default`."""
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        msg = f"{name} is a whole number, not {text[:32]!r}"
        raise SettingsError(msg)
    return int(text)


def _required(environment: Mapping[str, str], name: str, what: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        msg = f"{name} is not set: it is {what} (`ledger up` sets it for the local run)"
        raise SettingsError(msg)
    return value


def _secret(environment: Mapping[str, str], name: str, what: str) -> str:
    """Value of a secret variable, or of the file that `<name>_FILE` names."""
    file = environment.get(f"{name}_FILE", "").strip()
    if not file:
        return _required(environment, name, what)
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        msg = f"{name}_FILE can't be read: {error.strerror}"
        raise SettingsError(msg) from None


def _pepper(environment: Mapping[str, str]) -> Pepper:
    text = _secret(
        environment, "LEDGER_PEPPER", "64 to 128 hex digits, fixed for the ledger's life"
    )
    try:
        return Pepper(bytes.fromhex(text))
    except ValueError:
        msg = "LEDGER_PEPPER is not 64 to 128 hex digits (32 to 64 bytes)"
        raise SettingsError(msg) from None


def _seal_keys(environment: Mapping[str, str]) -> tuple[tuple[str, bytes], ...]:
    text = _secret(environment, "LEDGER_SEAL_KEYS", "kid:64 hex digits, the current key first")
    keys: list[tuple[str, bytes]] = []
    for entry in filter(None, (part.strip() for part in text.replace("\n", ",").split(","))):
        kid, _, digits = entry.partition(":")
        try:
            key = bytes.fromhex(digits)
        except ValueError:
            key = b""
        known = kid in (name for name, _ in keys)
        if known or not _KID.fullmatch(kid) or len(key) != SEAL_KEY_BYTES:
            msg = "LEDGER_SEAL_KEYS is a list of kid:64 hex digits, commas between, each kid once"
            raise SettingsError(msg)
        keys.append((kid, key))
    if not keys:
        msg = "LEDGER_SEAL_KEYS names no key"
        raise SettingsError(msg)
    return tuple(keys)


def _partitions(environment: Mapping[str, str]) -> int:
    try:
        return partition_count(whole_number(environment, "LEDGER_PARTITIONS", 16) or 0)
    except ValueError as error:
        msg = f"LEDGER_PARTITIONS: {error}"
        raise SettingsError(msg) from None


def _catalog(environment: Mapping[str, str]) -> CatalogSettings:
    return CatalogSettings(
        account=environment.get("LEDGER_ACCOUNT", "").strip() or "demo",
        product=environment.get("LEDGER_PRODUCT", "").strip() or "product",
        policy=environment.get("LEDGER_POLICY", "").strip() or "standard",
        terms=_terms(environment),
    )


def _terms(environment: Mapping[str, str]) -> Terms:
    given = {
        "max_machines": whole_number(environment, "LEDGER_POLICY_MAX_MACHINES", None),
        "overage": environment.get("LEDGER_POLICY_OVERAGE") or "NO_OVERAGE",
        "duration_s": whole_number(environment, "LEDGER_POLICY_DURATION_S", None),
        "expiration_strategy": environment.get("LEDGER_POLICY_EXPIRATION_STRATEGY")
        or "RESTRICT_ACCESS",
        "strict": environment.get("LEDGER_POLICY_STRICT") == "1",
        "floating": environment.get("LEDGER_POLICY_FLOATING", "1") == "1",
    }
    try:
        return convert(given, Terms)
    except ValidationError as error:
        msg = f"LEDGER_POLICY_*: {error}"
        raise SettingsError(msg) from None
