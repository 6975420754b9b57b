"""Canaries: made-up secrets, and a scanner that looks for them wherever the ledger leaves bytes.

A test sends values that stand nowhere else, then scans Kafka's segments, Redis and its files,
logs, metrics and error texts for them, plain and in every usual encoding, also inside compressed
blocks. `tests/test_canary_scanner.py` proves that it finds what is there; a scan of nothing fails.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64encode, urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

from redis.asyncio import Redis

CANARY_BYTES_MIN: Final = 8
"""Shorter ones would be found by chance in base64."""

_CHUNK_BYTES: Final = 8 * 1024 * 1024
_REDIS_TIMEOUT_S: Final = 5.0
_STRING_BYTES_MAX: Final = 64 * 1024 * 1024
_LZF_MARK: Final = 0xC3
_BATCH_HEAD_BYTES: Final = 61
_OFFSETS_ONLY: Final = frozenset({".index", ".timeindex", ".txnindex"})
"""Kafka's indexes: preallocated, and nothing in them but offsets and times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A secret made up for a test: `what` it stands for and its text, at least 8 bytes."""

    what: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A canary was found: which, in which encoding, and where."""

    what: str
    encoding: str
    place: str


@dataclass(slots=True, kw_only=True)
class Scanner:
    """Looks for canaries; gathers `sightings` and how many bytes it saw of each source."""

    canaries: Sequence[Canary]
    sightings: set[Sighting] = field(default_factory=set)
    bytes_seen: Counter[str] = field(default_factory=Counter)
    _forms: list[tuple[str, str, bytes]] = field(init=False)

    def __post_init__(self) -> None:
        self._forms = [
            (canary.what, encoding, form)
            for canary in self.canaries
            for form, encoding in encodings(canary.text).items()
        ]

    def scan(self, source: str, place: str, data: bytes) -> None:
        """Look at bytes: `source` is what is counted ("metrics"), `place` what is reported."""
        self.bytes_seen[source] += len(data)
        for what, encoding, form in self._forms:
            if form in data:
                self.sightings.add(Sighting(what=what, encoding=encoding, place=place))

    def scan_text(self, source: str, place: str, text: str) -> None:
        """Look at text: an answer's body, the metrics page, an exception."""
        self.scan(source, place, text.encode(errors="surrogatepass"))

    def scan_files(self, source: str, folder: Path) -> None:
        """Look at every byte of every file below the folder: logs."""
        for path in _files(folder):
            self._scan_file(source, path)

    def scan_kafka(self, folder: Path) -> None:
        """Look at all that a broker keeps below its data folder, into compressed batches too."""
        for path in _files(folder):
            if path.suffix not in _OFFSETS_ONLY:
                self._scan_file("kafka", path)
            if path.suffix == ".log":
                for records in compressed_batches(path.read_bytes()):
                    self.scan("kafka", f"{path} (compressed)", records)

    def scan_redis_files(self, folder: Path) -> None:
        """Look at a Redis' append-only files, into compressed strings too."""
        for path in _files(folder):
            self._scan_file("redis-files", path)
            for string in compressed_strings(path.read_bytes()):
                self.scan("redis-files", f"{path} (compressed)", string)

    async def scan_redis(self, url: str) -> None:
        """Look at every key and value of a Redis, as it gives them and as it dumps them."""
        async with Redis.from_url(
            url, socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S
        ) as redis:
            async for key, data in _keys_and_values(redis):
                self.scan("redis", f"{url} {key!r}", data)

    def check(self, *sources: str) -> None:
        """Raise `AssertionError` if a canary was seen, or if a source gave nothing to look at."""
        unseen = [source for source in sources if not self.bytes_seen[source]]
        assert not unseen, f"nothing was looked at: {', '.join(unseen)}"
        lines = [f"{each.what} ({each.encoding}) in {each.place}" for each in self.sightings]
        assert not lines, "in the clear:\n" + "\n".join(sorted(lines))

    def _scan_file(self, source: str, path: Path) -> None:
        overlap = max(len(form) for _, _, form in self._forms) - 1
        tail = b""
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                self.scan(source, str(path), tail + chunk)
                tail = chunk[-overlap:]


