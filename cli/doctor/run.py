"""The whole examination: everything at once, each part bounded, whatever is down or frozen."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from cli import connection
from cli.doctor import capacity, machine, processes, replicas
from cli.doctor import log as log_part
from cli.doctor.finding import Finding, fail, ok
from cli.doctor.log import Log
from cli.local.folder import DataFolder, data_folder, read_environment
from cli.trouble import Missing
from ledger.settings import SettingsError


async def examine(data: Path) -> list[Finding]:
    """Look at everything, in at most 10 s. Raises `FolderError` for a path that can be none."""
    folder = data_folder(data)
    is_local = not os.environ.get("LEDGER_KAFKA")
    installed, (ledger, log), running = await asyncio.gather(
        _installed(), _ledger(data), _running(folder, is_local=is_local)
    )
    findings = [*installed, *ledger, *running]
    findings += await asyncio.to_thread(machine.certificates, os.environ, folder)
    return [*findings, machine.disk(folder, _bytes_a_day(folder, log))]


async def _installed() -> list[Finding]:
    return [
        *await asyncio.gather(
            asyncio.to_thread(machine.python),
            asyncio.to_thread(machine.java, os.environ),
            asyncio.to_thread(machine.jars),
            asyncio.to_thread(machine.redis_server, os.environ),
        )
    ]


async def _running(folder: DataFolder, *, is_local: bool) -> list[Finding]:
    """Tell of the local processes and the API; where nothing runs, whether it could."""
    environment = os.environ if not is_local else read_environment(folder) or {}
    url = environment.get("LEDGER_API_URL")
    urls = {} if not url else {"API": url}
    scheme = "https" if url and url.startswith("https:") else "http"
    found: list[Finding] = []
    if is_local:
        finding, workers = await asyncio.to_thread(processes.local, folder, scheme)
        found.append(finding)
        urls |= {f"API worker {number}": own for number, own in enumerate(workers, start=1)}
        if not processes.runs(folder):
            found.append(await asyncio.to_thread(machine.ports, os.environ, folder))
    return found + await asyncio.to_thread(
        processes.api, urls, environment.get("LEDGER_API_CA_FILE")
    )


async def _ledger(data: Path) -> tuple[list[Finding], Log]:
    """Tell of the settings, and what they lead to."""
    nothing = Log(findings=[], ends={})
    try:
        settings = connection.settings(data)
    except Missing:
        step = "`ledger up`, or set LEDGER_KAFKA and the other LEDGER_* of one elsewhere"
        return [fail("settings", "no ledger runs here, and none is named", step)], nothing
    except SettingsError as error:
        return [fail("settings", str(error), "correct it, and run this again")], nothing
    log, looked, room = await asyncio.gather(
        log_part.look(settings), replicas.look(settings), capacity.look(settings)
    )
    source = "the environment" if os.environ.get("LEDGER_KAFKA") else "the data folder"
    complete = ok("settings", f"complete, of {source}")
    return [complete, *log.findings, *replicas.judge(looked, log.ends), *room], log


def _bytes_a_day(folder: DataFolder, log: Log) -> float | None:
    """How fast the disk fills: the log's bytes a record, times its records a day."""
    if log.records_a_day is None or not log.records:
        return None
    stored = machine.log_bytes(folder, "*license-events")
    return stored / log.records * log.records_a_day if stored else None
