"""What people see of the walls around engines, on systems that refuse some, and with models that want out."""
import contextlib
import json
import pathlib
import subprocess
import tempfile
import time
import unittest

from mesh_testing import DEFAULT_MODEL, PROGRAMS, devices
from tool_model import write_tool_model

ALLOWED = {"PLEXUS_ENGINE_ALLOW_WEAK_SANDBOX": "true"}


def in_user_namespace(first: str) -> list[str]:
    """Runs a command in a user namespace in which `first` was done: limits that are set there hold for it alone."""
    return ["unshare", "--user", "--map-root-user", "sh", "-c", f'{first}; exec "$@"', "sh"]


REFUSES_USERS = in_user_namespace("echo 0 >/proc/sys/user/max_user_namespaces")
REFUSES_ALL = in_user_namespace("for each in user mnt pid net ipc uts cgroup; do "
                                "echo 0 >/proc/sys/user/max_${each}_namespaces; done")


@contextlib.contextmanager
def device_on(system: list[str], settings: dict | None = None):
    """A device whose daemon runs on such a system."""
    with devices("solo", settings=settings) as (device,):
        device.prefix = system
        device.start()
        device.prefix = []
        device.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")
        yield device


def sandbox_of(device) -> dict:
    """The object of the status, once the first test is over."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        sandbox = device.json("status")["sandbox"]
        if sandbox["grade"] or sandbox["reason"]:
            return sandbox
        time.sleep(0.05)
    raise AssertionError("the sandbox was never tested")


def check_of(device, name: str) -> dict:
    done = device.plexus("doctor", "--json", check=False)
    checks = json.loads(done.stdout)["data"]["checks"]
    return next(check for check in checks if check["name"] == name)


class Walls(unittest.TestCase):
    def test_grade_walls_and_attempts_are_shown_without_a_model(self):
        with devices("solo") as (device,):
            device.start()

            sandbox = sandbox_of(device)
            check = check_of(device, "sandbox")
            _, metrics = device.curl("/metrics")

        self.assertEqual(sandbox["grade"], "A")
        self.assertGreaterEqual(sandbox["probes"], 100)
        self.assertLessEqual({"root", "landlock", "seccomp", "mount-namespace"}, set(sandbox["walls"]))
        self.assertLessEqual(set(sandbox["missing"]), {"group"})
        self.assertTrue(check["good"])
        self.assertIn("grade A", check["text"])
        self.assertIn('plexus_sandbox_grade{grade="A"} 1', metrics)

    def test_a_system_without_user_namespaces_runs_no_engine_and_doctor_says_why(self):
        with device_on(REFUSES_USERS) as device:
            sandbox = sandbox_of(device)
            check = check_of(device, "sandbox")
            status, _ = device.curl("/v1/chat/completions", {"model": "tiny", "messages": [
                {"role": "user", "content": "Hello"}]})

        self.assertIsNone(sandbox["grade"])
        self.assertFalse(check["good"])
        self.assertIn("namespaces", check["text"])
        self.assertIn("engine.allow_weak_sandbox", check["next"])
        self.assertEqual(status, 503)

    def test_with_the_owners_word_it_runs_engines_of_grade_c_and_says_so_everywhere(self):
        for system, least, most in ((REFUSES_USERS, {"user-namespace"}, {"user-namespace", "group"}),
                                    (REFUSES_ALL, {"user-namespace", "mount-namespace", "network-namespace", "root"},
                                     {"user-namespace", "mount-namespace", "process-namespace", "network-namespace",
                                      "ipc-namespace", "name-namespace", "group-namespace", "root", "group"})):
            with self.subTest(system=system[-2]), device_on(system, ALLOWED) as device:
                answer = device.chat("Name a colour", max_tokens=4)
                sandbox = sandbox_of(device)
                check = check_of(device, "sandbox")
                shown = device.plexus("status").stdout
                _, metrics = device.curl("/metrics")
                log = device.log.read_text()

                self.assertTrue(answer)
                self.assertEqual(sandbox["grade"], "C")
                self.assertLessEqual(least, set(sandbox["missing"]))
                self.assertLessEqual(set(sandbox["missing"]), most)
                self.assertIn("grade C", check["text"])
                self.assertIn("Sandbox of grade C: without user-namespace", shown)
                self.assertIn("user-namespace", check["text"])
                self.assertIn('plexus_sandbox_grade{grade="C"} 1', metrics)
                self.assertIn("engines run without walls", log)


class HostileModels(unittest.TestCase):
    """Templates run in the engine: whatever they do, the daemon goes on."""

    TEMPLATES = {
        "that is no template": "{% for %}{{",
        "that makes more than any context holds": "{% set x = namespace(t='word ') %}{% for i in range(13) %}"
                                                  "{% set x.t = x.t ~ x.t %}{% endfor %}{{ x.t }}",
        "that asks for a file": "{% include '/etc/passwd' %}{{ open('/etc/passwd').read() }}",
        "that climbs out of its language": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "that calls itself without end": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    }

    def test_a_hostile_template_harms_its_own_answer_only(self):
        settings = {"PLEXUS_ENGINE_CONTEXT": "512"}
        with devices("solo", settings=settings) as (device,), tempfile.TemporaryDirectory() as folder:
            device.start()
            device.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")
            daemon = device.process.pid
            for number, (what, template) in enumerate(self.TEMPLATES.items()):
                with self.subTest(template=what):
                    file = pathlib.Path(folder) / f"hostile{number}.gguf"
                    write_tool_model(DEFAULT_MODEL, file, template)
                    device.plexus("model", "import", str(file), "--name", f"hostile{number}", check=False)
                    body = {"model": f"hostile{number}", "max_tokens": 4,
                            "messages": [{"role": "user", "content": "Hello"}]}

                    status, content = device.curl("/v1/chat/completions", body, timeout=90)

                    self.assertNotIn("root:", content)
                    self.assertTrue(status == 200 or "error" in content, f"{status} {content}")
                    self.assertIsNone(device.process.poll())
                    self.assertEqual(device.process.pid, daemon)
            self.assertTrue(device.chat("Name a colour", max_tokens=4))

    def test_nothing_that_reads_templates_or_grammars_is_linked_into_the_daemon(self):
        def names(program: str) -> str:
            return subprocess.run(["nm", "--defined-only", "--demangle", str(PROGRAMS / program)], check=True,
                                  capture_output=True, text=True).stdout

        for program in ("plexusd", "plexus"):
            self.assertNotRegex(names(program), r"\b(llama_|ggml_|gguf_init|jinja|common_chat)")
        self.assertRegex(names("plexus-engine"), r"\bllama_model_load")


if __name__ == "__main__":
    unittest.main()
