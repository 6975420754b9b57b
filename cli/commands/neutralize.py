"""`ledger neutralize …`: approve what can't be checked, for a while; see it, end it, read of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Final
from uuid import uuid4

import typer

from cli import connection, output, trouble
from cli.attributes import seconds
from cli.key_files import make
from cli.local.folder import DEFAULT, data_folder
from cli.neutralizing.delivery import Delivery, To, delivers, id_of, workers_of
from cli.neutralizing.incidents import Incident, read_incidents
from cli.neutralizing.showing import print_incident, print_standings
from cli.neutralizing.workers import LIMIT_S
from cli.options import Data, Json
from cli.running import run
from ledger.emergency.orders import DURATION_S_MAX, REASON_LENGTH_MAX, End, Start
from ledger.named_keys import NAME

app: Final = typer.Typer(
    no_args_is_help=True,
    help="""Emergency orders: checks that can't be answered are answered VALID, for 4 hours at most.

    An order is signed by a key whose private half is on no server, and works with Kafka and Redis
    down. What is denied for sure stays denied. Make the key on a quiet day, and rehearse:
    `ledger neutralize keygen emergency.pem`, then docs/operations/neutralize.md.
    """,
)

_Reason = Annotated[str, typer.Option("--reason", help="Why: for the log and the ledger.")]


@app.command()
def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private half goes.")],
    *,
    name: Annotated[str, typer.Option("--name", help="What workers are to call the key.")] = "ops",
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Make a key: the private half in a new file (0600), the public one printed for the workers.

    Keep the file on no server: whoever has a server must not be able to approve anything.
    Example: `LEDGER_EMERGENCY_KEYS=$(ledger neutralize keygen emergency.pem) ledger up`.
    """
    if not NAME.fullmatch(name):
        raise trouble.Missing("--name is 1 to 64 of A-Z, a-z, 0-9, . _ -")
    public = make(file, data_folder(data))
    if as_json:
        output.print_json({"name": name, "public": public, "file": str(file)})
        return
    print(f"{name}={public}")
    output.remark(
        f"{file} is the private half: keep it, and a copy, on no server. The line above goes into "
        "LEDGER_EMERGENCY_KEYS of every worker; they read it when they start."
    )


@delivers
def start(
    delivery: Delivery,
    *,
    span: Annotated[
        str, typer.Option("--for", metavar="SPAN", help="For how long: 30m, 2h; 4h at most.")
    ],
    reason: _Reason,
    account: Annotated[
        str | None,
        typer.Option("--account", metavar="ID", help="Whose (default: the workers' own account)."),
    ] = None,
    product: Annotated[
        str | None, typer.Option("--product", metavar="ID", help="Of this product only.")
    ] = None,
    unknown_keys: Annotated[
        bool, typer.Option("--unknown-keys", help="Also keys that nothing is known of.")
    ] = False,
) -> None:
    """Order that checks which can't be answered are answered VALID, and wait for every worker.

    Exit code 0: every worker that was asked runs it. Example:
    `ledger neutralize start --key emergency.pem --for 2h --reason "Kafka's disks are full"`.
    """
    duration_s = seconds(span, "--for") or 0
    if not 1 <= duration_s <= DURATION_S_MAX:
        raise trouble.Missing(f"--for is from 1s to {DURATION_S_MAX // 3600}h")
    said, of = _said(reason), None if product is None else id_of("--product", product)
    ledger, whose = delivery.whose(None if account is None else id_of("--account", account))
    order = Start(
        id=str(uuid4()),
        ledger=id_of("--ledger", ledger),
        account=whose,
        product=of,
        issued_ms=time.time_ns() // 1_000_000,
        duration_s=duration_s,
        unknown_keys=unknown_keys,
        reason=said,
    )
    delivery.deliver(order, order.id, runs=True)


@delivers
def end(
    delivery: Delivery,
    order: Annotated[str, typer.Argument(metavar="ORDER", help="The order's id.")],
    *,
    reason: _Reason = "it is over",
) -> None:
    """End an order at once, at every worker; it doesn't begin again.

    Example: `ledger neutralize end ORDER --key emergency.pem`.
    """
    ends = id_of("ORDER", order)
    ledger, _ = delivery.whose(ends)
    ordered = End(
        id=str(uuid4()),
        ledger=id_of("--ledger", ledger),
        ends=ends,
        issued_ms=time.time_ns() // 1_000_000,
        reason=_said(reason),
    )
    delivery.deliver(ordered, ends, runs=False)


@app.command()
def status(
    order: Annotated[
        str | None,
        typer.Argument(metavar="[ORDER]", help="Wait up to 10 s until every worker runs this one."),
    ] = None,
    *,
    to: To = None,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Show which orders each worker runs, and how many checks they have answered there.

    Exit code 0: every worker answers, and runs ORDER where one is named.
    """
    workers, id_ = workers_of(to, data), None if order is None else id_of("ORDER", order)
    if id_ is None:
        told = workers.ask()
    else:
        told = workers.ask_until(lambda one: one.runs(id_), time.monotonic() + LIMIT_S)
    good = all(one.standing is not None if id_ is None else one.runs(id_) for one in told)
    if as_json:
        shown = [{"url": one.url, "why": one.why or None, **(one.standing or {})} for one in told]
        output.print_json({"workers": shown})
    else:
        print_standings(told, id_)
    raise typer.Exit(trouble.OK if good else trouble.FAILED)


@app.command()
def history(
    order: Annotated[str | None, typer.Argument(metavar="[ORDER]", help="Only this order.")] = None,
    *,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Show what the ledger knows of orders: who signed, which workers took it, what it answered.

    Workers enter it once the log takes writes again. Example: `ledger neutralize history --json`.
    """
    wanted = None if order is None else id_of("ORDER", order)

    async def read() -> list[Incident]:
        async with connection.connected(connection.settings(data)) as connected:
            return await read_incidents(connected.log)

    found = [one for one in run(read()) if wanted is None or one.id == wanted]
    if as_json:
        output.print_json({"orders": [one.shown() for one in found]})
    else:
        for one in found:
            print_incident(one)
        if not found:
            output.remark("The ledger knows of no such order.")
    raise typer.Exit(trouble.FAILED if wanted is not None and not found else trouble.OK)


def _said(reason: str) -> str:
    if not 1 <= len(reason.strip()) <= REASON_LENGTH_MAX:
        raise trouble.Missing(f"--reason has 1 to {REASON_LENGTH_MAX} characters")
    return reason.strip()


app.command("start")(start)
app.command("end")(end)
