"""One license at work: its story, and what its values are sealed under."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.history.plans import Whose
from bench.history.story import Story
from ledger.sealing.data_key import DataKey, bound_to, to_base64url
from ledger.sealing.key_ring import KeyRing
from ledger.sealing.records import record_key

KEY_NONCE: Final = 0
FINGERPRINT_NONCES: Final = 1
"""From here on one for each machine."""
HOST_NONCES: Final = 1 << 40
"""The same."""


class Licensed:
    """One license while its story is told: its id, what its values are sealed under."""

    __slots__ = ("_bound", "_cipher", "_dk", "data_key", "id", "index", "key", "story")

    def __init__(self, whose: Whose, seed: int, index: int, id_: str, story: Story) -> None:
        digest = blake2b(
            b"%d/%d" % (seed, index), key=whose.pepper, digest_size=40, person=b"history.datakey"
        ).digest()
        self.id = id_
        self.key = id_.encode()
        self.index = index
        self.story = story
        self._dk = digest[:8].hex()
        self.data_key = digest[8:]
        self._cipher = AESGCM(self.data_key)
        self._bound = bound_to(whose.account, id_)

    def seal(self, nonce: int, text: str) -> str:
        """Sealed text, the same each time: a nonce is of one text only."""
        number = nonce.to_bytes(12, "big")
        sealed = self._cipher.encrypt(number, text.encode(), self._bound)
        return f"{self._dk}.{to_base64url(number + sealed)}"

    def key_record(self, ring: KeyRing, account: str) -> tuple[bytes, bytes]:
        """Key and value of the record that holds its data key."""
        data_key = DataKey(dk=self._dk, secret=self.data_key)
        value = ring.wrap(data_key, account=account, license_=self.id)
        return record_key(self.id, self._dk), value
