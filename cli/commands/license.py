"""`ledger license …`: issue licenses, look at them, change them, end them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import typer

from cli import output, trouble
from cli.asking import LIMIT, All, Asking, Limit, asks, writes
from cli.attributes import (
    Expiry,
    Metadata,
    Name,
    Set,
    WithMetadata,
    attributes,
    body,
    linked,
    metadata_filters,
    moment,
)
from cli.commands.check import key_of, print_check
from cli.options import Sure
from cli.resources import LICENSES

app: Final = typer.Typer(
    no_args_is_help=True, help="Licenses: issue, list, suspend, renew, transfer, revoke them."
)

Named = Annotated[
    str, typer.Argument(metavar="LICENSE", help="Its id or its key; - reads it from stdin.")
]
MaxMachines = Annotated[int | None, typer.Option("--max-machines", help="Seats of its own.")]
MaxUses = Annotated[int | None, typer.Option("--max-uses", help="Uses of its own.")]
Protected = Annotated[
    bool | None, typer.Option("--protected/--unprotected", help="Whether its holder may change it.")
]


@app.command()
@writes
def create(  # noqa: PLR0913 - an option each
    asking: Asking,
    *,
    policy: Annotated[str, typer.Option("--policy", help="Id of the policy that it is under.")],
    name: Name = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Its key; - reads it from stdin. Else one is made.")
    ] = None,
    expiry: Expiry = None,
    max_machines: MaxMachines = None,
    max_uses: MaxUses = None,
    protected: Protected = None,
    metadata: Metadata = None,
    set_: Set = None,
) -> None:
    """Issue a license, and show it with its key.

    Example: `ledger license create --policy 0f8b… --name ACME --max-machines 2`.
    """
    given = attributes(
        name=name,
        key=None if key is None else key_of(key),
        expiry=moment(expiry),
        max_machines=max_machines,
        max_uses=max_uses,
        protected=protected,
        metadata=metadata,
        set_=set_,
    )
    wanted = body("licenses", given, policy=("policies", policy))
    asking.show(asking.write("POST", "licenses", body=wanted), LICENSES)


@app.command("list")
@asks
def list_(
    asking: Asking,
    *,
    product: Annotated[str | None, typer.Option("--product", help="Those of this product.")] = None,
    policy: Annotated[str | None, typer.Option("--policy", help="Those of this policy.")] = None,
    status: Annotated[
        Literal["active", "expiring", "expired", "suspended"] | None,
        typer.Option("--status", case_sensitive=False, help="Those in this state."),
    ] = None,
    metadata: WithMetadata = None,
    limit: Limit = LIMIT,
    everything: All = False,
) -> None:
    """List licenses, newest first; `--json` has all that the API shows of them."""
    filters = {"product": product, "policy": policy, "status": status}
    asking.show_list(
        "licenses",
        shape=LICENSES,
        limit=limit,
        everything=everything,
        **filters,
        **metadata_filters(metadata),
    )


@app.command()
@asks
def show(asking: Asking, license_: Named) -> None:
    """Show a license as the API has it, with its key; `ledger show` tells its history."""
    asking.show(asking.api.get("licenses", key_of(license_)), LICENSES)


@app.command()
@writes
def suspend(asking: Asking, license_: Named) -> None:
    """Suspend a license: it is no longer valid, until it is reinstated."""
    _act(asking, license_, "suspend")


@app.command()
@writes
def reinstate(asking: Asking, license_: Named) -> None:
    """End a license's suspension."""
    _act(asking, license_, "reinstate")


@app.command()
@writes
def renew(asking: Asking, license_: Named) -> None:
    """Renew a license by its policy's duration and basis."""
    _act(asking, license_, "renew")


@app.command("check-in")
@writes
def check_in(asking: Asking, license_: Named) -> None:
    """Check a license in, where its policy wants that."""
    _act(asking, license_, "check-in")


