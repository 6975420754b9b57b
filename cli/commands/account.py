"""`ledger account …`: the vendors of a ledger; and `ledger whoami`."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from msgspec.structs import replace

from cli import output
from cli.asking import Asking, asks, writes
from cli.attributes import Name, Set, attributes, body
from cli.resources import ACCOUNTS, LICENSES, PRODUCTS, TOKENS, Shape, print_resource

app: Final = typer.Typer(
    no_args_is_help=True,
    help="""Accounts: the vendors of a ledger, each with its own products, licenses and tokens.

    Who runs the ledger creates them, with a token of its settings. `--account` of the other groups
    says whose resources are meant; an account's first token: `ledger token create --account acme`.
    """,
)

Named = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Its id or its slug.")]
Domain = Annotated[
    str | None,
    typer.Option("--domain", help="Host name that stands for it: there no path names it."),
]


def create(
    asking: Asking,
    *,
    slug: Annotated[
        str, typer.Option("--slug", help="What paths call it: a-z, 0-9, and - inside.")
    ],
    name: Name = None,
    domain: Domain = None,
    set_: Set = None,
) -> None:
    """Create an account. Example: `ledger account create --slug acme --name ACME`."""
    given = attributes(slug=slug, name=name, domain=domain, set_=set_)
    asking.show(asking.write("POST", "accounts", body=body("accounts", given)), ACCOUNTS)


def show(asking: Asking, account: Named) -> None:
    """Show an account."""
    asking.show(asking.api.get("accounts", account), ACCOUNTS)


def change(
    asking: Asking,
    account: Named,
    *,
    slug: Annotated[
        str | None, typer.Option("--slug", help="Paths with the old one end at once.")
    ] = None,
    name: Name = None,
    domain: Domain = None,
    set_: Set = None,
) -> None:
    """Change an account's slug, name or domain."""
    given = attributes(slug=slug, name=name, domain=domain, set_=set_)
    wanted = body("accounts", given)
    asking.show(asking.write("PATCH", "accounts", account, body=wanted), ACCOUNTS)


app.command("create")(writes(create, in_account=False))
app.command("show")(asks(show, in_account=False))
app.command("change")(writes(change, in_account=False))

_SHAPES: Final[dict[str, Shape]] = {
    "accounts": ACCOUNTS,
    "products": PRODUCTS,
    "licenses": LICENSES,
}


_TOKEN: Final = replace(TOKENS, facts=("kind", "name", "expiry"))


@asks
def whoami(asking: Asking) -> None:
    """Show whom the token speaks for, an account, a product or a license, and the token's id."""
    document = asking.api.get("me")
    if asking.as_json:
        output.print_json(document)
        return
    bearer = document["data"]
    print(f"{bearer['type'].removesuffix('s')}:")
    print_resource(bearer, _SHAPES[bearer["type"]])
    for token in document.get("included", ()):
        print("\nby the token:")
        print_resource(token, _TOKEN)
