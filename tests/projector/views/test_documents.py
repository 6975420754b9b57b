"""Documents: what is stored comes back, and the ready-made answer is a license of the API."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.domain.clocks import rfc3339
from ledger.domain.events import EventData, Issued
from ledger.domain.license import License
from ledger.domain.terms import TIME_MS_MAX, OwnTerms, Terms, max_machines
from projector.views.documents import (
    Head,
    head_document,
    license_document,
    machine_document,
    read_answer,
    read_head,
    read_license,
    read_machine,
    read_verdict,
    verdict_document,
)
from projector.views.set_aside import SetAside, read_set_aside, set_aside_member
from tests.ledger.domain.given import (
    ACCOUNT,
    LICENSE,
    NOW_MS,
    POLICY,
    PRODUCT,
    activation,
    asked,
    imported,
    issued,
    machine_of,
)
from tests.ledger.domain.replica import Replica
from tests.ledger.domain.strategies import own_terms, requests, terms

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
NAMES = st.none() | st.text(max_size=20)
METADATA = st.none() | st.dictionaries(
    st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3
).map(json.dumps)


def _replica(first: Issued, others: list[EventData]) -> Replica:
    replica = Replica()
    replica.take(asked(first, "issue"))
    for number, data in enumerate(others):
        replica.take(asked(data, f"request {number}"))
    return replica


def _answer(document: bytes, status: str = "ACTIVE") -> dict[str, Any]:
    """Splice the answer together as a check does."""
    head, tail = read_answer(document)
    volatile = b',"key":"LIC-GOLDEN","status":"%b"' % status.encode()
    answer: dict[str, Any] = json.loads(head + volatile + tail)
    return answer


@given(terms(), own_terms(), NAMES, METADATA, st.lists(requests(), max_size=15))
@QUICK
def test_what_is_stored_comes_back(
    terms_: Terms,
    own: OwnTerms,
    name: str | None,
    metadata: str | None,
    others: list[EventData],
) -> None:
    first = replace(issued(terms=terms_, own=own), name=name, metadata=metadata)
    replica = _replica(first, others)
    document = replica.licenses[LICENSE]
    license_ = read_license(document)
    assert license_document(license_) == document
    assert document.count(b"\n") == 2
    for machine_ in replica.machines.values():
        assert machine_document(read_machine(machine_)) == machine_
    for verdict in replica.verdicts.values():
        assert verdict_document(read_verdict(verdict)) == verdict
    if license_.status != "live":
        assert read_answer(document) == (b"", b"")


@given(terms(), own_terms(), NAMES, METADATA, st.integers(0, TIME_MS_MAX))
@QUICK
def test_the_ready_made_answer_is_a_license_resource(
    terms_: Terms, own: OwnTerms, name: str | None, metadata: str | None, issued_ms: int
) -> None:
    replica = Replica()
    first = replace(issued(terms=terms_, own=own), name=name, metadata=metadata)
    replica.take(asked(first, "issue", time_ms=issued_ms))
    license_ = replica.license(LICENSE)
    answer = _answer(replica.licenses[LICENSE], "EXPIRED")
    attributes = answer["attributes"]
    assert (answer["id"], answer["type"]) == (LICENSE, "licenses")
    assert (attributes["key"], attributes["status"]) == ("LIC-GOLDEN", "EXPIRED")
    assert attributes["name"] == name
    assert attributes["metadata"] == json.loads(metadata or "{}")
    assert attributes["maxMachines"] == max_machines(terms_, own)
    assert attributes["strict"] == terms_.strict
    assert attributes["floating"] == terms_.floating
    assert attributes["created"] == attributes["updated"] == rfc3339(issued_ms)
    expiry_ms = license_.expiry_ms
    assert attributes["expiry"] == (None if expiry_ms is None else rfc3339(expiry_ms))
    assert attributes["seats"]["limit"] == license_.limit


def test_the_answer_tells_of_seats_and_refusals() -> None:
    requests_ = [activation("host-1", 2), activation("host-2"), activation("host-3")]
    replica = _replica(issued(3), [*requests_, issued(9)])
    answer = _answer(replica.licenses[LICENSE])
    attributes = answer["attributes"]
    assert attributes["seats"] == {"used": 3, "limit": 3, "peak": 3, "peakPosition": 2}
    assert attributes["refusals"] == {"machine-limit-exceeded": 1, "key-taken": 1}
    assert answer["relationships"] == {
        "account": {"data": {"type": "accounts", "id": ACCOUNT}},
        "product": {"data": {"type": "products", "id": PRODUCT}},
        "policy": {"data": {"type": "policies", "id": POLICY}},
        "machines": {
            "links": {"related": f"/v1/accounts/{ACCOUNT}/licenses/{LICENSE}/machines"},
            "meta": {"count": 2},
        },
    }
    assert answer["links"] == {"self": f"/v1/accounts/{ACCOUNT}/licenses/{LICENSE}"}


def test_what_existing_clients_read_is_there_and_of_its_type() -> None:
    attributes = _answer(_replica(issued(1), []).licenses[LICENSE])["attributes"]
    flags = "suspended strict floating protected encrypted requireHeartbeat requireCheckIn"
    assert all(attributes[name] in (True, False) for name in flags.split())
    assert attributes["uses"] == 0
    unset = ("scheme", "maxUses", "maxCores", "maxProcesses", "maxUsers", "name", "expiry")
    assert [attributes[name] for name in unset] == [None] * len(unset)
    assert attributes["metadata"] == {}


def test_metadata_stands_in_the_answer_as_it_was_written() -> None:
    """Numbers too long for any reader of ours, keys in the writer's order: not a byte changes."""
    text = '{"z":1.0,"a":123456789012345678901234567890,"é":"\\u00e9"}'
    replica = _replica(replace(issued(1), metadata=text), [])
    head, _ = read_answer(replica.licenses[LICENSE])
    assert f'"metadata":{text},'.encode() in head


