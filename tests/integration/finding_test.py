"""Devices of one network find one another: a code in place of a link, addresses that change, a device that is revoked."""
import json
import os
import pathlib
import threading
import time
import unittest

from mesh_testing import Device, devices, network, run

JOIN_SECONDS = 2  # after the person's last action
FIND_SECONDS = 3


def eventually(what, seconds: float = 10):
    """Waits until `what()` is true, and gives its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := what():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def states(device: Device) -> dict[str, str]:
    return {each["name"]: each["state"] for each in device.json("device", "ls")}


@unittest.skipUnless(os.geteuid() == 0, "network namespaces are made by root")
class Finding(unittest.TestCase):
    def setUp(self):
        scope = network("a", "b")
        self.places, _ = scope.__enter__()
        self.addCleanup(scope.__exit__, None, None, None)
        scope = devices("a", "b", namespaces={name: place[0] for name, place in self.places.items()})
        self.a, self.b = scope.__enter__()
        self.addCleanup(scope.__exit__, None, None, None)
        for device in (self.a, self.b):
            device.start()

    def post(self, device: Device, path: str, body: dict) -> dict:
        status, content = device.curl(path, body)
        self.assertLess(status, 300, content)
        return json.loads(content)

    def applicant(self, invite: str) -> dict | None:
        _, content = self.a.curl("/api/v1/invites")
        return next((each["applicant"] for each in json.loads(content)["invites"] if each["id"] == invite), None)

    def join_by_code(self, lets_in: bool = True):
        """b types the code that a shows, and a person on a decides; what b was told, and when it was decided."""
        invite = self.post(self.a, "/api/v1/invites", {})
        told = []
        typed = f"{invite['code'][:3]}-{invite['code'][3:]}"
        joining = threading.Thread(
            target=lambda: told.append((self.b.plexus("join", typed, check=False), time.monotonic())))
        joining.start()
        applicant = eventually(lambda: self.applicant(invite["id"]))
        self.assertEqual(applicant["name"], "b")
        self.assertIn(self.places["b"][1], applicant["address"])
        decided = time.monotonic()
        self.post(self.a, f"/api/v1/invites/{invite['id']}", {"device": applicant["id"], "let_in": lets_in})
        joining.join()
        done, ended = told[0]
        return done, ended - decided

    def test_six_digits_and_a_yes_join_two_devices_that_know_no_address_of_each_other(self):
        done, seconds = self.join_by_code()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertLess(seconds, JOIN_SECONDS)
        print(f"joined by code {seconds:.2f} s after the yes")
        for device in (self.a, self.b):
            eventually(lambda: states(device) == {"a": "ready", "b": "ready"})

    def test_a_no_keeps_a_device_out(self):
        done, _ = self.join_by_code(lets_in=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("told not to let this one in", done.stderr)
        self.assertEqual(states(self.a), {"a": "ready"})

    def test_wrong_digits_are_counted(self):
        code = self.post(self.a, "/api/v1/invites", {})["code"]
        wrong = f"{(int(code) + 1) % 1_000_000:06}"
        for words in ("tries left: 2", "tries left: 1", "worth nothing any more"):
            done = self.b.plexus("join", wrong, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(words, done.stderr)
        self.assertIn("no device on this network shows a code", self.b.plexus("join", code, check=False).stderr)
        self.assertEqual(states(self.a), {"a": "ready"})

    def test_a_device_whose_address_has_changed_is_found_at_its_new_one(self):
        self.join_by_code()
        eventually(lambda: states(self.a) == {"a": "ready", "b": "ready"})
        space = self.places["b"][0]
        self.b.kill()
        for home in (self.a.home, self.b.home):
            for file in pathlib.Path(home).rglob("addresses"):
                file.unlink()
        run("ip", "-n", space, "addr", "del", f"{self.places['b'][1]}/24", "dev", "eth0")
        run("ip", "-n", space, "addr", "add", "10.77.0.99/24", "dev", "eth0")
        eventually(lambda: states(self.a)["b"] == "away")
        self.b.start()
        began = time.monotonic()
        for device in (self.a, self.b):
            eventually(lambda: states(device) == {"a": "ready", "b": "ready"}, FIND_SECONDS)
        print(f"together again {time.monotonic() - began:.2f} s after its start")

    def test_a_network_that_comes_back_is_used_at_once(self):
        self.join_by_code()
        space = self.places["b"][0]
        run("ip", "-n", space, "link", "set", "eth0", "down")
        self.b.kill()
        self.b.start()
        eventually(lambda: states(self.b)["a"] == "away")
        time.sleep(5)  # the pauses between tries have grown
        run("ip", "-n", space, "link", "set", "eth0", "up")
        began = time.monotonic()
        eventually(lambda: states(self.b)["a"] == "ready", FIND_SECONDS)
        print(f"together again {time.monotonic() - began:.2f} s after the network")

    def test_a_revoked_device_is_out_at_once(self):
        self.join_by_code()
        eventually(lambda: states(self.b) == {"a": "ready", "b": "ready"})
        self.assertIn("needs your yes", self.a.plexus("device", "revoke", "b", check=False).stderr)
        self.assertIn("cannot take itself out", self.a.plexus("device", "revoke", "a", "--yes", check=False).stderr)
        self.assertNotEqual(self.b.plexus("device", "revoke", "a", "--yes", check=False).returncode, 0)
        began = time.monotonic()
        self.a.plexus("device", "revoke", "b", "--yes")
        eventually(lambda: states(self.b).get("a") != "ready", 1)
        print(f"out after {time.monotonic() - began:.2f} s")
        self.assertEqual(states(self.a), {"a": "ready"})


if __name__ == "__main__":
    unittest.main()
