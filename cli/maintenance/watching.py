"""A REINDEX watched, and ended before the disk is full.

The server is looked at a few times a second, with no lock on any table; the disk in a thread of its
own (`guarding.py`). What is ended is cancelled; what doesn't go then is terminated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import psycopg

from cli.maintenance import connecting, places, progress, target
from cli.maintenance.guarding import Guard
from cli.maintenance.moments import Limits, Moment, Outcome
from cli.maintenance.size import span
from cli.maintenance.tables import setting
from cli.maintenance.target import Index, Seen, Target, Waiting
from cli.trouble import Failed, Missing

LOOK_S: Final = 0.2
WAITING_EVERY: Final = 4
FIND_S: Final = 0.1
GONE_S: Final = 0.05
CANCELLED_S: Final = 2.0
TERMINATED_S: Final = 10.0
FLOOR_SHARE: Final = 0.05
FLOOR_SEGMENTS: Final = 4
ANSWER_MS: Final = 2_000


class Watch:
    """A watch over one operation. Raises `Missing` where it could not do what it is for.

    `unseen`: why no disk is watched; empty where they are.
    """

    def __init__(
        self,
        database: str | None,
        *,
        limits: Limits,
        data_directory: Path | None = None,
        tell: Callable[[Moment], None] = lambda _: None,
    ) -> None:
        self._limits = limits
        self._tell = tell
        self.unseen = ""
        with ExitStack() as opened:
            # One to look, one to cancel: a slow look doesn't hold up the other.
            self._connection, self._second = (
                opened.enter_context(
                    connecting.connect(database, timeout_ms=ANSWER_MS, lock_timeout_ms=ANSWER_MS)
                )
                for _ in range(2)
            )
            self._floors = self._find_disks(data_directory)
            self._connections = opened.pop_all()
        self._indexes: list[Index] = []
        self._table = 0
        self._last_index = 0
        self._share: float | None = None
        self._built_from: float | None = None
        self._concurrently = False
        self._waiting = Waiting()

    def close(self) -> None:
        """Leave it alone."""
        self._connections.close()

    def find(self, pid: int | None, wait_s: float) -> Target:
        """The operation that runs, or begins within `wait_s`. Raises `Missing`, `DatabaseAway`."""
        try:
            return self._find(pid, wait_s)
        except psycopg.OperationalError as error:
            raise connecting.away(error) from None

    def _find(self, pid: int | None, wait_s: float) -> Target:
        until = time.monotonic() + wait_s
        while (found := target.find(self._connection, pid)) is None:
            if time.monotonic() >= until:
                who = f"pid {pid} runs nothing" if pid else "no REINDEX or CREATE INDEX runs"
                raise Missing(
                    f"{who} in {connecting.where(self._connection)}: start it, or wait for one "
                    "with --wait 10m"
                )
            time.sleep(FIND_S)
        if self._limits.abort and not target.may_end(self._connection, found):
            raise Missing(
                f"this role may not end what {found.user} runs: grant it {found.user} or "
                "pg_signal_backend, or only look with --no-abort"
            )
        return found

    def run(self, found: Target) -> Outcome:
        """Watch it to its end. Raises `DatabaseAway` where the server goes away, and `Failed`."""
        try:
            with Guard(self._second, self._floors, found, abort=self._limits.abort) as guard:
                return self._run(found, guard)
        except psycopg.OperationalError as error:
            raise connecting.away(error) from None

    def _run(self, found: Target, guard: Guard) -> Outcome:
        before, looks, why = time.monotonic() - self._age_s(found), 0, ""
        while True:
            # An answer that is late may come the next time.
            with suppress(psycopg.errors.QueryCanceled):
                seen = target.look(self._connection, found)
                if seen is None:
                    return self._outcome(guard, before, guard.why, by_force=False)
                self._take(seen, first=looks == 0, before=before)
                if looks % WAITING_EVERY == 0:
                    self._waiting = target.waiting(self._connection, found)
                    why = self._too_long()
                self._tell(self._moment(found, seen, guard, before))
            if guard.trouble:
                raise Failed(f"{guard.trouble}: nobody watches the disk for pid {found.pid} now")
            why = guard.why or why
            if why and self._limits.abort:
                return self._end(found, guard, before, why)
            looks += 1
            time.sleep(LOOK_S)

    def _age_s(self, found: Target) -> float:
        row = self._connection.execute(
            "SELECT extract(epoch FROM clock_timestamp() - %s::timestamptz)::float8",
            (found.query_start,),
        ).fetchone()
        return 0.0 if row is None else max(0.0, float(row[0]))

    def _find_disks(self, data_directory: Path | None) -> dict[str, int]:
        """File systems that the server may write to, and the floor of each."""
        connection, limits = self._connection, self._limits
        try:
            directory = places.DataDirectory(connection, data_directory)
            rows = connection.execute(
                "SELECT oid FROM pg_tablespace WHERE spcname <> 'pg_global' ORDER BY oid"
            ).fetchall()
            all_of_them = [row[0] for row in rows]
            found = places.find(connection, directory, all_of_them, all_of_them[0])
        except (places.Unseen, OSError) as error:
            if limits.abort and limits.blocked_s is None:
                raise Missing(
                    f"the disk can't be watched: {error}. Or only look, with --no-abort"
                ) from None
            self.unseen = str(error)
            return {}
        segment = int(setting(connection, "wal_segment_size"))
        return {
            one.path: max(round(FLOOR_SHARE * (one.total_bytes or 0)), FLOOR_SEGMENTS * segment)
            if limits.floor_bytes is None
            else limits.floor_bytes
            for one in found
        }

    def _too_long(self) -> str:
        most, longest = self._limits.blocked_s, self._waiting.longest_s
        if most is None or not self._waiting.sessions or longest < most:
            return ""
        return f"{self._waiting.sessions} sessions wait behind it, one for {span(longest)}"

    def _take(self, seen: Seen, *, first: bool, before: float) -> None:
        """Keep what a look has shown: which table and index, how much is built, since when."""
        self._concurrently = self._concurrently or seen.command.endswith("CONCURRENTLY")
        if seen.table and seen.table != self._table:
            self._indexes = target.indexes(self._connection, seen.table)
            self._table, self._share, self._built_from = seen.table, None, None
        if not seen.table:
            return
        self._last_index = seen.index
        if seen.build.building and self._built_from is None:
            self._built_from = before if first else time.monotonic()

    def _moment(self, found: Target, seen: Seen, guard: Guard, before: float) -> Moment:
        now = time.monotonic()
        if seen.table and (seen.build.building or self._share is None):
            weights, at = self._weights(found, seen)
            self._share = max(self._share or 0.0, progress.share(weights, at, seen.build.share))
        elif self._concurrently and seen.build.built:
            self._share = 1.0
        left = None
        if self._share is not None and self._built_from is not None:
            left = progress.left_s(
                self._share, now - self._built_from, concurrently=self._concurrently
            )
        phase = seen.build.words
        if not seen.active:
            phase = "the statement has ended, its transaction hasn't: it still has its locks"
        return Moment(
            pid=found.pid,
            statement=found.statement,
            index=self._name(seen.index),
            phase=phase,
            share=self._share,
            elapsed_s=now - before,
            left_s=left if seen.active else None,
            disks=guard.disks,
            waiting=self._waiting,
        )

    def _name(self, oid: int) -> str:
        named = next((one.name for one in self._indexes if one.oid == oid), None)
        if named is not None or not oid:
            return named or ""
        row = self._connection.execute(
            "SELECT relname FROM pg_class WHERE oid = %s", (oid,)
        ).fetchone()
        return "" if row is None else str(row[0])

    def _weights(self, found: Target, seen: Seen) -> tuple[list[float], int]:
        """How much work each index is, and which one is at hand."""
        valid = [one for one in self._indexes if one.valid]
        if not seen.command.startswith("REINDEX") or found.one_index:
            return [1.0], 0
        if not self._concurrently:
            built = self._indexes
            at = next((n for n, one in enumerate(built) if one.oid == seen.index), 0)
            return [one.weight for one in built], at
        # The new ones are made first, all of them, in the same order.
        new = [
            one.oid
            for one in target.indexes(self._connection, seen.table)
            if not one.valid or one.oid == seen.index
        ]
        new = sorted(new)[-len(valid) :]
        return [one.weight for one in valid], new.index(seen.index) if seen.index in new else 0

    def _end(self, found: Target, guard: Guard, before: float, why: str) -> Outcome:
        """End it: cancelled at first, then by force."""
        target.end(self._connection, found, by_force=False)
        if self._gone(found, CANCELLED_S):
            return self._outcome(guard, before, why, by_force=False)
        target.end(self._connection, found, by_force=True)
        if self._gone(found, TERMINATED_S):
            return self._outcome(guard, before, why, by_force=True)
        raise Failed(
            f"pid {found.pid} goes on though it was told to end ({why}): end it on its host"
        )

    def _gone(self, found: Target, within_s: float) -> bool:
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            with suppress(psycopg.errors.QueryCanceled):
                seen = target.look(self._connection, found)
                if seen is None:
                    return True
                if not seen.active:
                    return False
            time.sleep(GONE_S)
        return False

    def _outcome(self, guard: Guard, before: float, why: str, *, by_force: bool) -> Outcome:
        done, left = self._done()
        return Outcome(
            # It may have come to its end just then.
            done=done,
            aborted=why if self._limits.abort and not done else "",
            by_force=by_force,
            elapsed_s=round(time.monotonic() - before, 1),
            least_free_bytes=guard.least_bytes,
            left_behind=left,
        )

    def _done(self) -> tuple[bool | None, list[str]]:
        """Whether the indexes are other ones than before, and which are left invalid."""
        if not self._table:
            return None, []
        now = {one.oid: one for one in target.indexes(self._connection, self._table)}
        before = {one.oid: one for one in self._indexes}
        ids = [self._last_index] if self._last_index else [oid for oid in now if oid not in before]
        done = any(
            oid in now
            and now[oid].valid
            and (oid not in before or not before[oid].valid or before[oid].file != now[oid].file)
            for oid in ids
        )
        built = {self._last_index, *now.keys() - before.keys()}
        left = [one.name for oid, one in now.items() if not one.valid and oid in built]
        return done, left
