"""The server that is killed: a process of its own that can be started quickly many times."""

import json
from multiprocessing.connection import Connection
from pathlib import Path

SETTINGS = {
    "listen": "127.0.0.1:0",
    "metrics_listen": None,
    # As small as segments can be, so that kills also meet the moment of a new one and of a snapshot.
    "journal": {"mode": "group", "segment_bytes": 9 << 20, "snapshot_every_bytes": 9 << 20},
}


def serve(directory: Path, ready: Connection) -> None:
    """Serves `directory` until it is killed; tells its address once it answers."""
    from bespeak._core import Server

    settings = {**SETTINGS, "journal": {**SETTINGS["journal"], "path": str(directory)}}
    server = Server(json.dumps(settings))
    server.wait_ready(60_000)
    ready.send(server.address)
    server.wait()
