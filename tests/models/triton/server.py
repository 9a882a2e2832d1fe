"""A real Triton server for tests: builds its environment once, starts it, ends it by pid.

python tests/models/triton/server.py      builds the environment only
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
REPO = HERE.parents[2]
REQUIREMENTS = HERE / "requirements.txt"
#: The stub of Triton's Python backend links the library of the system's Python 3.11.
SYSTEM_PYTHON = "/usr/bin/python3.11"
STUB = "3.11"
START_SECONDS = 120


def environment():
    """The environment's directory, built when it is absent or its requirements changed."""
    name = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    venvs = REPO / ".venvs"
    venvs.mkdir(exist_ok=True)
    made = venvs / f"triton-{name}"
    with (venvs / "triton.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs build it once
        if not (made / "ready").exists():
            shutil.rmtree(made, ignore_errors=True)
            subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--without-pip", made], check=True)
            install = [Path(sys.executable).parent / "uv", "pip", "install", "--quiet", "--python", made / "bin/python"]
            subprocess.run([*install, "--requirement", REQUIREMENTS], check=True)
            _lay_out(made)
            (made / "ready").touch()
    return made


def _lay_out(made):
    """Puts the backend's stub where a bare server looks for it."""
    server = made / f"lib/python{STUB}/site-packages/pytriton/tritonserver"
    backends = made / "backends"
    shutil.copytree(server / "backends", backends)
    stub = "triton_python_backend_stub"
    shutil.copy2(server / "python_backend_stubs" / STUB / stub, backends / "python" / stub)


def free_ports(count):
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


@contextlib.contextmanager
def triton_server(models, log):
    """Serves a directory of models; yields HOST:PORT of its gRPC endpoint."""
    import tritonclient.grpc as triton
    from tritonclient.utils import InferenceServerException

    made = environment()
    packages = made / f"lib/python{STUB}/site-packages"
    grpc, http, metrics = free_ports(3)
    command = [packages / "pytriton/tritonserver/bin/tritonserver", f"--model-repository={models}"]
    command += [f"--backend-directory={made / 'backends'}", "--exit-on-error=false", "--exit-timeout-secs=1"]
    for name, port in (("grpc", grpc), ("http", http), ("metrics", metrics)):
        command += [f"--{name}-address=127.0.0.1", f"--{name}-port={port}"]
    environ = {
        "PATH": f"{made / 'bin'}:/usr/bin:/bin",
        "PYTHONPATH": f"{REPO}:{packages}",
        "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with log.open("w") as file:
        process = subprocess.Popen(
            list(map(str, command)), env=environ, stdout=file, stderr=file, start_new_session=True
        )
    try:
        client = triton.InferenceServerClient(f"127.0.0.1:{grpc}")
        until = time.monotonic() + START_SECONDS
        while True:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"Triton did not start:\n{log.read_text()}")
            with contextlib.suppress(InferenceServerException):
                if client.is_server_live(client_timeout=1) and client.is_model_ready("climatology", client_timeout=1):
                    break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        client.close()
        yield f"127.0.0.1:{grpc}"
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


if __name__ == "__main__":
    print(environment(), file=sys.stdout)
