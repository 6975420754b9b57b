"""Identifiers: functions of what they name, keyed by the ledger's pepper.

A check computes where to look without a secondary index, and the same key issued twice meets
itself in one partition (docs/format.md, "Identity"). Ids are handled as canonical lower-case
UUID text; `UUID` objects stay at the edges.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from typing import Final
from uuid import UUID, uuid5

PARTITIONS_MAX: Final = 4096
"""Low 12 bits of an id route it, so a ledger has at most this many partitions."""

ROUTING_DIGITS: Final = 3
"""The same, as the last hex digits of an id."""

ROUTING_SUFFIXES: Final = tuple(f"{bits:03x}" for bits in range(PARTITIONS_MAX))
"""All that they can be."""

_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ID_BYTES: Final = 16
_KEY_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_KEY_RANDOM_BYTES: Final = 20
_TOKEN_BYTES: Final = 32
_PEPPER_BYTES_MIN: Final = 32
_PEPPER_BYTES_MAX: Final = 64


class Pepper:
    """The secret that keys every digest of a ledger, fixed for the ledger's life like N.

    `secret`: 32 to 64 bytes. Raises `ValueError` for any other length. Never printed.
    """

    __slots__ = ("_begun", "_secret")

    def __init__(self, secret: bytes) -> None:
        if not _PEPPER_BYTES_MIN <= len(secret) <= _PEPPER_BYTES_MAX:
            msg = f"a pepper has 32 to 64 bytes, this one has {len(secret)}"
            raise ValueError(msg)
        self._secret = secret
        self._begun: dict[tuple[str, int], hashlib.blake2b] = {}
        """Digests that have taken the secret and nothing else yet, by purpose and size."""

    def __repr__(self) -> str:
        """Say that it is one, never what it is."""
        return "Pepper(…)"

    def digest(self, purpose: str, *parts: bytes, size: int = 16) -> bytes:
        """Keyed BLAKE2b of the length-prefixed parts, apart for each purpose (≤ 16 bytes)."""
        return self.begun(purpose, *parts, size=size).digest()

    def begun(self, purpose: str, *parts: bytes, size: int = 16) -> hashlib.blake2b:
        """Begin a digest that has taken these parts, and takes more."""
        begun = self._begun.get((purpose, size))
        if begun is None:
            begun = hashlib.blake2b(key=self._secret, digest_size=size, person=purpose.encode())
            self._begun[purpose, size] = begun
        state = begun.copy()
        for part in parts:
            state.update(len(part).to_bytes(4, "big"))
            state.update(part)
        return state

    @property
    def check_value(self) -> str:
        """What genesis records hold to recognize this pepper; tells nothing about it."""
        return self.digest("ledger.check").hex()


def license_id(pepper: Pepper, account: str, key: str) -> str:
    """Id of the license that `account` (UUID text) holds under `key`."""
    return _uuid8(pepper.digest("ledger.license", id_bytes(account), key.encode()))


def license_ids(pepper: Pepper, account: str) -> Callable[[str], str]:
    """Return what makes ids of many keys of one account, each as `license_id` does."""
    begun = pepper.begun("ledger.license", id_bytes(account))

    def id_of(key: str) -> str:
        part, state = key.encode(), begun.copy()
        state.update(len(part).to_bytes(4, "big") + part)
        return _uuid8(state.digest())

    return id_of


def machine_id(pepper: Pepper, license_: str, fingerprint: str) -> str:
    """Id of a machine: the license's low 12 bits, so that it routes itself, and a digest."""
    digest = pepper.digest("ledger.machine", id_bytes(license_), fingerprint.encode())
    return _uuid8(digest)[:-ROUTING_DIGITS] + license_[-ROUTING_DIGITS:]


def command_id(
    pepper: Pepper, account: str, actor: str, license_: str, idempotency_key: str
) -> str:
    """Id of a command that carries an Idempotency-Key; its scope is account, actor, license."""
    scope = (id_bytes(account), actor.encode(), id_bytes(license_))
    return _uuid8(pepper.digest("ledger.command", *scope, idempotency_key.encode()))


def catalog_command_id(pepper: Pepper, account: str, actor: str, idempotency_key: str) -> str:
    """Id of a command on the catalog with an Idempotency-Key; its scope is account and actor."""
    scope = (id_bytes(account), actor.encode())
    return _uuid8(pepper.digest("ledger.catalog", *scope, idempotency_key.encode()))


