"""`ledger entitlement …`: named rights of policies and licenses."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from cli import trouble
from cli.asking import LIMIT, All, Asking, Limit, asks, writes
from cli.attributes import Metadata, Name, Set, attributes, body
from cli.commands.check import key_of
from cli.options import Sure
from cli.resources import ENTITLEMENTS

app: Final = typer.Typer(
    no_args_is_help=True, help="Entitlements: named rights of policies and licenses."
)

Named = Annotated[str, typer.Argument(metavar="ENTITLEMENT", help="Its id.")]
Ids = Annotated[list[str], typer.Argument(metavar="ENTITLEMENT...", help="Their ids.")]
OfLicense = Annotated[
    str | None, typer.Option("--license", help="Of this license: its id or key; - is stdin.")
]
OfPolicy = Annotated[
    str | None, typer.Option("--policy", help="Of this policy, and so of all its licenses.")
]


@app.command()
@writes
def create(
    asking: Asking,
    *,
    name: Annotated[str, typer.Option("--name", help="What people call it.")],
    code: Annotated[str, typer.Option("--code", help="What programs ask for; it never changes.")],
    metadata: Metadata = None,
    set_: Set = None,
) -> None:
    """Create an entitlement. Example: `ledger entitlement create --name Export --code EXPORT`."""
    given = attributes(name=name, code=code, metadata=metadata, set_=set_)
    asking.show(
        asking.write("POST", "entitlements", body=body("entitlements", given)), ENTITLEMENTS
    )


@app.command("list")
@asks
def list_(
    asking: Asking,
    *,
    license_: Annotated[
        str | None,
        typer.Option("--license", help="Those that this license has, its own or its policy's."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", help="Those that this policy has.")
    ] = None,
    limit: Limit = LIMIT,
    everything: All = False,
) -> None:
    """List entitlements, newest first, or those of a license or a policy."""
    path = ["entitlements"]
    if license_ is not None or policy is not None:
        path = _of(license_, policy)
    asking.show_list(*path, shape=ENTITLEMENTS, limit=limit, everything=everything)


@app.command()
@asks
def show(asking: Asking, entitlement: Named) -> None:
    """Show an entitlement."""
    asking.show(asking.api.get("entitlements", entitlement), ENTITLEMENTS)


@app.command()
@writes
def change(
    asking: Asking,
    entitlement: Named,
    *,
    name: Name = None,
    metadata: Metadata = None,
    set_: Set = None,
) -> None:
    """Change an entitlement's name or metadata; its code never changes."""
    wanted = body("entitlements", attributes(name=name, metadata=metadata, set_=set_))
    asking.show(asking.write("PATCH", "entitlements", entitlement, body=wanted), ENTITLEMENTS)


@app.command()
@writes
def attach(
    asking: Asking, entitlements: Ids, *, license_: OfLicense = None, policy: OfPolicy = None
) -> None:
    """Attach entitlements to a license or a policy, all or none.

    Example: `ledger entitlement attach 7c1f… --license LIC-…`.
    """
    _write(asking, "POST", _of(license_, policy), entitlements)
    asking.say("attached", entitlements=", ".join(entitlements))


@app.command()
@writes
def detach(
    asking: Asking, entitlements: Ids, *, license_: OfLicense = None, policy: OfPolicy = None
) -> None:
    """Detach entitlements from what they were attached to, all or none.

    What a license has by its policy is detached from the policy. Attached again all is as before.
    """
    _write(asking, "DELETE", _of(license_, policy), entitlements)
    asking.say("detached", entitlements=", ".join(entitlements))


@app.command()
@writes
def delete(asking: Asking, entitlement: Named, *, yes: Sure = False) -> None:
    """Delete an entitlement; policies and licenses keep what they have of it."""
    trouble.confirmed(f"this deletes the entitlement {entitlement} for good", yes=yes)
    asking.write("DELETE", "entitlements", entitlement)
    asking.say("deleted", id=entitlement)


def _of(license_: str | None, policy: str | None) -> list[str]:
    """Path of the entitlements of the one that is named. Raises `Missing` for none, or both."""
    if license_ is not None and policy is None:
        return ["licenses", key_of(license_), "entitlements"]
    if policy is not None and license_ is None:
        return ["policies", policy, "entitlements"]
    raise trouble.Missing("say whose: --license LICENSE or --policy POLICY, one of them")


def _write(asking: Asking, method: str, path: list[str], ids: list[str]) -> None:
    named: dict[str, Any] = {"data": [{"type": "entitlements", "id": id_} for id_ in ids]}
    asking.write(method, *path, body=named)
