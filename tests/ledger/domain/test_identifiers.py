"""Identity: the constructions of docs/format.md, computed here a second time."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain import identifiers
from ledger.domain.catalog.verdicts import scope_of
from ledger.domain.identifiers import Pepper
from tests.ledger.domain.given import ACCOUNT, LEDGER, LICENSE, PEPPER

IDENTITY = json.loads((Path(__file__).parents[3] / "docs/format/golden/identity.json").read_text())
SECRET = b"p" * 32
TEXTS = st.text(max_size=80)


def _digest(person: str, *parts: bytes, size: int = 16) -> bytes:
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hashlib.blake2b(
        message, key=SECRET, digest_size=size, person=person.encode().ljust(16, b"\0")
    ).digest()


def _uuid8(digest: bytes) -> str:
    digits = list(digest.hex())
    digits[12] = "8"
    digits[16] = "89ab"[int(digits[16], 16) & 3]
    return str(UUID("".join(digits)))


def _bytes(*ids: str) -> tuple[bytes, ...]:
    return tuple(UUID(id_).bytes for id_ in ids)


@given(TEXTS)
def test_a_license_id_is_a_function_of_account_and_key(key: str) -> None:
    expected = _uuid8(_digest("ledger.license", *_bytes(ACCOUNT), key.encode()))
    assert identifiers.license_id(PEPPER, ACCOUNT, key) == expected
    assert identifiers.license_ids(PEPPER, ACCOUNT)(key) == expected
    assert UUID(expected).version == 8
    assert UUID(expected).variant == "specified in RFC 4122"


@given(TEXTS)
def test_a_machine_id_lies_where_its_license_does(fingerprint: str) -> None:
    machine = identifiers.machine_id(PEPPER, LICENSE, fingerprint)
    digest = _uuid8(_digest("ledger.machine", *_bytes(LICENSE), fingerprint.encode()))
    assert machine == digest[:-3] + LICENSE[-3:]
    for exponent in range(13):
        count = 2**exponent
        assert identifiers.partition_of(machine, count) == identifiers.partition_of(LICENSE, count)


@given(TEXTS, TEXTS)
def test_a_command_id_is_of_account_actor_license_and_key(actor: str, key: str) -> None:
    scope = (*_bytes(ACCOUNT), actor.encode(), *_bytes(LICENSE), key.encode())
    found = identifiers.command_id(PEPPER, ACCOUNT, actor, LICENSE, key)
    assert found == _uuid8(_digest("ledger.command", *scope))


@given(TEXTS, TEXTS)
def test_a_command_on_the_catalog_is_of_account_actor_and_key(actor: str, key: str) -> None:
    scope = (*_bytes(ACCOUNT), actor.encode(), key.encode())
    found = identifiers.catalog_command_id(PEPPER, ACCOUNT, actor, key)
    assert found == _uuid8(_digest("ledger.catalog", *scope))


@given(TEXTS)
def test_whose_memory_it_is_tells_accounts_and_actors_apart(actor: str) -> None:
    message = f"{ACCOUNT}:{actor}".encode()
    person = b"ledger.scope".ljust(16, b"\0")
    expected = hashlib.blake2b(message, digest_size=16, person=person).hexdigest()
    assert scope_of(ACCOUNT, actor) == expected


@given(TEXTS, st.integers(0, 2**53 - 1))
def test_an_imported_line_has_one_command_id(source: str, sequence: int) -> None:
    scope = (*_bytes(LICENSE), source.encode(), sequence.to_bytes(8, "big"))
    found = identifiers.import_command_id(PEPPER, LICENSE, source, sequence)
    assert found == _uuid8(_digest("ledger.import", *scope))


@given(TEXTS)
def test_digests_are_apart_by_purpose(text: str) -> None:
    fingerprint = identifiers.fingerprint_digest(PEPPER, ACCOUNT, text)
    content = identifiers.content_digest(PEPPER, text.encode())
    assert fingerprint == _digest("ledger.finger", *_bytes(ACCOUNT), text.encode()).hex()
    assert content == _digest("ledger.content", text.encode()).hex()
    assert PEPPER.check_value == _digest("ledger.check").hex()


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_no_two_lists_of_parts_are_the_same_message(one: list[bytes], other: list[bytes]) -> None:
    same = PEPPER.digest("ledger.check", *one) == PEPPER.digest("ledger.check", *other)
    assert same == (one == other)


@given(TEXTS, TEXTS)
def test_a_derived_key_is_the_same_at_every_worker(actor: str, idempotency_key: str) -> None:
    parts = (*_bytes(ACCOUNT), actor.encode(), idempotency_key.encode())
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    random = hmac.new(_digest("ledger.keygen", size=32), message, "sha256").digest()[:20]
    key = identifiers.derived_license_key(PEPPER, ACCOUNT, actor, idempotency_key)
    assert key == _license_key(random)


def test_keys_of_our_own_are_all_different_and_hold_their_checksum() -> None:
    keys = {identifiers.new_license_key() for _ in range(200)}
    assert len(keys) == 200
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    for key in keys:
        digits = key.removeprefix("LIC-").replace("-", "")
        number = 0
        for digit in digits[:32]:
            number = number * 32 + alphabet.index(digit)
        assert key == _license_key(number.to_bytes(20, "big"))


def _license_key(random: bytes) -> str:
    """Crockford's base 32 of 160 bits, and of 20 bits of checksum over those digits."""
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    bits = "".join(f"{byte:08b}" for byte in random)
    digits = "".join(alphabet[int(bits[at : at + 5], 2)] for at in range(0, 160, 5))
    check = hashlib.blake2b(digits.encode(), digest_size=3, person=b"ledger.keycheck\0").digest()
    checked = f"{int.from_bytes(check, 'big'):024b}"[4:]
    digits += "".join(alphabet[int(checked[at : at + 5], 2)] for at in range(0, 20, 5))
    return "LIC-" + "-".join(digits[at : at + 6] for at in range(0, 36, 6))


