"""Engines that compute on a GPU by Vulkan, on Mesa's software device: answers, what is shown, walls, and ends."""
import contextlib
import json
import os
import pathlib
import re
import signal
import stat
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from mesh_testing import DEFAULT_MODEL, PROGRAMS, devices  # noqa: E402

SOFTWARE = "llvmpipe"
LAYERS = 31  # of the default model, the output counted
QUESTION = "What is the capital of France?"


@contextlib.contextmanager
def device_with(gpu: str | None, **settings: str):
    """A device with this engine.gpu that holds the default model."""
    # The software device waits between its threads as the processor's do: two, for a machine of two cores.
    wanted = {"PLEXUS_ENGINE_CONTEXT": "512", "PLEXUS_ENGINE_SLOTS": "1", "PLEXUS_ENGINE_THREADS": "2"} | settings
    with devices("solo", settings=wanted | ({"PLEXUS_ENGINE_GPU": gpu} if gpu else {})) as (device,):
        device.start()
        device.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")
        yield device


def eventually(read, found) -> dict:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        value = read()
        if found(value):
            return value
        time.sleep(0.05)
    raise AssertionError(f"it never came: {value}")


def sandbox_of(device) -> dict:
    """The object of the status, once the first test is over."""
    return eventually(lambda: device.json("status")["sandbox"], lambda sandbox: sandbox["grade"] or sandbox["reason"])


def checks_of(device) -> dict:
    done = device.plexus("doctor", "--json", check=False)
    return {check["name"]: check for check in json.loads(done.stdout)["data"]["checks"]}


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


