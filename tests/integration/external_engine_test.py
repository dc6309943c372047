"""Servers of the owner as engines: llama-server and that of llama-cpp-python. Known by address, in the catalog, asked, killed.

PLEXUS_OTHER_SERVERS=1 adds llama-cpp-python, whose package has to be fetched.
"""
import contextlib
import json
import os
import pathlib
import tempfile
import unittest

from mesh_testing import DEFAULT_MODEL, chunks_of, devices, text_of, wait_for_text
from servers_of_others import Server, free_port, llama_cpp_python, llama_server
from tool_model import WEATHER, check_tool_round_trip, write_tool_model

TOKEN = "a-token-of-the-test"


class AnyServer:
    """What holds whatever server it is. `server` runs one with a model under a name; `calling` one that can be made to call."""

    @contextlib.contextmanager
    def device_with(self, server: Server, *arguments: str):
        with devices("one") as (device,):
            device.start()
            device.plexus("engine", "add", server.url + "/v1", *arguments)
            yield device

    def test_its_models_are_listed_asked_and_streamed(self):
        with self.server(DEFAULT_MODEL, "theirs") as server, self.device_with(server) as device:
            self.assertEqual([model["id"] for model in json.loads(device.curl("/v1/models")[1])["data"]], ["theirs"])
            listed = device.json("engine", "ls")["engines"]
            self.assertEqual([(each["url"], each["state"]) for each in listed], [(server.url, "ready")])
            self.assertEqual(listed[0]["grade"], "external, not sandboxed by us")
            model = json.loads(device.curl("/v1/models")[1])["data"][0]
            self.assertEqual(model["id"], "theirs")

            self.assertTrue(device.chat("Name three colours", model="theirs"))
            whole = device.chat("Name three colours", model="theirs")  # some round otherwise when they know the beginning
            self.assertEqual(device.chat("Name three colours", model="theirs", stream=True), whole)
            self.assertEqual(device.engines(), [])
            self.assertEqual(device.chat("Name three colours", model=model["plexus"]["digest"]), whole)

            device.stop()
            device.start()
            self.assertEqual(device.json("engine", "test", server.url)["state"], "ready")
            self.assertTrue(device.chat("Name three colours", model="theirs"))
            mode = (device.home / "state/external-engines").stat().st_mode & 0o777
            self.assertEqual(mode, 0o600)
            device.plexus("engine", "rm", server.url)
            self.assertEqual(json.loads(device.curl("/v1/models")[1])["data"], [])

    def test_a_tool_call_goes_there_and_its_result_back(self):
        with self.calling("theirs") as server, self.device_with(server) as device:
            check_tool_round_trip(self, device, "theirs")
            self.assertEqual(device.engines(), [])

    def test_one_of_ours_goes_on_in_the_middle_of_an_answer(self):
        question = {"model": "tiny", "stream": True, "max_tokens": 300, "temperature": 0, "repeat_penalty": 1, "ignore_eos": True,
                    "messages": [{"role": "user", "content": "Tell a long story"}]}
        with self.server(DEFAULT_MODEL, "tiny") as server, self.device_with(server) as device:
            device.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")
            whole = "".join(map(text_of, chunks_of(device.curl("/v1/chat/completions", question)[1])))
            connection = device.connect()
            connection.request("POST", "/v1/chat/completions", json.dumps(question),
                               {"Authorization": f"Bearer {device.token}", "Content-Type": "application/json"})
            response = connection.getresponse()
            lines = [response.readline().decode() for _ in range(40)]
            server.kill()
            begun = "".join(text_of(json.loads(line.removeprefix("data: "))) for line in lines if line.startswith("data: {"))
            answer = "".join(map(text_of, chunks_of("".join(lines) + response.read().decode())))
            connection.close()
            self.assertEqual(len(device.engines()), 1)
            same = len(os.path.commonprefix([answer, whole]))
            print(f"{len(begun)} characters of {len(answer)} before the end of the server; as alone to character {same} of {len(whole)}")
            self.assertGreater(len(begun), 30)
            self.assertTrue(answer.startswith(begun))
            self.assertGreater(len(answer) if not self.is_of_our_build else same, len(begun) + 100)


class LlamaServer(AnyServer, unittest.TestCase):
    server = staticmethod(llama_server)
    is_of_our_build = True  # and says the same word for word

    @contextlib.contextmanager
    def calling(self, alias: str):
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder) / "tools.gguf"
            write_tool_model(DEFAULT_MODEL, model)
            with llama_server(str(model), alias) as server:
                yield server

    def test_its_context_is_known_and_kept_to(self):
        with llama_server(DEFAULT_MODEL, "theirs") as server, self.device_with(server) as device:
            self.assertEqual(device.json("engine", "ls")["engines"][0]["models"][0]["context"], 2048)
            status, text = device.curl("/v1/chat/completions", {
                "model": "theirs", "messages": [{"role": "user", "content": "word " * 6000}]})
            self.assertEqual(status, 400, text)
            self.assertIn("context", text)

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


@unittest.skipUnless(os.environ.get("PLEXUS_OTHER_SERVERS") == "1", "PLEXUS_OTHER_SERVERS=1 fetches it")
class LlamaCppPython(AnyServer, unittest.TestCase):
    server = staticmethod(llama_cpp_python)
    is_of_our_build = False

    def calling(self, alias: str):
        return llama_cpp_python(DEFAULT_MODEL, alias, "--chat_format", "chatml-function-calling")


if __name__ == "__main__":
    unittest.main(verbosity=2)