def test_ids_of_a_ledger_without_a_catalog() -> None:
    assert identifiers.slug_id(LEDGER, "account", "demo") == str(
        uuid5(UUID(LEDGER), "account:demo")
    )


def test_the_golden_identities() -> None:
    given_, ids = IDENTITY["given"], IDENTITY["ids"]
    pepper = Pepper(bytes.fromhex(given_["pepper"]))
    account, license_ = ids["account"], ids["license"]
    assert identifiers.slug_id(given_["ledger"], "account", given_["account"]) == account
    assert identifiers.slug_id(given_["ledger"], "product", given_["product"]) == ids["product"]
    assert identifiers.slug_id(given_["ledger"], "policy", given_["policy"]) == ids["policy"]
    assert identifiers.license_id(pepper, account, given_["key"]) == license_
    assert identifiers.machine_id(pepper, license_, given_["fingerprint"]) == ids["machine"]
    actor, idempotency_key = given_["actor"], given_["idempotency_key"]
    command = identifiers.command_id(pepper, account, actor, license_, idempotency_key)
    assert command == ids["command"]
    catalog_command = identifiers.catalog_command_id(pepper, account, actor, idempotency_key)
    assert catalog_command == ids["catalog_command"]
    assert scope_of(account, actor) == ids["catalog_scope"]
    source, sequence = given_["source"], given_["sequence"]
    line = identifiers.import_command_id(pepper, license_, source, sequence)
    assert line == ids["import_command"]
    digest = identifiers.fingerprint_digest(pepper, account, given_["fingerprint"])
    assert digest == ids["fingerprint_digest"]
    content = identifiers.content_digest(pepper, given_["request"].encode())
    assert content == ids["content_digest"]
    derived = identifiers.derived_license_key(pepper, account, actor, idempotency_key)
    assert derived == ids["derived_key"]
    assert pepper.check_value == ids["pepper_check"]
    partitions = {str(n): identifiers.partition_of(license_, n) for n in (1, 16, 64, 4096)}
    assert partitions == ids["partition"]


@pytest.mark.parametrize("size", [0, 16, 31, 65])
def test_a_pepper_has_32_to_64_bytes(size: int) -> None:
    with pytest.raises(ValueError, match=f"this one has {size}"):
        Pepper(b"x" * size)


def test_a_pepper_is_never_printed() -> None:
    assert "p" * 8 not in repr(PEPPER)
    assert SECRET.hex() not in f"{PEPPER!r} {PEPPER}"


@pytest.mark.parametrize("count", [0, -1, 3, 12, 4097, 8192])
def test_partitions_are_a_power_of_two_up_to_4096(count: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        identifiers.partition_count(count)


def test_a_power_of_two_is_taken() -> None:
    assert [identifiers.partition_count(n) for n in (1, 16, 64, 4096)] == [1, 16, 64, 4096]


@given(st.one_of(TEXTS, st.uuids().map(str), st.uuids().map(lambda id_: str(id_).upper())))
def test_an_id_is_canonical_lower_case_text(text: str) -> None:
    try:
        canonical = str(UUID(text)) == text
    except ValueError:
        canonical = False
    assert identifiers.is_id(text) == canonical


@pytest.mark.parametrize("text", ["", "g" * 36, "-" * 36, LICENSE.upper(), f"{LICENSE}\n"])
def test_what_only_looks_like_an_id_is_none(text: str) -> None:
    assert identifiers.is_id(LICENSE)
    assert not identifiers.is_id(text)


def test_random_ids_are_uuids_of_version_8() -> None:
    ids = {identifiers.random_id() for _ in range(100)}
    assert len(ids) == 100
    assert {UUID(id_).version for id_ in ids} == {8}
