"""The data folder: made once, private, and never with another pepper under the same log."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from cli.local import folder as folders
from cli.local.folder import DataFolder, FolderError, data_folder
from ledger.settings import read_settings


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = data_folder(tmp_path / "data")
    folders.make(made)
    return made


def secrets_of(folder: DataFolder) -> list[str]:
    return [path.read_text() for path in (folder.pepper, folder.seal_keys, folder.token)]


def test_a_first_start_makes_secrets_that_only_the_owner_reads(folder: DataFolder) -> None:
    for path in (folder.pepper, folder.seal_keys, folder.token):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700


def test_the_secrets_are_what_the_settings_take(folder: DataFolder) -> None:
    settings = read_settings(
        {
            "LEDGER_LOCAL": "1",
            "LEDGER_KAFKA": "127.0.0.1:1",
            "LEDGER_REPLICAS": "redis://127.0.0.1:1/0",
            "LEDGER_PEPPER_FILE": str(folder.pepper),
            "LEDGER_SEAL_KEYS_FILE": str(folder.seal_keys),
        }
    )
    assert [kid for kid, _ in settings.seal_keys] == ["k1"]


def test_a_second_start_changes_nothing(folder: DataFolder) -> None:
    before = secrets_of(folder)
    folders.make(folder)
    assert secrets_of(folder) == before


def test_two_folders_share_no_secret(folder: DataFolder, tmp_path: Path) -> None:
    other = data_folder(tmp_path / "other")
    folders.make(other)
    assert not set(secrets_of(folder)) & set(secrets_of(other))


def test_a_lost_pepper_is_never_made_anew_under_a_log(folder: DataFolder) -> None:
    log = folder.kafka(1)[0] / "data"
    log.mkdir(parents=True)
    (log / "meta.properties").touch()
    folder.pepper.unlink()
    with pytest.raises(FolderError, match=r"pepper is missing"):
        folders.make(folder)
    assert not folder.pepper.exists()


def formatted(path: Path) -> None:
    (path / "data").mkdir(parents=True)
    (path / "data" / "meta.properties").touch()


def test_a_new_folder_has_as_many_brokers_as_are_asked_for(folder: DataFolder) -> None:
    assert folders.brokers_of(folder) is None
    assert folders.choose_brokers(folder, None) == 1
    assert folders.choose_brokers(folder, 3) == 3


@pytest.mark.parametrize(("made", "other"), [(1, 3), (3, 1)])
def test_a_folder_keeps_the_number_of_brokers_that_its_log_was_made_with(
    folder: DataFolder, made: int, other: int
) -> None:
    for path in folder.kafka(made):
        formatted(path)
    assert folders.choose_brokers(folder, None) == made
    assert folders.choose_brokers(folder, made) == made
    with pytest.raises(FolderError, match=rf"made with --brokers {made}.*another data folder"):
        folders.choose_brokers(folder, other)


def test_one_broker_of_three_may_have_lost_its_folder(folder: DataFolder) -> None:
    for path in folder.kafka(3)[1:]:
        formatted(path)
    assert folders.choose_brokers(folder, None) == 3
    folder.pepper.unlink()
    with pytest.raises(FolderError, match=r"pepper is missing"):
        folders.make(folder)


def test_a_folder_that_is_a_file_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(FolderError, match="--data"):
        folders.make(data_folder(tmp_path / "data"))


@pytest.mark.parametrize("name", ["a ;b", "a #b", "a\nb", 'a"b'])
def test_a_path_that_config_files_cannot_quote_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FolderError, match="path"):
        data_folder(tmp_path / name)


def test_what_is_written_is_there_whole_or_not_at_all(folder: DataFolder) -> None:
    with pytest.raises(UnicodeEncodeError):
        folders.write_private(folder.token, "\ud800")
    assert folder.token.read_text().startswith("demo-")
    assert [path.name for path in folder.root.iterdir() if path.name.startswith(".")] == []


def test_the_environment_comes_back_as_it_was_written(folder: DataFolder) -> None:
    assert folders.read_environment(folder) is None
    environment = {"LEDGER_KAFKA": "127.0.0.1:7110", "LEDGER_API_URL": "http://x/?a=b"}
    folders.write_environment(folder, environment)
    assert folders.read_environment(folder) == environment
    assert stat.S_IMODE(folder.environment.stat().st_mode) == 0o600


def test_the_socket_lies_near_unless_its_path_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = data_folder(Path("/tmp/d"))  # noqa: S108 - nothing is written there
    assert folders.socket_path(near).parent == near.run
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path)[:60])
    far = folders.socket_path(data_folder(tmp_path / ("d" * 100)))
    assert len(os.fsencode(far)) < 100
    assert stat.S_IMODE(far.parent.stat().st_mode) == 0o700


def test_a_socket_folder_that_others_may_enter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setattr("tempfile.tempdir", short)
        own = Path(short) / f"ledger-{os.getuid()}"
        own.mkdir()
        own.chmod(0o777)
        with pytest.raises(FolderError, match="mode 700"):
            folders.socket_path(data_folder(tmp_path / ("d" * 100)))
