"""Digests computed once more, from what is stored and by nothing of the projector's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Final

from ledger.domain.identifiers import Pepper
from projector.views.digests import weigher

PEPPER: Final = Pepper(b"p" * 32)
"""That of the golden files."""
WEIGHER: Final = weigher(PEPPER)


def digests_of(
    stored: Mapping[str, bytes | dict[bytes, int]], prefix: str, pepper: Pepper = PEPPER
) -> tuple[str, str]:
    """Digests of the state and of the documents of all that is stored under a prefix, in hex."""
    key = pepper.digest("ledger.digest", size=32)
    state = documents = 0
    for name, weighed, whole in _weighed(stored, prefix):
        encoded = len(name).to_bytes(2, "big") + name.encode()
        state += _number(blake2b(encoded + weighed, key=key, digest_size=16))
        if whole is not None:
            documents += _number(blake2b(encoded + whole, key=key, digest_size=16))
    return _hex(state), _hex(documents)


def _weighed(
    stored: Mapping[str, bytes | dict[bytes, int]], prefix: str
) -> Iterator[tuple[str, bytes, bytes | None]]:
    """Names, what of each is state, and what is a license's whole document."""
    ours = {name[len(prefix) :]: value for name, value in stored.items() if name.startswith(prefix)}
    for name, value in ours.items():
        kind, _, rest = name.partition(":")
        if isinstance(value, bytes):
            if kind == "L":
                yield name, value.split(b"\n")[0], value
            elif kind in {"M", "E", "U", "S"}:
                yield name, value, None
        elif kind == "K":
            for member in value:
                elapsed, command = member.decode().split(":")
                verdict = ours[f"C:{rest}:{command}"]
                assert isinstance(verdict, bytes)
                yield f"C:{rest}:{command}", elapsed.encode() + b":" + verdict, None
        elif kind == "Q" and rest != "frozen":
            for member, offset in value.items():
                yield name, b"%d:%b" % (offset, member), None


def _number(digest: blake2b) -> int:
    return int(digest.hexdigest(), 16)


def _hex(total: int) -> str:
    return f"{total % 2**128:032x}"
