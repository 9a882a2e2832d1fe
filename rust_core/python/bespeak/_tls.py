"""Certificates of a client."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates of a connection, PEM files.

    Attributes:
        ca: who signed the server's certificate; None takes the system's authorities.
        certificate: the client's own certificate, where the server asks for one.
        key: its private key.
        server_name: name in the server's certificate, where it is not the host of the address.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""
