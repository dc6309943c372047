"""Our MCP server before the conformance runner of the protocol and the official clients of both eras.

The runner's server scenarios are written for a server made for them: most call tools, prompts and resources with names of
their own ("test_simple_text"). What needs those cannot apply to a server with tools of its own and is listed in
docs/mcp.md; what is left must pass, and nothing else may fail.
"""
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from mesh_testing import SoloDevice, prepared

APPLIES = {
    "2025-11-25": ["server-initialize", "ping", "tools-list", "dns-rebinding-protection"],
    "2026-07-28": ["server-stateless", "tools-list", "server-sse-multiple-streams", "sep-2164-resource-not-found",
                   "dns-rebinding-protection", "http-header-validation", "input-required-result-unsupported-methods",
                   "input-required-result-ignore-extra-params", "input-required-result-validate-input",
                   "input-required-result-missing-input-response", "caching"],
}
# Checks of those scenarios that look at prompts, resources, or the runner's own tools.
CANNOT_APPLY = {
    "sep-2549-prompts-list-caching-hints", "sep-2549-resources-list-caching-hints",
    "sep-2549-resources-templates-list-caching-hints", "sep-2549-resources-read-caching-hints",
}


class Mcp(SoloDevice):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(prepared("setup-js", "tests/mcp"))
        cls.proxy = subprocess.Popen([f"{cls.folder}/node", f"{cls.folder}/proxy.mjs", str(cls.device.port), cls.device.token],
                                     stdout=subprocess.PIPE, text=True)
        assert cls.proxy.stdout is not None
        cls.url = f"http://localhost:{cls.proxy.stdout.readline().strip()}/mcp"

    @classmethod
    def tearDownClass(cls):
        cls.proxy.terminate()
        cls.proxy.communicate()

    def run_all(self, version: str) -> dict[str, list[dict]]:
        """The checks of every server scenario of a revision, by its name."""
        runner = self.folder / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
        with tempfile.TemporaryDirectory() as results:
            subprocess.run([f"{self.folder}/node", str(runner), "server", "--url", self.url, "--suite", "all",
                            "--spec-version", version, "--output-dir", results],
                           capture_output=True, text=True, timeout=240, cwd=self.folder)
            files = pathlib.Path(results).rglob("checks.json")
            return {re.sub(r"^server-(.*)-\d{4}-.*$", r"\1", file.parent.name): json.loads(file.read_text()) for file in files}

    def test_the_conformance_scenarios_that_apply_pass(self):
        for version, scenarios in APPLIES.items():
            found = self.run_all(version)
            for scenario in scenarios:
                with self.subTest(version=version, scenario=scenario):
                    self.assertIn(scenario, found)
                    failed = [check for check in found[scenario] if check["status"] == "FAILURE"
                              and not check.get("errorMessage", "").startswith("Not testable")]
                    self.assertLessEqual({check["id"] for check in failed}, CANNOT_APPLY, failed)
                    passed = sum(check["status"] == "SUCCESS" for check in found[scenario])
                    self.assertGreater(passed, 0)
                    print(version, scenario, passed, "checks passed")

    def test_the_official_clients_of_both_eras_use_the_tools(self):
        environment = dict(os.environ, MCP_URL=f"http://127.0.0.1:{self.device.port}/mcp", MCP_TOKEN=self.device.token)
        done = subprocess.run([f"{self.folder}/node", "--test", f"{self.folder}/client.test.mjs"], env=environment,
                              capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
