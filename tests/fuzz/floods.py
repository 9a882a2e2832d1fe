"""Callers that hold on to a server without asking anything of it."""

import socket

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
# Literal headers: method POST, scheme http, path /bespeak.v1.PromiseService/Check, authority x.
PATH = b"/bespeak.v1.PromiseService/Check"
HEADERS = b"\x83\x86\x04" + bytes([len(PATH)]) + PATH + b"\x01\x01x"


def _headers_frame(stream: int) -> bytes:
    # END_HEADERS without END_STREAM: a request whose body never comes.
    return len(HEADERS).to_bytes(3, "big") + b"\x01\x04" + stream.to_bytes(4, "big") + HEADERS


def slow_loris(address: tuple[str, int], connections: int) -> list[socket.socket]:
    """Connections that send half a preface and fall silent."""
    held = []
    for _ in range(connections):
        connection = socket.create_connection(address, timeout=10)
        connection.sendall(PREFACE[:10])
        held.append(connection)
    return held


def stream_flood(address: tuple[str, int], streams: int) -> socket.socket:
    """One connection that opens streams without end and finishes none."""
    connection = socket.create_connection(address, timeout=10)
    try:
        connection.sendall(PREFACE + SETTINGS)
        for number in range(streams):
            connection.sendall(_headers_frame(2 * number + 1))
    except OSError:
        # The server has had enough of it, which is one of the right answers.
        pass
    return connection