def test_no_secret_of_a_license_is_in_its_answer() -> None:
    replica = _replica(issued(1), [activation("host-1")])
    head, tail = read_answer(replica.licenses[LICENSE])
    license_ = replica.license(LICENSE)
    machine = replica.machine(machine_of("host-1"))
    assert machine is not None
    assert license_.key.encode() not in head + tail
    assert machine.fingerprint.encode() not in head + tail


def test_a_license_that_never_was_has_a_document_without_an_answer() -> None:
    document = license_document(License(id=LICENSE, refusals={"not-found": 1}))
    assert read_answer(document) == (b"", b"")
    assert read_license(document).refusals == {"not-found": 1}


def test_what_a_license_has_heard_comes_back() -> None:
    replica = Replica()
    replica.take(imported(issued(1), 5, time_ms=NOW_MS))
    heard = replica.license(LICENSE).sources["flexlm:golden"]
    assert heard.sequence == 5
    assert heard.digest is not None


@given(
    st.integers(0, 2**63 - 1),
    st.none() | st.integers(0, TIME_MS_MAX),
    st.integers(0, TIME_MS_MAX),
    st.integers(0, TIME_MS_MAX),
)
@QUICK
def test_a_head_comes_back(
    position: int, timestamp_ms: int | None, elapsed_ms: int, level_at_ms: int
) -> None:
    head = Head(
        position=position,
        timestamp_ms=timestamp_ms,
        elapsed_ms=elapsed_ms,
        level_at_ms=level_at_ms,
        chain="ab" * 16,
    )
    document = head_document(head)
    assert read_head(document) == head
    assert head_document(read_head(document)) == document


@given(
    st.integers(0, 2**63 - 1),
    st.integers(0, TIME_MS_MAX),
    st.none() | st.binary(max_size=40),
    st.none() | st.binary(max_size=80),
)
@QUICK
def test_a_record_set_aside_comes_back_with_its_clock(
    offset: int, at_ms: int, key: bytes | None, value: bytes | None
) -> None:
    record = SetAside(
        offset=offset, timestamp_ms=at_ms, elapsed_ms=at_ms // 2, key=key, value=value
    )
    assert read_set_aside(set_aside_member(record)) == record


def test_two_records_of_the_same_bytes_are_two_members() -> None:
    first = SetAside(offset=1, timestamp_ms=0, elapsed_ms=0, key=b"k", value=b"v")
    assert set_aside_member(first) != set_aside_member(replace(first, offset=2))
