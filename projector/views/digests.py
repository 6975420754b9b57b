"""Digests of all that a partition of a replica holds: sums of keyed hashes, in any order; pure.

Two folds that agree have the same digests at the same position, however they came there. The key
keeps anybody without the pepper from making two contents of one digest (docs/format.md, "Digests").
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct as Packed
from typing import Final

import msgspec
from msgspec import Struct

from ledger.domain.identifiers import Pepper

VIEW: Final = 1
"""How documents are rendered; raised with every change of a license's ready-made answer."""
MIXED_VIEW: Final = 0
"""Some documents were rendered one way, some another."""
CUT_EVERY: Final = 4096
"""Digests are kept of each position that this divides, so that replicas are compared there."""
DIGEST_BYTES: Final = 16

_MODULUS: Final = 1 << 8 * DIGEST_BYTES
_length: Final = Packed(">H").pack
_number: Final = int.from_bytes


class Cut(Struct, frozen=True, kw_only=True):
    """Digests and chain at the last position that `CUT_EVERY` divides."""

    position: int
    state: str
    documents: str
    chain: str


class Digests(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a partition holds at `position`.

    `state`: of the complete state of the fold. `documents`: of the licenses' documents, ready-made
    answers included, so of the view too. `view`: how all of these were rendered, `MIXED_VIEW` if
    not all the same way.
    """

    position: int = 0
    state: str = "00" * DIGEST_BYTES
    documents: str = "00" * DIGEST_BYTES
    view: int = MIXED_VIEW
    cut: Cut | None = None


NOTHING: Final = Digests(view=VIEW)
"""Of a partition that nothing was folded of."""

_encoder: Final = msgspec.json.Encoder(order="sorted")
_decoder: Final = msgspec.json.Decoder(Digests)


def digests_document(digests: Digests) -> bytes:
    """Stored form of a partition's digests."""
    return _encoder.encode(digests)


def read_digests(document: bytes) -> Digests:
    """Digests of their stored form."""
    return _decoder.decode(document)


def digests_at(position: int, document: bytes | None) -> Digests | None:
    """Digests of a partition at `position`, None where what is stored isn't of there.

    So it is where an older release has folded on: it kept none.
    """
    digests = NOTHING if document is None else read_digests(document)
    return digests if digests.position == position else None


class Weigher:
    """Weighs what is stored: a weight is a keyed hash, as a number; a digest is their sum."""

    __slots__ = ("_begin",)

    def __init__(self, key: bytes) -> None:
        self._begin = blake2b(key=key, digest_size=DIGEST_BYTES).copy

    def weigh(self, name: str, value: bytes) -> int:
        """Weight of a value under its name in the partition, which has no generation in it."""
        state = self._begin()
        encoded = name.encode()
        state.update(_length(len(encoded)) + encoded + value)
        return _number(state.digest(), "big")

    def weigh_license(self, name: str, document: bytes) -> tuple[int, int]:
        """Weights of a license's state and of its whole document."""
        state = self._begin()
        encoded, at = name.encode(), document.index(b"\n")
        state.update(_length(len(encoded)) + encoded + document[:at])
        weight = _number(state.digest(), "big")
        state.update(document[at:])
        return weight, _number(state.digest(), "big")

    def weigh_command(self, name: str, elapsed_ms: int, document: bytes) -> int:
        """Weight of a remembered verdict with the elapsed clock at which its memory began."""
        return self.weigh(name, b"%d:%b" % (elapsed_ms, document))

    def weigh_set_aside(self, name: str, offset: int, member: bytes) -> int:
        """Weight of a record set aside."""
        return self.weigh(name, b"%d:%b" % (offset, member))


def weigher(pepper: Pepper) -> Weigher:
    """Weigher of the ledger with this pepper."""
    return Weigher(pepper.digest("ledger.digest", size=32))


def plus(digest: str, weight: int) -> str:
    """Digest with so much more in it; a weight below 0 takes out."""
    total = (int(digest, 16) + weight) % _MODULUS
    return total.to_bytes(DIGEST_BYTES, "big").hex()


def moved_on(
    before: Digests,
    *,
    start: int,
    end: int,
    state: int,
    documents: int,
    chain: str,
) -> Digests | None:
    """Digests after the records [start, end), which changed the sums by `state` and `documents`.

    Where nothing but records set aside were folded, `end` is `start`; what was cut before then is
    not what a fold from the first record would have cut, and goes.

    None where those before are of another position: what else was written since isn't known.
    """
    if before.position != start:
        return None
    after = Digests(
        position=end,
        state=plus(before.state, state),
        documents=plus(before.documents, documents),
        view=VIEW if before.view == VIEW else MIXED_VIEW,
        cut=before.cut if end > start else None,
    )
    if end % CUT_EVERY:
        return after
    cut = Cut(position=end, state=after.state, documents=after.documents, chain=chain)
    return msgspec.structs.replace(after, cut=cut)
