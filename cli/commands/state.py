"""`ledger status` and `ledger stop`: the local ledger, from another terminal."""

from __future__ import annotations

import signal
from typing import Any, Final

import typer
from rich.table import Table

from cli import output, trouble
from cli.local import processes
from cli.local.folder import DEFAULT, DataFolder, data_folder, read_environment
from cli.local.lock import is_locked, locked
from cli.local.orphans import end_orphans
from cli.local.supervision import Supervisor, SupervisorUnavailable
from cli.options import Data, Json
from cli.web import answers_ok

STOP_LIMIT_S: Final = 30.0


def status(*, data: Data = DEFAULT, as_json: Json = False) -> None:
    """Show the local ledger's processes; the exit code is 0 if the API is ready, else 1."""
    folder = data_folder(data)
    found = _state(folder)
    if as_json:
        output.print_json(found)
    else:
        _print(found)
    raise typer.Exit(trouble.OK if found["ready"] else trouble.FAILED)


def _state(folder: DataFolder) -> dict[str, Any]:
    noted = processes.noted(folder)
    environment = read_environment(folder) or {}
    url, ca_file = environment.get("LEDGER_API_URL"), environment.get("LEDGER_API_CA_FILE")
    found: dict[str, Any] = {
        "data": str(folder.root),
        "up": folder.run.is_dir() and is_locked(folder),
        "ready": url is not None and answers_ok(f"{url}/health/ready", ca_file=ca_file),
        "api": url,
        "processes": [],
    }
    if noted is None:
        return found
    try:
        told = Supervisor(processes.socket_of(noted)).processes()
    except SupervisorUnavailable:
        return found
    found["processes"] = [
        {"name": one.name, "state": one.state.value.lower(), "pid": one.pid or None}
        for one in told.values()
    ]
    return found


def _print(found: dict[str, Any]) -> None:
    console = output.console()
    if not found["up"]:
        left = " (`ledger up` ends the processes left behind)" if found["processes"] else ""
        console.print(f"no ledger runs on {found['data']}{left}", markup=False)
    else:
        ready = "ready" if found["ready"] else "not ready"
        console.print(f"a ledger runs on {found['data']}: {found['api']}, {ready}", markup=False)
    table = Table.grid(padding=(0, 2))
    for one in found["processes"]:
        table.add_row(one["name"], one["state"], str(one["pid"] or ""))
    console.print(table)


def stop(*, data: Data = DEFAULT) -> None:
    """Stop the local ledger in order, wherever it was started; the data stays."""
    folder = data_folder(data)
    noted = processes.noted(folder)
    if noted is None:
        raise trouble.Missing(f"no ledger runs on {folder.root}: nothing to stop (--data?)")
    console = output.console()
    if is_locked(folder):
        processes.send(noted.up, signal.SIGTERM)
        if processes.wait_ended([noted.up], STOP_LIMIT_S):
            raise trouble.Failed(
                f"`ledger up` (process {noted.up.id}) did not stop within {STOP_LIMIT_S:.0f} s"
            )
    with locked(folder):
        end_orphans(folder, lambda line: console.print(line, markup=False))
    console.print(f"stopped; the data stays in {folder.root}", markup=False)