@app.command()
@writes
def revoke(asking: Asking, license_: Named, *, yes: Sure = False) -> None:
    """End a license for good, with its machines."""
    named = key_of(license_)
    found = asking.api.get("licenses", named)["data"]
    trouble.confirmed(f"this ends the license {found['id']} and its machines for good", yes=yes)
    asking.write("DELETE", "licenses", found["id"], "actions", "revoke")
    asking.say("revoked", id=found["id"])


@app.command()
@writes
def usage(
    asking: Asking,
    license_: Named,
    *,
    increment: Annotated[int | None, typer.Option("--increment", help="Count N more uses.")] = None,
    decrement: Annotated[int | None, typer.Option("--decrement", help="Take N back.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Set the count to 0.")] = False,
) -> None:
    """Count uses of a license: one of `--increment`, `--decrement`, `--reset`."""
    if [increment is not None, decrement is not None, reset].count(True) != 1:
        raise trouble.Missing("say one of --increment N, --decrement N, --reset")
    if reset:
        _act(asking, license_, "reset-usage")
    elif increment is not None:
        _act(asking, license_, "increment-usage", {"meta": {"increment": increment}})
    else:
        _act(asking, license_, "decrement-usage", {"meta": {"decrement": decrement}})


@app.command()
@writes
def transfer(
    asking: Asking,
    license_: Named,
    *,
    policy: Annotated[str, typer.Option("--policy", help="Id of the policy that it goes to.")],
) -> None:
    """Put a license under another policy."""
    to = linked("policies", policy)
    asking.show(asking.write("PUT", "licenses", key_of(license_), "policy", body=to), LICENSES)


@app.command()
@writes
def change(  # noqa: PLR0913 - an option each
    asking: Asking,
    license_: Named,
    *,
    name: Name = None,
    expiry: Expiry = None,
    max_machines: MaxMachines = None,
    max_uses: MaxUses = None,
    protected: Protected = None,
    metadata: Metadata = None,
    set_: Set = None,
) -> None:
    """Change what is set on a license itself; `--set maxMachines=null` gives it back to its policy.

    Example: `ledger license change 0f8b… --expiry 2031-12-31`.
    """
    given = attributes(
        name=name,
        expiry=moment(expiry),
        max_machines=max_machines,
        max_uses=max_uses,
        protected=protected,
        metadata=metadata,
        set_=set_,
    )
    wanted = body("licenses", given)
    asking.show(asking.write("PATCH", "licenses", key_of(license_), body=wanted), LICENSES)


@app.command()
@asks
def validate(
    asking: Asking,
    license_: Named,
    *,
    fingerprint: Annotated[
        list[str] | None, typer.Option("--fingerprint", "-f", help="A machine that asks.")
    ] = None,
    product: Annotated[str | None, typer.Option("--product", help="Has to be its product.")] = None,
    policy: Annotated[str | None, typer.Option("--policy", help="Has to be its policy.")] = None,
    entitlement: Annotated[
        list[str] | None, typer.Option("--entitlement", help="Code that it has to have.")
    ] = None,
) -> None:
    """Check a license in a scope; the exit code is 0 for VALID, else 1."""
    scope: dict[str, Any] = {
        "fingerprints": fingerprint,
        "product": product,
        "policy": policy,
        "entitlements": entitlement,
    }
    wanted = {"meta": {"scope": {name: value for name, value in scope.items() if value}}}
    document = asking.api.write(
        "POST", "licenses", key_of(license_), "actions", "validate", body=wanted
    )
    if asking.as_json:
        output.print_json(document)
    else:
        print_check(document)
    raise typer.Exit(trouble.OK if document["meta"]["valid"] else trouble.FAILED)


def _act(asking: Asking, license_: str, action: str, wanted: dict[str, Any] | None = None) -> None:
    """Ask for an action on a license, and show the license as it stands then."""
    document = asking.write("POST", "licenses", key_of(license_), "actions", action, body=wanted)
    asking.show(document, LICENSES)
