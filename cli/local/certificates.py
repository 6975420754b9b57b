"""Certificates of the secure local run: an own CA, and one certificate for each server.

All are made anew together, before the first of them has less than `RENEW_DAYS` left, so the CA's
key is needed once and is never written. Each key lies in a file of its own (0600).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cli.local.folder import DataFolder, write_private
from cli.local.ports import LOOPBACK

VALID_DAYS: Final = 397
"""The longest that browsers and macOS take."""
RENEW_DAYS: Final = 30
SERVERS: Final = ("kafka", "redis", "api")
_BACKDATED: Final = timedelta(minutes=5)
"""A clock that was set back since must not make them not valid yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Where they lie, all in PEM."""

    directory: Path

    @property
    def ca(self) -> Path:
        """Whom clients have to trust."""
        return self.directory / "ca.pem"

    def certificate(self, server: str) -> Path:
        """Certificate of a server."""
        return self.directory / f"{server}.pem"

    def key(self, server: str) -> Path:
        """Its private key."""
        return self.directory / f"{server}-key.pem"

    @property
    def keystore(self) -> Path:
        """Kafka's key and certificate in one file, as it wants them."""
        return self.directory / "kafka-keystore.pem"


def subject(server: str) -> str:
    """The name in a server's certificate, as Kafka writes it."""
    return f"CN=ledger-{server}"


def make(folder: DataFolder, *, now: datetime | None = None) -> Certificates:
    """The folder's certificates, made where they are missing or near their end.

    Raises `OSError`.
    """
    found = Certificates(directory=folder.tls)
    at = now or datetime.now(UTC)
    if not _are_good(found, at):
        found.directory.mkdir(parents=True, exist_ok=True)
        found.directory.chmod(0o700)
        _make(found, at)
    return found


def ends_at(certificate: Path) -> datetime:
    """When a certificate ends. Raises `OSError`, `ValueError`."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc


def _are_good(found: Certificates, at: datetime) -> bool:
    """Whether all are there, of the CA that is there, and last long enough."""
    try:
        ca = x509.load_pem_x509_certificate(found.ca.read_bytes())
        for server in SERVERS:
            one = x509.load_pem_x509_certificate(found.certificate(server).read_bytes())
            one.verify_directly_issued_by(ca)
            serialization.load_pem_private_key(found.key(server).read_bytes(), None)
        keystore = found.key("kafka").read_bytes() + found.certificate("kafka").read_bytes()
        if found.keystore.read_bytes() != keystore:
            return False
        ends = [ends_at(found.ca), *(ends_at(found.certificate(server)) for server in SERVERS)]
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    return ca.not_valid_before_utc <= at and min(ends) - at >= timedelta(days=RENEW_DAYS)


def _make(found: Certificates, at: datetime) -> None:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("ledger-local-ca")
    ca = (
        _begun(ca_name, ca_name, ca_key.public_key(), at)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(_key_id(ca_key), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    for server in SERVERS:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _pem(_signed(server, key, ca_key, ca_name, at))
        text = _key_pem(key)
        write_private(found.key(server), text)
        write_private(found.certificate(server), certificate)
        if server == "kafka":
            write_private(found.keystore, text + certificate)
    # The last one: without it, or with an older one, all are made anew.
    write_private(found.ca, _pem(ca))


def _signed(
    server: str,
    key: ec.EllipticCurvePrivateKey,
    ca_key: ec.EllipticCurvePrivateKey,
    ca_name: x509.Name,
    at: datetime,
) -> x509.Certificate:
    uses = [ExtendedKeyUsageOID.SERVER_AUTH]
    if server == "kafka":
        # The broker is a client of its controller.
        uses.append(ExtendedKeyUsageOID.CLIENT_AUTH)
    names = [x509.IPAddress(ipaddress.ip_address(LOOPBACK)), x509.DNSName("localhost")]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        _begun(_name(f"ledger-{server}"), ca_name, key.public_key(), at)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(_key_id(key), critical=False)
        .add_extension(issuer, critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _begun(
    whose: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, at: datetime
) -> x509.CertificateBuilder:
    begin = at - _BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(whose)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=VALID_DAYS))
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key_id(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