class OnTheSoftwareDevice(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = device_with(SOFTWARE)
        cls.device = cls.scope.__enter__()
        cls.addClassCleanup(cls.scope.__exit__, None, None, None)

    def test_every_layer_is_on_it_and_the_answer_is_that_of_the_processor(self):
        sensible = self.device.chat(QUESTION, max_tokens=24)
        on_gpu = self.device.chat("Name three colours", max_tokens=16)
        engine = self.device.json("model", "load", "tiny")
        with device_with("none") as other:
            on_processor = other.chat("Name three colours", max_tokens=16)

        self.assertEqual(engine["backend"], "Vulkan")
        self.assertIn(SOFTWARE, engine["gpu"])
        self.assertEqual(engine["gpu_layers"], LAYERS)
        self.assertGreater(engine["gpu_bytes"], 80_000_000)
        self.assertIn("Paris", sensible)
        # The processor computes with rounded numbers, which tips close choices: of this answer none among the first words.
        self.assertEqual(words(on_gpu)[:8], words(on_processor)[:8])

    def test_grade_doors_and_device_are_shown_everywhere(self):
        self.device.plexus("model", "load", "tiny")
        status = self.device.json("status")
        checks = checks_of(self.device)
        shown = self.device.plexus("status").stdout
        listed = self.device.plexus("model", "ps").stdout
        _, metrics = self.device.curl("/metrics")

        self.assertEqual(status["sandbox"]["grade"], "B")
        self.assertEqual(status["sandbox"]["doors"], ["new-code"])
        self.assertLessEqual(set(status["sandbox"]["missing"]), {"group"})
        self.assertGreaterEqual(status["sandbox"]["probes"], 100)
        self.assertEqual(status["computing"]["backend"], "vulkan")
        self.assertIn(SOFTWARE, status["computing"]["gpu"])
        self.assertIn("Sandbox of grade B", shown)
        self.assertRegex(shown, f"Computed on {SOFTWARE}.*vulkan")
        self.assertRegex(listed, rf"{SOFTWARE}.*{LAYERS} layers")
        self.assertTrue(checks["sandbox"]["good"] and checks["gpu"]["good"])
        self.assertIn("grade B", checks["sandbox"]["text"])
        self.assertIn("new-code", checks["sandbox"]["text"])
        self.assertRegex(checks["gpu"]["text"], f"vulkan is built in; models are computed on {SOFTWARE}")
        self.assertIn('plexus_sandbox_grade{grade="B"} 1', metrics)

    def test_a_killed_engine_is_started_again(self):
        self.assertTrue(self.device.chat(QUESTION, max_tokens=4))
        (engine,) = self.device.engines()

        os.kill(engine, signal.SIGKILL)
        eventually(self.device.engines, lambda engines: engine not in engines)

        self.assertIn("Paris", self.device.chat(QUESTION, max_tokens=24))
        self.assertNotIn(engine, self.device.engines())
        self.assertEqual(sandbox_of(self.device)["grade"], "B")

    def test_what_it_needs_of_the_main_memory_is_counted(self):
        engine = self.device.json("model", "load", "tiny")
        self.device.chat(QUESTION, max_tokens=4)
        engine = self.device.json("model", "ps")["engines"][0]

        self.assertGreater(engine["predicted_bytes"], engine["gpu_bytes"])
        self.assertGreater(engine["used_bytes"], engine["weights_bytes"])


class OtherChoices(unittest.TestCase):
    def check_processor(self, gpu: str | None) -> dict:
        with device_with(gpu) as device:
            self.assertTrue(device.chat(QUESTION, max_tokens=4))
            engine = device.json("model", "load", "tiny")
            status = device.json("status")
            checks = checks_of(device)

        self.assertEqual(sorted(status["sandbox"]["doors"]), [])
        self.assertEqual(status["sandbox"]["grade"], "A")
        self.assertIsNone(engine["gpu"])
        self.assertEqual((engine["backend"], engine["gpu_layers"], engine["gpu_bytes"]), ("CPU", 0, 0))
        self.assertIsNone(status["computing"]["gpu"])
        return checks["gpu"]

    def test_none_is_grade_a(self):
        check = self.check_processor("none")

        self.assertTrue(check["good"])

    def test_a_software_device_is_not_used_unless_it_is_named(self):
        check = self.check_processor(None)

        self.assertTrue(check["good"])
        self.assertRegex(check["text"], rf"computed on the processor; here: .*{SOFTWARE}.*\(software")

    def test_a_device_that_is_not_there_is_told_of_and_the_processor_computes(self):
        check = self.check_processor("no such card")

        self.assertFalse(check["good"])
        self.assertIn("there is no GPU no such card here", check["text"])

    def test_some_layers_can_stay_on_the_processor(self):
        with device_with(SOFTWARE, PLEXUS_ENGINE_GPU_LAYERS="10") as device:
            answer = device.chat(QUESTION, max_tokens=24)
            engine = device.json("model", "load", "tiny")

        self.assertEqual(engine["gpu_layers"], 10)
        self.assertIn("Paris", answer)


class Walls(unittest.TestCase):
    WRAPPER = '#!/bin/sh\nexec "{engine}" "$@" --without-layer {layer}\n'

    def test_with_a_wall_left_out_no_engine_starts_on_the_gpu(self):
        for layer in ("root", "landlock", "seccomp", "capabilities"):
            with self.subTest(layer=layer), devices("solo", settings={"PLEXUS_ENGINE_GPU": SOFTWARE}) as (device,):
                wrapper = device.home / "engine"
                wrapper.write_text(self.WRAPPER.format(engine=PROGRAMS / "plexus-engine", layer=layer))
                wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
                device.environment["PLEXUS_ENGINE_PROGRAM"] = str(wrapper)
                device.start()
                device.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")

                sandbox = sandbox_of(device)
                status, _ = device.curl("/v1/chat/completions",
                                        {"model": "tiny", "messages": [{"role": "user", "content": QUESTION}]})

                self.assertIsNone(sandbox["grade"])
                self.assertIn(f'the wall "{layer}" is open', sandbox["reason"])
                self.assertEqual(status, 503)


if __name__ == "__main__":
    unittest.main()
