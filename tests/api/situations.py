"""What makes a check answer each of its codes, in the contract's order ("validate", precedence).

One table for the check by itself and over HTTP. A situation names facts, each with the values that
it takes; of the situations whose facts are all there the first one says the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from msgspec import UNSET

Facts = dict[str, Any]
OWN: Final = "own"
"""In a scope: the license's own product or policy, or what stands for its first machine."""
OTHER: Final = "other"
"""In a scope: what the license does not have."""
POLICY_USUAL: Final[Facts] = {
    "floating": True,
    "strict": False,
    "maxMachines": 9,
    "overageStrategy": "NO_OVERAGE",
    "expirationStrategy": "RESTRICT_ACCESS",
    "requireCheckIn": False,
    "requireProductScope": False,
    "requirePolicyScope": False,
    "requireMachineScope": False,
    "requireFingerprintScope": False,
}
STATE_USUAL: Final[Facts] = {
    "revoked": False,
    "suspended": False,
    "expired": False,
    "overdue": False,
    "machines": 2,
}
SCOPE_USUAL: Final[Facts] = dict.fromkeys(
    ("product", "policy", "entitlements", "machine", "fingerprint"), UNSET
)
USUAL: Final[Facts] = {**POLICY_USUAL, **STATE_USUAL, **SCOPE_USUAL}


@dataclass(frozen=True, slots=True)
class Situation:
    """A code, and the facts that it needs: by name, the values that will do."""

    code: str
    needs: dict[str, tuple[Any, ...]]
    valid: bool = False

    def holds(self, facts: Facts) -> bool:
        """Whether all of it is so."""
        return all(facts[name] in values for name, values in self.needs.items())

    @property
    def asks(self) -> bool:
        """Whether it is about the scope, or a scope that is missing."""
        return any(name in SCOPE_USUAL for name in self.needs)

    @property
    def says(self) -> tuple[str, bool]:
        """What a check answers."""
        return self.code, self.valid


def _so(code: str, *, valid: bool = False, **needs: object) -> Situation:
    each = {name: value if isinstance(value, tuple) else (value,) for name, value in needs.items()}
    return Situation(code, each, valid)


_CROWDED: Final[Facts] = {"strict": True, "maxMachines": 1, "machines": 2}
_SOME: Final = (2, 0)

ORDER: Final = (
    _so("NOT_FOUND", revoked=True),
    _so("SUSPENDED", suspended=True),
    _so("EXPIRED", expired=True, expirationStrategy="REVOKE_ACCESS"),
    _so("OVERDUE", requireCheckIn=True, overdue=True),
    _so("PRODUCT_SCOPE_MISMATCH", product=(OTHER, "")),
    _so("PRODUCT_SCOPE_REQUIRED", product=UNSET, requireProductScope=True),
    _so("POLICY_SCOPE_MISMATCH", policy=(OTHER, "")),
    _so("POLICY_SCOPE_REQUIRED", policy=UNSET, requirePolicyScope=True),
    _so("ENTITLEMENTS_SCOPE_EMPTY", entitlements=([],)),
    _so("ENTITLEMENTS_MISSING", entitlements=(["EXPORT"],)),
    _so("NO_MACHINE", machine=(OWN, OTHER, ""), machines=0, floating=False),
    _so("NO_MACHINES", machine=(OWN, OTHER, ""), machines=0, floating=True),
    _so("MACHINE_SCOPE_MISMATCH", machine=(OTHER, ""), machines=_SOME),
    _so("MACHINE_SCOPE_REQUIRED", machine=UNSET, requireMachineScope=True),
    _so("FINGERPRINT_SCOPE_EMPTY", fingerprint=""),
    _so("NO_MACHINE", fingerprint=(OWN, OTHER, ""), machines=0, floating=False),
    _so("NO_MACHINES", fingerprint=(OWN, OTHER, ""), machines=0, floating=True),
    _so("FINGERPRINT_SCOPE_MISMATCH", fingerprint=OTHER, machines=_SOME),
    _so("FINGERPRINT_SCOPE_REQUIRED", fingerprint=UNSET, requireFingerprintScope=True),
    _so("NO_MACHINE", strict=True, machines=0, floating=False),
    _so("NO_MACHINES", strict=True, machines=0, floating=True),
    _so("TOO_MANY_MACHINES", floating=False, **_CROWDED, overageStrategy="NO_OVERAGE"),
    _so("TOO_MANY_MACHINES", floating=True, **_CROWDED, overageStrategy="ALLOW_1_5X_OVERAGE"),
    _so("TOO_MANY_MACHINES", valid=True, **_CROWDED, overageStrategy="ALLOW_2X_OVERAGE"),
    _so("TOO_MANY_MACHINES", valid=True, **_CROWDED, overageStrategy="ALWAYS_ALLOW_OVERAGE"),
    _so("EXPIRED", expired=True, expirationStrategy="RESTRICT_ACCESS"),
    _so("EXPIRED", valid=True, expired=True, expirationStrategy="MAINTAIN_ACCESS"),
    _so("EXPIRED", valid=True, expired=True, expirationStrategy="ALLOW_ACCESS"),
    _so("VALID", valid=True),
)
"""Every code that a check makes, the first that applies wins."""


def first(facts: Facts, *, quick: bool = False) -> Situation:
    """What the contract's order says; `quick`: of what is not about a scope."""
    return next(each for each in ORDER if each.holds(facts) and not (quick and each.asks))


def alone(situation: Situation) -> Facts:
    """Facts of a situation, and what is usual besides."""
    return {**USUAL, **{name: values[0] for name, values in situation.needs.items()}}


def together(one: Situation, other: Situation) -> Facts | None:
    """Facts under which both hold; None where they exclude each other."""
    needs = dict(one.needs)
    for name, values in other.needs.items():
        needs[name] = tuple(value for value in needs.get(name, values) if value in values)
    if not all(needs.values()):
        return None
    return alone(Situation(one.code, needs))


def neighbors() -> list[tuple[Situation, Situation, Facts]]:
    """Each situation with the next one in order that can be the case as well but says another."""
    found = []
    for number, one in enumerate(ORDER):
        for other in ORDER[number + 1 :]:
            facts = together(one, other)
            if facts is not None and one.says != other.says and first(facts) is one:
                found.append((one, other, facts))
                break
    return found
