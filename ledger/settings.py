"""Settings that every process shares: one frozen object, read once from the environment.

Outside the local run (`LEDGER_LOCAL=1`, which `ledger up` sets) nothing secret has a default:
a process that lacks its pepper or its seal keys refuses to start and names the variable. What
else it refuses there is in `ledger.outside`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct, ValidationError, convert

from ledger.connection_settings import read_brokers, read_replicas
from ledger.connections import KafkaBrokers
from ledger.domain.identifiers import Pepper, partition_count
from ledger.domain.terms import Terms
from ledger.environment import SettingsError, given, required_secret, whole_number
from ledger.outside import (
    allows_plaintext,
    refuse_elsewhere,
    refuse_open_wire,
    refuse_weak_secrets,
)

__all__ = [
    "CatalogSettings",
    "Settings",
    "SettingsError",
    "read_pepper",
    "read_settings",
    "whole_number",
]

SEAL_KEY_BYTES: Final = 32
LOCAL_COPY_MAX_MB: Final = 8192
"""Room for some millions of licenses; what isn't used takes no space."""
LOCAL_COPY_MIN_MB: Final = 16
LOCAL_COPY_MOST_MB: Final = 1 << 20
_KID: Final = re.compile(r"[0-9A-Za-z]{1,64}")


class CatalogSettings(Struct, frozen=True, kw_only=True):
    """The one account, product and policy of a ledger without a catalog, by slug."""

    account: str
    product: str
    policy: str
    terms: Terms


class Settings(Struct, frozen=True, kw_only=True):
    """What every process of a ledger is told.

    `kafka`: how the brokers are reached. `replicas`: a Redis URL each, A first, with its password.
    `partitions`: N of the license topics. `topic_prefix` keeps tests apart on one broker.
    `seal_keys`: (kid, 32 bytes), the current one first; older ones still open. `local_copy`: this
    host's folder for its complete copy of the read model, empty where it keeps none, and what its
    file may grow to.
    """

    kafka: KafkaBrokers
    partitions: int
    topic_prefix: str
    replicas: tuple[str, ...]
    pepper: Pepper
    seal_keys: tuple[tuple[str, bytes], ...]
    catalog: CatalogSettings
    local: bool
    local_copy: str = ""
    local_copy_max_bytes: int = LOCAL_COPY_MAX_MB << 20

    def __repr__(self) -> str:
        """Print what may be printed: no secret, no password in a URL."""
        return (
            f"Settings(kafka={self.kafka!r}, partitions={self.partitions}, "
            f"topic_prefix={self.topic_prefix!r}, replicas={len(self.replicas)}, "
            f"seal_keys={[kid for kid, _ in self.seal_keys]}, local={self.local}, "
            f"local_copy={self.local_copy!r})"
        )


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings of the environment (`LEDGER_*`); raises `SettingsError` by name."""
    pepper, seal_keys = read_pepper(environment), _seal_keys(environment)
    found = Settings(
        kafka=read_brokers(environment),
        partitions=read_partitions(environment),
        topic_prefix=environment.get("LEDGER_TOPIC_PREFIX", ""),
        replicas=read_replicas(environment),
        pepper=Pepper(pepper),
        seal_keys=seal_keys,
        catalog=_catalog(environment),
        local=environment.get("LEDGER_LOCAL") == "1",
        local_copy=given(environment, "LEDGER_LOCAL_COPY"),
        local_copy_max_bytes=_local_copy_max_mb(environment) << 20,
    )
    if found.local:
        refuse_elsewhere(found.kafka, found.replicas)
    else:
        allowed = allows_plaintext(environment)
        refuse_open_wire(found.kafka, found.replicas, allows_plaintext=allowed)
        refuse_weak_secrets(environment, pepper, seal_keys)
    return found


def read_pepper(environment: Mapping[str, str]) -> bytes:
    """The pepper's bytes; raises `SettingsError`."""
    text = required_secret(
        environment, "LEDGER_PEPPER", "64 to 128 hex digits, fixed for the ledger's life"
    )
    try:
        secret = bytes.fromhex(text)
        Pepper(secret)
    except ValueError:
        msg = "LEDGER_PEPPER is not 64 to 128 hex digits (32 to 64 bytes)"
        raise SettingsError(msg) from None
    return secret


def _seal_keys(environment: Mapping[str, str]) -> tuple[tuple[str, bytes], ...]:
    text = required_secret(
        environment, "LEDGER_SEAL_KEYS", "kid:64 hex digits, the current key first"
    )
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


def read_partitions(environment: Mapping[str, str]) -> int:
    """How many partitions the ledger has; raises `SettingsError`."""
    try:
        return partition_count(whole_number(environment, "LEDGER_PARTITIONS", 16) or 0)
    except ValueError as error:
        msg = f"LEDGER_PARTITIONS: {error}"
        raise SettingsError(msg) from None


def _local_copy_max_mb(environment: Mapping[str, str]) -> int:
    limit = whole_number(environment, "LEDGER_LOCAL_COPY_MAX_MB", LOCAL_COPY_MAX_MB) or 0
    if not LOCAL_COPY_MIN_MB <= limit <= LOCAL_COPY_MOST_MB:
        msg = f"LEDGER_LOCAL_COPY_MAX_MB is from {LOCAL_COPY_MIN_MB} to {LOCAL_COPY_MOST_MB}"
        raise SettingsError(msg)
    return limit


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
