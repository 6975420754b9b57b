"""The scanner finds what was planted: a check that can't fail is a defect."""

from __future__ import annotations

import asyncio
import gzip
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from ledger.sealing.data_key import DataKey
from tests.canary import (
    Canary,
    Scanner,
    compressed_batches,
    compressed_strings,
    encodings,
    lzf,
)
from tests.servers import KafkaServer, RedisServer

HOST = Canary(what="hostname", text='Wörk/"7"?-canary-8f2')
KEY = Canary(what="key", text="LIC-CANARY-0123-XYZ")


def scanner() -> Scanner:
    return Scanner(canaries=[HOST, KEY])


ENCODERS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "lower": lambda text: text.lower().encode(),
    "upper": lambda text: text.upper().encode(),
    "json": lambda text: json.dumps({"a": text}).encode(),
    "json as it is": lambda text: json.dumps({"a": text}, ensure_ascii=False).encode(),
    "json in json": lambda text: json.dumps(json.dumps({"a": text})).encode(),
    "json for html": lambda text: json.dumps(text).replace("/", "\\/").encode(),
    "url": lambda text: f"/v1/licenses/{quote(text, safe='')}".encode(),
    "repr": lambda text: repr({"a": text}).encode(),
    "repr of bytes": lambda text: repr(text.encode()).encode(),
    "hex": lambda text: text.encode().hex().encode(),
    "HEX": lambda text: text.encode().hex().upper().encode(),
    "utf-16": lambda text: text.encode("utf-16"),
}


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS.keys())
@pytest.mark.parametrize("canary", [HOST, KEY], ids=["hostname", "key"])
def test_each_encoding_is_found(encoder: Callable[[str], bytes], canary: Canary) -> None:
    found = scanner()
    found.scan("x", "here", b"before " + encoder(canary.text) + b" after")
    assert {each.what for each in found.sightings} == {canary.what}
    with pytest.raises(AssertionError, match=f"{canary.what} .* in here"):
        found.check("x")


@given(
    before=st.binary(max_size=9),
    after=st.binary(max_size=9),
    text=st.text(st.characters(codec="utf-8"), min_size=8, max_size=40),
)
def test_base64_is_found_wherever_it_begins(before: bytes, after: bytes, text: str) -> None:
    for encode in (b64encode, urlsafe_b64encode):
        found = Scanner(canaries=[Canary(what="c", text=text)])
        found.scan("x", "here", encode(before + text.encode() + after))
        assert found.sightings


@given(data=st.binary(max_size=2000))
def test_nothing_is_found_where_nothing_is(data: bytes) -> None:
    found = scanner()
    found.scan("x", "here", data)
    found.scan_text("x", "sealed", DataKey.new().seal(str(uuid4()), str(uuid4()), HOST.text))
    found.check("x")


def test_a_scan_of_nothing_fails() -> None:
    with pytest.raises(AssertionError, match="nothing was looked at: metrics"):
        scanner().check("metrics")


def test_a_short_canary_is_refused() -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        encodings("short")


def test_a_canary_across_two_chunks_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.canary._CHUNK_BYTES", 256)
    folder = tmp_path / "deep"
    folder.mkdir()
    for shift in range(256 - 30, 256 + 10):
        (folder / f"{shift}.log").write_bytes(bytes(shift) + KEY.text.encode() + bytes(300))
    found = scanner()
    found.scan_files("logs", tmp_path)
    assert len({each.place for each in found.sightings}) == 40


async def test_redis_is_looked_at_in_keys_and_in_values_of_every_type(
    redis_server: RedisServer,
) -> None:
    async with Redis.from_url(redis_server.url) as redis:
        await redis.set("in:string", f"x{HOST.text}x")
        await redis.set(f"in:key:{HOST.text}", "x")
        await redis.hset("in:hash", "field", HOST.text)
        await redis.zadd("in:zset", {f"0:{HOST.text}": 1})
        await redis.rpush("in:list", HOST.text)
        await redis.sadd("in:set", HOST.text)
        await redis.set("in:packed", ("abc" * 50 + HOST.text) * 9)
        await redis.set("clean", "x" * 100)
    found = scanner()
    await found.scan_redis(redis_server.url)
    places = {each.place.partition("b'")[2].strip("'") for each in found.sightings}
    kinds = {place.split(":")[1] for place in places}
    assert kinds == {"string", "key", "hash", "zset", "list", "set", "packed"}


async def test_redis_files_are_looked_at_plain_and_compressed(redis_server: RedisServer) -> None:
    files = redis_server.data_directory
    async with Redis.from_url(redis_server.url) as redis:
        await redis.set("plain", KEY.text)
        # Its halves come first, so that the whole is stored as two references to them.
        half = len(HOST.text) // 2
        value = f"{HOST.text[:half]}|{HOST.text[half:]}|{HOST.text}{'-' * 99}"
        await redis.set("packed", value)
        # Redis holds a write back while an earlier one is on its way to a busy disk.
        async with asyncio.timeout(30):
            while HOST.text.encode() not in b"".join(map(Path.read_bytes, _increments(files))):
                await asyncio.sleep(0.05)
        plain = scanner()
        plain.scan_redis_files(files)
        assert {each.what for each in plain.sightings} == {"key", "hostname"}
        await redis.bgrewriteaof()
        async with asyncio.timeout(30):
            while not any(HOST.text[:half].encode() in path.read_bytes() for path in _bases(files)):
                await asyncio.sleep(0.05)
    assert not any(HOST.text.encode() in path.read_bytes() for path in _bases(files))
    found = scanner()
    found.scan_redis_files(files)
    assert {each.what for each in found.sightings} == {"key", "hostname"}


def _increments(folder: Path) -> list[Path]:
    return list(folder.rglob("*.incr.aof"))


def _bases(folder: Path) -> list[Path]:
    return list(folder.rglob("*.base.rdb"))


@given(data=st.binary(max_size=400), size=st.integers(0, 400))
def test_bytes_that_are_no_lzf_do_no_harm(data: bytes, size: int) -> None:
    out = lzf(data, size)
    assert out is None or len(out) == size
    list(compressed_strings(b"\xc3" + data))


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_kafka_is_looked_at_plain_and_compressed(
    kafka_server: KafkaServer, compression: str | None
) -> None:
    name = f"canary-{uuid4().hex}"
    canary = Canary(what="key", text=f"LIC-{uuid4().hex}")
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka_server.bootstrap, compression_type=compression
    )
    await admin.start()
    await producer.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
        for value in (b"first", f'{{"key":"{canary.text}"}}'.encode() * 3):
            await asyncio.wait_for(producer.send_and_wait(name, value), 30)
    finally:
        await producer.stop()
        await admin.close()
    found = Scanner(canaries=[canary])
    found.scan_kafka(kafka_server.directory / "data")
    assert any(name in each.place for each in found.sightings)
    assert found.bytes_seen["kafka"] > 0


def test_a_codec_that_hides_records_fails_the_scan() -> None:
    batch = bytearray(_batch(b"x" * 40))
    batch[22] = 4
    with pytest.raises(AssertionError, match="codec 4"):
        list(compressed_batches(_batch(b"y") + bytes(batch)))


def test_batches_are_walked_to_the_end() -> None:
    packed = bytearray(_batch(gzip.compress(b"records")))
    packed[22] = 1
    assert list(compressed_batches(_batch(b"y") + bytes(packed) + bytes(500))) == [b"records"]


def _batch(records: bytes) -> bytes:
    """A batch as it lies in a segment: offset, length, 49 bytes of head, records."""
    return bytes(8) + (49 + len(records)).to_bytes(4, "big") + bytes(49) + records
