"""The processes of the local run, and the API."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from cli.doctor.finding import Finding, fail, ok, warn
from cli.local import processes
from cli.local.folder import DataFolder
from cli.local.lock import is_locked
from cli.local.ports import LOOPBACK
from cli.local.supervision import State, Supervisor, SupervisorUnavailable
from cli.web import ApiUnavailable, call

ASK_S: Final = 2.0
_WORKER: Final = "worker-"
_OK: Final = 200


def runs(folder: DataFolder) -> bool:
    """Whether a `ledger up` is at work on the folder."""
    return folder.run.is_dir() and is_locked(folder)


def local(folder: DataFolder, scheme: str) -> tuple[Finding, list[str]]:
    """How the processes of the local run are, and the API workers' own addresses.

    `scheme`: how the API is spoken to, "http" or "https".
    """
    name = "processes"
    noted = processes.noted(folder)
    if not runs(folder):
        if noted is not None and any(map(processes.is_alive, noted.children.values())):
            step = "`ledger stop` ends them, `ledger up` too, before it starts"
            return warn(name, "`ledger up` is gone, and left processes behind", step), []
        return fail(name, f"no ledger runs on {folder.root}", "`ledger up` starts one"), []
    try:
        told = Supervisor(processes.socket_of(noted)).processes() if noted is not None else {}
    except SupervisorUnavailable as error:
        return fail(name, str(error), "`ledger stop`, then `ledger up`"), []
    numbers = [one.removeprefix(_WORKER) for one in told if _WORKER in one]
    workers = [f"{scheme}://{LOOPBACK}:{number}" for number in numbers]
    return judge_states({one.name: one.state for one in told.values()}, folder), workers


def judge_states(states: Mapping[str, State], folder: DataFolder) -> Finding:
    """What supervisor says of the processes, by name."""
    name = "processes"
    bad = {one: state for one, state in states.items() if state is not State.RUNNING}
    if not bad:
        return ok(name, f"{len(states)} run under supervision on {folder.root}")
    said = ", ".join(f"{one} {state.lower()}" for one, state in bad.items())
    log = f"{folder.logs}/{next(iter(bad))}.log"
    if set(bad.values()) == {State.STARTING}:
        step = f"run this again in a few seconds; what keeps it from running stands in {log}"
        return warn(name, said, step)
    return fail(name, said, f"look at {log}")


def api(urls: Mapping[str, str], ca_file: str | None = None) -> list[Finding]:
    """Whether each address answers checks and writes; all are asked at once."""
    if not urls:
        return []
    with ThreadPoolExecutor(max_workers=len(urls)) as threads:
        return list(threads.map(partial(_worker, ca_file), urls.keys(), urls.values()))


def _worker(ca_file: str | None, name: str, url: str) -> Finding:
    step = "is it running? `ledger status`; else start it, or correct LEDGER_API_URL"
    try:
        status, told = call(f"{url.rstrip('/')}/health/ready", ca_file=ca_file, timeout_s=ASK_S)
    except ApiUnavailable as error:
        return fail(name, str(error), step)
    return judge(name, url, status, told)


def judge(name: str, url: str, status: int, told: Mapping[str, Any]) -> Finding:
    """What /health/ready says."""
    degraded = "; ".join(map(str, told.get("degraded") or ()))
    step = "see the lines above, and docs/operations/api.md"
    if status != _OK:
        return fail(name, f"{url} answers no checks ({status}): {degraded or 'no reason'}", step)
    if degraded or not told.get("writes"):
        return warn(name, f"{url} answers checks, but: {degraded or 'no writes'}", step)
    return ok(name, f"{url} answers checks and writes")
