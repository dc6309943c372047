"""OpenAI-compatible servers as people run them, to be added as engines by their address."""
import contextlib
import functools
import os
import socket
import subprocess
import time

from mesh_testing import prepared


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A program that listens at `url`; `ready` is a path that it answers when it has loaded its model."""

    def __init__(self, ready: str, *command: str):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ready = ready
        self.command = [*command, "--host", "127.0.0.1", "--port", str(self.port)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            if subprocess.run(["curl", "--silent", "--fail", self.url + self.ready], capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        raise AssertionError(f"it does not start: {' '.join(self.command)}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running(server: Server):
    try:
        yield server
    finally:
        server.kill()


def llama_server(model: str, alias: str, *further: str):
    """The server of llama.cpp."""
    return running(Server("/health", os.environ["PLEXUS_LLAMA_SERVER"], "--model", model, "--alias", alias, "--parallel", "2",
                          "--ctx-size", "4096", "--threads", "2", "--jinja", *further))


@functools.cache
def llama_cpp_python_program() -> str:
    return prepared("llama-cpp-python")


def llama_cpp_python(model: str, alias: str, *further: str):
    """The server of the Python package of that name. It breaks an answer off for any other request unless it is told not to."""
    return running(Server("/v1/models", llama_cpp_python_program(), "--model", model, "--model_alias", alias, "--n_ctx", "2048",
                          "--n_threads", "1", "--interrupt_requests", "false", *further))
