"""Delivering a signed order: to each worker by a request, into a folder, or printed.

`delivers` gives a command the options by which that is done, so that it names only its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import typer

from cli import connection, output, trouble
from cli.key_files import read
from cli.local.folder import DEFAULT
from cli.neutralizing.files import leave
from cli.neutralizing.showing import print_delivered
from cli.neutralizing.workers import LIMIT_S, Told, Workers, whose
from cli.options import REQUIRED, Data, Json, with_options
from ledger.domain.identifiers import is_id
from ledger.emergency.orders import Order, encode, sign

P = ParamSpec("P")

EMERGENCY_WORKERS: Final = "LEDGER_EMERGENCY_WORKERS"
To = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="URL",
        help="A worker's own address; each worker once. Without it those that "
        f"{EMERGENCY_WORKERS} lists, commas between, else the local ledger's.",
        show_default=False,
    ),
]
_Key = Annotated[
    Path, typer.Option("--key", metavar="FILE", help="The private key that signs it, in PEM.")
]
_Orders = Annotated[
    Path | None,
    typer.Option(
        "--orders",
        metavar="FOLDER",
        help="Put it into the folder that workers look into (their LEDGER_EMERGENCY_ORDERS).",
        show_default=False,
    ),
]
_Print = Annotated[
    bool, typer.Option("--print", help="Only print the signed order, to be taken there otherwise.")
]
_Ledger = Annotated[
    str | None,
    typer.Option("--ledger", metavar="ID", help="The ledger's id (default: the workers say it)."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How an order is signed and delivered; `ledger`: the ledger's id where it was given."""

    key: Path
    workers: Workers
    orders: Path | None
    only_print: bool
    ledger: str | None
    as_json: bool

    def whose(self, account: str | None) -> tuple[str, str]:
        """Ledger and account: those that are given, else what the workers say."""
        if self.ledger is not None and account is not None:
            return self.ledger, account
        if not self.workers.urls:
            raise trouble.Missing("no worker is asked whose it is: give --ledger and --account")
        told = whose(self.workers.ask())
        return self.ledger or told[0], account or told[1]

    def deliver(self, order: Order, about: str, *, runs: bool) -> None:
        """Deliver an order, and wait until every worker runs `about`, or (an end) doesn't."""
        signed = sign(order, read(self.key))
        if self.only_print:
            print(encode(signed).decode())
            return
        until_s = time.monotonic() + LIMIT_S
        if self.orders is not None:
            leave(signed, self.orders)
        refused = self.workers.give(signed, until_s)
        told = self.workers.ask_until(lambda one: one.runs(about) == runs, until_s)
        rows = [_row(one, about, refused[one.url], runs=runs) for one in told]
        if self.as_json:
            output.print_json({"order": about, "workers": rows})
        else:
            print_delivered(about, rows, runs=runs)
        late = any(row["why"] is not None for row in rows)
        raise typer.Exit(trouble.FAILED if late else trouble.OK)


def delivers(command: Callable[Concatenate[Delivery, P], None]) -> Callable[..., None]:
    """Give a command the options by which its order is signed and delivered."""
    options: dict[str, tuple[object, object]] = {
        "key": (_Key, REQUIRED),
        "to": (To, None),
        "orders": (_Orders, None),
        "only_print": (_Print, False),
        "ledger": (_Ledger, None),
        "data": (Data, DEFAULT),
        "as_json": (Json, False),
    }
    return with_options(command, options, _delivery)


def _delivery(given: dict[str, Any]) -> Delivery:
    """Take the options of a delivery out of what was given. Raises `Missing`."""
    to, data, orders = (given.pop(name) for name in ("to", "data", "orders"))
    only_print = given.pop("only_print")
    if only_print and (to or orders is not None):
        raise trouble.Missing("--print delivers nothing: leave --to and --orders out")
    needed = not only_print and orders is None
    return Delivery(
        key=given.pop("key"),
        workers=workers_of(to, data) if to or needed else Workers(()),
        orders=orders,
        only_print=only_print,
        ledger=given.pop("ledger"),
        as_json=given.pop("as_json"),
    )


def workers_of(to: Sequence[str] | None, data: Path) -> Workers:
    """Return the workers that are meant. Raises `Missing` where none are named."""
    if to:
        return Workers(to, os.environ.get("LEDGER_API_CA_FILE"))
    environment = connection.environment(data, EMERGENCY_WORKERS)
    urls = [url.strip() for url in environment.get(EMERGENCY_WORKERS, "").split(",") if url.strip()]
    if not urls:
        raise trouble.Missing(f"name each worker: --to URL, or {EMERGENCY_WORKERS}")
    return Workers(urls, environment.get("LEDGER_API_CA_FILE"))


def id_of(what: str, text: str) -> str:
    """Id that was given, in its one form. Raises `Missing`."""
    if not is_id(text.lower()):
        raise trouble.Missing(f"{what} is an id: 8-4-4-4-12 hex digits")
    return text.lower()


def _row(one: Told, about: str, refused: str, *, runs: bool) -> dict[str, Any]:
    """What came of an order at a worker; `why` None: what should."""
    done = one.standing is not None and one.runs(about) == runs and not refused
    why = refused or one.why or one.refused(about) or "it hasn't taken it yet"
    return {
        "url": one.url,
        "worker": one.worker or None,
        "runs": None if one.standing is None else one.runs(about),
        "why": None if done else why,
    }
