"""What a backup and a restore take: `python -m bench.backups [RECORDS]`.

Not a row of `make bench`: there is nothing that does the same to measure it beside.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from tests.activity import Activity, append
from tests.servers import ROOT, KafkaServer

RECORDS: Final = 200_000
PARTITIONS: Final = 16
PIECE: Final = 20_000


def main(records: int) -> None:
    """Fill a ledger, then run the commands on it, each in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="ledger-bench-") as name:
        kafka = KafkaServer(Path(name) / "kafka")
        kafka.start()
        try:
            _measure(kafka, Path(name) / "backup", records)
        finally:
            kafka.stop()


def _measure(kafka: KafkaServer, folder: Path, records: int) -> None:
    _run(kafka, "init", "--copies", "1")
    size = asyncio.run(_fill(kafka, records))
    print(f"{records:,} events of {size / 1e6:.1f} MB (keys and values)")
    told = _run(kafka, "backup", str(folder))
    stored = told["bytes"]
    print(f"{stored / 1e6:.1f} MB in {told['files']} files, {size / stored:.2f} to 1")
    _run(kafka, "backup", str(folder))
    _run(kafka, "backup", str(folder), "--verify")
    told = _run(kafka, "restore", str(folder), "--copies", "1", prefix="restored-")
    assert told["written"] >= records
    _run(kafka, "restore", str(folder), "--copies", "1", prefix="restored-")


async def _fill(kafka: KafkaServer, records: int) -> int:
    activity = Activity(1, partitions=PARTITIONS, licenses=max(records // 10, 1))
    size = 0
    for _ in range(0, records, PIECE):
        piece = list(activity.appendables(min(PIECE, records)))
        size += sum(len(one.key or b"") + len(one.value or b"") for one in piece)
        await append(kafka.bootstrap, "license-events", piece)
    return size


def _run(kafka: KafkaServer, *arguments: str, prefix: str = "") -> dict[str, Any]:
    """Run a command; print how long it took, and how much memory."""
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "LEDGER_KAFKA": kafka.bootstrap,
        "LEDGER_LOCAL": "1",
        "LEDGER_REPLICAS": "redis://127.0.0.1:1/0",
        "LEDGER_PARTITIONS": str(PARTITIONS),
        "LEDGER_TOPIC_PREFIX": prefix,
        "LEDGER_PEPPER": "5e" * 32,
        "LEDGER_SEAL_KEYS": f"k1:{'73' * 32}",
    }
    command = [sys.executable, "-c", "from cli.start import main; main()", *arguments, "--json"]
    began = perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.stdout.close()
    took_s = perf_counter() - began
    assert status == 0, said
    said_of = " ".join((arguments[0], *arguments[2:]))
    print(f"ledger {said_of}: {took_s:.1f} s, {used.ru_maxrss / 1024:.0f} MB")
    found: dict[str, Any] = json.loads(said)
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS)
