"""A row beside what the ledger knows of its license: may it be loaded, and was it."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from cli.importing.vendor_scan import DigestedRow, Table
from ledger.domain.clocks import Now
from ledger.domain.license import License, Machine
from ledger.sources.vendor_csv import BadRow, LicenseRow, MachineRow

T = TypeVar("T", LicenseRow, MachineRow)


class Ready(Struct, kw_only=True):
    """A row with the license, and of a file of machines the machine, as the ledger knows them."""

    row: DigestedRow
    license: str
    known: License | None
    machine: Machine | None = None

    @property
    def holds(self) -> bool:
        """Whether the machine is activated."""
        known, machine = self.known, self.machine
        if known is None or machine is None or known.status != "live":
            return False
        return machine.epoch == known.epoch

    def heard(self, source: str) -> int:
        """Return the highest sequence of the source that was applied; -1 for none."""
        heard = None if self.known is None else self.known.sources.get(source)
        return -1 if heard is None else heard.sequence


def said_as(one: Ready, kind: type[T]) -> T:
    """What the row says, of the kind that its file has."""
    said = one.row.row.said
    assert isinstance(said, kind)  # noqa: S101 - a table has rows of one kind
    return said


def license_key(row: DigestedRow) -> str:
    """The key of the license that a row is about."""
    said = row.row.said
    assert not isinstance(said, BadRow)  # noqa: S101 - only good ones are read again
    return said.key if isinstance(said, LicenseRow) else said.license


def sequence_of(table: Table, one: Ready) -> int:
    """Of a row's event; a license's suspension is the next one."""
    return 2 * one.row.line if table.kind == "licenses" else one.row.line


def line_of(table: Table, sequence: int) -> int:
    """The line of the row that a sequence is of."""
    return sequence // 2 if table.kind == "licenses" else sequence


def data_key_hint(known: License | None) -> str | None:
    """The data key that a live license has already."""
    live = known is not None and known.status == "live"
    return known.key.partition(".")[0] if known is not None and live else None


def refusal(table: Table, one: Ready) -> str | None:
    """Why the row can't be loaded as the ledger stands; None where it can, or was."""
    known = one.known
    if one.heard(table.source) >= sequence_of(table, one):
        return None
    if known is not None and known.frozen_at is not None:
        return "its license stands still since a record that can't be folded (`ledger show`)"
    if table.kind == "licenses":
        if known is not None and known.status == "revoked":
            return "a license with this key was revoked here: an import doesn't bring it back"
        return None
    if known is None or known.status != "live":
        return "there is no license with this key: import the licenses first, or with it"
    if one.holds:
        seats = one.machine.seats if one.machine is not None else 0
        wanted = said_as(one, MachineRow).seats
        return None if seats == wanted else f"the machine holds {seats} seats already, not {wanted}"
    return "its license is suspended: it takes no machines" if known.suspended else None


def outcome(table: Table, after: Ready, now: Now | None) -> str | None:
    """Why the ledger did not take what was sent; None where it did."""
    known = after.known
    if known is None or after.heard(table.source) < sequence_of(table, after):
        return "the ledger did not apply it: a license hears from 64 files at most (`ledger show`)"
    if table.kind == "licenses" or after.holds:
        return None
    if known.suspended:
        return "its license is suspended: it takes no machines"
    if now is not None and known.expired(now.time_ms):
        return "its license has expired: it takes no machines"
    wanted = said_as(after, MachineRow).seats
    return (
        f"too few seats are free: {known.seats_held} of {known.limit} are held, it takes {wanted}"
    )
