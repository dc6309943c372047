"""Several models on one device under a limit of memory: what is loaded, what has to go, what is refused."""
import json
import os
import pathlib
import re
import threading
import unittest

from mesh_testing import DEFAULT_MODEL, devices

CONTEXT, SLOTS = 1024, 2
# One thread an engine: those of two engines would wait for each other on a machine with other work.
SETTINGS = {"PLEXUS_ENGINE_CONTEXT": str(CONTEXT), "PLEXUS_ENGINE_SLOTS": str(SLOTS)}
SANITIZED = os.environ.get("PLEXUS_SANITIZED") == "1"  # shadow memory is no measure


def variant(folder: pathlib.Path, number: int) -> str:
    """The default model with another letter in its name: the same weights, another digest."""
    content = bytearray(pathlib.Path(DEFAULT_MODEL).read_bytes())
    at = content.index(b"general.name") + len(b"general.name") + 4 + 8
    content[at] = ord("A") + number
    file = folder / f"variant{number}.gguf"
    file.write_bytes(content)
    return str(file)


class Memory(unittest.TestCase):
    def device(self, names=("one", "two", "three"), **settings):
        scope = devices("small", settings=SETTINGS | settings)
        (device,) = scope.__enter__()
        self.addCleanup(scope.__exit__, None, None, None)
        device.start()
        for number, name in enumerate(names):
            device.plexus("model", "import", variant(device.home, number), "--name", name)
        return device

    def need(self) -> int:
        """Bytes that one of the models is predicted to need."""
        device = self.device(("one",))
        return device.json("model", "load", "one")["predicted_bytes"]

    def names(self, device) -> list[str]:
        return [engine["model"] for engine in device.json("model", "ps")["engines"]]

    def restart(self, device, **settings):
        device.stop()
        device.environment |= settings
        device.start()

    def test_two_answer_at_once_a_third_ends_the_least_used_and_pinned_ones_stay(self):
        device = self.device()
        need = device.json("model", "load", "one")["predicted_bytes"]
        self.restart(device, PLEXUS_ENGINE_MEMORY_MB=str(int(need * 2.5 / 1e6)))

        answers = {}
        threads = [threading.Thread(target=lambda name=name: answers.update(
            {name: device.chat("Name three colours", model=name, max_tokens=24)})) for name in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers["one"], answers["two"])
        self.assertGreater(len(answers["one"]), 10)
        self.assertEqual(self.names(device), ["one", "two"])
        if not SANITIZED:
            for engine in device.json("model", "ps")["engines"]:
                with self.subTest(engine=engine):
                    self.assertLess(abs(engine["used_of_predicted"] - 1), 0.1)
                    self.assertEqual(engine["reduced"], False)

        device.chat("Hello", model="one", max_tokens=4)
        device.chat("Hello", model="three", max_tokens=4)
        self.assertEqual(self.names(device), ["one", "three"])

        self.assertTrue(device.json("model", "pin", "one")["pinned"])
        device.chat("Hello", model="two", max_tokens=4)
        device.chat("Hello", model="three", max_tokens=4)
        self.assertEqual(self.names(device), ["one", "three"])

        self.restart(device)
        device.chat("Hello", model="two", max_tokens=4)
        device.chat("Hello", model="three", max_tokens=4)
        self.assertEqual(self.names(device), ["one", "three"])
        self.assertTrue(device.json("model", "ps")["engines"][0]["pinned"])
        self.assertIn("plexus_engine_used_of_predicted{model=\"one\"}", device.curl("/metrics")[1])

    def test_what_does_not_fit_gets_less_or_is_refused_with_both_numbers(self):
        device = self.device(("one",), PLEXUS_ENGINE_CONTEXT="8192", PLEXUS_ENGINE_SLOTS="4",
                             PLEXUS_ENGINE_MEMORY_MB="400")
        reduced = device.json("model", "load", "one")
        self.assertTrue(reduced["reduced"])
        self.assertEqual(reduced["slots"], 1)
        self.assertLess(reduced["context"], 8192 + 1)
        self.assertIn("less, memory is short", device.plexus("model", "ps").stdout)

        self.restart(device, PLEXUS_ENGINE_MEMORY_MB="100")
        refused = device.plexus("model", "load", "one", check=False)
        self.assertEqual(refused.returncode, 6, refused.stderr)
        self.assertRegex(refused.stderr, r"needs 1\d\d MB of memory, 100 MB can be had")
        self.assertIn("next:", refused.stderr)
        status, content = device.curl("/v1/chat/completions",
                                      {"model": "one", "messages": [{"role": "user", "content": "x"}]})
        self.assertEqual(status, 503)
        self.assertIn("can be had", json.loads(content)["error"]["message"])

    def told_contexts(self, device) -> dict[str, int]:
        """Every place that tells how long a question may be."""
        (openai,) = json.loads(device.curl("/v1/models")[1])["data"]
        (listed,) = device.json("model", "ls")
        shown = json.loads(device.curl("/api/show", {"model": "one"})[1])["model_info"]["llama.context_length"]
        codex = re.search(r"model_context_window = (\d+)", device.plexus("connect", "codex", "--print").stdout)
        return {"/v1/models": openai["context_length"], "model ls": listed["context_length"],
                "model show": device.json("model", "show", "one")["context_length"],
                "model plan": device.json("model", "plan", "one")["context"], "/api/show": shown,
                "connect": int(codex.group(1))}

    def refused_length(self, device) -> int:
        question = {"model": "one", "messages": [{"role": "user", "content": "one " * 9000}]}
        status, content = device.curl("/v1/chat/completions", question)
        error = json.loads(content)["error"]
        self.assertEqual((status, error["code"]), (400, "context_length_exceeded"))
        return int(re.search(r"the context holds (\d+)", error["message"]).group(1))

    def test_an_open_context_is_the_trained_one_or_what_memory_allows_and_is_told_alike_everywhere(self):
        device = self.device(("one",), PLEXUS_ENGINE_CONTEXT="auto", PLEXUS_ENGINE_SLOTS="auto")
        self.assertEqual(set(self.told_contexts(device).values()), {8192}, self.told_contexts(device))
        whole = device.json("model", "load", "one")
        self.assertEqual((whole["context"], whole["slots"], whole["reduced"]), (8192, 2, False))
        if not SANITIZED:
            device.chat("Hello", model="one", max_tokens=4)
            (engine,) = device.json("model", "ps")["engines"]
            self.assertLess(abs(engine["used_of_predicted"] - 1), 0.1)
        self.assertEqual(self.refused_length(device), 8192)

        self.restart(device, PLEXUS_ENGINE_MEMORY_MB="300")
        self.assertEqual(set(self.told_contexts(device).values()), {4096}, self.told_contexts(device))
        less = device.json("model", "load", "one")
        self.assertEqual((less["context"], less["slots"], less["reduced"]), (4096, 1, True))
        self.assertEqual(set(self.told_contexts(device).values()), {4096}, self.told_contexts(device))
        self.assertEqual(json.loads(device.curl("/api/ps")[1])["models"][0]["context_length"], 4096)
        self.assertEqual(self.refused_length(device), 4096)

    def test_a_third_model_waits_for_busy_ones(self):
        need = self.need()
        device = self.device(("one", "two"), PLEXUS_ENGINE_MEMORY_MB=str(int(need * 1.5 / 1e6)))
        long = threading.Thread(target=lambda: device.chat("Count", model="one", max_tokens=60, ignore_eos=True))
        device.json("model", "load", "one")
        long.start()
        while not any(engine["busy"] for engine in device.json("model", "ps")["engines"]):
            pass

        answer = device.chat("Name three colours", model="two", max_tokens=8)

        self.assertGreater(len(answer), 0)
        long.join()
        self.assertEqual(self.names(device), ["two"])

    def test_loading_unloading_and_names_that_are_not_there(self):
        device = self.device(("one",))
        self.assertEqual(device.plexus("model", "load", "nope", check=False).returncode, 4)
        self.assertEqual(device.plexus("model", "unload", "one", check=False).returncode, 4)
        device.plexus("model", "load", "one")
        self.assertEqual(device.json("model", "unload", "one")["model"], "one")
        self.assertEqual(self.names(device), [])

    def test_a_model_that_vanishes_from_the_disk_is_a_typed_error(self):
        device = self.device(("one",))
        (blob,) = (device.home / "data/models/sha256").rglob("*.gguf")
        blob.unlink()

        failed = device.plexus("model", "load", "one", check=False)
        status, _ = device.curl("/v1/chat/completions", {"model": "one", "messages": [{"role": "user", "content": "x"}]})

        self.assertEqual((failed.returncode, status), (6, 503))
        self.assertIn("import it again", failed.stderr)

    def test_the_bench_measures_and_feeds_the_catalog(self):
        device = self.device(("one",))
        (measured,) = device.json("bench", "model", "one")
        self.assertGreater(measured["decode_per_second"], 1)
        self.assertGreater(measured["prefill_per_second"], measured["decode_per_second"])


if __name__ == "__main__":
    unittest.main()
