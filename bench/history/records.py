"""Records of a history's events: the codec's bytes, by templates that the codec itself has made.

To encode an event with msgspec and to prove it decodable takes far longer than to fill in what
differs: ids, digests, sealed values and times.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from msgspec import convert

from bench.history.licensed import FINGERPRINT_NONCES, HOST_NONCES, KEY_NONCE, Licensed
from bench.history.plans import CODES, DAY_MS, Plan, Whose, fingerprint_of, key_of
from bench.history.shapes import Size
from bench.history.story import Op, seats_of
from bench.history.templates import (
    DIGEST,
    HOST,
    LARGE,
    MACHINE,
    NAME,
    NUMBER,
    SEALED,
    Slots,
    Templates,
)
from ledger.domain import events
from ledger.domain.clocks import rfc3339
from ledger.domain.events import EventData
from ledger.domain.identifiers import (
    Pepper,
    id_bytes,
    import_command_id,
    license_id,
    machine_id,
)
from ledger.domain.terms import OwnTerms

SOURCES: Final = 8
_TOKENS: Final = 5
_BEHIND_MS: Final = 3_600_000
"""How long before it was imported a thing had happened."""


class Records:
    """Makes the records of a ledger's history."""

    def __init__(self, whose: Whose, size: Size) -> None:
        self._whose = whose
        self._seed = size.seed
        self._salt = b"%d" % size.seed
        self._pepper = Pepper(whose.pepper)
        self._fingers = self._pepper.begun("ledger.finger", id_bytes(whose.account))
        self._plans = whose.plans
        self._templates = Templates()
        self._makers: dict[str, Callable[[Licensed, Op], tuple[str, Slots]]] = {
            "issue": self._issue,
            "activate": self._activate,
            "deactivate": self._deactivate,
            "deny": self._deny,
            "validate": self._validate,
            "change_machine": self._change_machine,
            "change": self._change,
            "own_terms": self._own_terms,
            "change_terms": self._change_terms,
            "transfer": self._transfer,
        }
        self._tokens = [f"token:{number:016x}" for number in range(_TOKENS)]
        self._sources = [f"flexlm:{number:032x}" for number in range(SOURCES)]

    def license_of(self, index: int) -> str:
        """Id of a license."""
        return license_id(self._pepper, self._whose.account, key_of(self._seed, index))

    def value(self, of: Licensed, op: Op) -> bytes:
        """Value of the record of what was asked; its key is the license's id."""
        maker = self._makers.get(op.what)
        text, slots = maker(of, op) if maker else self._plain(op)
        digest = blake2b(
            b"%d/%d" % (of.index, op.number), key=self._salt, digest_size=32
        ).hexdigest()
        content, time = digest[32:], _time(op.time_ms)
        if op.sequence:
            source = self._sources[of.index % SOURCES]
            id_ = import_command_id(self._pepper, of.id, source, op.sequence)
            occurred = _time(op.time_ms - _BEHIND_MS - op.sequence)
            tail = (id_, occurred, op.sequence, source, digest[16:48], of.id, time)
            return (text % ("import", content, *slots, *tail)).encode()
        id_ = (
            f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}"
            f"-{'89ab'[int(digest[16], 16) & 3]}{digest[17:20]}-{digest[20:32]}"
        )
        actor = self._tokens[of.index % _TOKENS]
        return (text % (actor, content, *slots, id_, of.id, time)).encode()

    def _issue(self, of: Licensed, op: Op) -> tuple[str, Slots]:
        own = op.second or None

        def data() -> EventData:
            plan = self._plan(op.first)
            return events.Issued(
                account=self._whose.account,
                product=self._whose.product,
                policy=plan.policy,
                key=SEALED,
                terms=plan.terms,
                own=OwnTerms(max_machines=None if own is None else NUMBER),
                name=NAME,
            )

        key = of.seal(KEY_NONCE, key_of(self._seed, of.index))
        seats: Slots = () if own is None else (own,)
        wanted: Slots = () if own is None else (NUMBER,)
        name = ("issue", op.first, own is None)
        text = self._templates.get(name, data, SEALED, NAME, *wanted, version=0)
        return text, (key, f"Customer {of.index}", *seats)

    def _activate(self, of: Licensed, op: Op) -> tuple[str, Slots]:
        number = int(op.first)
        seats, is_known, imported = seats_of(number), number % 4 == 0, op.sequence > 0

        def data() -> EventData:
            return events.ActivationRequested(
                machine=MACHINE,
                fingerprint=SEALED,
                fingerprint_digest=DIGEST,
                seats=seats,
                hostname=HOST if is_known else None,
                platform="linux" if is_known else None,
                cores=8 if is_known else None,
            )

        fingerprint = fingerprint_of(of.index, number)
        host: Slots = ()
        if is_known:
            host = (of.seal(HOST_NONCES + number, f"host-{number}.example"),)
        text = self._templates.get(
            ("activate", seats, is_known, imported),
            data,
            *((SEALED, DIGEST, HOST, MACHINE) if is_known else (SEALED, DIGEST, MACHINE)),
            imported=imported,
        )
        return text, (
            of.seal(FINGERPRINT_NONCES + number, fingerprint),
            self._finger(fingerprint),
            *host,
            machine_id(self._pepper, of.id, fingerprint),
        )

    def _finger(self, fingerprint: str) -> str:
        """The same as `identifiers.fingerprint_digest`, with the account hashed before."""
        state, part = self._fingers.copy(), fingerprint.encode()
        state.update(len(part).to_bytes(4, "big") + part)
        return state.hexdigest()

    def _deactivate(self, of: Licensed, op: Op) -> tuple[str, Slots]:
        imported = op.sequence > 0
        text = self._templates.get(
            ("deactivate", imported),
            lambda: events.DeactivationRequested(machine=MACHINE),
            MACHINE,
            imported=imported,
        )
        return text, (self._machine(of, op.first),)

    def _deny(self, _: Licensed, __: Op) -> tuple[str, Slots]:
        text = self._templates.get(
            ("deny",), lambda: events.DenialImported(kind="denied", reason="FULL"), imported=True
        )
        return text, ()

    def _validate(self, of: Licensed, op: Op) -> tuple[str, Slots]:
        code, machine = str(op.first), int(op.second)

        def data() -> EventData:
            named = MACHINE if machine >= 0 else None
            return events.Validated(valid=op.is_valid, code=code, machine=named)

        if machine < 0:
            return self._templates.get(("validate", code, op.is_valid, False), data), ()
        text = self._templates.get(("validate", code, op.is_valid, True), data, MACHINE)
        return text, (self._machine(of, machine),)

    def _change_machine(self, of: Licensed, op: Op) -> tuple[str, Slots]:
        text = self._templates.get(
            ("change_machine", op.second),
            lambda: events.MachineChanged(
                machine=MACHINE, platform="windows", cores=int(op.second)
            ),
            MACHINE,
        )
        return text, (self._machine(of, op.first),)

    def _change(self, of: Licensed, op: Op) -> tuple[str, Slots]:
        what, value = op.first, op.second
        if what == "name":
            text = self._templates.get(("change", what), lambda: events.Changed(name=NAME), NAME)
            return text, (f"Customer {of.index}, renamed {value}",)
        if what == "seats":
            text = self._templates.get(
                ("change", what), lambda: events.Changed(max_machines=NUMBER), NUMBER
            )
        else:
            text = self._templates.get(
                ("change", what), lambda: events.Changed(expiry_ms=LARGE), LARGE
            )
        return text, (value,)

    def _own_terms(self, _: Licensed, op: Op) -> tuple[str, Slots]:
        text = self._templates.get(
            ("own_terms",),
            lambda: events.TermsChanged(own=OwnTerms(max_machines=NUMBER, expiry_ms=LARGE)),
            LARGE,
            NUMBER,
        )
        return text, (op.second, op.first)

    def _change_terms(self, _: Licensed, op: Op) -> tuple[str, Slots]:
        plan = self._plan(op.first)
        text = self._templates.get(
            ("change_terms", op.first),
            lambda: events.TermsChanged(policy=plan.policy, terms=plan.terms),
            version=0,
        )
        return text, ()

    def _transfer(self, _: Licensed, op: Op) -> tuple[str, Slots]:
        plan = self._plan(op.first)
        text = self._templates.get(
            ("transfer", op.first, op.second),
            lambda: events.Transferred(
                policy=plan.policy,
                product=self._whose.product,
                terms=plan.terms,
                expiry="RESET_EXPIRY" if op.second == "RESET_EXPIRY" else "KEEP_EXPIRY",
            ),
            version=0,
        )
        return text, ()

    def _plain(self, op: Op) -> tuple[str, Slots]:
        """What is the same text for every license."""
        return self._templates.get((op.what, op.first, op.second), lambda: self._plain_data(op)), ()

    def _plain_data(self, op: Op) -> EventData:
        first = op.first
        if op.what == "use":
            return convert({"action": first, "by": op.second}, events.UsageRecorded)
        if op.what == "renew":
            return convert({"basis": first}, events.Renewed)
        if op.what == "attach":
            return events.EntitlementsAttached(entitlements=self._entitlement(first))
        if op.what == "detach":
            return events.EntitlementsDetached(entitlements=list(self._entitlement(first)))
        return _NOTHING[op.what]

    def _entitlement(self, place: int | str) -> dict[str, str]:
        return {self._whose.entitlements[int(place)]: CODES[int(place)]}

    def _plan(self, place: int | str) -> Plan:
        return self._plans[int(place)]

    def _machine(self, of: Licensed, number: int | str) -> str:
        return machine_id(self._pepper, of.id, fingerprint_of(of.index, int(number)))


def _time(time_ms: int) -> str:
    """The log's form of a time; the events of one partition share their days, not their minutes."""
    days, in_day_ms = divmod(time_ms, DAY_MS)
    seconds, ms = divmod(in_day_ms, 1000)
    return (
        f"{_day(days)}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}Z"
    )


@lru_cache(maxsize=4)
def _day(days: int) -> str:
    return rfc3339(days * DAY_MS)[:11]


_NOTHING: Final[dict[str, EventData]] = {
    "check_in": events.CheckedIn(),
    "suspend": events.Suspended(),
    "reinstate": events.Reinstated(),
    "revoke": events.Revoked(),
}
