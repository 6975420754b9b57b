"""The codec: what is no event is poison and named by place only; what is later stops the fold."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.domain.events import (
    EVENT_BYTES_MAX,
    METADATA_BYTES_MAX,
    Event,
    EventData,
    TermsChanged,
)
from ledger.domain.terms import Terms
from ledger.event_log.codec import (
    DEPTH_MAX,
    EventTooLargeError,
    UndecodableError,
    UnknownRulesError,
    decode,
    encode,
)
from tests.ledger.domain.given import LICENSE, activation, asked, imported, issued
from tests.ledger.domain.golden_files import GOLDEN
from tests.ledger.domain.strategies import TIMES, requests

KEY = LICENSE.encode()
GOLDENS = [path.read_bytes()[:-1] for path in sorted(GOLDEN.glob("records/license.*.json"))]
EVENT = encode(asked(activation("host-1"), "activate"))
CANARY = "Canary-51 O'Hara"

QUICK = settings(max_examples=300, deadline=None, derandomize=True)


def _decoded(key: bytes | None, value: bytes | None) -> Event | Exception:
    """An event, or one of the two errors; any other passes through and fails the test."""
    try:
        return decode(key, value)
    except (UndecodableError, UnknownRulesError) as error:
        return error


def _refused(value: bytes, key: bytes = KEY) -> str:
    with pytest.raises(UndecodableError) as refusal:
        decode(key, value)
    return str(refusal.value)


def _altered(**attributes: object) -> bytes:
    record: dict[str, Any] = json.loads(EVENT)
    return json.dumps(record | attributes).encode()


def _with_data(**fields: object) -> bytes:
    return _altered(data=json.loads(EVENT)["data"] | fields)


@given(requests(), TIMES, st.none() | TIMES)
@QUICK
def test_an_event_comes_back_as_it_was_written(
    data: EventData, time_ms: int, occurred_at_ms: int | None
) -> None:
    event = asked(data, "request", time_ms=time_ms, occurred_at_ms=occurred_at_ms)
    if isinstance(data, TermsChanged):
        event = replace(event, policy_version=7)
    value = encode(event)
    assert decode(KEY, value) == event
    assert encode(decode(KEY, value)) == value
    text = json.dumps(json.loads(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert text.encode() == value


@given(requests(), st.integers(0, 2**53 - 1))
@QUICK
def test_an_imported_event_comes_back_too(data: EventData, sequence: int) -> None:
    event = replace(imported(data, sequence), policy_version=1)
    assert decode(KEY, encode(event)) == event


def test_what_is_at_its_default_is_left_out() -> None:
    record = json.loads(encode(asked(issued(terms=Terms(max_machines=None)), "issue")))
    assert record["data"]["terms"] == {"max_machines": None}
    assert record["data"]["own"] == {}
    assert set(json.loads(EVENT)["data"]) == {"machine", "fingerprint", "fingerprint_digest"}
    assert {"sequence", "sourcedigest", "occurredat", "policyversion"}.isdisjoint(json.loads(EVENT))


@given(st.none() | st.binary(max_size=60), st.none() | st.binary(max_size=300))
@QUICK
def test_arbitrary_bytes_are_poison_and_nothing_worse(
    key: bytes | None, value: bytes | None
) -> None:
    assert isinstance(_decoded(key, value), UndecodableError)


@given(st.sampled_from(GOLDENS), st.data())
@QUICK
def test_damaged_records_are_events_or_one_of_two_errors(
    golden: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(golden)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        length = data.draw(st.integers(0, 12))
        damaged[at : at + length] = data.draw(st.binary(max_size=12))
    _decoded(KEY, bytes(damaged))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(st.sampled_from(GOLDENS), st.data(), json_values)
@QUICK
def test_records_with_other_values_are_events_or_one_of_two_errors(
    golden: bytes, data: st.DataObject, value: object
) -> None:
    record = json.loads(golden)
    inner = record["data"] if data.draw(st.booleans()) else record
    name = data.draw(st.sampled_from([*inner, "extra"]))
    inner[name] = value
    _decoded(KEY, json.dumps(record).encode())


@given(st.sampled_from(GOLDENS), st.data())
@QUICK
def test_no_error_has_a_value_or_a_name_of_the_record(golden: bytes, data: st.DataObject) -> None:
    """A field's content or name may be a person's: whatever holds the canary, it stays inside."""
    record = json.loads(golden) | {"rules": 1}
    inner = record["data"] if data.draw(st.booleans()) else record
    shapes: list[object] = [CANARY, [CANARY], {CANARY: CANARY}, f"x - at `$.{CANARY}`"]
    name = data.draw(
        st.sampled_from([*inner, CANARY, f"{CANARY} - at `$.data", "a - at `$.canary", "{}"])
    )
    inner[name] = data.draw(st.sampled_from(shapes))
    found = _decoded(KEY, json.dumps(record).encode())
    if isinstance(found, Exception):
        assert "canary" not in f"{found} {found!r} {found.args}".lower()
        assert found.__cause__ is None
        assert found.__suppress_context__ or found.__context__ is None


def test_an_error_says_where() -> None:
    assert _refused(_with_data(seats=0)).endswith("at seats")
    assert _refused(_altered(contentdigest="x")).endswith("at contentdigest")
    assert _refused(b"{").endswith("not well-formed")


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"null",
        b"{}",
        b"\xff",
        EVENT + b"x",
        EVENT[:-1],
        _altered(type="license.unheard-of"),
        _altered(type="license.validated"),
        _altered(type="ledger.genesis"),
        _altered(specversion="1.1"),
        _altered(extra=1),
        _altered(rules=0),
        _altered(rules=-1),
        _altered(rules=2**31),
        _altered(rules=True),
        _altered(rules="2"),
        _altered(data=None),
        _altered(data=[]),
        _with_data(seats=1.0),
        _with_data(seats=2**31),
        _with_data(seats=True),
        _with_data(extra=1),
        b" " * (EVENT_BYTES_MAX + 1),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_event_of_these_rules_is_poison(value: bytes | None) -> None:
    if value == EVENT:  # an alteration that did not bite would prove nothing
        pytest.fail("the record was not altered")
    assert isinstance(_decoded(KEY, value), UndecodableError)


@pytest.mark.parametrize(
    "text",
    [
        "2019-11-05T08:00:00Z",
        "2019-11-05T08:00:00.0000Z",
        "2019-11-05 08:00:00.000Z",
        "2019-11-05t08:00:00.000z",
        "2019-11-05T08:00:00.000+00:00",
        "2019-W45-2T08:00:00.000Z",
        "2019-11-05T24:00:00.000Z",
        "2019-11-05T08:00:60.000Z",
        "2019-02-29T08:00:00.000Z",
        "2019-13-05T08:00:00.000Z",
        "1969-12-31T23:59:59.999Z",
        "2019-11-05T08:00:00,000Z",
        "٢019-11-05T08:00:00.000Z",
        "2019-11-05T08:00:00.000Z\n",
    ],
)
def test_a_time_has_one_form_on_every_python(text: str) -> None:
    """`fromisoformat` takes more with each version; what decodes must not depend on it."""
    assert isinstance(_decoded(KEY, _altered(time=text)), UndecodableError)
    assert isinstance(_decoded(KEY, _altered(occurredat=text)), UndecodableError)


def test_the_key_is_the_subject() -> None:
    for key in (None, b"", KEY.upper(), KEY + b" ", b"genesis", LICENSE[::-1].encode()):
        assert isinstance(_decoded(key, EVENT), UndecodableError)


def test_a_machine_lies_where_its_license_does() -> None:
    machine = json.loads(EVENT)["data"]["machine"]
    elsewhere = machine[:-3] + f"{(int(machine[-3:], 16) + 1) % 4096:03x}"
    assert isinstance(_decoded(KEY, _with_data(machine=elsewhere)), UndecodableError)


def test_terms_of_a_policy_have_a_version_and_a_change_changes_something() -> None:
    change = replace(
        asked(TermsChanged(terms=Terms(max_machines=1)), "change"), policy_version=None
    )
    with pytest.raises(UndecodableError, match="well-formed"):
        encode(change)
    assert decode(KEY, encode(replace(change, policy_version=0))).policy_version == 0
    with pytest.raises(UndecodableError):
        encode(asked(TermsChanged(), "nothing"))


@pytest.mark.parametrize("rules", [3, 4, 2**31 - 1])
def test_later_rules_stop_the_fold_whatever_else_they_bring(rules: int) -> None:
    later = [
        _altered(rules=rules),
        _altered(rules=rules, type="license.unheard-of", newattribute={"a": [1]}),
        _altered(rules=rules, data=[], id=5),
        json.dumps({"rules": rules}).encode(),
    ]
    for value in later:
        found = _decoded(KEY, value)
        assert isinstance(found, UnknownRulesError)
        assert found.rules == rules
        assert f"rules version {rules} is unknown" in str(found)


def test_metadata_is_one_line_of_json_of_one_object() -> None:
    good = ["{}", '{"a":{"b":[1,2.5,null,"é"]}}', ' {"a":1} ', '{"big":' + "9" * 5_000 + "}"]
    for text in good:
        assert isinstance(_decoded(KEY, _with_data(metadata=text)), Event), text
    bad = ["", "[]", "1", '"a"', "null", "{", "{}{}", "{'a':1}", '{"a":01}', '{"a":NaN}']
    bad += ['{\n"a":1}', '{"a":1}\r', '{"a":1,}', '{"a":"\x01"}', '{"a":"\\q"}']
    for text in bad:
        assert isinstance(_decoded(KEY, _with_data(metadata=text)), UndecodableError), text


@given(json_values)
@QUICK
def test_metadata_that_decodes_is_json_that_can_be_spliced(value: object) -> None:
    text = json.dumps({"a": value})
    found = _decoded(KEY, _with_data(metadata=text))
    if isinstance(found, Event):
        assert json.loads(f'{{"metadata":{text}}}')["metadata"].keys() == {"a"}
    else:
        assert re.search(r"NaN|Infinity|\\ud[89a-f]", text), "only what is no JSON is refused"


def test_metadata_has_a_limit_in_bytes_and_in_depth() -> None:
    def of_bytes(count: int) -> str:
        return '{"a":"' + "é" * ((count - 8) // 2) + '"}'

    assert len(of_bytes(METADATA_BYTES_MAX).encode()) == METADATA_BYTES_MAX
    assert isinstance(_decoded(KEY, _with_data(metadata=of_bytes(METADATA_BYTES_MAX))), Event)
    too_long = _with_data(metadata=of_bytes(METADATA_BYTES_MAX + 2))
    assert isinstance(_decoded(KEY, too_long), UndecodableError)
    for depth, taken in ((DEPTH_MAX, True), (DEPTH_MAX + 1, False), (8_000, False)):
        nested = '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
        assert isinstance(_decoded(KEY, _with_data(metadata=nested)), Event) == taken
    brackets_in_a_text = '{"a":"' + "[" * 500 + '\\"{{{"}'
    assert isinstance(_decoded(KEY, _with_data(metadata=brackets_in_a_text)), Event)


@pytest.mark.parametrize("opened", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [33, 200, 900, 1_100, 10_000])
def test_deep_nesting_is_decided_alike_however_deep_the_stack_is(opened: bytes, depth: int) -> None:
    closed = b"]" if opened == b"[" else b"}"
    nested = opened * depth + b"1" + closed * depth
    values = [
        EVENT.replace(b'"data":{', b'"data":{"extra":' + nested + b","),
        EVENT.replace(b'"rules":1', b'"rules":3').replace(b'"id":', b'"new":' + nested + b',"id":'),
        EVENT.replace(b'"rules":1', b'"rules":3,"data":' + nested, 1),
        nested,
    ]
    for value in values:
        shallow = _decoded(KEY, value)
        deep = _at_depth(700, lambda value=value: _decoded(KEY, value))  # type: ignore[misc]  # bound on purpose
        assert isinstance(shallow, UndecodableError)
        assert type(deep) is type(shallow)


def _at_depth(depth: int, call: Callable[[], object]) -> object:
    """Call with the stack this much deeper, as it may be inside a server."""
    assert sys.getrecursionlimit() >= 1_000
    found: list[object] = []

    def down(left: int) -> None:
        if left:
            down(left - 1)
        else:
            found.append(call())

    thread = threading.Thread(target=down, args=(depth,))
    thread.start()
    thread.join()
    return found[0]


def test_no_writer_can_append_what_would_freeze_a_license() -> None:
    event = asked(activation("host-1"), "activate")
    data = activation("host-1")
    spoiled = [
        replace(event, id="no id"),
        replace(event, license="no id"),
        replace(event, actor=""),
        replace(event, content_digest="short"),
        replace(event, source="x" * 257),
        replace(event, time_ms=-1),
        replace(event, data=replace(data, seats=0)),
        replace(event, data=replace(data, cores=2**31)),
        replace(event, data=replace(data, platform="x" * 513)),
        replace(event, data=replace(data, metadata="no JSON")),
        replace(event, data=replace(data, fingerprint="x" * 2_049)),
    ]
    for one in spoiled:
        with pytest.raises(UndecodableError):
            encode(one)
    with pytest.raises(UnknownRulesError):
        encode(replace(event, rules=3))


def test_an_event_has_at_most_64_kib() -> None:
    """Even where each of its parts is within its own limit."""
    data = activation("host-1")
    long = "x" * 2_048
    full = replace(
        data,
        fingerprint=long,
        name=long,
        hostname=long,
        ip=long,
        platform="😀" * 512,
        metadata='{"a":"' + "x" * (METADATA_BYTES_MAX - 8) + '"}',
    )
    assert decode(KEY, encode(asked(full, "full"))).data == full
    # Only escapes make it longer: each of these characters is six bytes in JSON.
    escaped = replace(full, platform="\x01" * 512, metadata='{"a":"' + "\\\\" * 8_000 + '"}')
    assert len(encode(asked(escaped, "escaped"))) <= EVENT_BYTES_MAX
    far_too_long = replace(asked(data, "long"), actor="x" * EVENT_BYTES_MAX)
    with pytest.raises(EventTooLargeError, match="at most 65536 bytes"):
        encode(far_too_long)
