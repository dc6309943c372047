"""Requests made up by schemathesis from docs/openapi.json against a real device: it keeps to what the document says.

The requests are the same in every run. PLEXUS_SCHEMA_EXAMPLES sets how many there are of each route; PLEXUS_SCHEMA_LONG=1
adds all edges of all fields, which takes ten minutes.
"""
import json
import os
import pathlib
import re
import subprocess
import unittest

from mesh_testing import SOURCE, SoloDevice, prepared

EXAMPLES = os.environ.get("PLEXUS_SCHEMA_EXAMPLES", "8")
PHASES = "coverage,fuzzing" if os.environ.get("PLEXUS_SCHEMA_LONG") == "1" else "fuzzing"
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
          "response_headers_conformance"]

# Nothing answers there, so that a pull of a model ends at once.
NOWHERE = "http://127.0.0.1:1"

# What cannot be asked of the port of this test.
OTHER_DOORS = [
    "GET /",  # Ollama's port only
]

# Server errors that these routes give by design; all others are faults.
BY_DESIGN = {
    "/api/copy": ["501"],  # what Ollama can and Plexus Mesh cannot
    "/api/create": ["501"],
    "/api/blobs/{digest}": ["501"],
    "/api/v1/invites": ["503"],  # too many are open
    "/api/pull": ["502", "503"],  # nothing answers
}


OF_EMBEDDER = ["EmbeddingsRequest", "RerankRequest", "OllamaEmbedRequest", "OllamaEmbeddingsRequest"]


def narrowed(document: dict) -> dict:
    """The document with values that reach the model, without removing it or keeping it busy for long."""
    for name, schema in document["components"]["schemas"].items():
        fields = schema.get("properties", {})
        if name.endswith("Request") and "model" in fields:
            fields["model"] = {"enum": ["embedder" if name in OF_EMBEDDER else "tiny", "nothing"]}
        if name.endswith("Request"):
            narrow_counts(schema, fields)
    narrow_counts(document["components"]["schemas"]["OllamaOptions"],
                  document["components"]["schemas"]["OllamaOptions"]["properties"])
    responses = document["components"]["schemas"]["ResponsesRequest"]
    del responses["properties"]["previous_response_id"]  # no made up one is known
    responses["properties"]["input"] = {"type": "string", "minLength": 1}
    responses["required"].append("input")
    paths = document["paths"]
    for path, method in (("/api/delete", "delete"), ("/api/pull", "post")):
        paths[path][method]["requestBody"]["content"]["application/json"]["schema"] = {
            "type": "object", "properties": {"model": {"const": "nothing"}, "stream": {"type": "boolean"}},
            "required": ["model"]}
    for operations in paths.values():
        for parameter in operations.get("parameters", []):
            if parameter["name"] == "model":
                parameter["schema"] = {"enum": ["tiny", "nothing"]}
    of_model = paths["/api/v1/models/{model}"]
    of_model["get"]["parameters"][0]["schema"] = {"enum": ["tiny", "nothing"]}
    of_model["delete"]["parameters"][0]["schema"] = {"const": "nothing"}
    return document


def narrow_counts(schema: dict, fields: dict) -> None:
    for name, most in (("max_tokens", 3), ("max_output_tokens", 3), ("num_predict", 3), ("n", 2), ("best_of", 2)):
        if name in fields:
            fields[name] = {"type": "integer", "minimum": 1, "maximum": most}
            if most == 3:
                schema.setdefault("required", []).append(name)


def settings() -> str:
    """schemathesis.toml"""
    lines = ["[generation]", "deterministic = true", "no-shrink = true", f"max-examples = {EXAMPLES}",
             'database = "none"', "[checks]", "enabled = false"]
    for check in CHECKS:
        lines.append(f"{check}.enabled = true")
    for path, statuses in BY_DESIGN.items():
        lines += ["[[operations]]", f"include-path = {json.dumps(path)}",
                  f"checks.not_a_server_error.expected-statuses = {json.dumps(['2xx', '3xx', '4xx', *statuses])}"]
    return "\n".join(lines) + "\n"


class Schema(SoloDevice):
    # A small context: an answer without a limit of its own ends soon.
    settings = {"PLEXUS_ENGINE_CONTEXT": "256", "PLEXUS_MODELS_HUB": NOWHERE}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.device.plexus("model", "import", prepared("embedding-model", "--print"), "--name", "embedder")
        cls.python = prepared("setup-python", "tests/schema")

    def served(self) -> dict:
        status, text = self.device.curl("/api/v1/openapi.json")
        self.assertEqual(status, 200)
        return json.loads(text)

    def test_document_keeps_to_its_own_standard(self):
        program = pathlib.Path(self.python).parent / "openapi-spec-validator"
        done = subprocess.run([str(program), str(SOURCE / "docs/openapi.json")], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(self.served(), json.loads((SOURCE / "docs/openapi.json").read_text()))

    def test_answers_keep_to_the_document(self):
        folder = self.device.home / "schema"
        folder.mkdir()
        (folder / "openapi.json").write_text(json.dumps(narrowed(self.served())))
        (folder / "schemathesis.toml").write_text(settings())
        command = [str(pathlib.Path(self.python).parent / "schemathesis"), "--config-file", "schemathesis.toml", "--no-color", "run",
                   "openapi.json", "--url", f"http://127.0.0.1:{self.device.port}", "--phases", PHASES,
                   "--request-timeout", "60", "--continue-on-failure", "--warnings", "off",
                   "--header", f"Authorization: Bearer {self.device.token}"]
        for name in OTHER_DOORS:
            command += ["--exclude-name", name]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout[-20000:] + done.stderr[-4000:])
        print(done.stdout[-600:])
        self.assertIsNone(self.device.process.poll(), "the daemon has ended")
        status, metrics = self.device.curl("/metrics")
        self.assertEqual(status, 200)
        answered = re.search(r'plexus_tasks_total\{outcome="done"\} (\d+)', metrics)
        self.assertGreater(int(answered.group(1)), 5, "hardly a request has reached the model")
        self.assertIn("tiny", [model["id"] for model in self.device.json("model", "ls")])


if __name__ == "__main__":
    unittest.main(verbosity=2)
