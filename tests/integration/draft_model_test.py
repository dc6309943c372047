"""A draft model guesses tokens for a model: the same answers, counted guesses, its memory, and who may not guess."""
import json
import os
import threading
import unittest

import draft_models
from mesh_testing import SoloDevice, devices

SANITIZED = os.environ.get("PLEXUS_SANITIZED") == "1"  # shadow memory is no measure
QUESTIONS = ("Count from one to twelve in words.", "Write a short poem about the sea.", "What is a lighthouse for?")


class DraftModel(SoloDevice):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, write in (("twin", draft_models.write_twin), ("stranger", draft_models.write_stranger),
                            ("small", lambda file: draft_models.write_small(file, 12))):
            file = cls.device.home / f"{name}.gguf"
            write(file)
            cls.device.plexus("model", "import", str(file), "--name", name)
            file.unlink()

    def setUp(self):
        self.device.plexus("model", "draft", "tiny", "none")

    def answer(self, question: str, **fields) -> tuple[str, dict]:
        body = {"model": "tiny", "temperature": 0, "max_tokens": 64, "messages": [{"role": "user", "content": question}]}
        status, content = self.device.curl("/v1/chat/completions", body | fields)
        self.assertEqual(status, 200, content)
        answer = json.loads(content)
        return answer["choices"][0]["message"]["content"], answer["timings"]

    def engine(self) -> dict:
        return next(each for each in self.device.json("model", "ps")["engines"] if each["model"] == "tiny")

    def test_answers_are_the_same_and_right_guesses_are_counted(self):
        plain = [self.answer(question) for question in QUESTIONS]
        for draft, least in (("twin", 0.9), ("small", 0)):
            with self.subTest(draft=draft):
                engine = self.device.json("model", "draft", "tiny", draft)
                self.assertEqual((engine["model"], engine["draft"], engine["drafted_tokens"]), ("tiny", draft, 0))
                guessed = [self.answer(question) for question in QUESTIONS]
                self.assertEqual([text for text, _ in guessed], [text for text, _ in plain])
                counted = [sum(timings.get(key, 0) for _, timings in guessed) for key in ("draft_n", "draft_n_accepted")]
                self.assertGreater(counted[0], 0)
                self.assertGreaterEqual(counted[1], least * counted[0])
                engine = self.engine()
                self.assertEqual([engine["drafted_tokens"], engine["accepted_tokens"]], counted)
                self.assertIn(f'plexus_engine_accepted_tokens_total{{model="tiny"}} {counted[1]}',
                              self.device.curl("/metrics")[1])
                self.assertIn(draft, self.device.plexus("model", "ps").stdout)
        self.assertTrue(all("draft_n" not in timings for _, timings in plain))

    def test_several_answers_at_the_same_time_stay_apart(self):
        self.device.plexus("model", "draft", "tiny", "twin")
        body = {"temperature": 0, "max_tokens": 32}
        alone = [self.answer(question, **body)[0] for question in QUESTIONS]
        told = {}
        threads = [threading.Thread(target=lambda each=each: told.update({each: self.answer(each, **body)[0]}))
                   for each in QUESTIONS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([told[question] for question in QUESTIONS], alone)

    @unittest.skipIf(SANITIZED, "shadow memory is no measure")
    def test_its_memory_is_counted_before_it_is_loaded_and_told_alike(self):
        alone = self.device.json("model", "plan", "tiny")["total_bytes"]
        self.device.plexus("model", "draft", "tiny", "small")
        both = self.device.json("model", "plan", "tiny")["total_bytes"]
        self.assertGreater(both, alone + 50e6)
        self.answer(QUESTIONS[0])
        engine = self.engine()
        self.assertEqual(engine["predicted_bytes"], both)
        self.assertLess(abs(engine["used_of_predicted"] - 1), 0.1, engine)

    def test_the_walls_around_both_files_are_those_around_one(self):
        before = self.device.json("status")["sandbox"]
        self.device.plexus("model", "draft", "tiny", "small")
        after = self.device.json("status")["sandbox"]
        self.assertEqual((after["grade"], after["walls"], after["probes"]),
                         (before["grade"], before["walls"], before["probes"]))

    def test_who_has_another_vocabulary_may_not_guess_and_all_stays_as_it_was(self):
        self.device.plexus("model", "draft", "tiny", "twin")
        for draft, exit_code, why in (("stranger", 6, r"another vocabulary: token \d+ is \".*@.*\" in it"),
                                      ("tiny", 1, "cannot guess for itself"), ("nobody", 4, "no model nobody")):
            with self.subTest(draft=draft):
                refused = self.device.plexus("model", "draft", "tiny", draft, check=False)
                self.assertEqual(refused.returncode, exit_code, refused.stderr)
                self.assertRegex(refused.stderr, why)
                self.assertEqual(self.device.json("model", "show", "tiny")["draft"], "twin")
        self.assertTrue(self.answer(QUESTIONS[0])[0])
        self.assertEqual(self.engine()["draft"], "twin")


class KeptDraft(unittest.TestCase):
    def test_it_is_kept_over_a_restart_and_forgotten_with_its_file(self):
        with devices("kept") as (device,):
            device.start()
            device.plexus("model", "import", draft_models.DEFAULT_MODEL, "--name", "tiny")
            draft_models.write_small(device.home / "small.gguf", 12)
            device.plexus("model", "import", str(device.home / "small.gguf"))
            self.assertIsNone(device.json("model", "show", "tiny")["draft"])
            device.plexus("model", "draft", "tiny", "small")
            device.stop()
            device.start()
            self.assertEqual(device.json("model", "show", "tiny")["draft"], "small")
            self.assertEqual(device.json("model", "load", "tiny")["draft"], "small")
            device.plexus("model", "unload", "tiny")
            device.plexus("model", "rm", "small", "--yes")
            self.assertIsNone(device.json("model", "show", "tiny")["draft"])
            self.assertIsNone(device.json("model", "load", "tiny")["draft"])


if __name__ == "__main__":
    unittest.main()