def encodings(text: str) -> dict[bytes, str]:
    """Every form that a text usually takes, each with its name."""
    plain = text.encode()
    if len(plain) < CANARY_BYTES_MIN:
        raise ValueError(f"a canary has at least {CANARY_BYTES_MIN} bytes")
    forms = {plain: "utf-8"}
    named = {
        "lower case": text.lower().encode(),
        "upper case": text.upper().encode(),
        "utf-16": text.encode("utf-16-le"),
        "json": json.dumps(text)[1:-1].encode(),
        "json, slashes escaped": json.dumps(text)[1:-1].replace("/", "\\/").encode(),
        "json, twice": json.dumps(json.dumps(text)[1:-1])[1:-1].encode(),
        "json, utf-8": json.dumps(text, ensure_ascii=False)[1:-1].encode(),
        "url": quote(text, safe="").encode(),
        "form": quote_plus(text).encode(),
        "python": repr(text)[1:-1].encode(),
        "python bytes": repr(plain)[2:-1].encode(),
        "hex": plain.hex().encode(),
        "hex, upper case": plain.hex().upper().encode(),
    }
    for shift in range(3):
        named[f"base64 at {shift}"] = _base64_inside(plain, shift, b64encode)
        named[f"base64url at {shift}"] = _base64_inside(plain, shift, urlsafe_b64encode)
    for name, form in named.items():
        forms.setdefault(form, name)
    return forms


def _base64_inside(plain: bytes, shift: int, encode: Callable[[bytes], bytes]) -> bytes:
    """Letters that depend on `plain` alone when `shift` bytes (modulo 3) come before it."""
    letters = encode(bytes(shift) + plain).rstrip(b"=")
    mixed_first = (0, 2, 3)[shift]
    mixed_last = (shift + len(plain)) % 3 != 0
    return letters[mixed_first : -1 if mixed_last else None]


def compressed_batches(segment: bytes) -> Iterator[bytes]:
    """Records of a segment's gzip batches; raises where another codec hides them."""
    at = 0
    while at + _BATCH_HEAD_BYTES <= len(segment):
        length = int.from_bytes(segment[at + 8 : at + 12], "big")
        codec = segment[at + 22] & 7
        if codec == 1:
            yield gzip.decompress(segment[at + _BATCH_HEAD_BYTES : at + 12 + length])
        elif codec:
            raise AssertionError(f"a batch is compressed by codec {codec}: nobody can look inside")
        if length <= 0:
            return
        at += 12 + length


def compressed_strings(data: bytes) -> Iterator[bytes]:
    """All that may be an LZF string in Redis' own format: a mark, two lengths, the string."""
    at = data.find(_LZF_MARK)
    while at >= 0:
        packed, start = _length(data, at + 1)
        size, start = _length(data, start)
        if 0 < packed <= len(data) - start and packed < size <= _STRING_BYTES_MAX:
            string = lzf(data[start : start + packed], size)
            if string is not None:
                yield string
        at = data.find(_LZF_MARK, at + 1)


def lzf(packed: bytes, size: int) -> bytes | None:
    """Unpack an LZF string of `size` bytes; None if it isn't one."""
    out = bytearray()
    at = 0
    try:
        while at < len(packed) and len(out) < size:
            control = packed[at]
            at += 1
            if control < 32:
                out += packed[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += packed[at]
                at += 1
            back = ((control & 31) << 8) + packed[at] + 1
            at += 1
            if back > len(out):
                return None
            for _ in range(length + 2):
                out.append(out[-back])
    except IndexError:
        return None
    return bytes(out) if at == len(packed) and len(out) == size else None


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A length of Redis' format and where it ends; -1 where there is none."""
    if not 0 <= at < len(data):
        return -1, -1
    first = data[at]
    if first < 0x40:
        return first, at + 1
    if first < 0x80:
        return int.from_bytes(data[at : at + 2], "big") & 0x3FFF, at + 2
    if first == 0x80:
        return int.from_bytes(data[at + 1 : at + 5], "big"), at + 5
    return -1, -1


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def _keys_and_values(redis: Redis) -> AsyncIterator[tuple[bytes, bytes]]:
    async for key in redis.scan_iter(count=1000):
        yield key, key
        dumped = await redis.dump(key)
        if dumped is None:
            continue
        yield key, dumped
        for string in compressed_strings(dumped):
            yield key, string
        for value in await _values(redis, key):
            yield key, value


async def _values(redis: Redis, key: bytes) -> list[bytes]:
    read = _READ.get(await redis.type(key))
    if read is None:
        return []
    command, *arguments = read
    # redis-py gives this method no types.
    answer = await redis.execute_command(command, key, *arguments)  # type: ignore[no-untyped-call]
    if isinstance(answer, dict):
        return [part for pair in answer.items() for part in pair]
    return list(answer) if isinstance(answer, list | set) else [answer or b""]


_READ: Final[dict[object, tuple[str, ...]]] = {
    b"string": ("GET",),
    b"hash": ("HGETALL",),
    b"list": ("LRANGE", "0", "-1"),
    b"set": ("SMEMBERS",),
    b"zset": ("ZRANGE", "0", "-1"),
}
"""How each type is read in full; any other is looked at as it is dumped."""
