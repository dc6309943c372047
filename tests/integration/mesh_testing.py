"""Real devices for tests: plexusd and plexus with a home of their own, if wanted in network namespaces of their own."""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.parse

from namespaces import network, run

PROGRAMS = pathlib.Path(os.environ["PLEXUS_PROGRAMS"])
DEFAULT_MODEL = os.environ["PLEXUS_DEFAULT_MODEL"]
SOURCE = pathlib.Path(__file__).resolve().parents[2]


class Device:
    """A daemon and its command line. `namespace` is the name of a network namespace to run in."""

    def __init__(self, folder: pathlib.Path, name: str, namespace: str = "", settings: dict | None = None):
        self.home = folder / name
        self.home.mkdir(mode=0o700)
        self.name = name
        self.namespace = namespace
        self.prefix = ["ip", "netns", "exec", namespace] if namespace else []
        self.environment = dict(os.environ, PLEXUS_HOME=str(self.home), PLEXUS_MESH_NAME=name, PLEXUS_API_PORT="0",
                                PLEXUS_MESH_PORT="0",
                                # Nothing leaves this computer: outside a namespace of the test nobody is looked for.
                                PLEXUS_MESH_DISCOVERY="true" if namespace else "false", PLEXUS_ENGINE_CONTEXT="2048", PLEXUS_ENGINE_SLOTS="2",
                                # Threads of an engine wait for each other by spinning: one is sure on a busy machine.
                                PLEXUS_ENGINE_THREADS="1", NO_COLOR="1") | (settings or {})
        self.process: subprocess.Popen | None = None
        self.log = self.home / "daemon.log"

    def start(self, expect_failure: bool = False) -> str:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*self.prefix, str(PROGRAMS / "plexusd")], env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                if expect_failure:
                    return self.log.read_text()
                raise AssertionError(f"{self.name} ended while it started:\n{self.log.read_text()}")
            if self.plexus("status", check=False).returncode == 0:
                return ""
            time.sleep(0.02)
        raise AssertionError(f"{self.name} is not ready:\n{self.log.read_text()}")

    def stop(self) -> int | None:
        """Ends the daemon in order; gives its exit status."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.terminate()
        try:
            return process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.name} did not end:\n{self.log.read_text()}") from None

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def command(self, *arguments: str) -> list[str]:
        return [*self.prefix, str(PROGRAMS / "plexus"), *arguments]

    def plexus(self, *arguments: str, check: bool = True, text: str | None = None,
               timeout: float = 120) -> subprocess.CompletedProcess:
        """Runs the command line; standard input is `text`."""
        done = subprocess.run(self.command(*arguments), env=self.environment, input=text or "", capture_output=True,
                              text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"plexus {' '.join(arguments)} gave {done.returncode}:\n{done.stdout}{done.stderr}\n"
                                 f"{self.log.read_text() if self.log.exists() else ''}")
        return done

    def json(self, *arguments: str):
        return json.loads(self.plexus(*arguments, "--json").stdout)["data"]

    @property
    def port(self) -> int:
        return self.json("status")["api_port"]

    @property
    def token(self) -> str:
        return (self.home / "state" / "api-token").read_text().strip()

    def curl(self, path: str, body: dict | str | None = None, headers: dict | None = None, token: str | None = None,
             timeout: float = 120) -> tuple[int, str]:
        """Status and body of a request made by curl in the device's namespace."""
        command = [*self.prefix, "curl", "--silent", "--no-buffer", "--max-time", str(timeout), "--write-out",
                   "\n%{http_code}", f"http://127.0.0.1:{self.port}{path}",
                   "--header", f"Authorization: Bearer {self.token if token is None else token}"]
        for name, value in (headers or {}).items():
            command += ["--header", f"{name}: {value}"]
        if body is not None:
            command += ["--header", "Content-Type: application/json", "--data-binary", "@-"]
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        done = subprocess.run(command, input=text or "", capture_output=True, text=True)
        content, _, status = done.stdout.rpartition("\n")
        return int(status or 0), content

    def chat(self, question: str, stream: bool = False, **fields) -> str:
        """The text of an answer by the HTTP API, temperature 0."""
        body = {"model": fields.pop("model", "tiny"), "temperature": 0, "max_tokens": 48, "stream": stream,
                "messages": [{"role": "user", "content": question}], **fields}
        status, content = self.curl("/v1/chat/completions", body)
        assert status == 200, f"{status}: {content}\n{self.log.read_text()}"
        if not stream:
            return json.loads(content)["choices"][0]["message"]["content"]
        return "".join(text_of(chunk) for chunk in chunks_of(content))

    def connect(self) -> http.client.HTTPConnection:
        assert not self.namespace
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def engines(self) -> list[int]:
        """Process ids of the engines of this daemon."""
        assert self.process is not None
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(child) for child in children if "plexus-engine" in pathlib.Path(f"/proc/{child}/comm").read_text()]


def chunks_of(stream: str) -> list[dict]:
    """The JSON objects of an OpenAI event stream, which must end with [DONE]."""
    events = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    assert events and events[-1] == "[DONE]", stream[-500:]
    return [json.loads(event) for event in events[:-1]]


def wait_for_text(stream) -> None:
    """Reads lines of an event stream until the first piece of an answer."""
    before = []
    while line := stream.readline():
        text = line if isinstance(line, str) else line.decode()
        if '"content":"' in text:
            return
        before.append(text)
    raise AssertionError("the stream ended without an answer: " + "".join(before))


def text_of(chunk: dict) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices", []))


@contextlib.contextmanager
def devices(*names: str, settings: dict | None = None, namespaces: dict | None = None):
    """Devices with homes in a fresh folder, not started yet; stopped and removed at the end."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="plexus-test-"))
    made = [Device(folder, name, (namespaces or {}).get(name, ""), settings) for name in names]
    try:
        yield made
    finally:
        for device in made:
            if device.process is not None and device.process.poll() is None:
                device.process.terminate()
        for device in made:
            with contextlib.suppress(AssertionError):
                device.stop()
        shutil.rmtree(folder, ignore_errors=True)


class SoloDevice(unittest.TestCase):
    """Tests of one running device that holds the default model as "tiny"."""
    name = "solo"
    settings: dict | None = None

    @classmethod
    def setUpClass(cls):
        cls.scope = devices(cls.name, settings=cls.settings)
        (cls.device,) = cls.scope.__enter__()
        cls.addClassCleanup(cls.scope.__exit__, None, None, None)
        cls.device.start()
        cls.device.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")


def prepared(tool: str, *arguments: str) -> str:
    """What a tool of this repository prints: where the things are that it has made ready."""
    done = subprocess.run([str(SOURCE / "tools" / tool), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextlib.contextmanager
def capture(namespace: str, interface: str):
    """Records all traffic of an interface; gives an object whose `bytes` are the file after the block."""
    file = pathlib.Path(tempfile.mkstemp(prefix="plexus-capture-", suffix=".pcap")[1])
    process = subprocess.Popen(["ip", "netns", "exec", namespace, "tcpdump", "-i", interface, "--immediate-mode", "-U",
                                "-s", "0", "-w", str(file), "tcp"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "listening on" not in process.stderr.readline():
        assert process.poll() is None, "tcpdump does not run"

    class Recording:
        bytes = b""

    recording = Recording()
    try:
        yield recording
    finally:
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        process.wait()
        recording.bytes = file.read_bytes()
        file.unlink()


def address_in(link: str) -> str:
    """The link as text, for a look at what it names."""
    return urllib.parse.unquote(link)
