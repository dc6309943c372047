"""Two devices in network namespaces of their own: pairing, a question asked on one and answered by the other, strangers."""
import json
import os
import subprocess
import time
import unittest

from mesh_testing import DEFAULT_MODEL, PROGRAMS, SOURCE, Device, capture, devices, network, wait_for_text

QUESTION = "Name three colours of the rainbow"
SECRET_WORDS = b"colours of the rainbow"


def eventually(what, seconds: float = 10):
    """Waits until `what()` is true, and gives its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := what():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


@unittest.skipUnless(os.geteuid() == 0, "network namespaces are made by root")
class TwoDevices(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.network = network("a", "b", "c")
        cls.places, cls.bridge = cls.network.__enter__()
        cls.scope = devices("a", "b", "c", namespaces={name: place[0] for name, place in cls.places.items()})
        cls.a, cls.b, cls.c = cls.scope.__enter__()
        for device in (cls.a, cls.b, cls.c):
            device.start()
        cls.b.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")
        cls.link = cls.b.plexus("invite").stdout.strip()
        began = time.monotonic()
        cls.joined = cls.a.plexus("join", cls.link).stdout
        cls.join_seconds = time.monotonic() - began
        eventually(lambda: cls.a.json("model", "ls"))

    @classmethod
    def tearDownClass(cls):
        cls.scope.__exit__(None, None, None)
        cls.network.__exit__(None, None, None)

    def mesh_address(self, device: Device) -> tuple[str, int]:
        """Where the device listens on the test's own network."""
        addresses = device.json("status")["addresses"]
        address = next(text for text in addresses if "/10.77." in text).split("/")
        return address[2], int(address[4])

    def test_joining_tells_both_devices_of_each_other(self):
        print(f"joined in {self.join_seconds:.2f} s")
        self.assertIn("2 devices", self.joined)
        for device in (self.a, self.b):
            names = {each["name"]: each["state"] for each in device.json("device", "ls")}
            self.assertEqual(names, {"a": "ready", "b": "ready"})
        self.assertEqual(self.a.json("status")["mesh_id"], self.b.json("status")["mesh_id"])

    def test_the_answer_comes_from_the_other_device_word_for_word(self):
        asked_directly = self.b.chat(QUESTION)

        self.assertEqual(self.a.chat(QUESTION), asked_directly)
        self.assertEqual(self.a.chat(QUESTION, stream=True), asked_directly)
        told = self.a.plexus("ask", QUESTION, "--temperature", "0", "--max-tokens", "48").stdout
        self.assertEqual(told.strip(), asked_directly.strip())
        self.assertEqual(self.a.engines(), [])
        self.assertEqual(len(self.b.engines()), 1)

    def test_the_route_names_the_executor(self):
        command = [*self.a.prefix, "curl", "--silent", "--include", f"http://127.0.0.1:{self.a.port}/v1/chat/completions",
                   "--header", f"Authorization: Bearer {self.a.token}", "--header", "Content-Type: application/json",
                   "--data-binary", json.dumps({"model": "tiny", "max_tokens": 2,
                                                "messages": [{"role": "user", "content": "Hello"}]})]
        head = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\r\n\r\n")[0].lower()

        self.assertIn("plexus-route: b", head)
        self.assertIn("plexus-model-digest: ", head)

    def test_the_wire_shows_noise_and_no_word_of_prompt_or_answer(self):
        with capture(self.places["a"][0], "eth0") as recording:
            self.a.kill()
            self.a.start()
            eventually(lambda: self.a.json("model", "ls"))
            answer = self.a.chat(QUESTION, stream=True)

        self.assertIn(b"/multistream/1.0.0", recording.bytes)
        self.assertIn(b"/noise", recording.bytes)
        self.assertNotIn(SECRET_WORDS, recording.bytes)
        self.assertNotIn(b"choices", recording.bytes)
        self.assertNotIn(b"/plexus/", recording.bytes)
        for word in (word for word in answer.split() if len(word) >= 5):
            self.assertNotIn(word.encode(), recording.bytes)

    def test_a_used_invite_is_refused_with_the_next_step(self):
        done = self.c.plexus("join", self.link, check=False)

        self.assertNotEqual(done.returncode, 0)
        self.assertIn("plexus invite", done.stderr)
        self.assertEqual(len(self.c.json("device", "ls")), 1)

    def test_an_expired_or_broken_invite_is_refused_with_a_sentence(self):
        link = self.b.plexus("invite", "--ttl", "1s", "--no-wait").stdout.strip()
        time.sleep(1.5)
        expired = self.c.plexus("join", link, check=False)
        broken = self.c.plexus("join", self.link[:-6], check=False)

        for done in (expired, broken):
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("error", done.stderr)
            self.assertIn("plexus invite", done.stderr)

    def test_an_unpaired_daemon_gets_nothing(self):
        self.assertEqual(self.c.json("model", "ls"), [])
        host, port = self.mesh_address(self.b)
        peer = self.b.json("status")["device_id"]
        probe = [*self.c.prefix, str(PROGRAMS / "plexus-interop"), "dial", f"/ip4/{host}/tcp/{port}/p2p/{peer}"]
        done = subprocess.run(probe, capture_output=True, text=True, timeout=60)

        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertNotIn("plexus-mesh", done.stdout)

    def test_a_bare_js_peer_gets_nothing(self):
        host, port = self.mesh_address(self.b)
        peer = self.b.json("status")["device_id"]
        setup = [str(SOURCE / "tools/setup-js"), "tests/conformance/js"]
        folder = subprocess.run(setup, capture_output=True, text=True, check=True).stdout.strip()
        probe = [*self.c.prefix, f"{folder}/node", f"{folder}/peer.mjs", "dial", f"/ip4/{host}/tcp/{port}/p2p/{peer}",
                 "--expect-refused"]
        done = subprocess.run(probe, capture_output=True, text=True, timeout=60)

        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_a_paused_device_answers_itself_alone_and_a_route_says_so(self):
        asked = {"model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
        (route,) = self.a.json("route", "explain", "tiny")["routes"]
        self.assertEqual((route["device"], route["state"]), ("b", "chosen"))
        self.assertGreater(route["seconds"]["whole"], 0)

        self.b.plexus("device", "pause")
        eventually(lambda: self.a.json("route", "explain", "tiny")["routes"][0]["state"] == "left out")
        self.assertIn("paused", self.a.plexus("route", "explain", "tiny").stdout)
        self.assertIn("paused", {each["state"] for each in self.a.json("device", "ls")})
        status, content = self.a.curl("/v1/chat/completions", asked)
        self.assertEqual((status, "paused" in content), (503, True), content)
        self.assertTrue(self.b.chat("Hello"))

        self.b.plexus("device", "resume")
        eventually(lambda: self.a.curl("/v1/chat/completions", asked)[0] == 200)
        self.assertFalse(self.b.json("status")["paused"])

    def test_a_dead_engine_on_the_other_device_is_started_again_for_the_rest(self):
        command = [*self.a.prefix, "curl", "--silent", "--no-buffer", f"http://127.0.0.1:{self.a.port}/v1/chat/completions",
                   "--header", f"Authorization: Bearer {self.a.token}", "--header", "Content-Type: application/json",
                   "--data-binary", json.dumps({"model": "tiny", "stream": True, "max_tokens": 512,
                                                "messages": [{"role": "user", "content": "Write a long story"}]})]
        asking = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert asking.stdout is not None
        wait_for_text(asking.stdout)
        os.kill(self.b.engines()[0], 9)
        rest = asking.stdout.read()
        asking.stdout.close()
        asking.wait()

        self.assertTrue(rest.rstrip().endswith("data: [DONE]"), rest[-400:])
        self.assertNotIn('data: {"error"', rest)
        self.assertTrue(self.a.chat("Hello"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
