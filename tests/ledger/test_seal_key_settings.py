from __future__ import annotations

import secrets
from hashlib import sha256

import pytest

from ledger.sealing.key_ring import KeyRing
from ledger.settings import SettingsError, read_settings

KEY = sha256(b"a seal key").hexdigest()
"""The same in every process of a run: tests are named for it."""


def environment(seal_keys: str) -> dict[str, str]:
    return {
        "LEDGER_KAFKA": "127.0.0.1:1",
        "LEDGER_REPLICAS": "redis://127.0.0.1:1/0",
        "LEDGER_PEPPER": secrets.token_hex(32),
        "LEDGER_SEAL_KEYS": seal_keys,
    }


def test_every_ring_that_the_settings_take_can_be_made() -> None:
    text = f"k2:{KEY}, {'k' * 64}:{KEY}\nk1:{KEY}"
    ring = KeyRing(read_settings(environment(text)).seal_keys)
    assert ring.current == "k2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k1",
        KEY,
        f":{KEY}",
        f"k-1:{KEY}",
        f"ké:{KEY}",
        f"{'k' * 65}:{KEY}",
        f"k1:{KEY[2:]}",
        f"k1:{KEY},k1:{KEY}",
        f"k1:{KEY};k2:{KEY}",
    ],
)
def test_any_other_is_refused_by_name_and_without_the_key(text: str) -> None:
    with pytest.raises(SettingsError, match="LEDGER_SEAL_KEYS") as caught:
        read_settings(environment(text))
    assert KEY[2:] not in str(caught.value)
