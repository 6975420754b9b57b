"""Givens of the domain's tests: one vendor, fixed secrets, and events in few words."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import blake2b
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import UNSET, ValidationError, convert, to_builtins

from ledger.domain import identifiers, rules1
from ledger.domain.events import (
    TYPE_NAMES,
    ActivationRequested,
    DeactivationRequested,
    Event,
    EventData,
    Issued,
)
from ledger.domain.identifiers import Pepper
from ledger.domain.terms import Overage, OwnTerms, Terms

PEPPER = Pepper(b"p" * 32)
LEDGER = "11111111-2222-4333-8444-555555555555"
ACCOUNT = identifiers.slug_id(LEDGER, "account", "demo")
PRODUCT = identifiers.slug_id(LEDGER, "product", "product")
POLICY = identifiers.slug_id(LEDGER, "policy", "standard")
ACTOR = "token:0123456789abcdef"
DK = "00112233445566aa"
DATA_KEY = b"d" * 32
SEAL_KEY = b"s" * 32
NOW_MS = 1_572_940_800_000
"""2019-11-05T08:00:00Z."""


def license_of(key: str) -> str:
    return identifiers.license_id(PEPPER, ACCOUNT, key)


LICENSE = license_of("LIC-GOLDEN")


def machine_of(fingerprint: str, license_: str = LICENSE) -> str:
    return identifiers.machine_id(PEPPER, license_, fingerprint)


def command_of(name: str, license_: str = LICENSE) -> str:
    return identifiers.command_id(PEPPER, ACCOUNT, ACTOR, license_, name)


def content_of(name: str) -> str:
    return identifiers.content_digest(PEPPER, name.encode())


def sealed(text: str, license_: str = LICENSE) -> str:
    """Seal as docs/format.md has it, by hand; the nonce is fixed, so that the bytes are."""
    nonce = blake2b(text.encode(), digest_size=12).digest()
    bound = UUID(ACCOUNT).bytes + UUID(license_).bytes
    blob = nonce + AESGCM(DATA_KEY).encrypt(nonce, text.encode(), bound)
    return f"{DK}.{urlsafe_b64encode(blob).rstrip(b'=').decode()}"


def issued(
    seats: int | None = 2,
    *,
    license_: str = LICENSE,
    overage: Overage = "NO_OVERAGE",
    duration_s: int | None = None,
    terms: Terms | None = None,
    own: OwnTerms | None = None,
) -> Issued:
    return Issued(
        account=ACCOUNT,
        product=PRODUCT,
        policy=POLICY,
        key=sealed("LIC-GOLDEN", license_),
        terms=terms or Terms(max_machines=seats, overage=overage, duration_s=duration_s),
        own=own or OwnTerms(),
    )


def activation(fingerprint: str, seats: int = 1, *, license_: str = LICENSE) -> ActivationRequested:
    return ActivationRequested(
        machine=machine_of(fingerprint, license_),
        fingerprint=sealed(fingerprint, license_),
        fingerprint_digest=identifiers.fingerprint_digest(PEPPER, ACCOUNT, fingerprint),
        seats=seats,
    )


def deactivation(fingerprint: str, *, license_: str = LICENSE) -> DeactivationRequested:
    return DeactivationRequested(machine=machine_of(fingerprint, license_))


def _version(data: EventData) -> int | None:
    """With a policy's terms goes the version of the policy."""
    return None if getattr(data, "terms", UNSET) is UNSET else 0


def least_rules(data: EventData) -> int:
    """Say 1 of what rules version 1 could read, 2 of everything else."""
    early = rules1.TYPES.get(TYPE_NAMES[type(data)])
    if early is None:
        return 2
    try:
        convert(to_builtins(data), early)
    except ValidationError:
        return 2
    return 1


def asked(
    data: EventData,
    command: str,
    *,
    license_: str = LICENSE,
    content: str | None = None,
    time_ms: int = NOW_MS,
    occurred_at_ms: int | None = None,
    rules: int | None = None,
) -> Event:
    """Make the event of a client's request; the same `content` is the same request."""
    return Event(
        id=command_of(command, license_),
        source="api",
        license=license_,
        time_ms=time_ms,
        actor=ACTOR,
        content_digest=content_of(command if content is None else content),
        data=data,
        rules=rules or least_rules(data),
        policy_version=_version(data),
        occurred_at_ms=occurred_at_ms,
    )


def imported(
    data: EventData,
    sequence: int,
    *,
    source: str = "flexlm:golden",
    license_: str = LICENSE,
    time_ms: int = NOW_MS,
) -> Event:
    """Make the event of a line that an importer read."""
    return Event(
        id=identifiers.import_command_id(PEPPER, license_, source, sequence),
        source=source,
        license=license_,
        time_ms=time_ms,
        actor="import",
        content_digest=content_of(f"{source} {sequence}"),
        data=data,
        rules=least_rules(data),
        policy_version=_version(data),
        sequence=sequence,
        source_digest=content_of(f"head of {source} to {sequence}"),
        occurred_at_ms=time_ms - 86_400_000,
    )
