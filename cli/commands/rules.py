"""`ledger rules`: which rules version is active, who knows which, and the step to a later one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from cli import connection, output, trouble
from cli.local.folder import DEFAULT
from cli.options import Data, Json, Sure
from cli.rehearsing.gate import Standing, rehearsed
from cli.rules import Replica, active, check, look
from cli.rules import activate as order
from cli.running import run
from ledger.domain.events import RULES_VERSION
from ledger.settings import Settings

app: Final = typer.Typer(
    invoke_without_command=True,
    help="""Show which rules version is active, and which each running projector knows.

    A later one is activated once all of them have announced it: `ledger rules activate 2`.
    """,
)


@app.callback()
def rules(context: typer.Context, *, data: Data = DEFAULT, as_json: Json = False) -> None:
    """Show which rules version is active, and which each running projector knows."""
    if context.invoked_subcommand is not None:
        given = [context.get_parameter_source(name) for name in ("data", "as_json")]
        if any(source is not None and source.name == "COMMANDLINE" for source in given):
            raise trouble.Missing("options come after the command: ledger rules activate N …")
        return
    replicas = run(look(connection.settings(data)))
    if as_json:
        output.print_json(_document(replicas))
    else:
        _print(replicas)
    raise typer.Exit(trouble.UNAVAILABLE if active(replicas) is None else trouble.OK)


@app.command()
def activate(
    version: Annotated[int, typer.Argument(metavar="N", min=1, help="The version.")],
    *,
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes", help="Also where the rehearsal found that they change some."
        ),
    ] = False,
    yes: Sure = False,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Have writers use rules N from now on, for good.

    It is refused while a running projector of any replica hasn't announced that it knows them, and
    unless they were rehearsed on this ledger by this release (`ledger rehearse --rules N`).
    """
    settings = connection.settings(data)
    check(version, run(look(settings)))
    standing = run(_rehearsed(settings, version, accept_changes=accept_changes))
    how = "" if standing is None else f" ({standing.said})"
    trouble.confirmed(f"this activates rules {version}, for good{how}", yes=yes)
    offset = run(_activate(settings, version, standing, accept_changes=accept_changes))
    if as_json:
        rehearsal = None if standing is None else standing.document
        output.print_json({"active": version, "offset": offset, "rehearsal": rehearsal})
    else:
        said = f"Rules {version} are active: every replica has folded it (catalog, offset {offset})"
        output.console().print(said)
        if standing is not None:
            output.remark(standing.said)


async def _rehearsed(settings: Settings, version: int, *, accept_changes: bool) -> Standing | None:
    async with connection.connected(settings) as connected:
        return await rehearsed(connected, version, accept_changes=accept_changes)


async def _activate(
    settings: Settings, version: int, asked: Standing | None, *, accept_changes: bool
) -> int:
    async with connection.connected(settings) as connected:
        # While a person was asked, an older projector may have come, or another rehearsal.
        check(version, await look(settings))
        now = await rehearsed(connected, version, accept_changes=accept_changes)
        if _changed(now) != _changed(asked):
            raise trouble.Failed(
                "it was rehearsed again meanwhile, and came to something else: ask once more"
            )
        return (await order(connected, version)).offset


def _changed(standing: Standing | None) -> tuple[int, int]:
    """What a rehearsal came to; none finds nothing to change."""
    if standing is None:
        return 0, 0
    return standing.outcome.changed_verdicts, standing.outcome.changed_licenses


def _document(replicas: Sequence[Replica]) -> dict[str, Any]:
    return {
        "active": active(replicas),
        "known": RULES_VERSION,
        "replicas": [
            {"replica": one.letter, "active": one.active, "projectors": dict(one.projectors)}
            for one in replicas
        ],
    }


def _print(replicas: Sequence[Replica]) -> None:
    now = active(replicas)
    facts = {
        "active": "unknown: no replica answers" if now is None else f"rules {now}",
        "this software": f"knows rules up to {RULES_VERSION}",
    }
    for one in replicas:
        facts[f"replica {one.letter}"] = _said(one)
        for slot, knows in one.projectors.items():
            said = "runs, and has announced nothing"
            facts[slot] = said if knows is None else f"runs, knows rules up to {knows}"
    output.print_facts(facts)


def _said(replica: Replica) -> str:
    if replica.active is None:
        return "doesn't answer"
    projectors = "" if replica.projectors else "; no projector runs"
    return f"has rules {replica.active}{projectors}"
