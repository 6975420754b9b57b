"""The local copy: what only a file has, which others read while it is written."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from projector.read_model.lmdb import LmdbReader, LmdbReadModel
from projector.read_model.port import ReadModelCorruptError, ReadModelUnavailableError
from projector.views.documents import read_head
from tests.projector.read_model.samples import INDEX, LICENSE, MEMORY, NAMES, batch, members

WRITER = """
import asyncio, sys
from pathlib import Path
from projector.read_model.lmdb import LmdbReadModel
from tests.projector.read_model.samples import LICENSE, INDEX, batch

async def main():
    model = LmdbReadModel(Path(sys.argv[1]))
    at = 0
    while True:
        written = str(at + 1).encode()
        await model.apply(
            batch(at, at + 1, strings={LICENSE: written}, sorted_sets={INDEX: {"m": at + 1}})
        )
        at += 1
        print(at, flush=True)

asyncio.run(main())
"""


def killed_writer(folder: Path) -> int:
    """Have another process write batches, read beside it, kill it; the last that it told of."""
    argv = [sys.executable, "-c", WRITER, str(folder)]
    reader = LmdbReader(folder)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            told = 0
            for line in writer.stdout:
                told = int(line)
                license_, head = reader.read([LICENSE, NAMES.head])
                assert license_ is not None
                assert head is not None
                assert int(license_) == read_head(head).position >= told
                if told == 50:
                    break
            os.kill(writer.pid, signal.SIGKILL)
            told = max([told, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        finally:
            writer.kill()
    reader.close()
    return told


async def test_a_killed_writer_leaves_whole_batches_and_readers_never_wait(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    told = await asyncio.to_thread(killed_writer, folder)
    assert told >= 50
    model = LmdbReadModel(folder)
    license_, head = await model.get([LICENSE, NAMES.head])
    assert license_ is not None
    assert head is not None
    assert int(license_) == read_head(head).position >= told
    assert await members(model, INDEX) == [(b"m", int(license_))]
    await model.close()


async def test_a_full_file_refuses_the_batch_whole_and_goes_on_with_more_room(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "copy"
    small = LmdbReadModel(folder, max_bytes=1 << 20)
    await small.apply(batch(strings={LICENSE: b"first"}))
    big = batch(5, 6, strings={LICENSE: b"second", **{f"k{n}": b"x" * 9_000 for n in range(400)}})
    with pytest.raises(ReadModelUnavailableError, match="LEDGER_LOCAL_COPY_MAX_MB"):
        await small.apply(big)
    assert await small.get([LICENSE, "k0"]) == [b"first", None]
    await small.close()
    roomy = LmdbReadModel(folder, max_bytes=1 << 24)
    assert await roomy.apply(big) is None
    assert await roomy.get([LICENSE]) == [b"second"]
    await roomy.close()


async def test_what_is_no_copy_is_told(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"not a copy" * 2_000)
    with pytest.raises(ReadModelCorruptError, match="move it away"):
        LmdbReadModel(tmp_path)
    with pytest.raises(ReadModelCorruptError, match="move it away"):
        LmdbReader(tmp_path).read([LICENSE])


async def test_a_reader_waits_for_the_file_to_be_made(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    reader = LmdbReader(folder)
    with pytest.raises(ReadModelUnavailableError, match="no local copy"):
        reader.read([LICENSE])
    model = LmdbReadModel(folder)
    await model.apply(batch(strings={LICENSE: b"1"}))
    await model.close()
    assert reader.read([LICENSE, "none"]) == [b"1", None]
    assert not (folder.stat().st_mode & 0o077), "nobody else may read it"
    reader.close()


async def test_long_names_are_told_apart(tmp_path: Path) -> None:
    model = LmdbReadModel(tmp_path)
    one, other = NAMES.claim("d" * 900), NAMES.claim("d" * 901)
    record = b"1:2:" + b"r" * 60_000
    await model.apply(
        batch(
            strings={one: b"1", other: b"2"},
            sorted_sets={MEMORY: {record: 7, record + b"'": 7, "short": 1}},
        )
    )
    assert await model.get([one, other]) == [b"1", b"2"]
    held = await members(model, MEMORY)
    assert held[0] == (b"short", 1)
    assert set(held[1:]) == {(record, 7), (record + b"'", 7)}
    await model.apply(batch(5, 6, sorted_sets={MEMORY: {record: None}}))
    assert (record, 7) not in await members(model, MEMORY)
    await model.close()


async def test_a_lock_of_a_future_that_is_no_more_is_no_lock(tmp_path: Path) -> None:
    now = 2_000_000_000.0
    model = LmdbReadModel(tmp_path, clock=lambda: now)
    assert await model.hold("slot", "a", 2_000)
    now -= 400 * 86_400
    assert await model.hold("slot", "b", 2_000)
    await model.close()


async def test_writes_leave_the_loop_free(tmp_path: Path) -> None:
    model = LmdbReadModel(tmp_path)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    await model.apply(batch(strings={f"k{n}": b"x" * 1_000 for n in range(5_000)}))
    turning.cancel()
    assert turns > 1
    await model.close()


WRITTEN_MB = """
import asyncio, sys
from pathlib import Path
from projector.read_model.lmdb import LmdbReadModel

async def main():
    folder, first, last, limit = sys.argv[1:]
    model = LmdbReadModel(Path(folder), max_bytes=int(limit) << 20)
    for number in range(int(first), int(last)):
        await model.put(f"value {number}", bytes(1 << 20))
    await model.close()

asyncio.run(main())
"""


def write_mb(folder: Path, first: int, last: int, *, limit_mb: int) -> None:
    """Have another process write values of a megabyte each."""
    argv = [sys.executable, "-c", WRITTEN_MB, str(folder), str(first), str(last), str(limit_mb)]
    subprocess.run(argv, check=True, timeout=60)


def test_a_reader_follows_a_file_that_grows(tmp_path: Path) -> None:
    write_mb(tmp_path, 0, 1, limit_mb=64)
    reader = LmdbReader(tmp_path)
    assert reader.read(["value 0", "value 29"]) == [bytes(1 << 20), None]
    write_mb(tmp_path, 1, 30, limit_mb=64)
    assert reader.read(["value 0", "value 29"]) == [bytes(1 << 20)] * 2
    # Its limit was raised: what is further than the old one is read as well.
    write_mb(tmp_path, 30, 90, limit_mb=128)
    assert reader.read(["value 0", "value 89"]) == [bytes(1 << 20)] * 2
    reader.close()
