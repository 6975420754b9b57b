"""`ledger rules` on a real ledger that began with the first rules, with real projectors."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from cli.main import app
from cli.patience import patiently
from ledger.domain.events import RULES_VERSION
from ledger.event_log.catalog_codec import encode_catalog
from ledger.event_log.genesis import Genesis, initialize
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Topic
from ledger.event_log.seeding import seed_events
from ledger.event_log.topics import create_topics
from projector.slot import holder_key, rules_key
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
    assert active(ledger) == 1

    done = invoke(ledger, "activate", "2", "--yes")
    assert done.exit_code == 0, done.output
    assert "every replica has folded it" in done.stdout
    shown = json.loads(invoke(ledger, "--json").stdout)
    assert [one["active"] for one in shown["replicas"]] == [2, 2]


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
