"""How the local Kafka and Redis are found, set up and told from dead ones."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cli.local import kafka, redis
from cli.local.java import Java, find_java
from tests.ports import free_ports


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def java(home: Path, version: str) -> Path:
    return program(home / "bin" / "java", f"echo 'openjdk version \"{version}\"' >&2")


def broker(folder: Path, java_path: Path) -> kafka.KafkaBroker:
    return kafka.KafkaBroker(
        directory=folder / "kafka", port=1, controller_ports=(2,), jars=folder, java=java_path
    )


def test_java_home_comes_before_path(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    path = java(home, "17.0.15")
    java(other, "21.0.1")
    environ = {"JAVA_HOME": str(home), "PATH": str(other / "bin")}
    assert find_java(environ) == Java(path=path, major=17, bundled=False)


@pytest.mark.parametrize("old", ["11.0.2", "1.8.0_292"])
def test_too_old_a_java_is_passed_over(tmp_path: Path, old: str) -> None:
    java(tmp_path / "home", old)
    path = java(tmp_path / "other", "21.0.1")
    environ = {"JAVA_HOME": str(tmp_path / "home"), "PATH": str(path.parent)}
    found = find_java(environ)
    assert found is not None
    assert (found.path, found.major) == (path, 21)


def test_a_java_that_only_asks_to_be_installed_is_none(tmp_path: Path) -> None:
    stub = program(tmp_path / "bin" / "java", "echo install me >&2; exit 1")
    found = find_java({"PATH": str(stub.parent)})
    assert found is None or found.bundled


def test_the_newest_jars_are_taken(tmp_path: Path) -> None:
    for version in ("4.9.1", "4.10.0", "3.11.2"):
        folder = tmp_path / f"kafka-{version}"
        folder.mkdir()
        (folder / f"kafka_2.13-{version}.jar").touch()
    (tmp_path / "kafka-5.0.0").mkdir()
    assert kafka.find_jars(tmp_path) == tmp_path / "kafka-4.10.0"


def test_missing_jars_are_named(tmp_path: Path) -> None:
    with pytest.raises(kafka.KafkaSetupError, match=r"no Kafka jars.*make"):
        kafka.find_jars(tmp_path)


def test_a_storage_that_can_t_be_formatted_says_why(tmp_path: Path) -> None:
    fails = program(tmp_path / "java", "echo first >&2; echo no space left >&2; exit 1")
    with pytest.raises(kafka.KafkaSetupError, match=r"not formatted: no space left$"):
        kafka.prepare(broker(tmp_path, fails))
    with pytest.raises(kafka.KafkaSetupError, match="not formatted"):
        kafka.prepare(broker(tmp_path, tmp_path / "no such java"))


def settings_of(one: kafka.KafkaBroker) -> dict[str, str]:
    lines = kafka.config_text(one).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")


def test_both_listen_on_loopback_only(tmp_path: Path) -> None:
    settings = settings_of(broker(tmp_path, tmp_path / "java"))
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["unclean.leader.election.enable"] == "false"
    instance = redis.RedisInstance(directory=tmp_path, port=3, program=tmp_path / "redis")
    lines = redis.config_text(instance).splitlines()
    assert {"bind 127.0.0.1", "port 3", "protected-mode yes"} <= set(lines)
    assert {"maxmemory-policy noeviction", "appendonly yes", "appendfsync everysec"} <= set(lines)


def cluster(folder: Path, java_path: Path) -> tuple[kafka.KafkaBroker, ...]:
    return tuple(
        replace(
            broker(folder, java_path),
            directory=folder / f"kafka-{node}",
            node=node,
            port=10 * node,
            controller_ports=(11, 21, 31),
        )
        for node in (1, 2, 3)
    )


def test_three_brokers_know_each_other_and_keep_two_copies_at_least(tmp_path: Path) -> None:
    told = [settings_of(one) for one in cluster(tmp_path, tmp_path / "java")]
    assert [one["node.id"] for one in told] == ["1", "2", "3"]
    assert [one["log.dirs"] for one in told] == [
        f"{tmp_path}/kafka-{node}/data" for node in (1, 2, 3)
    ]
    for number, one in enumerate(told, start=1):
        assert one["controller.quorum.voters"] == "1@127.0.0.1:11,2@127.0.0.1:21,3@127.0.0.1:31"
        assert one["listeners"].endswith(f",CONTROLLER://127.0.0.1:{number}1")
        assert one["default.replication.factor"] == "3"
        assert one["min.insync.replicas"] == "2"
        assert one["offsets.topic.replication.factor"] == "3"
        assert one["transaction.state.log.min.isr"] == "2"


def test_one_broker_alone_waits_for_no_copy(tmp_path: Path) -> None:
    told = settings_of(broker(tmp_path, tmp_path / "java"))
    assert told["node.id"] == "1"
    assert told["controller.quorum.voters"] == "1@127.0.0.1:2"
    assert told["default.replication.factor"] == told["min.insync.replicas"] == "1"
    assert told["offsets.topic.replication.factor"] == "1"


def test_three_share_a_machine_with_smaller_heaps(tmp_path: Path) -> None:
    def heap_mb(one: kafka.KafkaBroker) -> int:
        [found] = [part[4:-1] for part in kafka.run_argv(one) if part.startswith("-Xmx")]
        return int(found)

    three = [heap_mb(one) for one in cluster(tmp_path, tmp_path / "java")]
    assert sum(three) < 3 * heap_mb(broker(tmp_path, tmp_path / "java"))
    assert len(set(three)) == 1


def test_an_empty_broker_is_formatted_for_the_cluster_that_the_others_have(
    tmp_path: Path,
) -> None:
    # It writes what it was told, as Kafka's own tool does: …format -t <cluster id> -c <config>.
    formats = program(
        tmp_path / "java",
        'while [ "$1" != -t ]; do shift; done; data="$(dirname "$4")/data"; mkdir -p "$data"\n'
        'echo "cluster.id=$2" > "$data/meta.properties"',
    )
    these = cluster(tmp_path, formats)
    metas = [one.data_directory / "meta.properties" for one in these]
    kafka.prepare(*these)
    [first] = {meta.read_text() for meta in metas}
    shutil.rmtree(these[0].directory)
    kafka.prepare(*these)
    assert {meta.read_text() for meta in metas} == {first}
    metas[1].write_text("nothing that anybody could read\n")
    with pytest.raises(kafka.KafkaSetupError, match="names no cluster"):
        kafka.prepare(*these)


def test_cluster_ids_are_in_kafka_s_notation() -> None:
    for _ in range(200):
        found = kafka.new_cluster_id()
        assert len(found) == 22
        assert not found.startswith("-")


def test_a_missing_redis_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.local.redis.shutil.which", lambda *_, **__: None)
    with pytest.raises(redis.RedisSetupError, match="redis-server"):
        redis.find_program({"PATH": str(tmp_path)})


def test_nobody_there_is_not_ready() -> None:
    [port] = free_ports(1)
    assert not kafka.is_ready(port)
    assert not redis.is_ready(port)
