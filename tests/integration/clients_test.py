"""The official clients of OpenAI, Anthropic and Ollama, in JavaScript and Python, against a real device."""
import json
import os
import pathlib
import subprocess
import unittest

from mesh_testing import DEFAULT_MODEL, SOURCE, SoloDevice, prepared
from tool_model import write_tool_model


class Clients(SoloDevice):
    settings = {"PLEXUS_API_OLLAMA": "on", "PLEXUS_API_OLLAMA_PORT": "0"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        device = cls.device
        template = pathlib.Path(prepared("fetch", "--print", "llama.cpp")) / "models/templates/Qwen-Qwen2.5-7B-Instruct.jinja"
        write_tool_model(DEFAULT_MODEL, device.home / "tools.gguf", template.read_text())
        device.plexus("model", "import", str(device.home / "tools.gguf"), "--name", "tools")
        write_tool_model(DEFAULT_MODEL, device.home / "caller.gguf")
        device.plexus("model", "import", str(device.home / "caller.gguf"), "--name", "caller")
        base = f"http://127.0.0.1:{device.port}"
        status = json.loads(device.plexus("status", "--json").stdout)["data"]
        cls.environment = dict(os.environ, OPENAI_BASE_URL=base + "/v1", OPENAI_API_KEY=device.token,
                               ANTHROPIC_BASE_URL=base, ANTHROPIC_API_KEY=device.token,
                               OLLAMA_HOST=f"http://127.0.0.1:{status['ollama_port']}", OLLAMA_API_KEY=device.token,
                               EMBEDDING_MODEL="embedder")
        device.plexus("model", "import", prepared("embedding-model", "--print"), "--name", "embedder")

    def passes(self, *command: str):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=240)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        print((done.stdout + done.stderr)[-400:])

    def passes_in_javascript(self, name: str):
        folder = prepared("setup-js", "tests/clients")
        self.passes(f"{folder}/node", "--test", f"{folder}/{name}.test.mjs")

    def passes_in_python(self, name: str):
        self.passes(prepared("setup-python", "tests/clients"), str(SOURCE / f"tests/clients/{name}_test.py"))

    def test_openai_for_javascript(self):
        self.passes_in_javascript("openai")

    def test_ai_sdk_and_langchain(self):
        folder = prepared("setup-js", "tests/clients/ai")
        self.passes(f"{folder}/node", "--test", f"{folder}/ai.test.mjs")

    def test_openai_for_python(self):
        self.passes_in_python("openai")

    def test_anthropic_for_javascript(self):
        self.passes_in_javascript("anthropic")

    def test_anthropic_for_python(self):
        self.passes_in_python("anthropic")

    def test_ollama_for_javascript(self):
        self.passes_in_javascript("ollama")

    def test_ollama_for_python(self):
        self.passes_in_python("ollama")


if __name__ == "__main__":
    unittest.main(verbosity=2)
