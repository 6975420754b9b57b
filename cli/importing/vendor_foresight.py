"""What would be: licenses that rows above would issue, and the seats that machines would take.

It goes by the ledger as it stands; what others do to it meanwhile can't be foreseen.
"""

from __future__ import annotations

from msgspec.structs import replace

from cli.importing.vendor_rows import EXPIRED, Ready, bad, said_as, too_few_seats
from ledger.domain.license import License
from ledger.domain.terms import OwnTerms, expiry_ms, seat_limit
from ledger.sources.vendor_csv import BadRow, LicenseRow, MachineRow


class Foresight:
    """Licenses as they would stand, `now_ms` being when all of it happens."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._licenses: dict[str, License] = {}

    def seen(self, one: Ready) -> Ready:
        """The row with its license as it would stand."""
        return replace(one, known=self._licenses.get(one.license, one.known))

    def issue(self, one: Ready) -> None:
        """Note a license that would be issued."""
        if one.policy is None:
            return
        said, terms = said_as(one, LicenseRow), one.policy.terms
        own = OwnTerms(max_machines=said.max_machines, expiry_ms=said.expiry_ms)
        self._licenses[one.license] = License(
            id=one.license,
            status="live",
            terms=terms,
            expiry_ms=expiry_ms(terms, own, self._now_ms),
            limit=seat_limit(terms, own),
        )

    def activate(self, one: Ready) -> BadRow | None:
        """Note a machine that would be activated; or why its license would refuse it."""
        known = one.known
        if known is None:
            return None
        if known.closed(self._now_ms):
            return bad(one, "license", EXPIRED)
        held = known.seats_held + said_as(one, MachineRow).seats
        if known.limit is not None and held > known.limit:
            return too_few_seats(one, known.seats_held, known.limit)
        self._licenses[one.license] = replace(known, seats_held=held)
        return None