def import_command_id(pepper: Pepper, license_: str, source: str, sequence: int) -> str:
    """Id of an imported event: the same each time that the same line is read."""
    parts = (id_bytes(license_), source.encode(), sequence.to_bytes(8, "big"))
    return _uuid8(pepper.digest("ledger.import", *parts))


def random_id() -> str:
    """Id of a command without an Idempotency-Key."""
    return _uuid8(secrets.token_bytes(16))


def fingerprint_digest(pepper: Pepper, account: str, fingerprint: str) -> str:
    """What the account's index of machines is built from, in place of the fingerprint."""
    return pepper.digest("ledger.finger", id_bytes(account), fingerprint.encode()).hex()


def new_token(pepper: Pepper, role: str, command: str | None) -> str:
    """Make a token, 256 bits behind the name of its role; for the same command the same one."""
    secret = secrets.token_bytes(_TOKEN_BYTES)
    if command is not None:
        key = pepper.digest("ledger.tokengen", size=_TOKEN_BYTES)
        secret = hmac.digest(key, id_bytes(command), "sha256")
    return f"{role}-{secret.hex()}"


def token_digest(pepper: Pepper, token: str) -> str:
    """Digest of a token, all that is kept of it."""
    return pepper.digest("ledger.token", token.encode(errors="surrogateescape")).hex()


def content_digest(pepper: Pepper, canonical_request: bytes) -> str:
    """Digest of what a client asked, to tell a repetition from another request."""
    return pepper.digest("ledger.content", canonical_request).hex()


def slug_id(ledger: str, kind: str, slug: str) -> str:
    """Id of the account, product or policy of a ledger without a catalog (UUIDv5)."""
    return str(uuid5(UUID(ledger), f"{kind}:{slug}"))


def new_license_key() -> str:
    """Make a random license key: 160 bits, with prefix and checksum."""
    return _license_key(secrets.token_bytes(_KEY_RANDOM_BYTES))


def derived_license_key(pepper: Pepper, account: str, actor: str, idempotency_key: str) -> str:
    """Derive the license key that every worker makes of the same Idempotency-Key."""
    secret = pepper.digest("ledger.keygen", size=32)
    scope = b"".join(
        len(part).to_bytes(4, "big") + part
        for part in (id_bytes(account), actor.encode(), idempotency_key.encode())
    )
    return _license_key(hmac.digest(secret, scope, "sha256")[:_KEY_RANDOM_BYTES])


def is_id(text: str) -> bool:
    """Whether `text` is a canonical lower-case UUID."""
    return _ID.fullmatch(text) is not None


def id_bytes(id_: str) -> bytes:
    """The 16 bytes of an id; raises `ValueError` for what is none."""
    number = bytes.fromhex(id_.replace("-", ""))
    if len(number) != _ID_BYTES:
        msg = f"an id has {_ID_BYTES} bytes, this one has {len(number)}"
        raise ValueError(msg)
    return number


def routing_bits(id_: str) -> int:
    """Low 12 bits of an id, which route it."""
    return int(id_[-ROUTING_DIGITS:], 16)


def partition_of(id_: str, partitions: int) -> int:
    """Partition of a license or machine id in a ledger of `partitions` (a power of two)."""
    return routing_bits(id_) & (partitions - 1)


def partition_count(partitions: int) -> int:
    """Return `partitions` where it is a power of two ≤ 4,096, else raise `ValueError`."""
    if not 1 <= partitions <= PARTITIONS_MAX or partitions & (partitions - 1):
        msg = f"the number of partitions is a power of two up to {PARTITIONS_MAX}, not {partitions}"
        raise ValueError(msg)
    return partitions


def _uuid8(digest: bytes) -> str:
    """UUIDv8 of 16 bytes: version and variant in place of six of their bits (RFC 9562)."""
    text = digest.hex()
    variant = "89ab"[digest[8] >> 4 & 3]
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


def _license_key(random: bytes) -> str:
    number = int.from_bytes(random, "big")
    digits = "".join(_KEY_ALPHABET[number >> shift & 31] for shift in range(155, -1, -5))
    check = hashlib.blake2b(digits.encode(), digest_size=3, person=b"ledger.keycheck").digest()
    value = int.from_bytes(check, "big")
    body = digits + "".join(_KEY_ALPHABET[value >> shift & 31] for shift in (15, 10, 5, 0))
    return "LIC-" + "-".join(body[at : at + 6] for at in range(0, len(body), 6))
