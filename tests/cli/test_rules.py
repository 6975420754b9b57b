"""`ledger rules` on a real ledger that began with the first rules, with real projectors."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from cli.main import app
from cli.patience import patiently
from ledger.domain.events import RULES_VERSION, Issued
from ledger.domain.identifiers import partition_of
from ledger.event_log.catalog_codec import encode_catalog
from ledger.event_log.codec import encode
from ledger.event_log.genesis import Genesis, initialize
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Topic
from ledger.event_log.seeding import seed_events
from ledger.event_log.topics import create_topics
from projector.rehearsal.outcome import KEY
from projector.slot import holder_key, rules_key
from tests.activity import Activity, Appendable, append
from tests.servers import RedisServer, wait_until
from tests.system import System

pytestmark = pytest.mark.slow
runner = CliRunner()
OLD = "projector-B-1"


class Older(System):
    """A ledger from before the newest rules: nobody has activated them."""

    async def _initialize(self) -> Genesis:
        settings = self.settings
        await create_topics(settings.kafka, partitions=settings.partitions)
        log = KafkaLog(settings.kafka)
        try:
            check = settings.pepper.check_value
            first = await patiently(
                lambda: initialize(log, pepper_check=check, partitions=settings.partitions)
            )
            now_ms = time.time_ns() // 1_000_000
            for event in seed_events(settings, first.ledger, new=False, time_ms=now_ms):
                key, value = event.account.encode(), encode_catalog(event)
                await log.append(Topic.CATALOG_EVENTS, 0, key=key, value=value)
            return first
        finally:
            await log.close()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = Older(tmp_path_factory.mktemp("rules"), workers=0)
    try:
        system.start()
        wait_for_projectors(system)
        yield system
    finally:
        system.stop()


def invoke(ledger: System, *arguments: str, stdin: str | None = None) -> Result:
    return runner.invoke(app, ["rules", *arguments], input=stdin, env=ledger.env)


def wait_for_projectors(ledger: System) -> None:
    """Wait until the projector of each replica has its slot, and the catalog is folded."""

    def there() -> bool:
        replicas = json.loads(invoke(ledger, "--json").stdout)["replicas"]
        return all(one["active"] and one["projectors"] for one in replicas)

    wait_until(there, what="a projector on each replica", timeout_s=30)


def announce(replica: RedisServer, rules: int | None) -> None:
    """Stand for a running projector that knows these rules: its lock, and its announcement."""
    with Redis(port=replica.port, socket_timeout=2) as client:
        client.set(holder_key(OLD), "somebody")
        if rules is None:
            client.delete(rules_key(OLD))
        else:
            client.set(rules_key(OLD), str(rules))


def leave(replica: RedisServer) -> None:
    with Redis(port=replica.port, socket_timeout=2) as client:
        client.delete(holder_key(OLD), rules_key(OLD))


def active(ledger: System) -> int:
    found: int = json.loads(invoke(ledger, "--json").stdout)["active"]
    return found


def test_the_way_to_the_next_rules(ledger: System) -> None:
    shown = json.loads(invoke(ledger, "--json").stdout)
    assert (shown["active"], shown["known"]) == (1, RULES_VERSION)
    assert shown["replicas"] == [
        {"replica": one, "active": 1, "projectors": {f"projector-{one}-0": RULES_VERSION}}
        for one in "AB"
    ]
    said = invoke(ledger).stdout
    assert "rules 1" in said
    assert f"runs, knows rules up to {RULES_VERSION}" in said

    _a_projector_that_is_older_forbids_it(ledger)
    _a_replica_without_projector_or_answer_forbids_it(ledger)

    unsure = invoke(ledger, "activate", "2")
    assert unsure.exit_code == 2
    assert "--yes" in unsure.stderr
    # Nothing has happened to any license yet.
    assert "rehearsed" not in unsure.stderr
    assert active(ledger) == 1

    _what_was_not_rehearsed_forbids_it(ledger)
    _what_the_rehearsal_finds_is_to_be_accepted(ledger)

    done = invoke(ledger, "activate", "2", "--accept-changes", "--yes", "--json")
    assert done.exit_code == 0, done.output
    rehearsal = json.loads(done.stdout)["rehearsal"]
    assert (rehearsal["rules"], rehearsal["changed_licenses"], rehearsal["grown"]) == (2, 1, 0)
    shown = json.loads(invoke(ledger, "--json").stdout)
    assert [one["active"] for one in shown["replicas"]] == [2, 2]


def _what_was_not_rehearsed_forbids_it(ledger: System) -> None:
    activity = Activity(5, partitions=ledger.settings.partitions, licenses=20)
    put(ledger, list(activity.appendables(300)))
    refused = invoke(ledger, "activate", "2", "--yes")
    assert refused.exit_code == 1
    assert "rules 2 aren't rehearsed: run `ledger rehearse --rules 2`" in refused.stderr
    assert rehearse(ledger, "--rules", str(RULES_VERSION + 1)).exit_code == 2

    rehearsed = rehearse(ledger, "--rules", "2")
    assert rehearsed.exit_code == 0, rehearsed.output + rehearsed.stderr
    assert rehearsed.stdout == "Changes 0 of 300 verdicts, 0 of 23 licenses.\n"
    unsure = invoke(ledger, "activate", "2")
    assert unsure.exit_code == 2
    assert "changes 0 of 300 verdicts, 0 of 23 licenses)" in unsure.stderr
    put(ledger, list(activity.appendables(7)))
    grown = invoke(ledger, "activate", "2").stderr
    assert "0 of 23 licenses; the log has grown by 7 records since)" in " ".join(grown.split())

    # Of another release it is none, and of other rules neither.
    for changed in ({"release": "0.0.1"}, {"rules": 1}, {"ledger": "another"}):
        kept = alter(ledger, changed)
        refused = invoke(ledger, "activate", "2", "--yes")
        assert refused.exit_code == 1
        assert "aren't rehearsed (the last rehearsal was of rules" in refused.stderr
        alter(ledger, {name: kept[name] for name in changed})
    # Of a log that went another way since it is none either: it ends there with other records.
    kept = alter(ledger, {})
    for name in ("chains", "before_last"):
        alter(ledger, {name: [("ab" * 16 if text else text) for text in kept[name]]})
        refused = invoke(ledger, "activate", "2", "--yes")
        assert refused.exit_code == 1
        assert "on a log that was replaced or restored since" in refused.stderr
        alter(ledger, {name: kept[name]})
    assert active(ledger) == 1


def _what_the_rehearsal_finds_is_to_be_accepted(ledger: System) -> None:
    """Rules 1 can't read a record of theirs with a term of rules 2, and its license is frozen."""
    issued = next(
        event
        for event in Activity(6, partitions=ledger.settings.partitions, licenses=1).events(1)
        if isinstance(event.data, Issued)
    )
    later = json.loads(encode(issued))
    later["data"]["terms"]["max_uses"] = 3
    partition = partition_of(issued.license, ledger.settings.partitions)
    value = json.dumps(later).encode()
    put(ledger, [Appendable(partition=partition, key=issued.license.encode(), value=value)])

    found = rehearse(ledger, "--rules", "2", "--json")
    assert found.exit_code == 1
    document = json.loads(found.stdout)
    assert (document["changed_verdicts"], document["changed_licenses"]) == (1, 1)
    verdict = next(one for one in document["changes"] if one["kind"] == "verdict")
    assert (verdict["license"], verdict["id"]) == (issued.license, issued.id)
    assert (verdict["before"], verdict["after"]["code"]) == (None, "granted")
    shown = rehearse(ledger, "--rules", "2").stdout
    assert "Changes 1 of 308 verdicts, 1 of 24 licenses." in shown
    assert f"verdict of command {issued.id} at {verdict['time']}: none → granted" in shown

    refused = invoke(ledger, "activate", "2", "--yes")
    assert refused.exit_code == 1
    assert "changes 1 of 308 verdicts" in refused.stderr
    assert "--accept-changes" in refused.stderr
    assert active(ledger) == 1

    # While a person was asked, another rehearsal came to something else, or was of other rules.
    for changed, said in (
        ({"changed_verdicts": 5}, "rehearsed again meanwhile"),
        ({"rules": 1}, "aren't rehearsed"),
    ):
        with pytest.MonkeyPatch.context() as asked:
            asked.setattr("cli.trouble.confirmed", lambda *_, **__: alter(ledger, changed))  # noqa: B023 - it is called in this turn
            refused = invoke(ledger, "activate", "2", "--accept-changes")
        alter(ledger, {"changed_verdicts": 1, "rules": 2})
        assert refused.exit_code == 1, refused.output
        assert said in refused.stderr
        assert active(ledger) == 1


