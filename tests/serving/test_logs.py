"""What the processes log."""

import json
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack

from tests.serving.cli_process import environment


def test_a_line_is_written_at_once_by_whichever_thread(tmp_path):
    """Python's and the core's threads share standard error, here a socket that keeps what is written apart."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(60)
    command = [sys.executable, "-m", "serving", "server", "--listen", "127.0.0.1:0", "--data", tmp_path / "journal"]
    with ExitStack() as ending:
        ending.enter_context(ours)
        running = ending.enter_context(subprocess.Popen(command, env=environment(), stderr=theirs))
        ending.callback(running.kill)
        theirs.close()
        events = []
        while written := ours.recv(1 << 16):
            assert written.endswith(b"\n")
            (line,) = written.splitlines()
            said = json.loads(line)
            if "event" in said:
                assert said["process"] == "server"
                events.append(said["event"])
                if said["event"] == "serving":
                    running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
    assert events == ["listening", "serving", "draining", "stopped"]
