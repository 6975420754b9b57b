"""A row beside what the ledger knows of its license: may it be loaded, and was it."""

from __future__ import annotations

from typing import Final, TypeVar

from msgspec import Struct

from cli.importing.vendor_scan import DigestedRow, Table
from ledger.domain.catalog.entities import Policy
from ledger.domain.clocks import Now
from ledger.domain.license import License, Machine
from ledger.event_log.codec import EventTooLargeError
from ledger.sources.vendor_csv import BadRow, Kind, LicenseRow, MachineRow, shown

T = TypeVar("T", LicenseRow, MachineRow)

SUSPENDED: Final = "its license is suspended: it takes no machines"
EXPIRED: Final = "its license has expired: it takes no machines"


class Ready(Struct, kw_only=True):
    """A row with its license, as the ledger knows it, and the rest that it takes to load the row.

    `machine`: of a file of machines, as the ledger knows it; `policy`: of a file of licenses, the
    one that a new license is to be under.
    """

    row: DigestedRow
    license: str
    known: License | None
    machine: Machine | None = None
    policy: Policy | None = None

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


def refusal(table: Table, one: Ready) -> BadRow | None:
    """Why the row can't be loaded as the ledger stands; None where it can, or was."""
    known = one.known
    if one.heard(table.source) >= sequence_of(table, one):
        return None
    if known is not None and known.frozen_at is not None:
        reason = "its license stands still since a record that can't be folded (`ledger show`)"
        return bad(one, _license_column(table), reason)
    if table.kind == "licenses":
        return _license_refusal(one)
    if known is None or known.status != "live":
        reason = "there is no license with this key: import the licenses first, or with it"
        return bad(one, "license", reason)
    if one.holds:
        seats = one.machine.seats if one.machine is not None else 0
        wanted = said_as(one, MachineRow).seats
        reason = f"the machine holds {seats} seats already, not {wanted}"
        return None if seats == wanted else bad(one, "seats", reason)
    return bad(one, "license", SUSPENDED) if known.suspended else None


def _license_refusal(one: Ready) -> BadRow | None:
    known, policy = one.known, said_as(one, LicenseRow).policy
    if known is not None and known.status == "revoked":
        reason = "a license with this key was revoked here: an import doesn't bring it back"
        return bad(one, "key", reason)
    if known is not None or one.policy is not None:
        return None
    if policy is None:
        return bad(one, "policy", "name a policy here, or one for all such lines with --policy")
    return bad(one, "policy", "there is no such policy; `ledger policy list` tells which there are")


def outcome(table: Table, after: Ready, now: Now | None) -> BadRow | None:
    """Why the ledger did not take what was sent; None where it did."""
    known = after.known
    if known is None or after.heard(table.source) < sequence_of(table, after):
        reason = "the ledger left it out: a license hears from 64 files at most (`ledger show`)"
        return bad(after, _license_column(table), reason)
    if table.kind == "licenses" or after.holds:
        return None
    if known.suspended:
        return bad(after, "license", SUSPENDED)
    if now is not None and known.closed(now.time_ms):
        return bad(after, "license", EXPIRED)
    return too_few_seats(after, known.seats_held, known.limit)


def too_few_seats(one: Ready, held: int, limit: int | None) -> BadRow:
    """A machine that its license has no room for."""
    wanted = said_as(one, MachineRow).seats
    return bad(
        one, "seats", f"too few seats are free: {held} of {limit} are held, it takes {wanted}"
    )


def unwritable(one: Ready, error: Exception) -> BadRow:
    """A row that no event of the active rules can hold."""
    if isinstance(error, EventTooLargeError):
        return BadRow(line=one.row.line, column=None, value=None, reason=str(error))
    reason = f"its policy asks for later rules than are active (`ledger rules`): {error}"
    return bad(one, "policy", reason)


def bad(one: Ready, column: str, reason: str) -> BadRow:
    """The row as one that is not loaded, because of what it has in a column."""
    said = one.row.row.said
    value = getattr(said, column)
    kind: Kind = "licenses" if isinstance(said, LicenseRow) else "machines"
    text = shown(column, "" if value is None else str(value), kind)
    return BadRow(line=one.row.line, column=column, value=text, reason=reason)


def _license_column(table: Table) -> str:
    return "key" if table.kind == "licenses" else "license"
