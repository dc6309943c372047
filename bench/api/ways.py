"""The ways from a client to an engine that bench/api measures: the daemon and other proxies, how they are started and asked."""
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_SECONDS = 120
CLIENT_CORE, PROXY_CORE = 0, 1
OPEN_FILES = 8192  # a connection is one
CHAT = "/v1/chat/completions"


class Way:
    """Where to ask, and which process does the work with its children."""

    def __init__(self, port: int, path: str = CHAT, fields: tuple = (), process: int | None = None):
        self.port, self.path, self.fields, self.process = port, path, fields, process

    def processes(self) -> list[int]:
        return tree(self.process) if self.process else []

    def processor_seconds(self) -> float:
        return sum(scheduled_seconds(process) for process in self.processes())

    def resident_mebibytes(self) -> float:
        return sum(resident_bytes(process) for process in self.processes()) / (1 << 20)


def tree(process: int) -> list[int]:
    found = [process]
    for thread in pathlib.Path(f"/proc/{process}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += tree(int(child))
    return found


def scheduled_seconds(process: int) -> float:
    """Time on a processor of all threads, in nanosecond steps."""
    threads = pathlib.Path(f"/proc/{process}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def resident_bytes(process: int) -> int:
    lines = pathlib.Path(f"/proc/{process}/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def output(*command) -> str:
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def on_core(core: int, *command) -> list[str]:
    return ["taskset", "--cpu-list", str(core), *map(str, command)]


def beside(*command) -> list[str]:
    """For the client and the engine, which share a core that is not the proxy's."""
    return on_core(CLIENT_CORE, "prlimit", f"--nofile={OPEN_FILES}", *command)


def question(**fields) -> str:
    return json.dumps({"model": "mock", "max_tokens": 8, "messages": [{"role": "user", "content": "Say a word."}]} | fields)


@contextlib.contextmanager
def mock_engine(programs: pathlib.Path):
    """Gives its port."""
    process = subprocess.Popen(beside(programs / "plexus-mock-engine"), stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def load_command(programs: pathlib.Path, way: Way, body: str, *options) -> list[str]:
    fields = [part for field in way.fields for part in ("--field", field)]
    expected = "[DONE]" if json.loads(body).get("stream") else '"choices"'
    return beside(programs / "plexus-load", "--port", way.port, "--path", way.path, "--body", body, *fields,
                  "--expect", expected, *options)


def load(programs: pathlib.Path, way: Way, body: str, *options) -> dict:
    """What plexus-load says, with the share of a processor that the proxy took."""
    began, before = time.monotonic(), way.processor_seconds()
    told = output(*load_command(programs, way, body, *options))
    used = way.processor_seconds() - before
    return json.loads(told) | {"processor_share": used / (time.monotonic() - began)}


def is_answered(way: Way) -> bool:
    body = json.dumps({"model": "mock", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    fields = dict(field.split(": ", 1) for field in way.fields) | {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{way.port}{way.path}", body, fields)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return b'"choices"' in answer.read()
    except (OSError, urllib.error.HTTPError):
        return False


@contextlib.contextmanager
def running(way: Way, command: list, folder: pathlib.Path, environment: dict | None = None):
    """Starts a proxy and waits until it answers; ends it."""
    log = folder / f"{pathlib.Path(command[-1]).name}-{way.port}.log"
    with log.open("wb") as written:
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=written, stderr=written,
                                   cwd=folder, env=dict(os.environ, **(environment or {})))
    way.process = process.pid
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_answered(way):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(map(str, command))} does not answer:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield way
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def plexus(engine: int, prefix: list, _: pathlib.Path):
    import mesh_testing  # needs PLEXUS_PROGRAMS
    with mesh_testing.devices("proxy", settings={"PLEXUS_LOG_LEVEL": "warning"}) as (device,):
        device.prefix = prefix
        device.start()
        device.plexus("engine", "add", f"http://127.0.0.1:{engine}")
        yield Way(device.port, fields=(f"Authorization: Bearer {device.token}",), process=device.process.pid)


def nginx(engine: int, prefix: list, folder: pathlib.Path):
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(f"""\
daemon off;
worker_processes 1;
error_log stderr;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    upstream engine {{
        server 127.0.0.1:{engine};
        keepalive 1024;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://engine;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
""")
    program = output(ROOT / "tools/build-peers", "nginx")
    return running(Way(port), [*prefix, program, "-e", "stderr", "-p", folder, "-c", file], folder)


def caddy(engine: int, prefix: list, folder: pathlib.Path):
    port = free_port()
    file = folder / "Caddyfile"
    file.write_text(f"""\
{{
    admin off
    auto_https off
    persist_config off
    log {{
        level ERROR
    }}
}}
http://127.0.0.1:{port} {{
    reverse_proxy 127.0.0.1:{engine} {{
        flush_interval -1
        transport http {{
            keepalive_idle_conns_per_host 1024
        }}
    }}
}}
""")
    program = output(ROOT / "tools/build-peers", "caddy")
    return running(Way(port), [*prefix, program, "run", "--adapter", "caddyfile", "--config", file], folder)


def litellm(engine: int, prefix: list, folder: pathlib.Path):
    port = free_port()
    file = folder / "litellm.yaml"
    file.write_text(f"""\
model_list:
  - model_name: mock
    litellm_params:
      model: openai/mock
      api_base: http://127.0.0.1:{engine}/v1
      api_key: none
litellm_settings:
  telemetry: false
""")
    python = pathlib.Path(output(ROOT / "tools/setup-python", "bench/api"))
    command = [*prefix, python, python.parent / "litellm", "--host", "127.0.0.1", "--port", port, "--num_workers", 1,
               "--telemetry", "False", "--config", file]
    # Its prices come with it; without these words it would ask for newer ones, log every request, and want a key.
    return running(Way(port), command, folder, {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION",
                                                "LITELLM_LOG": "ERROR",
                                                "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"})


STARTS = {"plexus": plexus, "nginx": nginx, "caddy": caddy, "litellm": litellm}
