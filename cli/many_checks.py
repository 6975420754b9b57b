"""Many checks at once: keys from arguments and files, by the thousand, told by their numbers.

No key is printed: an answer is told from the others by the place of its key.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final

from api.bodies import CHECKS_MAX
from cli import output, trouble
from cli.api import Api, found
from ledger.domain.events import SECRET_BYTES_MAX

_COLUMNS: Final = ("key", "answer", "license", "from")
_NO_KEY: Final = "there is no key: name some, or a file with one a line (--file)"
Numbered = tuple[int, str]


def check_many(
    data: Path, keys: Sequence[str], file: Path | None, fingerprint: str | None, *, as_json: bool
) -> bool:
    """Ask for all keys and print what each is told; whether all are valid.

    Raises `Missing` where there is no key, no ledger, or no token for it; `ApiRefused`, `ApiAway`.
    """
    if not keys and file is None:
        raise trouble.Missing(_NO_KEY)
    if "-" in keys:
        raise trouble.Missing("- reads one key and stands alone: --file - reads many from stdin")
    url = os.environ.get("LEDGER_URL") or os.environ.get("LEDGER_API_URL")
    account = os.environ.get("LEDGER_ACCOUNT")
    api = found(data, url, os.environ.get("LEDGER_TOKEN"), account or None)
    asked = valid = 0
    with _lines(file) as lines:
        numbered = _numbered(chain(keys, lines))
        while part := list(islice(numbered, CHECKS_MAX)):
            told = _ask(api, [key for _, key in part], fingerprint)
            asked, valid = asked + len(told), valid + sum(one["valid"] is True for one in told)
            numbers = [number for number, _ in part]
            (_print_lines if as_json else _print_table)(numbers, told)
    if not asked:
        raise trouble.Missing(_NO_KEY)
    output.remark(f"{valid} of {asked} are valid.")
    return valid == asked


@contextmanager
def _lines(file: Path | None) -> Iterator[Iterable[str]]:
    """Lines of a file, `-` for stdin. Raises `Missing` where it can't be read."""
    if file is None:
        yield ()
    elif str(file) == "-":
        yield _bounded(sys.stdin)
    else:
        try:
            opened = file.open(encoding="utf-8")
        except OSError as error:
            raise trouble.Missing(f"{file} can't be read: {error.strerror}") from None
        with opened:
            yield _bounded(opened)


def _bounded(file: IO[str]) -> Iterator[str]:
    """Lines, of one that is longer than any key only a beginning that is none either."""
    try:
        while line := file.readline(2 * SECRET_BYTES_MAX):
            yield line
    except UnicodeDecodeError:
        raise trouble.Missing("the file of keys is no text in UTF-8") from None


def _numbered(keys: Iterable[str]) -> Iterator[Numbered]:
    """Keys with their numbers from 1, blank ones left out. Raises `Missing` for what is none."""
    for number, key in enumerate(map(str.strip, keys), 1):
        if len(key.encode(errors="replace")) > SECRET_BYTES_MAX:
            raise trouble.Missing(
                f"the key number {number} is none: a license key has 1 to {SECRET_BYTES_MAX} bytes"
            )
        if key:
            yield number, key


def _ask(api: Api, keys: Sequence[str], fingerprint: str | None) -> list[dict[str, Any]]:
    """Attributes of each answer, in the order of the keys."""
    scope = {} if fingerprint is None else {"scope": {"fingerprint": fingerprint}}
    body = {"meta": {"checks": [{"key": key, **scope} for key in keys]}}
    document = api.ask(body, "licenses", "actions", "validate-many")
    told = [entry["attributes"] for entry in document["data"]]
    if len(told) != len(keys):
        raise trouble.Failed("the API answered another number of checks than were asked for")
    return told


def _print_lines(numbers: Sequence[int], told: Sequence[dict[str, Any]]) -> None:
    for number, one in zip(numbers, told, strict=True):
        output.print_json_line({"number": number, **one})


def _print_table(numbers: Sequence[int], told: Sequence[dict[str, Any]]) -> None:
    rows = [
        (str(number), one["code"], one["license"] or "", one["source"] or "")
        for number, one in zip(numbers, told, strict=True)
    ]
    styles = ["green" if one["valid"] else "red" for one in told]
    output.print_table(_COLUMNS, rows, whole=("license",), styles=styles)
