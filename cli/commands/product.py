"""`ledger product …`: what is licensed."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from cli import trouble
from cli.asking import LIMIT, All, Asking, Limit, asks, writes
from cli.attributes import Metadata, Name, Set, attributes, body
from cli.options import Sure
from cli.resources import PRODUCTS

app: Final = typer.Typer(no_args_is_help=True, help="Products: what is licensed.")

Named = Annotated[str, typer.Argument(metavar="PRODUCT", help="Its id.")]
Code = Annotated[str | None, typer.Option("--code", help="What programs call it.")]
Home = Annotated[str | None, typer.Option("--home", help="Its page.")]
Platforms = Annotated[list[str] | None, typer.Option("--platform", help="What it runs on.")]


@app.command()
@writes
def create(
    asking: Asking,
    *,
    name: Annotated[str, typer.Option("--name", help="What people call it.")],
    code: Code = None,
    home: Home = None,
    platform: Platforms = None,
    metadata: Metadata = None,
    set_: Set = None,
) -> None:
    """Create a product. Example: `ledger product create --name Editor --code editor`."""
    given = attributes(
        name=name, code=code, url=home, platforms=platform, metadata=metadata, set_=set_
    )
    asking.show(asking.write("POST", "products", body=body("products", given)), PRODUCTS)


@app.command("list")
@asks
def list_(asking: Asking, *, limit: Limit = LIMIT, everything: All = False) -> None:
    """List products, newest first."""
    asking.show_list("products", shape=PRODUCTS, limit=limit, everything=everything)


@app.command()
@asks
def show(asking: Asking, product: Named) -> None:
    """Show a product."""
    asking.show(asking.api.get("products", product), PRODUCTS)


@app.command()
@writes
def change(  # noqa: PLR0913 - an option each
    asking: Asking,
    product: Named,
    *,
    name: Name = None,
    code: Code = None,
    home: Home = None,
    platform: Platforms = None,
    metadata: Metadata = None,
    set_: Set = None,
) -> None:
    """Change a product."""
    given = attributes(
        name=name, code=code, url=home, platforms=platform, metadata=metadata, set_=set_
    )
    asking.show(asking.write("PATCH", "products", product, body=body("products", given)), PRODUCTS)


@app.command()
@writes
def delete(asking: Asking, product: Named, *, yes: Sure = False) -> None:
    """Delete a product that has no policies."""
    trouble.confirmed(f"this deletes the product {product} for good", yes=yes)
    asking.write("DELETE", "products", product)
    asking.say("deleted", id=product)