def put(ledger: System, items: list[Appendable]) -> None:
    asyncio.run(append(ledger.kafka.bootstrap, "license-events", items))


def rehearse(ledger: System, *arguments: str) -> Result:
    return runner.invoke(app, ["rehearse", *arguments], env=ledger.env)


def alter(ledger: System, changed: dict[str, Any]) -> dict[str, Any]:
    """Change what the replicas have kept of the rehearsal; what it was."""
    for replica in ledger.replicas:
        with Redis(port=replica.port, socket_timeout=2) as client:
            kept: dict[str, Any] = json.loads(client.get(KEY) or b"")
            client.set(KEY, json.dumps({**kept, **changed}))
    return kept


def _a_projector_that_is_older_forbids_it(ledger: System) -> None:
    replica = ledger.replicas[1]
    for rules, said in ((1, f"{OLD} knows rules up to 1"), (None, f"{OLD} has announced none")):
        announce(replica, rules)
        refused = invoke(ledger, "activate", "2", "--yes")
        assert refused.exit_code == 1
        assert said in refused.stderr
        assert "projector-A-0" not in refused.stderr
    leave(replica)
    assert active(ledger) == 1


def _a_replica_without_projector_or_answer_forbids_it(ledger: System) -> None:
    ledger.projectors[1].stop()
    refused = invoke(ledger, "activate", "2", "--yes")
    assert refused.exit_code == 1
    assert "no projector runs on replica B" in refused.stderr
    ledger.replicas[1].stop()
    refused = invoke(ledger, "activate", "2", "--yes")
    assert refused.exit_code == 1
    assert "replica B doesn't answer" in refused.stderr
    assert active(ledger) == 1
    ledger.replicas[1].start()
    ledger.projectors[1].start()
    wait_for_projectors(ledger)


