"""Codex and OpenCode, as their packages are, set up by `plexus connect`, without a login: a file is read by a tool, told of."""
import contextlib
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from mesh_testing import DEFAULT_MODEL, devices, prepared  # noqa: E402
from scripted_engine import MODEL, scripted_engine  # noqa: E402

SECRET = "the kettle is blue on Tuesdays"
PATIENCE = 300  # seconds
TRIES = 3
QUESTION = "Read the file notes.txt in this folder and tell me what it says."


class Agents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.packages = pathlib.Path(prepared("setup-js", "tests/agents"))

    @contextlib.contextmanager
    def device(self, tool: str, engine=None):
        """A device that `tool` is connected with, and that has the engine, or the default model; beside it a folder with the file."""
        with devices("agents", settings={"PLEXUS_ENGINE_CONTEXT": "8192", "PLEXUS_ENGINE_SLOTS": "1"}) as (device,):
            device.environment |= {"HOME": str(device.home / "person"), "XDG_CONFIG_HOME": str(device.home / "person/.config")}
            (device.home / "person/work").mkdir(parents=True)
            (device.home / "person/work/notes.txt").write_text(f"Remember: {SECRET}.\n")
            device.start()
            if engine:
                device.plexus("engine", "add", f"http://127.0.0.1:{engine.server_port}")
            else:
                device.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")
            device.plexus("connect", tool, "--write")
            yield device

    def run_in(self, device, *command: str) -> subprocess.CompletedProcess:
        """Runs it in the folder with the file, without a key or a token of the person who tests."""
        work = device.home / "person/work"
        kept = {name: value for name, value in device.environment.items() if "KEY" not in name and "TOKEN" not in name}
        done = subprocess.run(command, cwd=work, env=kept | {"PWD": str(work)}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])
        return done

    def codex(self, device) -> str:
        return self.run_in(device, str(self.packages / "node"), str(self.packages / "node_modules/@openai/codex/bin/codex.js"),
                           "exec", "--profile", "plexus", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox",
                           QUESTION).stdout

    def opencode(self, device, model: str) -> str:
        (program,) = self.packages.glob("node_modules/opencode-linux-*/bin/opencode")
        return self.run_in(device, str(program), "run", "--model", f"plexus/{model}", QUESTION).stdout

    def check_loop(self, engine, answer: str) -> None:
        self.assertIn(SECRET, answer)
        results = [message for message in engine.requests[-1]["messages"] if message["role"] == "tool"]
        self.assertEqual([result["tool_call_id"] for result in results], ["call_1"])
        self.assertTrue(any(SECRET in str(result["content"]) for result in results))

    def test_codex_reads_a_file_by_a_tool_and_tells_of_it(self):
        with scripted_engine("notes.txt", SECRET) as engine, self.device("codex", engine) as device:
            self.check_loop(engine, self.codex(device))

    def test_opencode_reads_a_file_by_a_tool_and_tells_of_it(self):
        with scripted_engine("notes.txt", SECRET) as engine, self.device("opencode", engine) as device:
            engine.path = str(device.home / "person/work/notes.txt")  # its tool takes absolute paths
            self.check_loop(engine, self.opencode(device, MODEL))

    def test_codex_tells_what_a_real_model_says(self):
        """One of 135 million numbers, which calls no tool, and with Codex's sampling sometimes does not come to an end."""
        for _ in range(TRIES):
            with self.device("codex") as device, contextlib.suppress(subprocess.TimeoutExpired):
                answer = self.codex(device).strip()
                print(answer)
                self.assertTrue(answer)
                return
        self.fail("the model never came to an end")


if __name__ == "__main__":
    unittest.main()
