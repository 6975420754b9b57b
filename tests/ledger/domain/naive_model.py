"""An independent model of the laws: plain lists and dicts, everything counted anew each time.

Written from docs/format.md without a look at the fold, and it uses nothing of it: a request is a
dict, a license is the list of all that was granted to it. What is asked of it is slow and obvious.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Request = dict[str, Any]


@dataclass
class Answer:
    """What the model says of a request."""

    code: str
    seats_held: int
    limit: float | None
    epoch: int
    offset: int


@dataclass
class NaiveLicense:
    """History of one license: `grants` of all its lives, in order."""

    grants: list[tuple[int, Request]] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    memory: list[tuple[int, str, str, Answer]] = field(default_factory=list)
    applied: dict[str, int] = field(default_factory=dict)


class NaiveModel:
    """All licenses; the bounds of memory are given, so that a short run comes by them."""

    def __init__(self, *, day_ms: int, last: int, at_once: int, sources: int) -> None:
        self.licenses: dict[str, NaiveLicense] = {}
        self._day_ms = day_ms
        self._last = last
        self._at_once = at_once
        self._sources = sources

    def take(self, request: Request, offset: int, elapsed_ms: int) -> Answer:
        """Decide a request, as the laws read."""
        known = self.licenses.get(request["license"], NaiveLicense())
        if request.get("sequence") is not None:
            return self._import(request, known, offset)
        for _, command, content, answer in known.memory:
            if command == request["command"]:
                if content == request["content"]:
                    return answer
                return self._answer("idempotency-mismatch", known, offset)
        answer = self._decide(request, known, offset)
        known.memory.append((elapsed_ms, request["command"], request["content"], answer))
        for _ in range(self._at_once):
            if len(known.memory) <= self._last:
                break
            if elapsed_ms - known.memory[0][0] <= self._day_ms:
                break
            known.memory.pop(0)
        self.licenses[request["license"]] = known
        return answer

    def _import(self, request: Request, known: NaiveLicense, offset: int) -> Answer:
        source = request["source"]
        if source not in known.applied and len(known.applied) == self._sources:
            return self._answer("sources-exceeded", known, offset)
        if known.applied.get(source, -1) >= request["sequence"]:
            return self._answer("already-applied", known, offset)
        answer = self._decide(request, known, offset)
        known.applied[source] = request["sequence"]
        self.licenses[request["license"]] = known
        return answer

    def _decide(self, request: Request, known: NaiveLicense, offset: int) -> Answer:
        code = self._code(request, known)
        if code == "granted":
            known.grants.append((offset, request))
            if request["kind"] == "denial":
                known.counted.append("imported-" + request["of"])
        else:
            known.counted.append(code)
        return self._answer(code, known, offset)

    def _code(self, request: Request, known: NaiveLicense) -> str:  # noqa: C901, PLR0911 - all laws in a row
        kind = request["kind"]
        if kind == "issue":
            return "key-taken" if self.alive(known) else "granted"
        if not self.alive(known):
            return "not-found"
        held = self.held(known)
        if kind == "activate":
            if self.suspended(known):
                return "suspended"
            expiry = self.expiry(known)
            if expiry is not None and not request["time"] < expiry:
                return "expired"
            if request["machine"] in held:
                same = held[request["machine"]] == request["seats"]
                return "already-held" if same else "seats-differ"
            limit = self.limit(known)
            free = float("inf") if limit is None else limit - sum(held.values())
            return "granted" if request["seats"] <= free else "machine-limit-exceeded"
        if kind == "deactivate":
            return "granted" if request["machine"] in held else "no-machine"
        if kind == "suspend":
            return "already-suspended" if self.suspended(known) else "granted"
        if kind == "reinstate":
            return "granted" if self.suspended(known) else "not-suspended"
        if kind == "terms" and request["version"] is not None:
            return "stale-terms" if request["version"] < self.version(known) else "granted"
        return "granted"

    def _answer(self, code: str, known: NaiveLicense, offset: int) -> Answer:
        return Answer(
            code=code,
            seats_held=sum(self.held(known).values()),
            limit=self.limit(known),
            epoch=self.lives(known),
            offset=offset,
        )

    @staticmethod
    def lives(known: NaiveLicense) -> int:
        return sum(request["kind"] == "issue" for _, request in known.grants)

    @staticmethod
    def alive(known: NaiveLicense) -> bool:
        ends = [r["kind"] for _, r in known.grants if r["kind"] in {"issue", "revoke"}]
        return ends[-1:] == ["issue"]

    def life(self, known: NaiveLicense) -> list[tuple[int, Request]]:
        """What was granted in the life that goes on; nothing when there is none."""
        if not self.alive(known):
            return []
        begun = max(at for at, (_, r) in enumerate(known.grants) if r["kind"] == "issue")
        return known.grants[begun:]

    def held(self, known: NaiveLicense) -> dict[str, int]:
        machines: dict[str, int] = {}
        for _, request in self.life(known):
            if request["kind"] == "activate":
                machines[request["machine"]] = request["seats"]
            if request["kind"] == "deactivate":
                machines.pop(request["machine"])
        return machines

    def suspended(self, known: NaiveLicense) -> bool:
        orders = [r["kind"] for _, r in self.life(known) if r["kind"] in {"suspend", "reinstate"}]
        return orders[-1:] == ["suspend"]

    def version(self, known: NaiveLicense) -> int:
        versions = [r["version"] for _, r in self.life(known) if r.get("version") is not None]
        return int(versions[-1]) if versions else 0

    def _last_of(self, known: NaiveLicense, name: str) -> Any:  # noqa: ANN401 - whatever was asked
        return [r[name] for _, r in self.life(known) if r.get(name) is not None][-1]

    def limit(self, known: NaiveLicense) -> float | None:
        if not self.alive(known):
            return None
        policy, own = self._last_of(known, "policy"), self._last_of(known, "own")
        seats = own["seats"] or policy["seats"]
        if seats is None or policy["overage"] is None:
            return None
        return float(int(seats * policy["overage"]))

    def expiry(self, known: NaiveLicense) -> int | None:
        policy, own = self._last_of(known, "policy"), self._last_of(known, "own")
        if own["expiry"] is not None:
            return int(own["expiry"])
        born = self.life(known)[0][1]["time"]
        return None if policy["lasts_s"] is None else born + policy["lasts_s"] * 1000

    def peak(self, known: NaiveLicense) -> tuple[int, int]:
        """Most seats ever held in this life, and the first offset at which they were."""
        best, at = 0, 0
        life = self.life(known)
        for count, (offset, _) in enumerate(life, 1):
            part = NaiveLicense(grants=life[:count])
            held = sum(self.held(part).values())
            if held > best:
                best, at = held, offset
        return best, at

    def counts(self, known: NaiveLicense) -> dict[str, int]:
        return {code: known.counted.count(code) for code in set(known.counted)}

    def status(self, known: NaiveLicense) -> str:
        if not self.lives(known):
            return "none"
        return "live" if self.alive(known) else "revoked"
