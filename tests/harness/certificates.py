"""Certificates for tests: an authority that signs servers and clients, and what it signed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

CURVE = ec.SECP256R1()


class Authority:
    """Signs certificates.

    Attributes:
        certificate: the file that those need who trust it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Make the authority's own key and certificate."""
        self._folder = folder
        self._name = _named(name)
        self._key = ec.generate_private_key(CURVE)
        self.certificate, _ = self._write(name, self._name, self._key, is_authority=True)

    def sign(self, name: str, *hosts: str) -> tuple[Path, Path]:
        """Make a key and sign it.

        Args:
            name: whose it is: a client's role, or anything for a server.
            hosts: the names under which a server may be reached.

        Returns:
            The files of the certificate and of its key.
        """
        key = ec.generate_private_key(CURVE)
        return self._write(name, _named(name), key, hosts=hosts)

    def _write(
        self,
        name: str,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        hosts: tuple[str, ...] = (),
        is_authority: bool = False,
    ) -> tuple[Path, Path]:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(self._name, subject, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if hosts:
            names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        certificate, private = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        private.chmod(0o600)
        return certificate, private


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
