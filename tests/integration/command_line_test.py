"""The programs as a person or a script meets them: help, exit codes, errors, odd places and settings. No model needed."""
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import time
import unittest

from mesh_testing import devices

COMMANDS = ["", "up", "down", "serve", "status", "doctor", "version", "ask", "chat", "invite", "join", "device", "device ls", "device revoke", "device pause", "device resume",
            "engine", "engine add", "engine ls", "engine test", "engine rm",
            "model", "model ls", "model import", "model copy", "model rm", "model pull",
            "model search", "model show", "model verify", "model plan", "route", "route explain", "help"]


class WithoutDaemon(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = devices("solo")
        (cls.device,) = cls.scope.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.scope.__exit__(None, None, None)

    def run_with(self, *arguments: str, text: str | bytes = b"", **environment: str) -> subprocess.CompletedProcess:
        done = subprocess.run(self.device.command(*arguments), env=self.device.environment | environment, capture_output=True,
                              input=text.encode() if isinstance(text, str) else text, timeout=30)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done

    def test_help_of_every_command_begins_with_examples(self):
        for command in COMMANDS:
            for words in (["help", *command.split()], [*command.split(), "--help"]):
                done = self.run_with(*words)
                self.assertEqual((done.returncode, done.stderr), (0, ""), words)
                self.assertTrue(done.stdout.startswith("Examples:\n  plexus"), words)

    def test_every_exit_code_is_explained(self):
        text = self.run_with("help", "exit-codes").stdout

        self.assertEqual([int(code) for code in re.findall(r"^ +(\d+)  ", text, re.M)], [*range(11), 130])

    def test_a_wrong_command_line_is_told_with_the_nearest_right_one(self):
        for words, meant in {("stauts",): "plexus status", ("stauts", "--json"): "plexus status",
                             ("--no-color", "modle", "ls"): "plexus model", ("device", "lss"): "plexus device ls",
                             ("help", "stauts"): "plexus status", ("model", "imprt", "x"): "plexus model import",
                             ("ask", "--temprature", "1", "x"): "--temperature"}.items():
            done = self.run_with(*words)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn(meant, done.stderr, words)
            self.assertEqual(done.stdout, "", words)
        for words in (["--color", "blue", "status"], ["--timeout", "soon", "status"], ["device"], ["join"],
                      ["up", "--port", "70000"], ["invite", "--role", "king"], ["invite", "--role", "guest"], ["status", "too", "much"]):
            done = self.run_with(*words)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn("error: ", done.stderr, words)
            self.assertIn("next: plexus", done.stderr, words)
            self.assertNotIn("There is no command", done.stderr, words)

    def test_errors_for_scripts_are_one_json_document(self):
        for words, code, exit in ((["status", "--json"], "no_daemon", 3), (["stauts", "--json"], "usage", 2)):
            done = self.run_with(*words)
            document = json.loads(done.stderr)
            self.assertEqual((document["schema"], document["data"]["code"]), ("plexus.error/1", code))
            self.assertEqual((document["data"]["exit"], done.returncode), (exit, exit))

    def test_without_a_daemon_it_says_so_and_what_to_do(self):
        overview = self.run_with()
        self.assertEqual(overview.returncode, 0)
        self.assertIn("plexus up", overview.stdout)
        for words in (["status"], ["device", "ls"], ["model", "ls"], ["ask", "x"], ["invite"], ["join", "x"]):
            done = self.run_with(*words)
            self.assertEqual(done.returncode, 3, words)
            self.assertIn("next: plexus up", done.stderr)

    def test_versions_need_no_daemon(self):
        self.assertRegex(self.run_with("--version").stdout, r"^plexus \d+\.\d+\.\d+\n$")
        self.assertEqual(json.loads(self.run_with("version", "--json").stdout)["data"]["daemon"], None)

    def test_a_question_that_is_no_text_is_refused(self):
        self.assertEqual(self.run_with("ask", text="").returncode, 2)
        done = self.run_with("ask", text=b"B\xfcro")
        self.assertEqual(done.returncode, 2)
        self.assertIn("UTF-8", done.stderr)

    def test_nothing_is_removed_without_a_yes(self):
        done = self.run_with("model", "rm", "tiny")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--yes", done.stderr)

    def test_a_home_that_cannot_be_made_is_told(self):
        file = self.device.home / "file"
        file.write_text("no folder")
        done = self.run_with("up", PLEXUS_HOME=str(file / "home"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("PLEXUS_HOME", done.stderr)
        self.assertIn(str(file), done.stderr)
        self.assertEqual(self.run_with("status", PLEXUS_HOME="here").returncode, 2)

    def test_settings_that_are_wrong_are_told_with_their_place(self):
        config = self.device.home / "config.toml"
        config.write_text("[api]\nprot = 1\n")
        try:
            done = self.run_with("up")
            self.assertEqual(done.returncode, 1)
            self.assertIn("line 2", done.stderr)
            self.assertIn("api.port", done.stderr)
            self.assertIn(f"edit {config}", done.stderr)
            doctor = self.run_with("doctor")
            self.assertEqual(doctor.returncode, 3)
            self.assertIn("line 2", doctor.stdout)
        finally:
            config.unlink()
        done = self.run_with("up", PLEXUS_API_PORT="many")
        self.assertIn("PLEXUS_API_PORT", done.stderr)
        self.assertNotIn("config.toml", done.stderr)

    def test_a_socket_path_over_the_limit_of_the_system_is_told(self):
        home = self.device.home / ("long" * 30)
        done = self.run_with("up", PLEXUS_HOME=str(home))
        self.assertEqual(done.returncode, 1)
        self.assertIn("shorter path", done.stderr)
        self.assertEqual(self.run_with("status", PLEXUS_HOME=str(home)).returncode, 2)

    def test_a_file_in_the_place_of_the_socket_is_left_as_it_is(self):
        file = self.device.home / "letter.txt"
        file.write_text("dear friend")
        done = self.run_with("--socket", str(file), "up")
        self.assertEqual(done.returncode, 1)
        self.assertIn("is no socket", done.stderr)
        self.assertEqual(file.read_text(), "dear friend")


class WithDaemon(unittest.TestCase):
    def on_terminal(self, device, *arguments: str, keys: bytes = b"", **environment: str) -> tuple[int, str]:
        """Exit code and everything that a terminal of 80 x 24 was sent."""
        variables = {**device.environment, "TERM": "xterm", **environment}
        variables.pop("NO_COLOR" if environment.get("NO_COLOR") == "" else "", None)
        process, terminal = pty.fork()
        if process == 0:
            os.execvpe(device.command()[0], device.command(*arguments), variables)
        if keys:
            time.sleep(0.5)
            os.write(terminal, keys)
        output = b""
        while True:
            try:
                piece = os.read(terminal, 4096)
            except OSError:
                break
            if not piece:
                break
            output += piece
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), output.decode()

    def test_colours_only_for_terminals_that_want_them(self):
        with devices("solo") as (device,):
            device.start()
            self.assertIn("\x1b[", self.on_terminal(device, "status", NO_COLOR="")[1])
            for environment in ({"NO_COLOR": "1"}, {"NO_COLOR": "", "TERM": "dumb"}):
                self.assertNotIn("\x1b", self.on_terminal(device, "status", **environment)[1])
            self.assertNotIn("\x1b", self.on_terminal(device, "join", "x", TERM="dumb")[1])
            self.assertNotIn("\x1b", device.plexus("status").stdout)

    def test_a_killed_daemon_is_started_again_over_what_it_left(self):
        with devices("solo") as (device,):
            device.start()
            name = device.json("status")["device_id"]
            device.kill()
            self.assertTrue((device.home / "plexus.sock").exists())
            self.assertEqual(device.plexus("status", check=False).returncode, 3)
            device.start()
            self.assertEqual(device.json("status")["device_id"], name)

    def test_signals_end_it_in_order(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with devices("solo") as (device,):
                device.start()
                device.process.send_signal(number)
                self.assertEqual(device.process.wait(10), 0)
                self.assertFalse((device.home / "plexus.sock").exists())
                device.process = None

    def test_two_homes_are_two_devices(self):
        with devices("one", "two") as (one, two):
            one.start()
            two.start()
            self.assertNotEqual(one.json("status")["device_id"], two.json("status")["device_id"])
            self.assertNotEqual(one.port, two.port)
            self.assertEqual(one.curl("/v1/models", token=two.token)[0], 401)

    def test_everything_it_makes_is_for_its_owner(self):
        with devices("solo") as (device,):
            device.environment["PLEXUS_HOME"] = str(device.home / "new")
            try:
                device.plexus("up")
                for path in [device.home / "new", *(device.home / "new").rglob("*")]:
                    self.assertEqual(path.stat().st_mode & 0o077, 0, path)
            finally:
                device.plexus("down")

    def test_a_client_that_sends_too_much_reads_why(self):
        with devices("solo") as (device,):
            device.start()
            for length, token, status in ((32 << 20, device.token, 413), (7 << 20, "plx-wrong", 401)):
                connection = device.connect()
                headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
                connection.request("POST", "/v1/chat/completions", bytes(length), headers)
                self.assertEqual(connection.getresponse().status, status)
                connection.close()

    def test_documents_for_scripts_have_a_schema(self):
        with devices("solo") as (device,):
            device.start()
            for words, schema in {(): "status", ("status",): "status", ("device", "ls"): "device.ls", ("up",): "up",
                                  ("model", "ls"): "model.ls", ("doctor",): "doctor", ("version",): "version",
                                  ("invite",): "invite"}.items():
                done = device.plexus(*words, "--json", check=False)
                self.assertEqual(json.loads(done.stdout)["schema"], f"plexus.{schema}/1")
                self.assertEqual(len(done.stdout.splitlines()), 1)

    def test_questions_without_any_model_and_bad_links(self):
        with devices("solo") as (device,):
            device.start()
            self.assertEqual(device.plexus("ask", "hello", check=False).returncode, 6)
            self.assertEqual(device.plexus("ask", "-m", "nope", "hello", check=False).returncode, 4)
            self.assertEqual(device.plexus("join", "nonsense", check=False).returncode, 2)
            self.assertEqual(device.plexus("invite", "--ttl", "25h", check=False).returncode, 2)
            own = device.plexus("join", device.plexus("invite").stdout.strip(), check=False)
            self.assertEqual(own.returncode, 2)
            self.assertIn("another one", own.stderr)
            self.assertEqual(device.plexus("model", "rm", "nope", "--yes", check=False).returncode, 4)
            self.assertEqual(device.plexus("model", "import", "/nowhere.gguf", check=False).returncode, 4)

    def test_ctrl_c_ends_a_command_that_waits_for_its_input(self):
        with devices("solo") as (device,):
            device.start()
            for words in (["ask", "-"], ["invite"], ["model", "rm", "tiny"]):
                began = time.monotonic()
                code, _ = self.on_terminal(device, *words, keys=b"\x03")
                self.assertIn(code, (130, -signal.SIGINT), words)
                self.assertLess(time.monotonic() - began, 5, words)


if __name__ == "__main__":
    unittest.main(verbosity=2)
