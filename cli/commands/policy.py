"""`ledger policy …`: templates of licenses' terms."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from cli import trouble
from cli.asking import LIMIT, All, Asking, Limit, asks, writes
from cli.attributes import Metadata, Name, Set, attributes, body, seconds
from cli.options import Sure
from cli.resources import POLICIES, PROGRESS

app: Final = typer.Typer(
    no_args_is_help=True, help="Policies: the terms of licenses. A change reaches all of them."
)

Named = Annotated[str, typer.Argument(metavar="POLICY", help="Its id.")]
Duration = Annotated[
    str | None, typer.Option("--duration", help="How long a license is good: 3600, 12h, 365d.")
]
MaxMachines = Annotated[int | None, typer.Option("--max-machines", help="Seats of a license.")]
MaxUses = Annotated[int | None, typer.Option("--max-uses", help="Uses of a license.")]
Strict = Annotated[
    bool | None, typer.Option("--strict/--lenient", help="Whether machines are needed to be valid.")
]
Floating = Annotated[
    bool | None, typer.Option("--floating/--node-locked", help="Whether machines share a license.")
]


@app.command()
@writes
def create(  # noqa: PLR0913 - an option each
    asking: Asking,
    *,
    product: Annotated[str, typer.Option("--product", help="Id of its product.")],
    name: Annotated[str, typer.Option("--name", help="What people call it.")],
    duration: Duration = None,
    max_machines: MaxMachines = None,
    max_uses: MaxUses = None,
    strict: Strict = None,
    floating: Floating = None,
    metadata: Metadata = None,
    set_: Set = None,
) -> None:
    """Create a policy of a product; `--set` has all other terms.

    Example: `ledger policy create --product 4a1c… --name Yearly --duration 365d --floating
    --max-machines 5 --set expirationStrategy=MAINTAIN_ACCESS`.
    """
    given = attributes(
        name=name,
        duration=seconds(duration),
        max_machines=max_machines,
        max_uses=max_uses,
        strict=strict,
        floating=floating,
        metadata=metadata,
        set_=set_,
    )
    wanted = body("policies", given, product=("products", product))
    asking.show(asking.write("POST", "policies", body=wanted), POLICIES)


@app.command("list")
@asks
def list_(
    asking: Asking,
    *,
    product: Annotated[str | None, typer.Option("--product", help="Those of this product.")] = None,
    limit: Limit = LIMIT,
    everything: All = False,
) -> None:
    """List policies, newest first."""
    asking.show_list(
        "policies", shape=POLICIES, limit=limit, everything=everything, product=product
    )


@app.command()
@asks
def show(asking: Asking, policy: Named) -> None:
    """Show a policy."""
    asking.show(asking.api.get("policies", policy), POLICIES)


@app.command()
@writes
def change(  # noqa: PLR0913 - an option each
    asking: Asking,
    policy: Named,
    *,
    name: Name = None,
    duration: Duration = None,
    max_machines: MaxMachines = None,
    max_uses: MaxUses = None,
    strict: Strict = None,
    floating: Floating = None,
    metadata: Metadata = None,
    set_: Set = None,
) -> None:
    """Change a policy, and so all licenses that have it; `progress` says how far that has come."""
    given = attributes(
        name=name,
        duration=seconds(duration),
        max_machines=max_machines,
        max_uses=max_uses,
        strict=strict,
        floating=floating,
        metadata=metadata,
        set_=set_,
    )
    asking.show(asking.write("PATCH", "policies", policy, body=body("policies", given)), POLICIES)


@app.command()
@asks
def progress(asking: Asking, policy: Named) -> None:
    """Show how many licenses have the policy, and how many still its terms of before."""
    asking.show(asking.api.get("policies", policy, "progress"), PROGRESS)


@app.command()
@writes
def delete(asking: Asking, policy: Named, *, yes: Sure = False) -> None:
    """Delete a policy that no license has."""
    trouble.confirmed(f"this deletes the policy {policy} for good", yes=yes)
    asking.write("DELETE", "policies", policy)
    asking.say("deleted", id=policy)
