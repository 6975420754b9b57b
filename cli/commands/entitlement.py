"""`ledger entitlement …`: named rights of licenses."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from cli import trouble
from cli.asking import LIMIT, All, Asking, Limit, asks, writes
from cli.attributes import Metadata, attributes, body
from cli.commands.check import key_of
from cli.options import Sure
from cli.resources import ENTITLEMENTS

app: Final = typer.Typer(no_args_is_help=True, help="Entitlements: named rights of licenses.")

Ids = Annotated[list[str], typer.Argument(metavar="ENTITLEMENT...", help="Their ids.")]
To = Annotated[
    str, typer.Option("--license", help="Id or key of the license; - reads it from stdin.")
]


@app.command()
@writes
def create(
    asking: Asking,
    *,
    name: Annotated[str, typer.Option("--name", help="What people call it.")],
    code: Annotated[str, typer.Option("--code", help="What programs ask for; it never changes.")],
    metadata: Metadata = None,
) -> None:
    """Create an entitlement. Example: `ledger entitlement create --name Export --code EXPORT`."""
    wanted = body("entitlements", attributes(name=name, code=code, metadata=metadata))
    asking.show(asking.write("POST", "entitlements", body=wanted), ENTITLEMENTS)


@app.command("list")
@asks
def list_(
    asking: Asking,
    *,
    license_: Annotated[
        str | None,
        typer.Option("--license", help="Those that this license has, its own or its policy's."),
    ] = None,
    limit: Limit = LIMIT,
    everything: All = False,
) -> None:
    """List entitlements, newest first, or those of a license."""
    path = ["entitlements"] if license_ is None else ["licenses", key_of(license_), "entitlements"]
    asking.show_list(*path, shape=ENTITLEMENTS, limit=limit, everything=everything)


@app.command()
@writes
def attach(asking: Asking, entitlements: Ids, *, license_: To) -> None:
    """Attach entitlements to a license, all or none."""
    _write(asking, "POST", key_of(license_), entitlements)
    asking.say("attached", entitlements=", ".join(entitlements))


@app.command()
@writes
def detach(asking: Asking, entitlements: Ids, *, license_: To) -> None:
    """Detach entitlements from a license, all or none; attached again they are as before."""
    _write(asking, "DELETE", key_of(license_), entitlements)
    asking.say("detached", entitlements=", ".join(entitlements))


@app.command()
@writes
def delete(
    asking: Asking,
    entitlement: Annotated[str, typer.Argument(metavar="ENTITLEMENT", help="Its id.")],
    *,
    yes: Sure = False,
) -> None:
    """Delete an entitlement; licenses keep what they have of it."""
    trouble.confirmed(f"this deletes the entitlement {entitlement} for good", yes=yes)
    asking.write("DELETE", "entitlements", entitlement)
    asking.say("deleted", id=entitlement)


def _write(asking: Asking, method: str, license_: str, ids: list[str]) -> None:
    named: dict[str, Any] = {"data": [{"type": "entitlements", "id": id_} for id_ in ids]}
    asking.write(method, "licenses", license_, "entitlements", body=named)
