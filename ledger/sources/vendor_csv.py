"""A vendor's own export: CSV of licenses, or of machines, a row each, told by the header.

    key,policy,name,max_machines,expiry,suspended,metadata.order
    license,fingerprint,hostname,name,platform,seats,activated_at

Only `key`, and `license` with `fingerprint`, must be there. Keys, fingerprints, and names of hosts
and machines never stand in a message.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from ledger.domain.clocks import from_rfc3339
from ledger.domain.events import METADATA_BYTES_MAX, SECRET_BYTES_MAX
from ledger.domain.identifiers import is_id
from ledger.domain.terms import SEATS_MAX, TIME_MS_MAX
from ledger.sources.csv_records import CsvRecord

Kind = Literal["licenses", "machines"]
IGNORED: Final = "error"
"""A column that may stand in every file, for people's remarks."""
METADATA: Final = "metadata."
COLUMNS: Final[dict[Kind, tuple[str, ...]]] = {
    "licenses": ("key", "policy", "name", "max_machines", "expiry", "suspended"),
    "machines": (
        "license",
        "fingerprint",
        "hostname",
        "name",
        "platform",
        "seats",
        "activated_at",
    ),
}
REQUIRED: Final[dict[Kind, tuple[str, ...]]] = {
    "licenses": ("key",),
    "machines": ("license", "fingerprint"),
}
KEY_LENGTH_MIN: Final = 6
NAME_LENGTH_MAX: Final = 512
NAME_BYTES_MAX: Final = 1024
_SECRET: Final = frozenset({"key", "license", "fingerprint", "hostname"})
_SHOWN_MAX: Final = 40
_ALIASES: Final = {"license_key": "license"}
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_YES: Final = frozenset({"true", "yes", "1"})
_NO: Final = frozenset({"false", "no", "0", ""})
_encoder: Final = msgspec.json.Encoder(order="sorted")


class HeaderError(Exception):
    """The header is of neither kind of file; the text names the column and the way out."""


class Shape(Struct, frozen=True, kw_only=True):
    """What a header says: the kind of file, and the name of each column."""

    kind: Kind
    columns: tuple[str, ...]


class LicenseRow(Struct, frozen=True, kw_only=True):
    """A license. `expiry_ms` on the calendar; `metadata` is canonical JSON text.

    `policy`: id of the one that it is to be under; None where the row names none.
    """

    key: str
    policy: str | None
    name: str | None
    max_machines: int | None
    expiry_ms: int | None
    suspended: bool
    metadata: str | None

    def __repr__(self) -> str:
        """Tell no key."""
        return f"LicenseRow(name={self.name!r})"


class MachineRow(Struct, frozen=True, kw_only=True):
    """A machine of the license with the key `license`; `activated_ms` is when it was there."""

    license: str
    fingerprint: str
    hostname: str | None
    name: str | None
    platform: str | None
    seats: int
    activated_ms: int | None

    def __repr__(self) -> str:
        """Tell no key, fingerprint or name."""
        return f"MachineRow(seats={self.seats})"


class BadRow(Struct, frozen=True, kw_only=True):
    """A row that can't be loaded: its line, and the column, its value (masked) and the reason."""

    line: int
    column: str | None
    value: str | None
    reason: str


class Row(Struct, frozen=True, kw_only=True):
    """One record and what it says."""

    record: CsvRecord
    said: LicenseRow | MachineRow | BadRow


class _Wrong(Exception):
    def __init__(self, column: str, value: str, reason: str) -> None:
        super().__init__(reason)
        self.column, self.value, self.reason = column, value, reason


def shape(header: CsvRecord, kind: Kind | None = None) -> Shape:
    """Read a header; `kind` None: what its columns say. Raises `HeaderError`."""
    if header.trouble or not header.fields:
        raise HeaderError(f"its first line is no header: {header.trouble or 'it is empty'}")
    names = [_column(name) for name in header.fields]
    if kind is None:
        kind = "machines" if "fingerprint" in names else "licenses"
    if kind == "machines" and "license" not in names:
        names = ["license" if name == "key" else name for name in names]
    for name in REQUIRED[kind]:
        if name not in names:
            raise HeaderError(
                f"a file of {kind} has the column {name}: name it so, with commas, semicolons or "
                "tabs between the columns"
            )
    for name in names:
        known = name in COLUMNS[kind] or name == IGNORED
        if not known and not (kind == "licenses" and _is_metadata(name)):
            raise HeaderError(
                f"the column {name[:_SHOWN_MAX]!r} is none of a file of {kind} "
                f"({', '.join(COLUMNS[kind])}): rename it, leave it out"
                + (f", or keep it as {METADATA}{name[:_SHOWN_MAX]}" if kind == "licenses" else "")
            )
        if names.count(name) > 1:
            raise HeaderError(f"the column {name[:_SHOWN_MAX]!r} is there twice")
    return Shape(kind=kind, columns=tuple(names))


def rows(records: Iterable[CsvRecord], this: Shape) -> Iterator[Row]:
    """Read all records behind the header; blank ones say nothing. The same each time."""
    parse: Callable[[dict[str, str]], LicenseRow | MachineRow] = (
        _license if this.kind == "licenses" else _machine
    )
    seen: dict[bytes, int] = {}
    for record in records:
        if record.trouble or any(field.strip() for field in record.fields):
            yield Row(record=record, said=_said(record, this, parse, seen))


