"""What supervisor is told, read back by supervisor itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from cli.local import folder as folders
from cli.local import programs
from cli.local.folder import data_folder
from cli.local.kafka import KafkaBroker
from cli.local.plan import DEFAULTS, WORKERS, Ports, defaults
from cli.local.programs import Programs
from cli.local.redis import RedisInstance


@pytest.fixture
def these(tmp_path: Path) -> Programs:
    return with_brokers(1, tmp_path)


def with_brokers(count: int, tmp_path: Path) -> Programs:
    folder = data_folder(tmp_path / "a folder, 100% ours; (the first)")
    folders.make(folder)
    ports = Ports(by_name=defaults(count))
    return Programs(
        folder=folder,
        ports=ports,
        brokers=tuple(
            KafkaBroker(
                directory=directory,
                port=port,
                controller_ports=ports.controllers(count),
                jars=tmp_path / "jars of kafka",
                java=tmp_path / "bin" / "java",
                node=node,
            )
            for node, (directory, port) in enumerate(
                zip(folder.kafka(count), ports.brokers(count), strict=True), start=1
            )
        ),
        replicas=(replica(folder.redis("A"), "redis-a"), replica(folder.redis("B"), "redis-b")),
        socket=folder.run / "supervisor.sock",
        python="/usr/bin/python 3",
    )


def replica(directory: Path, name: str) -> RedisInstance:
    return RedisInstance(directory=directory, port=DEFAULTS[name], program=Path("/bin/redis"))


@pytest.fixture
def options(these: Programs) -> ServerOptions:
    return read_by_supervisor(these)


def read_by_supervisor(these: Programs) -> ServerOptions:
    these.folder.supervisor_config.write_text(programs.config_text(these))
    found = ServerOptions()
    found.realize(args=["-c", str(these.folder.supervisor_config)])
    return found


def test_supervisor_reads_groups_in_the_order_of_stopping(options: ServerOptions) -> None:
    groups = sorted(options.process_group_configs)
    assert [group.name for group in groups] == ["brokers", "replicas", "projectors", "api"]
    names = [sorted(process.name for process in group.process_configs) for group in groups]
    copies = ["projector-a", "projector-b", "projector-local"]
    workers = [f"worker-{DEFAULTS['workers'] + number}" for number in range(WORKERS)]
    assert names == [["kafka"], ["redis-a", "redis-b"], copies, workers]


def test_three_brokers_are_one_group_the_last_to_be_stopped(tmp_path: Path) -> None:
    these = with_brokers(3, tmp_path)
    groups = sorted(read_by_supervisor(these).process_group_configs)
    brokers = groups[0]
    names = [process.name for process in brokers.process_configs]
    assert sorted(names) == ["kafka-1", "kafka-2", "kafka-3"]
    for broker, process in zip(
        these.brokers,
        sorted(brokers.process_configs, key=lambda process: str(process.name)),
        strict=True,
    ):
        assert str(broker.config_path) in process.command
        assert process.stdout_logfile == str(these.folder.log(broker.name))
        assert process.stopwaitsecs <= 9
    ledger = programs.ledger_environment(these, {})
    assert ledger["LEDGER_KAFKA"] == "127.0.0.1:7110,127.0.0.1:7112,127.0.0.1:7114"


def test_commands_and_paths_survive_spaces_and_percent_signs(
    options: ServerOptions, these: Programs
) -> None:
    found = {
        process.name: process
        for group in options.process_group_configs
        for process in group.process_configs
    }
    assert str(these.replicas[0].config_path) in found["redis-a"].command
    assert "'/usr/bin/python 3' -m projector" in found["projector-a"].command
    assert found["kafka"].stdout_logfile == str(these.folder.log("kafka"))
    assert options.serverurl == f"unix://{these.socket}"


def test_each_worker_and_projector_knows_which_one_it_is(options: ServerOptions) -> None:
    found = {
        process.name: process.environment
        for group in options.process_group_configs
        for process in group.process_configs
    }
    first = DEFAULTS["workers"]
    for port in range(first, first + WORKERS):
        assert found[f"worker-{port}"] == {
            "LEDGER_API_SHARED_FD": "0",
            "LEDGER_API_OWN_PORT": str(port),
        }
    assert found["projector-b"]["LEDGER_REPLICA"] == "B"
    assert found["projector-b"]["LEDGER_METRICS_PORT"] == str(DEFAULTS["projector-b"])


def test_every_log_has_a_limit_and_the_whole_stop_fits_its_time(options: ServerOptions) -> None:
    for group in options.process_group_configs:
        for process in group.process_configs:
            assert 0 < process.stdout_logfile_maxbytes <= 4 * 1024 * 1024
            assert process.stdout_logfile_backups <= 2
            assert process.autorestart
            assert process.redirect_stderr
            assert process.stopwaitsecs <= 6


def test_processes_get_the_files_of_the_secrets_and_no_secret(these: Programs) -> None:
    environ = {
        "PATH": "/bin",
        "LEDGER_PEPPER": "of another ledger",
        "LEDGER_SEAL_KEYS": "of another ledger",
        "LEDGER_KAFKA": "elsewhere:9092",
        "LEDGER_POLICY_STRICT": "1",
        "LEDGER_ACCOUNT": "acme",
    }
    ledger = programs.ledger_environment(these, environ)
    assert ledger["LEDGER_KAFKA"] == f"127.0.0.1:{DEFAULTS['kafka']}"
    assert ledger["LEDGER_POLICY_STRICT"] == "1"
    assert ledger["LEDGER_ACCOUNT"] == "acme"
    token = folders.read_token(these.folder)
    process = programs.process_environment(ledger, token, environ)
    assert "LEDGER_PEPPER" not in process
    assert process["PATH"] == "/bin"
    secret = these.folder.pepper.read_text().strip()
    assert not [value for value in process.values() if token in value or secret in value]


def test_workers_look_for_orders_and_obey_the_keys_that_were_named(these: Programs) -> None:
    plain = programs.ledger_environment(these, {})
    assert plain["LEDGER_EMERGENCY_ORDERS"] == str(these.folder.emergency_orders)
    assert these.folder.emergency_orders.is_dir()
    urls = plain["LEDGER_EMERGENCY_WORKERS"].split(",")
    assert urls == [f"http://127.0.0.1:{DEFAULTS['workers'] + number}" for number in range(WORKERS)]
    assert "LEDGER_EMERGENCY_KEYS" not in plain
    keyed = programs.ledger_environment(these, {"LEDGER_EMERGENCY_KEYS": "ops=ab"})
    assert keyed["LEDGER_EMERGENCY_KEYS"] == "ops=ab"
