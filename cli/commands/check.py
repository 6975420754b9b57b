"""`ledger check`: ask the API whether a license is valid, or many."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli import connection, output, trouble
from cli.api import refusal
from cli.local.folder import DEFAULT
from cli.many_checks import check_many
from cli.options import Data, Json
from cli.web import call
from ledger.domain.events import SECRET_BYTES_MAX

VALIDATE_KEY: Final = "/v1/licenses/actions/validate-key"
_OK: Final = 200


def check(
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY]...", help="License keys; a single - reads one from stdin."),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A file with one key a line; - reads them from stdin."),
    ] = None,
    fingerprint: Annotated[
        str | None,
        typer.Option("--fingerprint", "-f", help="The machine that asks: is it activated?"),
    ] = None,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Ask the API whether a license is valid; the exit code is 0 for VALID, else 1.

    Examples: `ledger check LIC-…`, `ledger check LIC-… --fingerprint my-machine`,
    `echo LIC-… | ledger check - --json`. LEDGER_API_URL asks another ledger than the local one.

    Of several keys each is told by its number, or its line; 0 if all are VALID. They need a token:
    LEDGER_URL and LEDGER_TOKEN. `ledger check --file keys.txt --json | jq 'select(.valid | not)'`.
    """
    keys = keys or []
    if file is not None or len(keys) != 1:
        all_valid = check_many(data, keys, file, fingerprint, as_json=as_json)
        raise typer.Exit(trouble.OK if all_valid else trouble.FAILED)
    key = keys[0]
    environment = connection.environment(data, "LEDGER_API_URL")
    ca_file = environment.get("LEDGER_API_CA_FILE")
    document = ask(environment["LEDGER_API_URL"], key_of(key), fingerprint, ca_file=ca_file)
    if as_json:
        output.print_json(document)
    else:
        print_check(document)
    raise typer.Exit(trouble.OK if document["meta"]["valid"] else trouble.FAILED)


def key_of(argument: str) -> str:
    """The key of an argument, `-` for the first line of stdin. Raises `Missing`."""
    key = sys.stdin.readline(SECRET_BYTES_MAX + 2).strip() if argument == "-" else argument
    if not key or len(key.encode(errors="replace")) > SECRET_BYTES_MAX:
        raise trouble.Missing(f"a license key has 1 to {SECRET_BYTES_MAX} bytes")
    return key


def ask(
    url: str, key: str, fingerprint: str | None = None, *, ca_file: str | None = None
) -> dict[str, Any]:
    """The API's answer to a check. Raises `ApiUnavailable`, or `Failed` with what it said."""
    scope = {} if fingerprint is None else {"fingerprint": fingerprint}
    body = {"meta": {"key": key, "scope": scope}}
    status, document = call(url.rstrip("/") + VALIDATE_KEY, body, ca_file=ca_file)
    if status != _OK or not isinstance(document.get("meta"), dict):
        raise trouble.Failed(f"the check was not answered: {refusal(status, document)}")
    return document


def print_check(document: dict[str, Any]) -> None:
    """Print the answer to a check."""
    meta, license_ = document["meta"], document.get("data")
    console = output.console()
    console.print(str(meta["code"]), style="bold green" if meta["valid"] else "bold red")
    console.print(str(meta.get("detail", "")), markup=False)
    if license_ is not None:
        attributes = license_["attributes"]
        seats = attributes.get("seats", {})
        limit = seats.get("limit")
        name = attributes.get("name")
        console.print(f"license   {license_['id']}" + (f"  {name}" if name else ""), markup=False)
        held = f"{seats.get('used')} of {'unlimited' if limit is None else limit}"
        console.print(f"seats     {held}, at most {seats.get('peak')} at once", markup=False)
    if meta.get("order") is not None:
        console.print(f"approved  by emergency order {meta['order']}", markup=False)
    console.print(
        f"as of     position {meta.get('position')}, {meta.get('ageMs')} ms old, "
        f"from {meta.get('source')}",
        markup=False,
    )
