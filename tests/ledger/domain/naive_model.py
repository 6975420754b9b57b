"""An independent model of the laws: plain lists and dicts, everything counted anew each time.

Written from docs/format.md without a look at the fold, and it uses nothing of it: a request is a
dict, a license is the list of all that was granted to it. What is asked of it is slow and obvious.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Request = dict[str, Any]
YEAR_9999 = 253_402_300_799_999


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

    def __init__(
        self, *, day_ms: int, last: int, at_once: int, sources: int, entitlements: int
    ) -> None:
        self.licenses: dict[str, NaiveLicense] = {}
        self._day_ms = day_ms
        self._last = last
        self._at_once = at_once
        self._sources = sources
        self._entitlements = entitlements

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
            if self.over(known, request["time"]):
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
            whose = request.get("whose", self.story(known)["whose"])
            stale = request["version"] < self.version(known) or whose != self.story(known)["whose"]
            return "stale-terms" if stale else "granted"
        return self._later_code(request, known)

    def _later_code(self, request: Request, known: NaiveLicense) -> str:
        """What rules 2 added."""
        kind, story = request["kind"], self.story(known)
        if kind == "change machine":
            return "granted" if request["machine"] in self.held(known) else "no-machine"
        if kind == "check in":
            return "granted" if story["policy"].get("check_in") else "no-check-in"
        if kind == "renew":
            return "no-duration" if story["policy"]["lasts_s"] is None else "granted"
        if kind == "transfer" and request["whose"] == story["whose"]:
            return "stale-terms" if request["version"] < self.version(known) else "granted"
        if kind == "use":
            return self._use_code(request, known, story)
        if kind == "attach":
            taken = [name for name in request["names"] if name in story["entitled"]]
            many = len(story["entitled"]) + len(request["names"]) > self._entitlements
            return "entitlement-taken" if taken else "entitlements-exceeded" if many else "granted"
        if kind == "detach":
            missing = [name for name in request["names"] if name not in story["entitled"]]
            return "no-entitlement" if missing else "granted"
        return "granted"

    def _use_code(self, request: Request, known: NaiveLicense, story: Request) -> str:
        if request["by"] is None:
            return "granted"
        if request["by"] < 0:
            return "uses-negative" if story["uses"] + request["by"] < 0 else "granted"
        if self.suspended(known):
            return "suspended"
        if self.over(known, request["time"]):
            return "expired"
        most = story["own"].get("uses")
        if most is None:
            most = story["policy"].get("uses")
        too_many = most is not None and story["uses"] + request["by"] > most
        return "uses-exceeded" if too_many else "granted"

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

    def limit(self, known: NaiveLicense) -> float | None:
        if not self.alive(known):
            return None
        story = self.story(known)
        seats = story["own"]["seats"] or story["policy"]["seats"]
        if seats is None or story["policy"]["overage"] is None:
            return None
        return float(int(seats * story["policy"]["overage"]))

    def expiry(self, known: NaiveLicense) -> int | None:
        found: int | None = self._ends(self.story(known))
        return found

    def over(self, known: NaiveLicense, now: int) -> bool:
        """Whether nothing may begin any more."""
        expiry = self.expiry(known)
        goes_on = self.story(known)["policy"].get("after") in {"MAINTAIN", "ALLOW"}
        return expiry is not None and now >= expiry and not goes_on

    def story(self, known: NaiveLicense) -> Request:
        """What this life has come to, told again from its beginning."""
        story: Request = {}
        for _, request in self.life(known):
            self._tell(story, request)
        return story

    def _tell(self, story: Request, request: Request) -> None:
        kind, now = request["kind"], request["time"]
        if kind == "issue":
            story.update(born=now, begun=None, uses=0, validated=None, checked=None)
            story.update(own={}, policy={}, entitled=set(), endless=False)
        ended = self._ends(story) if kind != "issue" else None
        never = kind != "issue" and ended is None
        never = never and (story["endless"] or story["policy"]["lasts_s"] is None)
        if request.get("own") is not None:
            story.update(own=dict(request["own"]), endless=False)
        if request.get("policy") is not None:
            if request["policy"].get("check_in") and not story["policy"].get("check_in"):
                story["checked"] = now
            story["policy"] = request["policy"]
        if kind in {"issue", "transfer"}:
            story["whose"] = request["whose"]
        if kind == "change":
            story["own"] |= request["some"]
            story["endless"] = story["endless"] and "expiry" not in request["some"]
        if kind == "renew":
            late = ended is None or (request["basis"] == "LATE" and now >= ended)
            start = now if late or request["basis"] == "NOW" else ended
            story["own"]["expiry"] = min(start + story["policy"]["lasts_s"] * 1000, YEAR_9999)
            story["endless"] = False
        if kind == "transfer":
            story["own"]["expiry"] = ended if request["keep"] else None
            story["endless"] = never and request["keep"]
            story["begun"] = story["begun"] if request["keep"] else now
        self._tell_use(story, request)

    @staticmethod
    def _tell_use(story: Request, request: Request) -> None:
        kind, now = request["kind"], request["time"]
        first = {"activate": "ACTIVATION"}.get(kind)
        if kind == "validate":
            story["validated"] = now
            first = "VALIDATION" if request["valid"] else None
        if kind == "check in":
            story["checked"] = now
        if kind == "use":
            story["uses"] = 0 if request["by"] is None else story["uses"] + request["by"]
            first = "USE" if (request["by"] or 0) > 0 else None
        if first is not None and story["policy"].get("from") == first and story["begun"] is None:
            story["begun"] = now
        if kind == "attach":
            story["entitled"] |= set(request["names"])
        if kind == "detach":
            story["entitled"] -= set(request["names"])

    @staticmethod
    def _ends(story: Request) -> Any:  # noqa: ANN401 - a time or none
        if story["own"].get("expiry") is not None:
            return story["own"]["expiry"]
        if story["policy"]["lasts_s"] is None or story["endless"]:
            return None
        start = story["begun"]
        if start is None and story["policy"].get("from", "CREATION") == "CREATION":
            start = story["born"]
        return None if start is None else min(start + story["policy"]["lasts_s"] * 1000, YEAR_9999)

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
