"""The vendor: issues, activates, suspends, revokes and takes it back, at a modest rate.

Each write carries an Idempotency-Key and is repeated with it until it is settled, at another worker
each time; some that are settled are repeated all the same, and have to be answered as at first. Of
one license one write is under way at a time, so its story is told by what was acknowledged.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Final
from uuid import uuid4

import orjson

from tests.faults.asking import Broken, Peer, Reply, request
from tests.faults.driver import UNAVAILABLE
from tests.faults.truth import Change, State
from tests.faults.world import Known, World
from tests.system import TOKEN
from tests.vendor import license_body, machine_body

LIMIT_S: Final = 10.0
UNDER_WAY_MAX: Final = 48
PAUSE_S: Final = (0.3, 0.9)
"""Before a write is repeated."""
SETTLED_S: Final = 90.0
"""After a fault is lifted, and whatever is left then was lost."""
MIX: Final = (
    *(("activate", 60), ("deactivate", 12), ("issue", 10)),
    *(("suspend", 7), ("reinstate", 7), ("revoke", 4)),
)
_REPEATED: Final = 0.05


class Lost(AssertionError):
    """A write was not settled, or not as it had to be."""


class Vendor:
    """Writes at `rate` a second until cancelled.

    `tries`: by outcome, of activations and others. `settled`: all that was acknowledged.
    """

    def __init__(self, world: World, peers: Sequence[Peer], *, rate: float, seed: int) -> None:
        self.tries: Counter[str] = Counter()
        self.settled: list[Write] = []
        self.granted_at: list[float] = []
        self.complaints: list[str] = []
        self._world = world
        self._peers = peers
        self._rate = rate
        self._random = random.Random(seed)
        self._under_way: set[asyncio.Task[None]] = set()
        self._busy: set[str] = set()
        self._turn = 0
        self._makers: dict[str, Callable[[], Write | None]] = {
            "issue": self._issue,
            "activate": self._activate,
            "deactivate": self._deactivate,
            "suspend": lambda: self._order("suspend", suspended=True),
            "reinstate": lambda: self._order("reinstate", suspended=False),
            "revoke": self._revoke,
        }

    async def run(self) -> None:
        """Begin a write at each of its times, unless too many are under way already."""
        names, weights = [name for name, _ in MIX], [weight for _, weight in MIX]
        while True:
            await asyncio.sleep(1 / self._rate)
            [name] = self._random.choices(names, weights)
            if len(self._under_way) < UNDER_WAY_MAX:
                self.begin(name)

    def begin(self, name: str) -> None:
        """Begin a write of this kind, where there is a license for it."""
        write = self._makers[name]()
        if write is None:
            return
        self._busy.add(write.known.id)
        task = asyncio.create_task(self._settle(write))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def finish(self) -> None:
        """Wait until all is settled. Raises `Lost`."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=SETTLED_S)
            if late:
                raise Lost(
                    f"{len(late)} writes are not settled after {SETTLED_S:.0f} s: "
                    f"{self.complaints[:5]}"
                )

    async def pass_on(self) -> None:
        """Wait until what is under way now is settled, so that it meets nothing that comes next."""
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=SETTLED_S)

    async def give_up(self) -> None:
        """Settle no more: what is under way stays unknown."""
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _settle(self, write: Write) -> None:
        known = write.known
        begun, written = time.monotonic(), float("inf")
        known.story.unsettled = (begun, write.after)
        self._turn += 1
        first = self._turn
        while True:
            reply = await self._try(write, first)
            if reply is not None and reply.status in write.done:
                write.retries = write.sent - 1
                self.settled.append(write)
                self._take(write, reply, begun, written)
                break
            if reply is not None and reply.status not in UNAVAILABLE:
                # A refusal is a complaint; what became of it stays unknown.
                return
            if reply is not None and b'"outcome":"pending"' in reply.body:
                # It is in the log, wherever that is.
                written = min(written, time.monotonic())
            await asyncio.sleep(self._random.uniform(*PAUSE_S))
        if self._random.random() < _REPEATED:
            again = await self._try(write, first)
            if again is not None and again.status in write.done and _place(again) != _place(reply):
                self.complaints.append(f"{write.what}: repeated, and answered otherwise")
        self._busy.discard(known.id)

    def _take(self, write: Write, reply: Reply, begun: float, written: float) -> None:
        known, (partition, offset) = write.known, _place(reply)
        assert partition == known.story.partition
        known.story.note(
            Change(
                offset=offset,
                state=write.after,
                at=time.monotonic(),
                begun=begun,
                written=written,
            )
        )
        known.story.unsettled = None
        if write.what == "activate":
            write.machine = orjson.loads(reply.body)["data"]["id"]
            known.machines[write.fingerprint] = write.machine
        if write.what == "issue":
            self._world.add(known)

    async def _try(self, write: Write, first: int) -> Reply | None:
        """Send a write, each time to another worker than before."""
        worker = (first + write.sent) % len(self._peers)
        write.sent += 1
        kind = "activation" if write.what == "activate" else "other"
        try:
            reply = await self._peers[worker].ask(write.content, LIMIT_S)
        except (Broken, TimeoutError) as error:
            write.met.append(f"worker {worker}: {error!r}")
            self.tries[f"{kind} unknown"] += 1
            return None
        if reply.status in write.done:
            self.tries[f"{kind} granted"] += 1
            self.granted_at.append(time.monotonic())
        elif reply.status in UNAVAILABLE:
            write.met.append(f"worker {worker}: {reply.status} {reply.body[:300]!r}")
            self.tries[f"{kind} 503"] += 1
        else:
            self.tries[f"{kind} refused"] += 1
            self.complaints.append(f"{write.what}: {reply.status} {reply.body[:300]!r}")
        return reply

    def _pick(self, suits: Callable[[State], bool]) -> Known | None:
        """One of the vendor's licenses that nothing is asked of, and whose state suits."""
        for _ in range(20):
            known = self._random.choice(self._world.written)
            if known.id not in self._busy and suits(known.story.last):
                return known
        return None

    def _issue(self) -> Write:
        known = self._world.unissued(f"faults-{uuid4().hex}")
        body = license_body(self._world.policy, key=known.key)
        return Write("issue", known, State(), "POST", "/v1/licenses", body)

    def _activate(self) -> Write | None:
        known = self._pick(lambda state: state.live and not state.suspended)
        if known is None:
            return None
        fingerprint, last = uuid4().hex, known.story.last
        after = replace(last, machines=last.machines | {fingerprint})
        body = machine_body(known.id, fingerprint)
        return Write("activate", known, after, "POST", "/v1/machines", body, fingerprint)

    def _deactivate(self) -> Write | None:
        known = self._pick(lambda state: state.live and bool(state.machines))
        if known is None:
            return None
        last = known.story.last
        gone = self._random.choice(sorted(last.machines))
        after = replace(last, machines=last.machines - {gone})
        path = f"/v1/machines/{known.machines[gone]}"
        return Write("deactivate", known, after, "DELETE", path, None, gone)

    def _order(self, name: str, *, suspended: bool) -> Write | None:
        known = self._pick(lambda state: state.live and state.suspended != suspended)
        if known is None:
            return None
        after = replace(known.story.last, suspended=suspended)
        return Write(name, known, after, "POST", f"/v1/licenses/{known.id}/actions/{name}", None)

    def _revoke(self) -> Write | None:
        known = self._pick(lambda state: state.live)
        if known is None:
            return None
        return Write("revoke", known, State(live=False), "DELETE", f"/v1/licenses/{known.id}", None)


class Write:
    """A write that is asked for, again and again, and the state that its license has after it.

    `sent`: how often it was, `retries` of them until it was settled, since it `met` this.
    `machine`: id of what was activated.
    """

    __slots__ = (
        *("after", "content", "done", "fingerprint", "known"),
        *("machine", "met", "retries", "sent", "what"),
    )

    def __init__(
        self,
        what: str,
        known: Known,
        after: State,
        method: str,
        path: str,
        body: object,
        fingerprint: str = "",
    ) -> None:
        self.what = what
        self.known = known
        self.after = after
        self.fingerprint = fingerprint
        self.machine = ""
        self.met: list[str] = []
        self.sent = self.retries = 0
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": uuid4().hex}
        self.content = request(method, path, body, headers)
        self.done = {HTTPStatus.CREATED, HTTPStatus.OK, HTTPStatus.NO_CONTENT}


def _place(reply: Reply | None) -> tuple[int, int]:
    """Partition and offset at which a write was decided."""
    assert reply is not None
    place = reply.headers[b"ledger-position"].decode().rpartition(":")[2]
    partition, _, offset = place.partition(".")
    return int(partition), int(offset)
