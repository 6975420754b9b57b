"""The secure local run's certificates: of its own CA, short-lived, private, renewed in time."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from cli.local import certificates, security
from cli.local import folder as folders
from cli.local.certificates import RENEW_DAYS, SERVERS, VALID_DAYS
from cli.local.folder import DataFolder, FolderError, data_folder

NOW = datetime.now(UTC)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    found = data_folder(tmp_path / "data")
    folders.make(found)
    return found


def contents(folder: DataFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.tls.iterdir()}


def test_each_server_has_a_certificate_of_the_ca(folder: DataFolder) -> None:
    found = certificates.make(folder)
    ca = x509.load_pem_x509_certificate(found.ca.read_bytes())
    for server in SERVERS:
        one = x509.load_pem_x509_certificate(found.certificate(server).read_bytes())
        one.verify_directly_issued_by(ca)
        key = one.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(key.curve, ec.SECP256R1)
        names = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["localhost"]
        assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1")]
        lasts = one.not_valid_after_utc - one.not_valid_before_utc
        assert lasts <= timedelta(days=VALID_DAYS)


def test_nobody_else_reads_them_and_the_ca_s_key_is_not_kept(folder: DataFolder) -> None:
    found = security.make(folder)
    for path in (*folder.tls.iterdir(), *folder.passwords.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for directory in (folder.tls, folder.passwords):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    keys = {name for name, content in contents(folder).items() if b"PRIVATE KEY" in content}
    assert keys == {"kafka-key.pem", "kafka-keystore.pem", "redis-key.pem", "api-key.pem"}
    assert len({found.password(user) for user in security.USERS}) == len(security.USERS)


def test_they_are_kept_until_30_days_before_their_end(folder: DataFolder) -> None:
    certificates.make(folder, now=NOW)
    before = contents(folder)
    late = timedelta(days=VALID_DAYS - RENEW_DAYS)
    certificates.make(folder, now=NOW + late - timedelta(hours=1))
    assert contents(folder) == before
    certificates.make(folder, now=NOW + late)
    after = contents(folder)
    assert not set(before.values()) & set(after.values())


@pytest.mark.parametrize("harmed", ["ca.pem", "api.pem", "redis-key.pem", "kafka-keystore.pem"])
def test_what_is_broken_or_missing_is_made_anew(folder: DataFolder, harmed: str) -> None:
    certificates.make(folder)
    before = contents(folder)
    (folder.tls / harmed).write_text("nothing")
    certificates.make(folder)
    assert not set(before.values()) & set(contents(folder).values())
    (folder.tls / harmed).unlink()
    certificates.make(folder)
    assert contents(folder).keys() == before.keys()


def test_passwords_stay(folder: DataFolder) -> None:
    before = [security.make(folder).password(user) for user in security.USERS]
    assert [security.make(folder).password(user) for user in security.USERS] == before


def test_a_folder_that_can_t_be_written_is_told(folder: DataFolder) -> None:
    folder.tls.write_text("in the way")
    with pytest.raises(FolderError, match="certificates"):
        security.make(folder)
