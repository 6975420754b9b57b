"""The chain: pinned by golden values, since two versions must agree on it for ever."""

from __future__ import annotations

import pytest

from ledger.event_log import chain


def test_golden() -> None:
    first = chain.extend(chain.START, 0, 1_650_000_000_000, b"genesis", b"{}")
    second = chain.extend(first, 1, 1_650_000_000_001, None, None)
    assert first.hex() == "71b6103da62e590f978040eebd73bd84"
    assert second.hex() == "addfdf92d76d61f6f6e9a604699b1d82"


def test_its_form_in_the_head() -> None:
    assert chain.from_text("") == bytes(16)
    assert chain.from_text("00ff" * 8) == bytes.fromhex("00ff" * 8)


@pytest.mark.parametrize(
    "other",
    [
        (chain.extend(chain.START, 0, 0, None, None), 1, 2, b"k", b"v"),
        (chain.START, 2, 2, b"k", b"v"),
        (chain.START, 1, 3, b"k", b"v"),
        (chain.START, 1, 2, b"kv", b""),
        (chain.START, 1, 2, b"", b"kv"),
        (chain.START, 1, 2, None, b"v"),
        (chain.START, 1, 2, b"k", None),
    ],
)
def test_every_part_of_a_record_counts(
    other: tuple[bytes, int, int, bytes | None, bytes | None],
) -> None:
    assert chain.extend(*other) != chain.extend(chain.START, 1, 2, b"k", b"v")
