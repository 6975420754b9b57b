"""`ledger token …`: credentials. A token itself is printed when it is made, and never again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from cli import output, trouble
from cli.asking import LIMIT, All, Asking, Limit, asks, is_id, writes
from cli.attributes import Expiry, Name, attributes, body, moment
from cli.commands.check import key_of
from cli.options import Sure
from cli.resources import TOKENS

app: Final = typer.Typer(
    no_args_is_help=True, help="Tokens: of your people, of a product's software, of a license."
)


def _checked(given: str) -> str:
    """See that an id is given: a token itself would travel in the address. Raises `Missing`."""
    if not is_id(given):
        raise trouble.Missing(
            "a token is named by its id, never by itself; `ledger token list` tells the ids"
        )
    return given


Named = Annotated[
    str,
    typer.Argument(
        metavar="TOKEN-ID",
        help="Its id, not the token itself.",
        callback=_checked,
    ),
]
OfProduct = Annotated[str | None, typer.Option("--product", help="For this product's software.")]
OfLicense = Annotated[
    str | None, typer.Option("--license", help="For this license's holder: its id or key.")
]


@app.command()
@writes
def create(
    asking: Asking,
    *,
    product: OfProduct = None,
    license_: OfLicense = None,
    name: Name = None,
    expiry: Expiry = None,
) -> None:
    """Make a token, and print it, this once: an admin's, else a product's or a license's.

    Example: `ledger token create --product 4a1c… --name CI > token`.
    """
    if product is not None and license_ is not None:
        raise trouble.Missing("a token is a product's or a license's: --product or --license")
    path = ["tokens"]
    if product is not None:
        path = ["products", product, "tokens"]
    if license_ is not None:
        path = ["licenses", key_of(license_), "tokens"]
    wanted = body("tokens", attributes(name=name, expiry=moment(expiry)))
    _print_once(asking, asking.write("POST", *path, body=wanted))


@app.command("list")
@asks
def list_(
    asking: Asking,
    *,
    product: OfProduct = None,
    license_: OfLicense = None,
    limit: Limit = LIMIT,
    everything: All = False,
) -> None:
    """List tokens, newest first, without their secrets."""
    bearer = product
    if license_ is not None:
        bearer = key_of(license_)
        bearer = bearer if is_id(bearer) else asking.api.get("licenses", bearer)["data"]["id"]
    filters = {"bearer[id]": bearer}
    asking.show_list("tokens", shape=TOKENS, limit=limit, everything=everything, **filters)


@app.command()
@asks
def show(asking: Asking, token_id: Named) -> None:
    """Show whose a token is and when it ends; the token itself is told to nobody again."""
    asking.show(asking.api.get("tokens", token_id), TOKENS)


@app.command()
@writes
def regenerate(asking: Asking, token_id: Named, *, yes: Sure = False) -> None:
    """Give a token a new secret, and print it, this once; the old one ends at once."""
    trouble.confirmed(f"this ends the present secret of the token {token_id}", yes=yes)
    _print_once(asking, asking.write("PUT", "tokens", token_id))


@app.command()
@writes
def revoke(asking: Asking, token_id: Named, *, yes: Sure = False) -> None:
    """End a token for good; every worker knows within a second."""
    trouble.confirmed(f"this ends the token {token_id} for good", yes=yes)
    asking.write("DELETE", "tokens", token_id)
    asking.say("revoked", id=token_id)


def _print_once(asking: Asking, document: Mapping[str, Any]) -> None:
    """Print the token to stdout, and a word of warning to where no pipe takes it along."""
    made = document["data"]
    if asking.as_json:
        output.print_json(document)
    else:
        print(made["attributes"]["token"])
    kind = made["attributes"]["kind"]
    output.remark(f"{kind} {made['id']}: shown this once; keep it from others")