def test_a_history_with_rules_unknown_here_can_not_be_rehearsed(ledger: System) -> None:
    [event] = Activity(8, partitions=ledger.settings.partitions, licenses=1).events(1)
    later = json.dumps({**json.loads(encode(event)), "rules": RULES_VERSION + 1}).encode()
    partition = partition_of(event.license, ledger.settings.partitions)
    put(ledger, [Appendable(partition=partition, key=event.license.encode(), value=later)])
    refused = rehearse(ledger, "--rules", str(RULES_VERSION))
    assert refused.exit_code == 2
    assert "upgrade this process" in refused.stderr
    # No replica has folded it either, so what they hold can be compared.
    assert rehearse(ledger).exit_code == 0


@pytest.mark.parametrize(
    ("version", "said"), [("1", "no way back"), (str(RULES_VERSION + 1), "upgrade it first")]
)
def test_what_can_be_no_next_version_is_2(ledger: System, version: str, said: str) -> None:
    refused = invoke(ledger, "activate", version, "--yes")
    assert refused.exit_code == 2
    assert said in refused.stderr


def test_options_before_the_command_are_not_lost_in_silence(ledger: System) -> None:
    refused = invoke(ledger, "--json", "activate", "2")
    assert refused.exit_code == 2
    assert "after the command" in refused.stderr
