"""Lines of a file of activity: bounded in length, as text, and digested up to any of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Final

from ledger.domain.identifiers import Pepper

LINE_BYTES_MAX: Final = 16 * 1024
_REST_BYTES: Final = 16


def bounded_lines(readline: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield a binary file's lines with their ends, none ever whole in memory that is too long.

    `readline` is the file's, with its limit in bytes. Of a line of over `LINE_BYTES_MAX` the rest
    is replaced by its digest: parsers see that it is too long, and a `PrefixDigest` that it is
    the same line as before.
    """
    while raw := readline(LINE_BYTES_MAX + 1):
        if len(raw) <= LINE_BYTES_MAX or raw.endswith(b"\n"):
            yield raw
            continue
        rest, end = hashlib.blake2b(digest_size=_REST_BYTES), b""
        while not end and (more := readline(LINE_BYTES_MAX)):
            rest.update(more)
            end = b"\n" if more.endswith(b"\n") else b""
        yield raw + rest.hexdigest().encode() + end


def text_of(raw: bytes) -> str:
    """Read a line as text, without its end: UTF-8, else what servers on Windows write.

    Different names stay different, so no two users become one machine.
    """
    line = raw.rstrip(b"\r\n")
    for encoding in ("utf-8", "cp1252"):
        try:
            return line.decode(encoding)
        except UnicodeDecodeError:
            continue
    return line.decode("latin-1")


class PrefixDigest:
    """Keyed digest of a log up to and including a line: tells a grown log from a changed one."""

    def __init__(self, pepper: Pepper) -> None:
        key = pepper.digest("ledger.prefix", size=32)
        self._state = hashlib.blake2b(key=key, digest_size=16)

    def add(self, raw: bytes) -> None:
        """Take the next line, its end of line in any form."""
        self._state.update(raw.rstrip(b"\r\n") + b"\n")

    @property
    def value(self) -> str:
        """Digest of all lines so far: 32 hex digits."""
        return self._state.hexdigest()


def source_of(form: str, head: list[bytes], pepper: Pepper) -> str:
    """Name of a source: its form and the digest of its head, up to its first event's line.

    A grown copy of a log has the same head, so it is the same source. Keyed, since the head
    names somebody and a source stands in the clear.
    """
    digest = PrefixDigest(pepper)
    for raw in head:
        digest.add(raw)
    return f"{form}:{digest.value}"
