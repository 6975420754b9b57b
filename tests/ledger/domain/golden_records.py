"""The golden records: one of each event type at least, from fixed secrets and fixed words."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import NamedTuple
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.domain import identifiers
from ledger.domain.catalog.verdicts import scope_of
from ledger.domain.clocks import rfc3339
from ledger.domain.events import (
    ActivationRequested,
    DenialImported,
    Event,
    Reinstated,
    Revoked,
    Suspended,
    TermsChanged,
)
from ledger.domain.terms import OwnTerms, Terms
from ledger.event_log.codec import encode
from tests.ledger.domain.given import (
    ACCOUNT,
    ACTOR,
    DATA_KEY,
    DK,
    LEDGER,
    LICENSE,
    NOW_MS,
    PEPPER,
    POLICY,
    PRODUCT,
    SEAL_KEY,
    activation,
    asked,
    command_of,
    content_of,
    deactivation,
    imported,
    issued,
    machine_of,
    sealed,
)
from tests.ledger.domain.golden_records_2 import TERMS_1 as TERMS
from tests.ledger.domain.golden_records_2 import records_of_rules_2


def folded() -> dict[str, bytes]:
    """Records that rules versions 1 and 2 fold, by name of their file."""
    return _of_rules_1() | records_of_rules_2()


def _of_rules_1() -> dict[str, bytes]:
    events = {
        "license.issued": asked(issued(2), "issue"),
        "license.issued.full": _issued_in_full(),
        "license.terms-changed.by-policy": _terms_of_the_policy(),
        "license.terms-changed.by-hand": asked(_terms_set_by_hand(), "terms by hand"),
        "license.activation-requested": asked(activation("host-1"), "activate"),
        "license.activation-requested.full": imported(_activation_in_full(), 1042),
        "license.deactivation-requested": asked(deactivation("host-1"), "deactivate"),
        "license.suspended": asked(Suspended(), "suspend"),
        "license.reinstated": asked(Reinstated(), "reinstate"),
        "license.revoked": asked(Revoked(), "revoke"),
        "license.denial-imported": imported(DenialImported(kind="unsupported"), 1043),
        "license.denial-imported.full": imported(_denial_in_full(), 1044),
    }
    return {name: encode(event) for name, event in events.items()}


def unfolded() -> dict[str, bytes]:
    """Records of the types that wait for rules version 3: laid by hand, no type here knows them."""
    edge = {"machine": machine_of("host-1"), "epoch": 1, "activation": 17}
    known: dict[str, dict[str, object]] = {
        "license.machine-lapsed": {**edge, "since_ms": NOW_MS - 700_000, "silent_ms": 660_000},
        "license.machine-returned": {**edge, "since_ms": NOW_MS - 1_000},
    }
    return {name: _laid_by_hand(name, data) for name, data in known.items()}


def _laid_by_hand(name: str, data: dict[str, object]) -> bytes:
    envelope: dict[str, object] = {
        "actor": "presence",
        "contentdigest": content_of(name),
        "data": data,
        "datacontenttype": "application/json",
        "id": command_of(name),
        "rules": 3,
        "source": "api",
        "specversion": "1.0",
        "subject": LICENSE,
        "time": rfc3339(NOW_MS),
        "type": name,
    }
    return msgspec.json.encode(envelope, order="sorted")


def _issued_in_full() -> Event:
    data = msgspec.structs.replace(
        issued(terms=TERMS, own=OwnTerms(max_machines=10, expiry_ms=NOW_MS + 86_400_000)),
        name="Kälte & Söhne",
        metadata='{"order":"A-1042","seats":{"paid":10}}',
    )
    return msgspec.structs.replace(asked(data, "issue in full"), policy_version=3)


def _terms_of_the_policy() -> Event:
    changed = asked(TermsChanged(terms=Terms(max_machines=5)), "terms by policy")
    return msgspec.structs.replace(changed, policy_version=4)


def _terms_set_by_hand() -> TermsChanged:
    return TermsChanged(own=OwnTerms(max_machines=7), name=None, metadata='{"order":"A-1043"}')


def _activation_in_full() -> ActivationRequested:
    return msgspec.structs.replace(
        activation("host-2", 3),
        name=sealed("Front desk"),
        hostname=sealed("host-2.example"),
        ip=sealed("192.0.2.2"),
        platform="Windows 10",
        cores=8,
        metadata='{"room":"2.14"}',
    )


def _denial_in_full() -> DenialImported:
    reason = "Licensed number of users already reached"
    return DenialImported(kind="denied", seats=2, reason=reason, fingerprint=sealed("host-3"))


class NamedRecord(NamedTuple):
    """A record that is no event: its key is no license id."""

    key: bytes
    value: bytes


def other_records() -> dict[str, NamedRecord]:
    """Records that are no events of a license."""
    return {"ledger.genesis": _genesis(), "license-data-key": _data_key()}


def _genesis() -> NamedRecord:
    value = {
        "data": {
            "ledger": LEDGER,
            "partition": 0,
            "partitions": 1,
            "pepper_check": PEPPER.check_value,
        },
        "datacontenttype": "application/json",
        "id": LEDGER,
        "source": "ledger",
        "specversion": "1.0",
        "subject": LEDGER,
        "type": "ledger.genesis",
    }
    return NamedRecord(b"genesis", msgspec.json.encode(value, order="sorted"))


def _data_key() -> NamedRecord:
    """Seal the data key as docs/format.md has it, by hand; the nonce is fixed."""
    nonce = bytes(range(12))
    bound = UUID(ACCOUNT).bytes + UUID(LICENSE).bytes + bytes.fromhex(DK)
    blob = nonce + AESGCM(SEAL_KEY).encrypt(nonce, DATA_KEY, bound)
    sealed_key = urlsafe_b64encode(blob).rstrip(b"=").decode()
    value = {"account": ACCOUNT, "kid": "k1", "sealed": sealed_key}
    return NamedRecord(f"{LICENSE}:{DK}".encode(), msgspec.json.encode(value, order="sorted"))


def identity() -> dict[str, object]:
    """Inputs of every construction of "Identity" and what comes of them."""
    fingerprint, key, idempotency_key = "host-1", "LIC-GOLDEN", "b3c1-retry-1"
    source, sequence, request = "flexlm:golden", 1042, '{"fingerprint":"host-1"}'
    return {
        "given": {
            "pepper": (b"p" * 32).hex(),
            "ledger": LEDGER,
            "account": "demo",
            "product": "product",
            "policy": "standard",
            "key": key,
            "fingerprint": fingerprint,
            "actor": ACTOR,
            "idempotency_key": idempotency_key,
            "source": source,
            "sequence": sequence,
            "request": request,
        },
        "ids": {
            "account": ACCOUNT,
            "product": PRODUCT,
            "policy": POLICY,
            "license": LICENSE,
            "machine": machine_of(fingerprint),
            "command": command_of(idempotency_key),
            "catalog_command": identifiers.catalog_command_id(
                PEPPER, ACCOUNT, ACTOR, idempotency_key
            ),
            "catalog_scope": scope_of(ACCOUNT, ACTOR),
            "import_command": identifiers.import_command_id(PEPPER, LICENSE, source, sequence),
            "fingerprint_digest": identifiers.fingerprint_digest(PEPPER, ACCOUNT, fingerprint),
            "content_digest": identifiers.content_digest(PEPPER, request.encode()),
            "derived_key": identifiers.derived_license_key(PEPPER, ACCOUNT, ACTOR, idempotency_key),
            "pepper_check": PEPPER.check_value,
            "partition": {str(n): identifiers.partition_of(LICENSE, n) for n in (1, 16, 64, 4096)},
        },
    }
