"""Signed checkpoints: one canonical form, strictly read, good by the right key's signature only."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.checkpoints.document import (
    CONTEXT,
    DOCUMENT_BYTES_MAX,
    Checkpoint,
    Refusal,
    Signed,
    UndecodableCheckpointError,
    decode,
    encode,
    sign,
    signed_bytes,
    signer,
)
from ledger.checkpoints.keys import read_keys
from ledger.emergency import orders
from ledger.environment import SettingsError
from ledger.signing_keys import public_hex
from tests.emergency import KEY, KEYS, NAME, OTHER_KEY
from tests.ledger.checkpoints.strategies import checkpoints
from tests.ledger.domain.altering import altered
from tests.ledger.domain.golden_checkpoint import GOLDEN_CHECKPOINT, GOLDEN_KEY, golden_checkpoint
from tests.ledger.domain.golden_files import GOLDEN
from tests.ledger.domain.schemas import accepted

GOOD = GOLDEN_CHECKPOINT.read_bytes()


@given(checkpoint=checkpoints())
@settings(max_examples=60)
def test_what_was_signed_comes_back_and_is_good(checkpoint: Checkpoint) -> None:
    document = encode(sign(checkpoint, KEY))
    found = decode(document)
    assert found.checkpoint == checkpoint
    assert signer(found, KEYS) == NAME
    assert signer(found, {}) is Refusal.KEY_UNKNOWN
    assert accepted("checkpoint", json.loads(document))


@given(checkpoint=checkpoints(), other=checkpoints())
@settings(max_examples=60)
def test_a_signature_is_good_for_its_checkpoint_alone(
    checkpoint: Checkpoint, other: Checkpoint
) -> None:
    made = sign(checkpoint, KEY)
    expected = NAME if checkpoint == other else Refusal.SIGNATURE_INVALID
    assert signer(replace(made, checkpoint=other), KEYS) == expected


@given(checkpoint=checkpoints(), data=st.data())
@settings(max_examples=300)
def test_any_changed_byte_of_what_is_signed_is_refused(
    checkpoint: Checkpoint, data: st.DataObject
) -> None:
    signed = sign(checkpoint, KEY)
    content = signed_bytes(checkpoint).removeprefix(CONTEXT)
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda one: one != content[at]))
    changed = content[:at] + bytes([byte]) + content[at + 1 :]
    document = b'{"checkpoint":%b,"key":"%b","signature":"%b"}' % (
        changed,
        signed.key.encode(),
        signed.signature.encode(),
    )
    assert document.replace(changed, content) == msgspec.json.encode(signed, order="sorted")
    assert refused(document)


def refused(document: bytes) -> bool:
    """Whether nothing is made of it, or its signature is bad."""
    try:
        return signer(decode(document), KEYS) is Refusal.SIGNATURE_INVALID
    except UndecodableCheckpointError:
        return True


@pytest.mark.parametrize("field", ["key", "signature"])
def test_a_changed_key_or_signature_is_refused(field: str) -> None:
    made = sign(decode(GOOD).checkpoint, KEY)
    digits = getattr(made, field)
    other = ("1" if digits[0] == "0" else "0") + digits[1:]
    assert signer(replace(made, **{field: other}), KEYS) in {
        Refusal.KEY_UNKNOWN,
        Refusal.SIGNATURE_INVALID,
    }


def test_another_key_s_signature_under_this_key_s_name_is_refused() -> None:
    checkpoint = decode(GOOD).checkpoint
    forged = replace(sign(checkpoint, OTHER_KEY), key=public_hex(KEY))
    assert signer(forged, KEYS) is Refusal.SIGNATURE_INVALID
    assert signer(sign(checkpoint, OTHER_KEY), KEYS) is Refusal.KEY_UNKNOWN


def test_a_signature_of_anything_else_is_none_of_a_checkpoint() -> None:
    checkpoint = decode(GOOD).checkpoint
    made, content = sign(checkpoint, KEY), msgspec.json.encode(checkpoint, order="sorted")
    for other in (content, orders.CONTEXT + content):
        naked = replace(made, signature=KEY.sign(other).hex())
        assert signer(naked, KEYS) is Refusal.SIGNATURE_INVALID


def test_the_golden_file_is_what_the_script_would_write_and_is_good() -> None:
    assert golden_checkpoint() == GOOD
    found = decode(GOOD)
    assert signer(found, {public_hex(GOLDEN_KEY): "golden"}) == "golden"
    text = json.dumps(json.loads(GOOD)["checkpoint"], sort_keys=True, separators=(",", ":"))
    assert signed_bytes(found.checkpoint) == b"license-ledger checkpoint 1\n" + text.encode()


def test_the_golden_chain_is_the_golden_replica_s() -> None:
    lines = map(json.loads, (GOLDEN / "state.jsonl").read_text().splitlines())
    [head] = [json.loads(one["value"]) for one in lines if one["key"].endswith(":head")]
    [mark] = decode(GOOD).checkpoint.topics.license_events
    assert (mark.position, mark.timestamp_ms, mark.chain) == (
        head["position"],
        head["timestamp_ms"],
        head["chain"],
    )


def test_a_version_of_later_is_named() -> None:
    later = json.loads(GOOD)
    later["checkpoint"] |= {"version": 2, "more": 1}
    with pytest.raises(UndecodableCheckpointError, match=r"version 2.*version 1"):
        decode(json.dumps(later).encode())


def test_partitions_that_are_not_n_are_refused() -> None:
    odd = json.loads(GOOD)
    odd["checkpoint"]["topics"]["license-events"] *= 2
    with pytest.raises(UndecodableCheckpointError, match="2 partitions of license-events"):
        decode(json.dumps(odd).encode())


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b"null", b"[" * 5000, b"\xff", b" " * (DOCUMENT_BYTES_MAX + 1), b'{"a":1}'],
)
def test_what_is_no_signed_checkpoint_is_refused(document: bytes) -> None:
    with pytest.raises(UndecodableCheckpointError):
        decode(document)


def test_schema_and_type_take_and_refuse_the_same() -> None:
    record: dict[str, Any] = json.loads(GOOD)
    mark = record["checkpoint"]["topics"]["license-events"][0]
    with_marks = [
        ("mark", _with_mark(record, changed)) for _, changed in altered(mark) if changed != mark
    ]
    disagree = [
        (what, changed)
        for what, changed in [*altered(record), *with_marks]
        if accepted("checkpoint", changed) != _decodes(changed)
    ]
    assert not disagree


def _with_mark(record: dict[str, Any], mark: object) -> dict[str, Any]:
    topics = record["checkpoint"]["topics"] | {"license-events": [mark]}
    return record | {"checkpoint": record["checkpoint"] | {"topics": topics}}


def _decodes(record: dict[str, Any]) -> bool:
    try:
        return isinstance(decode(json.dumps(record).encode()), Signed)
    except UndecodableCheckpointError as error:
        # How many marks there must be is no matter of the schema.
        return "partitions of" in str(error)


def test_a_document_has_room_for_every_ledger() -> None:
    found = decode(GOOD).checkpoint
    [mark] = found.topics.license_events
    longest = replace(mark, position=2**63 - 1, timestamp_ms=253_402_300_799_999)
    topics = replace(found.topics, license_events=(longest,) * 4096)
    most = replace(found, partitions=4096, topics=topics)
    assert len(encode(sign(most, KEY))) < DOCUMENT_BYTES_MAX


def test_settings_name_whose_checkpoints_are_believed() -> None:
    assert read_keys({"LEDGER_CHECKPOINT_KEYS": f"c={public_hex(KEY)}"}) == (
        ("c", public_hex(KEY)),
    )
    with pytest.raises(SettingsError, match=r"LEDGER_CHECKPOINT_KEYS.*ledger checkpoint keygen"):
        read_keys({"LEDGER_CHECKPOINT_KEYS": "c"})