def _said(
    record: CsvRecord,
    this: Shape,
    parse: Callable[[dict[str, str]], LicenseRow | MachineRow],
    seen: dict[bytes, int],
) -> LicenseRow | MachineRow | BadRow:
    if record.trouble:
        return BadRow(line=record.line, column=None, value=None, reason=record.trouble)
    if len(record.fields) != len(this.columns):
        reason = f"it has {len(record.fields)} columns, the header {len(this.columns)}"
        return BadRow(line=record.line, column=None, value=None, reason=reason)
    try:
        said = parse(dict(zip(this.columns, record.fields, strict=True)))
    except _Wrong as wrong:
        value = shown(wrong.column, wrong.value, this.kind)
        return BadRow(line=record.line, column=wrong.column, value=value, reason=wrong.reason)
    named = (said.key,) if isinstance(said, LicenseRow) else (said.license, said.fingerprint)
    digest = hashlib.blake2b("\0".join(named).encode(), digest_size=16).digest()
    first = seen.setdefault(digest, record.line)
    if first != record.line:
        column = REQUIRED[this.kind][-1]
        value = shown(column, named[-1], this.kind)
        reason = f"the same is in line {first}, which was taken"
        return BadRow(line=record.line, column=column, value=value, reason=reason)
    return said


def _license(given: dict[str, str]) -> LicenseRow:
    key = _secret("key", given["key"])
    if len(key) < KEY_LENGTH_MIN:
        raise _Wrong("key", key, f"a key has at least {KEY_LENGTH_MIN} characters")
    suspended = given.get("suspended", "").strip().lower()
    if suspended not in _YES | _NO:
        raise _Wrong("suspended", suspended, "it is true or false")
    return LicenseRow(
        key=key,
        policy=_policy(given),
        name=_name("name", given),
        max_machines=_count("max_machines", given),
        expiry_ms=_time_ms("expiry", given, days_later=1),
        suspended=suspended in _YES,
        metadata=_metadata(given),
    )


def _machine(given: dict[str, str]) -> MachineRow:
    return MachineRow(
        license=_secret("license", given["license"]),
        fingerprint=_secret("fingerprint", given["fingerprint"]),
        hostname=_name("hostname", given),
        name=_name("name", given),
        platform=_name("platform", given),
        seats=_count("seats", given) or 1,
        activated_ms=_time_ms("activated_at", given),
    )


def _policy(given: dict[str, str]) -> str | None:
    value = given.get("policy", "").strip().lower()
    if value and not is_id(value):
        raise _Wrong("policy", value, "it is a policy's id (`ledger policy list`)")
    return value or None


def _secret(column: str, value: str) -> str:
    if not value.strip():
        raise _Wrong(column, "", "it is empty")
    if value != value.strip():
        raise _Wrong(column, value, "it has spaces around it")
    if len(value.encode()) > SECRET_BYTES_MAX:
        raise _Wrong(column, value, f"it has at most {SECRET_BYTES_MAX} bytes in UTF-8")
    return value


def _name(column: str, given: dict[str, str]) -> str | None:
    value = given.get(column, "").strip()
    if len(value) > NAME_LENGTH_MAX or len(value.encode()) > NAME_BYTES_MAX:
        reason = f"it has at most {NAME_LENGTH_MAX} characters, and {NAME_BYTES_MAX} bytes in UTF-8"
        raise _Wrong(column, value, reason)
    return value or None


def _count(column: str, given: dict[str, str]) -> int | None:
    value = given.get(column, "").strip()
    if not value:
        return None
    if not _NUMBER.fullmatch(value) or not 1 <= int(value) <= SEATS_MAX:
        raise _Wrong(column, value, f"it is a whole number from 1 to {SEATS_MAX}")
    return int(value)


def _time_ms(column: str, given: dict[str, str], *, days_later: int = 0) -> int | None:
    """Milliseconds of a time, or of the beginning of a day in UTC, `days_later`."""
    value = given.get(column, "").strip()
    if not value:
        return None
    try:
        if _DATE.fullmatch(value):
            day = date.fromisoformat(value) + timedelta(days=days_later)
            moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
            time_ms = int(moment.timestamp()) * 1000
        else:
            time_ms = from_rfc3339(value)
    except (ValueError, OverflowError):
        time_ms = -1
    if not 0 <= time_ms <= TIME_MS_MAX:
        reason = "it is a day like 2030-12-31, or a time like 2030-12-31T08:00:00Z"
        raise _Wrong(column, value, reason)
    return time_ms


def _metadata(given: dict[str, str]) -> str | None:
    found: dict[str, Any] = {
        name.removeprefix(METADATA): value
        for name, value in given.items()
        if name.startswith(METADATA) and value
    }
    if not found:
        return None
    text = _encoder.encode(found)
    if len(text) > METADATA_BYTES_MAX:
        raise _Wrong("metadata", "", f"all of it has at most {METADATA_BYTES_MAX} bytes as JSON")
    return text.decode()


def _column(name: str) -> str:
    name = name.strip()
    if name.startswith(METADATA):
        return name
    plain = _CAMEL.sub("_", name).lower().replace(" ", "_").replace("-", "_")
    return _ALIASES.get(plain, plain)


def _is_metadata(name: str) -> bool:
    return name.startswith(METADATA) and len(name) > len(METADATA)


def shown(column: str, value: str, kind: Kind) -> str:
    """Return a value for a message: of what is secret or personal its length only."""
    if column in _SECRET or (column == "name" and kind == "machines"):
        return f"({len(value)} characters)"
    return value if len(value) <= _SHOWN_MAX else f"{value[:_SHOWN_MAX]}…"
