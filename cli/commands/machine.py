"""`ledger machine …`: machines on licenses."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from cli import trouble
from cli.asking import LIMIT, All, Asking, Limit, asks, is_id, writes
from cli.attributes import Metadata, Name, Set, WithMetadata, attributes, body, metadata_filters
from cli.commands.check import key_of
from cli.options import Sure
from cli.resources import MACHINES

app: Final = typer.Typer(
    no_args_is_help=True, help="Machines on licenses: activate, list, change, deactivate them."
)

Named = Annotated[str, typer.Argument(metavar="MACHINE", help="Its id or its fingerprint.")]
Hostname = Annotated[str | None, typer.Option("--hostname", help="What it calls itself.")]
Ip = Annotated[str | None, typer.Option("--ip", help="Its address.")]
Platform = Annotated[str | None, typer.Option("--platform", help="What it runs.")]
Cores = Annotated[int | None, typer.Option("--cores", help="Cores that it has.")]


@app.command()
@writes
def activate(  # noqa: PLR0913 - an option each
    asking: Asking,
    *,
    license_: Annotated[
        str, typer.Option("--license", help="Id or key of its license; - reads it from stdin.")
    ],
    fingerprint: Annotated[
        str, typer.Option("--fingerprint", "-f", help="What tells it from all others.")
    ],
    name: Name = None,
    hostname: Hostname = None,
    ip: Ip = None,
    platform: Platform = None,
    cores: Cores = None,
    seats: Annotated[int | None, typer.Option("--seats", help="Seats that it takes: 1.")] = None,
    metadata: Metadata = None,
    set_: Set = None,
) -> None:
    """Activate a machine on a license.

    Example: `ledger machine activate --license LIC-… --fingerprint 4c:aa:16:b2`.
    """
    named = key_of(license_)
    id_ = named if is_id(named) else asking.api.get("licenses", named)["data"]["id"]
    given = attributes(
        fingerprint=fingerprint,
        name=name,
        hostname=hostname,
        ip=ip,
        platform=platform,
        cores=cores,
        seats=seats,
        metadata=metadata,
        set_=set_,
    )
    wanted = body("machines", given, license=("licenses", id_))
    asking.show(asking.write("POST", "machines", body=wanted), MACHINES)


@app.command("list")
@asks
def list_(  # noqa: PLR0913 - an option each
    asking: Asking,
    *,
    license_: Annotated[
        str | None, typer.Option("--license", help="Those of this license: its id or key.")
    ] = None,
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", "-f", help="Those with this fingerprint.")
    ] = None,
    product: Annotated[str | None, typer.Option("--product", help="Those of this product.")] = None,
    policy: Annotated[str | None, typer.Option("--policy", help="Those of this policy.")] = None,
    platform: Annotated[str | None, typer.Option("--platform", help="Those that run this.")] = None,
    metadata: WithMetadata = None,
    limit: Limit = LIMIT,
    everything: All = False,
) -> None:
    """List machines, newest first; `--json` has all that the API shows of them."""
    filters = {
        "license": None if license_ is None else key_of(license_),
        "fingerprint": fingerprint,
        "product": product,
        "policy": policy,
        "platform": platform,
    }
    asking.show_list(
        "machines",
        shape=MACHINES,
        limit=limit,
        everything=everything,
        **filters,
        **metadata_filters(metadata),
    )


@app.command()
@asks
def show(asking: Asking, machine: Named) -> None:
    """Show a machine."""
    asking.show(asking.api.get("machines", machine), MACHINES)


@app.command()
@writes
def change(  # noqa: PLR0913 - an option each
    asking: Asking,
    machine: Named,
    *,
    name: Name = None,
    hostname: Hostname = None,
    ip: Ip = None,
    platform: Platform = None,
    cores: Cores = None,
    metadata: Metadata = None,
    set_: Set = None,
) -> None:
    """Change what is known of a machine."""
    given = attributes(
        name=name,
        hostname=hostname,
        ip=ip,
        platform=platform,
        cores=cores,
        metadata=metadata,
        set_=set_,
    )
    wanted = body("machines", given)
    asking.show(asking.write("PATCH", "machines", machine, body=wanted), MACHINES)


@app.command()
@writes
def deactivate(asking: Asking, machine: Named, *, yes: Sure = False) -> None:
    """Take a machine off its license; its seats are free again."""
    found = asking.api.get("machines", machine)["data"]
    trouble.confirmed(f"this takes the machine {found['id']} off its license", yes=yes)
    asking.write("DELETE", "machines", found["id"])
    asking.say("deactivated", id=found["id"])
