"""Digests: sums of keyed hashes that tell any two contents apart, in whatever order they came."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.identifiers import Pepper
from projector.read_model.keys import Keys
from projector.read_model.memory import MemoryReadModel
from projector.views.digests import (
    CUT_EVERY,
    MIXED_VIEW,
    NOTHING,
    VIEW,
    Digests,
    Weigher,
    digests_at,
    digests_document,
    moved_on,
    plus,
    read_digests,
    weigher,
)
from tests.activity import Activity, records
from tests.projector.in_memory import project, stored_in_memory
from tests.projector.independent import Stored
from tests.projector.weighing import PEPPER, WEIGHER, digests_of

PREFIX = Keys(0).prefix
ITEMS = st.dictionaries(st.text(max_size=9), st.binary(max_size=9), max_size=6)


async def _stored() -> Stored:
    model = MemoryReadModel()
    await project(model, records(Activity(4, partitions=1, licenses=9).appendables(400), seed=4)[0])
    return stored_in_memory(model, 0)


@given(ITEMS, st.randoms())
def test_the_order_changes_nothing(items: dict[str, bytes], random: Random) -> None:
    pairs = list(items.items())
    there = "00" * 16
    for name, value in pairs:
        there = plus(there, WEIGHER.weigh(name, value))
    random.shuffle(pairs)
    back = there
    for name, value in pairs:
        back = plus(back, -WEIGHER.weigh(name, value))
    assert back == "00" * 16
    assert (there == "00" * 16) == (not pairs)


@given(st.text(max_size=9), st.binary(max_size=9), st.integers(1, 9))
def test_a_name_does_not_run_into_its_value(name: str, value: bytes, moved: int) -> None:
    longer, shorter = name + value[:moved].decode(errors="ignore"), value[moved:]
    if longer != name:
        assert WEIGHER.weigh(longer, shorter) != WEIGHER.weigh(name, value)


def test_a_license_weighs_its_state_and_its_whole_document() -> None:
    state, whole = WEIGHER.weigh_license("L:x", b"state\nhead\ntail")
    assert state == WEIGHER.weigh("L:x", b"state")
    assert whole == WEIGHER.weigh("L:x", b"state\nhead\ntail")
    assert WEIGHER.weigh_license("L:x", b"state\nhead\ntails")[0] == state


def test_another_pepper_gives_other_weights() -> None:
    other = weigher(Pepper(b"q" * 32))
    assert other.weigh("M:1", b"{}") != WEIGHER.weigh("M:1", b"{}")
    assert Weigher(PEPPER.digest("ledger.digest", size=32)).weigh("M:1", b"{}") == WEIGHER.weigh(
        "M:1", b"{}"
    )


async def test_every_flipped_bit_of_a_document_changes_a_digest() -> None:
    stored = await _stored()
    sums = digests_of(stored, PREFIX)
    random = Random(7)
    names = [name for name in sorted(stored) if isinstance(stored[name], bytes)]
    kinds = set()
    for name in names:
        kind = name.removeprefix(PREFIX).partition(":")[0]
        value = stored[name]
        if kind not in {"L", "M", "C"} or not isinstance(value, bytes):
            continue
        kinds.add(kind)
        at, bit = random.randrange(len(value)), 1 << random.randrange(8)
        flipped = bytes((*value[:at], value[at] ^ bit, *value[at + 1 :]))
        if kind != "L" or flipped.count(b"\n") == value.count(b"\n"):
            assert digests_of({**stored, name: flipped}, PREFIX) != sums, name
        gone = {key: kept for key, kept in stored.items() if key != name}
        if kind != "C":
            assert digests_of(gone, PREFIX) != sums, name
    assert kinds == {"L", "M", "C"}


def test_digests_read_back_as_they_were_written() -> None:
    digests = moved_on(NOTHING, start=0, end=CUT_EVERY, state=5, documents=-1, chain="ab")
    assert digests is not None
    assert digests.cut is not None
    assert digests.cut.position == CUT_EVERY
    assert digests.cut.chain == "ab"
    assert digests.documents == "f" * 32
    assert read_digests(digests_document(digests)) == digests
    later = moved_on(digests, start=CUT_EVERY, end=CUT_EVERY + 1, state=1, documents=1, chain="cd")
    assert later is not None
    assert later.cut == digests.cut
    assert later.documents == "0" * 32


def test_digests_of_another_position_say_nothing() -> None:
    document = digests_document(Digests(position=4, view=VIEW))
    assert digests_at(4, document) == Digests(position=4, view=VIEW)
    assert digests_at(5, document) is None
    assert digests_at(0, None) == NOTHING
    assert digests_at(3, None) is None
    assert moved_on(NOTHING, start=3, end=4, state=0, documents=0, chain="") is None


@pytest.mark.parametrize(("before", "after"), [(VIEW, VIEW), (VIEW + 1, MIXED_VIEW), (0, 0)])
def test_a_view_is_that_of_all_documents_or_mixed(before: int, after: int) -> None:
    moved = moved_on(Digests(view=before), start=0, end=1, state=0, documents=0, chain="")
    assert moved is not None
    assert moved.view == after
