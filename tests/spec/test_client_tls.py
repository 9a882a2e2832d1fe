"""A client with certificates: what the server's peers see, and who is let in."""

import datetime as dt
import ipaddress
import json
from pathlib import Path

import pyarrow as pa
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bespeak import Client, Item, Location, Tls, Unavailable
from bespeak._core import Server


class Authority:
    """Signs certificates for one test run."""

    def __init__(self, place: Path, name: str) -> None:
        self._place = place
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._write(name, self._built(self._name, self._key, is_authority=True), self._key)[0]

    def issue(self, name: str) -> tuple[Path, Path]:
        """Returns the files of a new certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._write(name, self._built(subject, key, is_authority=False), key)

    def _built(self, subject, key, *, is_authority: bool) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, certificate: x509.Certificate, key) -> tuple[Path, Path]:
        files = self._place / f"{name}.pem", self._place / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "authority")


@pytest.fixture
def address(authority):
    """A server that lets in only whom the authority signed."""
    certificate, key = authority.issue("server")
    tls = {"certificate": str(certificate), "key": str(key), "client_authority": str(authority.certificate)}
    server = Server(json.dumps({"listen": "127.0.0.1:0", "tls": tls}))
    server.wait_ready(30_000)
    yield server.address
    server.drain()
    server.wait()


def test_a_caller_with_a_certificate_is_let_in_for_calls_and_tables(authority, address):
    certificate, key = authority.issue("caller")
    with Client(address, tls=Tls(authority.certificate, certificate, key)) as client:
        client.put_item(Item("tea"))
        client.put_location(Location("ams1"))
        client.set_on_hand("tea", "ams1", 5)
        assert client.check("tea", "ams1").available == 5
        table = pa.table({"item": ["tea"], "location": ["ams1"]})
        assert client.check_table(table)["available"].to_pylist() == [5]


def test_others_are_not_let_in(authority, address, tmp_path):
    stranger = Authority(tmp_path, "stranger")
    foreign = stranger.issue("foreign")
    known = authority.issue("caller")
    for tls in (
        Tls(authority.certificate),
        Tls(authority.certificate, *foreign),
        Tls(stranger.certificate, *known),
        False,
    ):
        with Client(address, tls=tls, timeout_ms=5_000, table_timeout_ms=5_000) as client:
            with pytest.raises(Unavailable):
                client.stats()
            with pytest.raises(Unavailable):
                client.positions_table()


def test_a_file_that_is_not_there_is_said_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        Client("127.0.0.1:1", tls=Tls(tmp_path / "gone.pem"))
