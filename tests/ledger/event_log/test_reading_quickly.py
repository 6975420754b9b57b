"""What the codec reads in one step is what the types with their patterns take, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain.events import TYPES, Event
from ledger.event_log import codec
from ledger.event_log.codec import UndecodableError, UnknownRulesError, decode
from tests.ledger.domain.golden_files import GOLDEN

GOLDENS = [path.read_bytes()[:-1] for path in sorted(GOLDEN.glob("records/license.*.json"))]
TERMS = {"license.issued", "license.terms-changed"}


def _decoded(key: bytes, value: bytes) -> Event | Exception:
    try:
        return decode(key, value)
    except (UndecodableError, UnknownRulesError) as error:
        return error


almost = st.one_of(
    st.text("0123456789abcdefABCDEFg-_ +:.TZ\n\u0663", max_size=40),
    st.from_regex(r"\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-fA]{4}-[0-9a-f]{3,5}-?[0-9a-f]{12}-?\n?\Z"),
    st.from_regex(r"\A[0-9a-f]{31,33}\n?\Z"),
    st.from_regex(
        r"\A(19|20|99)[0-9]{2}-[01][0-9]-[0-3][0-9][T ]"
        r"[0-9]{2}:[0-6][0-9]:[0-6][0-9]\.[0-9]{3}Z?\n?\Z"
    ),
)


@given(
    st.sampled_from([one for one in GOLDENS if b'"rules":2' in one or b"issued" not in one]),
    st.dictionaries(
        st.sampled_from(["id", "contentdigest", "sourcedigest", "time", "occurredat", "rules"]),
        almost | st.integers(0, 3),
        min_size=1,
        max_size=2,
    ),
    st.none() | almost,
)
@settings(max_examples=1_000, deadline=None, derandomize=True)
def test_what_is_read_quickly_is_what_the_types_take(
    golden: bytes, altered: dict[str, object], subject: str | None
) -> None:
    """Behind a space nothing is read quickly, but by the types with their patterns."""
    record = json.loads(golden) | altered | ({} if subject is None else {"subject": subject})
    value = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    key = record["subject"].encode()
    quickly, by_types = _decoded(key, value), _decoded(key, value + b" ")
    assert str(quickly) == str(by_types)
    assert isinstance(quickly, Event) == isinstance(by_types, Event)


@pytest.mark.parametrize("golden", GOLDENS)
def test_what_our_own_writers_write_is_read_quickly(
    golden: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for terms of rules 1, which are read as they were, and types that nothing folds yet."""
    record = json.loads(golden)
    name, key = record["type"], record["subject"].encode()
    monkeypatch.setattr(codec, "_envelopes", None)
    if name not in TYPES or (record["rules"] == 1 and name in TERMS):
        with pytest.raises(AttributeError):
            decode(key, golden)
    else:
        assert decode(key, golden).type == name
