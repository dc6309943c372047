"""One device from its first start: models, answers, errors, engines that die."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import unittest

from mesh_testing import DEFAULT_MODEL, SoloDevice, chunks_of, devices, wait_for_text

KILLS = 50


class OneDevice(SoloDevice):
    def test_ask_streams_an_answer(self):
        answer = self.device.plexus("ask", "Name three colours", "--temperature", "0", "--max-tokens", "48").stdout

        self.assertGreater(len(answer.strip()), 10)
        self.assertEqual(answer.strip(), self.device.chat("Name three colours").strip())

    def test_chat_streamed_and_plain_say_the_same(self):
        plain = self.device.chat("Name three animals")
        streamed = self.device.chat("Name three animals", stream=True)

        self.assertEqual(plain, streamed)

    def test_usage_is_the_last_chunk_when_asked_for(self):
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4, "stream": True,
                "stream_options": {"include_usage": True}}

        _, content = self.device.curl("/v1/chat/completions", body)

        last = chunks_of(content)[-1]
        self.assertEqual(last["choices"], [])
        self.assertGreater(last["usage"]["completion_tokens"], 0)
        self.assertNotIn('"usage":{"c', json.dumps(chunks_of(content)[0]))

    def test_stop_seed_and_length_are_honoured(self):
        long = self.device.chat("Count from one to twenty", max_tokens=32)
        word = long.split()[1]
        stopped = self.device.chat("Count from one to twenty", max_tokens=32, stop=[word])
        again = [self.device.chat("Tell a story", temperature=0.9, seed=7, max_tokens=16) for _ in range(2)]

        self.assertNotIn(word, stopped)
        self.assertEqual(*again)

    def test_models_are_listed_for_openai_clients(self):
        status, content = self.device.curl("/v1/models")

        self.assertEqual(status, 200)
        self.assertEqual([model["id"] for model in json.loads(content)["data"]], ["tiny"])

    def test_an_unknown_model_is_an_openai_error(self):
        status, content = self.device.curl("/v1/chat/completions",
                                           {"model": "tinny", "messages": [{"role": "user", "content": "x"}]})

        error = json.loads(content)["error"]
        self.assertEqual((status, error["code"]), (404, "model_not_found"))
        self.assertEqual(self.device.plexus("ask", "-m", "nope", "x", check=False).returncode, 4)

    def test_a_prompt_over_the_context_is_refused(self):
        status, content = self.device.curl(
            "/v1/chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": "word " * 9000}]})

        self.assertEqual(status, 400, content)
        self.assertEqual(json.loads(content)["error"]["code"], "context_length_exceeded")

    def test_strangers_on_localhost_get_nothing(self):
        chat = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}

        self.assertEqual(self.device.curl("/v1/models", token="plx-wrong")[0], 401)
        self.assertEqual(self.device.curl("/v1/models", headers={"Host": "evil.example"})[0], 403)
        self.assertEqual(self.device.curl("/v1/chat/completions", chat, {"Origin": "https://evil.example"})[0], 403)
        self.assertEqual(self.device.curl("/healthz", token="plx-wrong")[0], 200)

    def test_metrics_are_prometheus_text(self):
        status, content = self.device.curl("/metrics")

        self.assertEqual(status, 200)
        self.assertIn("# TYPE plexus_", content)

    def test_a_broken_model_file_is_refused_with_the_reason(self):
        whole = pathlib.Path(DEFAULT_MODEL).read_bytes()[:1 << 20]
        for name, content in {"cut.gguf": whole, "text.gguf": b"hello, this is no model", "empty.gguf": b""}.items():
            file = self.device.home / name
            file.write_bytes(content)
            done = self.device.plexus("model", "import", str(file), check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("cannot be used", done.stderr)
        self.assertEqual(len(self.device.json("model", "ls")), 1)
        self.assertEqual(list((self.device.home / "data/models/partial").iterdir()), [])

    def test_an_engine_that_is_killed_again_and_again_gives_a_typed_error_and_the_next_request_is_answered(self):
        """Once it is started again, and the answer goes on; the second time there is nobody left."""
        slowest = 0.0
        connection = self.device.connect()
        headers = {"Authorization": f"Bearer {self.device.token}", "Content-Type": "application/json"}
        body = json.dumps({"model": "tiny", "stream": True, "max_tokens": 512, "temperature": 0,
                           "messages": [{"role": "user", "content": "Write a very long story"}]})
        for _ in range(KILLS // 2):
            connection.request("POST", "/v1/chat/completions", body, headers)
            answer = connection.getresponse()
            for _ in range(2):
                wait_for_text(answer)
                (engine,) = self.device.engines()
                os.kill(engine, signal.SIGKILL)
                began = time.monotonic()
            rest = answer.read().decode()
            slowest = max(slowest, time.monotonic() - began)
            errors = [json.loads(line[6:]) for line in rest.splitlines() if line.startswith('data: {"error"')]
            self.assertEqual(len(errors), 1, rest[-400:])
            self.assertTrue(errors[0]["error"]["code"])
            connection.close()
        connection.close()
        print(f"{KILLS} engines killed; slowest typed error after {slowest * 1000:.0f} ms")
        self.assertLess(slowest, 1.0)
        self.assertTrue(self.device.chat("Name three colours"))

    def test_a_pause_outlasts_a_restart(self):
        self.device.plexus("device", "pause")
        self.device.stop()
        self.device.start()
        self.assertTrue(self.device.json("status")["paused"])
        self.assertTrue(self.device.chat("Hello"))
        self.device.plexus("device", "resume")
        self.assertFalse(self.device.json("status")["paused"])

    def test_a_client_that_leaves_stops_the_engine(self):
        command = self.device.command("ask", "Write a very long story", "--max-tokens", "900")
        asking = subprocess.Popen(command, env=self.device.environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert asking.stdout is not None
        asking.stdout.read(1)
        asking.send_signal(signal.SIGINT)
        self.assertEqual(asking.wait(10), 130)
        asking.stdout.close()
        deadline = time.monotonic() + 1.0

        while self.device.json("status")["running_tasks"] > 0:
            self.assertLess(time.monotonic(), deadline)

    def test_doctor_and_status_say_what_is(self):
        status = self.device.json("status")
        checks = self.device.json("doctor")["checks"]

        self.assertTrue(status["ready"])
        self.assertGreaterEqual(len(checks), 4)
        self.assertTrue(all(check["good"] for check in checks), checks)


class Starting(unittest.TestCase):
    def test_everything_is_there_after_a_restart(self):
        with devices("solo") as (device,):
            device.start()
            first = device.json("status")
            token = device.token
            device.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")
            self.assertEqual(device.stop(), 0)
            device.start()

            self.assertEqual(device.json("status")["device_id"], first["device_id"])
            self.assertEqual(device.json("status")["mesh_id"], first["mesh_id"])
            self.assertEqual(device.token, token)
            self.assertEqual(device.json("model", "ls")[0]["id"], "tiny")

    def test_secrets_are_for_the_owner_only(self):
        with devices("solo") as (device,):
            device.start()
            key = next((device.home / "data").glob("identity*"))
            self.assertEqual(key.stat().st_mode & 0o777, 0o600)
            self.assertEqual((device.home / "state/api-token").stat().st_mode & 0o777, 0o600)
            device.stop()

            key.chmod(0o644)
            self.assertIn("chmod 600", device.start(expect_failure=True))

    def test_a_taken_port_is_told_with_the_way_out(self):
        with devices("solo") as (device,), socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            device.environment["PLEXUS_API_PORT"] = str(taken.getsockname()[1])

            text = device.start(expect_failure=True)

            self.assertIn("is taken", text)
            self.assertIn("--port", text)

    def test_one_home_has_one_daemon(self):
        with devices("solo") as (device,):
            device.start()
            second = subprocess.run([*device.command("serve")], env=device.environment, capture_output=True, text=True)

            self.assertEqual(second.returncode, 1)
            self.assertIn("running already", second.stderr)

    def test_up_and_down_by_the_command_line(self):
        with devices("solo") as (device,):
            self.assertEqual(device.plexus("status", check=False).returncode, 3)
            device.plexus("up")
            self.assertIn("already running", device.plexus("up").stderr)
            self.assertEqual(device.plexus("up", "--port", "1", check=False).returncode, 9)
            device.plexus("down")
            self.assertEqual(device.plexus("status", check=False).returncode, 3)

    @unittest.skipUnless(os.geteuid() == 0, "only root can mount a small disk")
    def test_a_full_disk_loses_nothing(self):
        with devices("solo") as (device,):
            data = device.home / "data"
            data.mkdir(mode=0o700)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m,mode=700", "none", str(data)], check=True)
            try:
                device.start()
                done = device.plexus("model", "import", DEFAULT_MODEL, check=False)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("free", done.stderr)
                self.assertEqual(device.json("model", "ls"), [])
                self.assertEqual([file for file in (data / "models").rglob("*") if file.is_file()], [])
                self.assertTrue(device.json("status")["ready"])
                device.stop()
            finally:
                subprocess.run(["umount", str(data)], check=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
