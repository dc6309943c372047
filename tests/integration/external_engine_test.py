"""llama-server as an engine of the owner: known by its address, in the catalog, asked, killed."""
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from mesh_testing import DEFAULT_MODEL, SOURCE, chunks_of, devices, text_of, wait_for_text
from tool_model import write_tool_model

LLAMA_SERVER = os.environ["PLEXUS_LLAMA_SERVER"]
TOKEN = "a-token-of-the-test"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class LlamaServer:
    """The server of llama.cpp, as people run it."""

    def __init__(self, model: str, alias: str, *further: str):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [LLAMA_SERVER, "--model", model, "--alias", alias, "--parallel", "2", "--ctx-size", "4096", "--threads",
                        "2", "--jinja", "--host", "127.0.0.1", "--port", str(self.port), *further]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if subprocess.run(["curl", "--silent", "--fail", f"{self.url}/health"], capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        raise AssertionError("llama-server does not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def llama_server(*arguments: str):
    server = LlamaServer(*arguments)
    try:
        yield server
    finally:
        server.kill()


class ExternalEngines(unittest.TestCase):
    @contextlib.contextmanager
    def device_with(self, server: LlamaServer, *arguments: str):
        with devices("one") as (device,):
            device.start()
            device.plexus("engine", "add", server.url + "/v1", *arguments)
            yield device

    def test_its_models_are_listed_asked_and_streamed(self):
        with llama_server(DEFAULT_MODEL, "theirs") as server, self.device_with(server) as device:
            self.assertEqual([model["id"] for model in json.loads(device.curl("/v1/models")[1])["data"]], ["theirs"])
            listed = device.json("engine", "ls")["engines"]
            self.assertEqual([(each["url"], each["state"]) for each in listed], [(server.url, "ready")])
            self.assertEqual(listed[0]["grade"], "external, not sandboxed by us")
            self.assertGreater(listed[0]["models"][0]["context"], 0)
            model = json.loads(device.curl("/v1/models")[1])["data"][0]
            self.assertEqual(model["id"], "theirs")

            whole = device.chat("Name three colours", model="theirs")
            self.assertTrue(whole)
            self.assertEqual(device.chat("Name three colours", model="theirs", stream=True), whole)
            self.assertEqual(device.engines(), [])
            self.assertEqual(device.chat("Name three colours", model=model["plexus"]["digest"]), whole)

            status, text = device.curl("/v1/chat/completions", {
                "model": "theirs", "messages": [{"role": "user", "content": "word " * 6000}]})
            self.assertEqual(status, 400, text)
            self.assertIn("context", text)

            device.stop()
            device.start()
            self.assertEqual(device.json("engine", "test", server.url)["state"], "ready")
            self.assertTrue(device.chat("Name three colours", model="theirs"))
            mode = (device.home / "state/external-engines").stat().st_mode & 0o777
            self.assertEqual(mode, 0o600)
            device.plexus("engine", "rm", server.url)
            self.assertEqual(json.loads(device.curl("/v1/models")[1])["data"], [])

    def test_it_is_told_of_tools(self):
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder) / "tools.gguf"
            source = subprocess.run([str(SOURCE / "tools/fetch"), "--print", "llama.cpp"], capture_output=True, text=True,
                                    check=True).stdout.strip()
            template = pathlib.Path(source) / "models/templates/Qwen-Qwen2.5-7B-Instruct.jinja"
            write_tool_model(DEFAULT_MODEL, model, template.read_text())
            with llama_server(str(model), "theirs") as server, self.device_with(server) as device:
                body = {"model": "theirs", "max_tokens": 2, "messages": [{"role": "user", "content": "Is it warm in Oslo?"}]}
                tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}

                def prompt_tokens(**further) -> int:
                    status, text = device.curl("/v1/chat/completions", body | further)
                    self.assertEqual(status, 200, text)
                    return json.loads(text)["usage"]["prompt_tokens"]

                self.assertGreater(prompt_tokens(tools=[tool]), prompt_tokens() + 50)

    def test_it_may_want_a_token_and_only_the_socket_adds_it(self):
        with llama_server(DEFAULT_MODEL, "theirs", "--api-key", TOKEN) as server, devices("one") as (device,):
            device.start()
            file = device.home / "engine-token"
            file.write_text(TOKEN + "\n")
            done = device.plexus("engine", "add", f"http://127.0.0.1:{free_port()}", check=False)
            self.assertNotEqual(done.returncode, 0)
            status, _ = device.curl("/api/v1/external-engines", {"url": server.url})
            self.assertEqual(status, 403)
            device.plexus("engine", "add", server.url, "--token-file", str(file))
            self.assertTrue(device.chat("Name three colours", model="theirs"))
            self.assertNotIn(TOKEN, (device.home / "state/external-engines").read_text())
            self.assertNotIn(TOKEN, device.log.read_text())

            file.write_text("another\n")
            device.plexus("engine", "test", server.url, check=False)
            self.assertNotIn(TOKEN, json.dumps(device.json("engine", "ls")))

    def test_what_it_does_not_take_any_more_goes_to_an_engine_of_ours(self):
        with llama_server(DEFAULT_MODEL, "tiny") as server, self.device_with(server) as device:
            device.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")
            before = device.chat("Name three colours")
            self.assertEqual(device.engines(), [])

            server.kill()

            self.assertEqual(device.chat("Name three colours"), before)
            self.assertEqual(len(device.engines()), 1)
            server.start()
            device.plexus("engine", "test", server.url)
            self.assertEqual(device.chat("Name three colours"), before)

    def test_one_of_ours_goes_on_in_the_middle_of_an_answer(self):
        question = {"model": "tiny", "stream": True, "max_tokens": 300, "temperature": 0, "ignore_eos": True,
                    "messages": [{"role": "user", "content": "Tell a long story"}]}
        with llama_server(DEFAULT_MODEL, "tiny") as server, self.device_with(server) as device:
            device.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")
            whole = "".join(map(text_of, chunks_of(device.curl("/v1/chat/completions", question)[1])))
            connection = device.connect()
            connection.request("POST", "/v1/chat/completions", json.dumps(question),
                               {"Authorization": f"Bearer {device.token}", "Content-Type": "application/json"})
            response = connection.getresponse()
            begun = b"".join(response.readline() for _ in range(40))
            server.kill()
            text = (begun + response.read()).decode()
            connection.close()
            self.assertEqual(len(device.engines()), 1)
            answer = "".join(map(text_of, chunks_of(text)))
            before = begun.decode().count('"content":"') * 2  # at least so many characters came from there
            same = len(os.path.commonprefix([answer, whole]))
            print(f"the same to character {same} of {len(whole)}")
            self.assertGreater(same, before + 100)

    def test_without_another_engine_an_answer_in_its_middle_ends_with_an_error(self):
        with llama_server(DEFAULT_MODEL, "theirs") as server, self.device_with(server) as device:
            connection = device.connect()
            body = {"model": "theirs", "stream": True, "max_tokens": 1500, "ignore_eos": True,
                    "messages": [{"role": "user", "content": "Tell a long story"}]}
            connection.request("POST", "/v1/chat/completions", json.dumps(body),
                               {"Authorization": f"Bearer {device.token}", "Content-Type": "application/json"})
            response = connection.getresponse()
            wait_for_text(response)
            server.kill()
            rest = response.read().decode()
            connection.close()
            self.assertIn("device_lost", rest)
            self.assertNotIn("[DONE]", rest)


if __name__ == "__main__":
    unittest.main()
