"""An independent model of the catalog's laws: plain dicts, everything looked for anew each time.

Written from docs/format.md without a look at the fold, and it uses nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Order = dict[str, Any]
Thing = dict[str, Any]
_UNIQUE = {"slug": None, "domain": None, "digest": None, "record": None, "code": "account"}
"""What only one may have: in the ledger, or among its kind in its account."""
_TAKEN = {"record": "already-discarded"}
_LIKE_AN_ID = "like-an-id"


@dataclass
class NaiveCatalog:
    """All that is there, by id; the bounds of memory are given, so a short run comes by them."""

    day_ms: int
    last: int
    at_once: int
    things: dict[str, Thing] = field(default_factory=dict)
    memory: dict[tuple[str, str], list[tuple[int, str, str, str]]] = field(default_factory=dict)

    def take(self, order: Order, elapsed_ms: int) -> str:
        """Decide an order, as the laws read: the code of its verdict."""
        kept = self.memory.setdefault((order["account"], order["actor"]), [])
        for _, command, content, code in kept:
            if command == order["command"]:
                return code if content == order["content"] else "idempotency-mismatch"
        code = self._code(order)
        kept.append((elapsed_ms, order["command"], order["content"], code))
        for _ in range(self.at_once):
            if len(kept) > self.last and elapsed_ms - kept[0][0] > self.day_ms:
                kept.pop(0)
            else:
                break
        if code == "granted":
            self._do(order)
        return code

    def _code(self, order: Order) -> str:
        what, kind, id_ = order["what"], order["kind"], order["id"]
        if kind == "rules":
            present = self.things.get(id_, {"version": 1})["version"]
            return "granted" if order["set"]["version"] > present else "stale"
        if what == "create":
            return self._creation(order)
        there = self.things.get(id_)
        if there is None or there["kind"] != kind or there["account"] != order["account"]:
            return "not-found"
        if what in {"attach", "detach"}:
            return self._entitling(order, there.get("rights", {}))
        if what == "delete":
            used = [one for one in self.things.values() if one.get("product") == id_]
            return "in-use" if kind == "product" and used else "granted"
        return self._sense(order) or self._rival(order) or "granted"

    def _entitling(self, order: Order, present: dict[str, str]) -> str:
        """All that are attached are the account's, with their codes, and new to the policy."""
        rights = order["rights"]
        if order["what"] == "detach":
            return "granted" if all(id_ in present for id_ in rights) else "no-entitlement"
        for id_ in rights:
            thing = self.things.get(id_, {})
            if thing.get("kind") != "entitlement" or thing["account"] != order["account"]:
                return "not-found"
        if any(self.things[id_]["code"] != code for id_, code in rights.items()):
            return "invalid"
        return "entitlement-taken" if any(id_ in present for id_ in rights) else "granted"

    def _creation(self, order: Order) -> str:
        kind, account = order["kind"], order["account"]
        if kind not in {"account", "discard"} and account not in self.things:
            return "not-found"
        product = order["set"].get("product", order.get("bearer_product"))
        if product is not None:
            found = self.things.get(product, {})
            if found.get("kind") != "product" or found["account"] != account:
                return "not-found"
        if order["id"] in self.things:
            return "id-taken"
        return self._sense(order) or self._rival(order) or "granted"

    @staticmethod
    def _sense(order: Order) -> str | None:
        """Terms that no policy may have, a slug like an id, an admin of another account."""
        wrong = order["set"].get("seats") == 0 or order["set"].get("slug") == _LIKE_AN_ID
        return "invalid" if wrong or order.get("nonsense") else None

    def _rival(self, order: Order) -> str | None:
        for name, within in _UNIQUE.items():
            wanted = order["set"].get(name)
            rivals = [
                thing
                for id_, thing in self.things.items()
                if id_ != order["id"]
                and wanted is not None
                and thing.get(name) == wanted
                and thing["kind"] == order["kind"]
                and (within is None or thing[within] == order["account"])
            ]
            if rivals:
                return _TAKEN.get(name, f"{name}-taken")
        return None

    def _do(self, order: Order) -> None:
        id_ = order["id"]
        if order["what"] == "delete":
            del self.things[id_]
            return
        if order["what"] in {"attach", "detach"}:
            policy, rights = self.things[id_], order["rights"]
            policy["version"] += 1
            kept = policy.get("rights", {}).items()
            left = {name: code for name, code in kept if name not in rights}
            policy["rights"] = left | (rights if order["what"] == "attach" else {})
            return
        thing = self.things.setdefault(id_, {"kind": order["kind"], "account": order["account"]})
        if order["what"] == "change" and "seats" in order["set"]:
            thing["version"] = thing.get("version", 0) + 1
        thing |= order["set"]
