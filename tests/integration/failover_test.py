"""Answers that go on when what gives them is lost: three devices in namespaces, one asks, two hold the model.

PLEXUS_FAILOVER_ALL=1 kills at each of the first 64 pieces in each dialect; without, at every sixteenth.
"""
import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from mesh_testing import DEFAULT_MODEL, Device, devices, network, run
from tool_model import WEATHER, write_tool_model

QUESTION = "Tell a long story about a fox and a bear"
LENGTH = 64  # tokens that are said again for the same words; a slower client learns of more than it has counted
SAME_EACH_TIME = {"PLEXUS_ENGINE_SLOTS": "1", "PLEXUS_ENGINE_PROMPT_CACHE": "false"}
CUTS = range(1, 64, 1 if os.environ.get("PLEXUS_FAILOVER_ALL") == "1" else 16)


class Stream:
    """An answer as it comes, line by line, asked in the namespace of the device."""

    def __init__(self, device: Device, path: str, body: dict):
        self.process = subprocess.Popen(
            [*device.prefix, "curl", "--silent", "--include", "--no-buffer", "--max-time", "60", f"http://127.0.0.1:{device.port}{path}",
             "--header", f"Authorization: Bearer {device.token}", "--header", "Content-Type: application/json",
             "--header", "anthropic-version: 2023-06-01", "--data-binary", json.dumps(body)], stdout=subprocess.PIPE, text=True)
        self.executor = ""

    def __iter__(self):
        assert self.process.stdout is not None
        with self.process:
            for line in self.process.stdout:
                line = line.rstrip("\r\n")
                if line.lower().startswith("plexus-route: "):
                    self.executor = line.split()[1]
                yield line


def events_of(lines):
    for line in lines:
        if line.startswith("data: ") and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))


class Chat:
    path = "/v1/chat/completions"

    @staticmethod
    def body(length: int = LENGTH):
        return {"model": "tiny", "temperature": 0, "max_tokens": length, "stream": True, "stream_options": {"include_usage": True},
                "messages": [{"role": "user", "content": QUESTION}]}

    @staticmethod
    def piece(line):
        chunk = next(events_of([line]), {})
        return "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices", []))

    @staticmethod
    def end(lines):
        """What the stream tells beside the text, once it is well-formed."""
        chunks = list(events_of(lines))
        assert lines[-1] == "data: [DONE]" or lines[-2] == "data: [DONE]", lines[-3:]
        assert len({chunk["id"] for chunk in chunks}) == 1, {chunk["id"] for chunk in chunks}
        roles = [chunk for chunk in chunks for choice in chunk["choices"] if choice["delta"].get("role")]
        reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice.get("finish_reason")]
        usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
        assert len(roles) == 1 and len(usages) == 1, (roles, usages)
        return reasons, usages[0]["prompt_tokens"], usages[0]["completion_tokens"]


class Responses:
    path = "/v1/responses"

    @staticmethod
    def body(length: int = LENGTH):
        return {"model": "tiny", "temperature": 0, "max_output_tokens": length, "stream": True, "input": QUESTION}

    @staticmethod
    def piece(line):
        event = next(events_of([line]), {"type": ""})
        return event["delta"] if event["type"] == "response.output_text.delta" else ""

    @staticmethod
    def end(lines):
        events = list(events_of(lines))
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        kinds = [event["type"] for event in events]
        assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done") == 1, kinds
        last = events[-1]["response"]
        (done,) = [event["text"] for event in events if event["type"] == "response.output_text.done"]
        assert done == "".join(map(Responses.piece, lines))
        return kinds[-1], last["usage"]["input_tokens"], last["usage"]["output_tokens"]


class Messages:
    path = "/v1/messages"

    @staticmethod
    def body(length: int = LENGTH):
        return {"model": "tiny", "temperature": 0, "max_tokens": length, "stream": True,
                "messages": [{"role": "user", "content": QUESTION}]}

    @staticmethod
    def piece(line):
        event = next(events_of([line]), {"type": ""})
        return event["delta"].get("text", "") if event["type"] == "content_block_delta" else ""

    @staticmethod
    def end(lines):
        kinds = [event["type"] for event in events_of(lines) if event["type"] not in ("content_block_delta", "ping")]
        assert kinds == ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"], kinds
        (last,) = [event for event in events_of(lines) if event["type"] == "message_delta"]
        return last["delta"]["stop_reason"], last["usage"]["output_tokens"]


class Ollama:
    path = "/api/chat"

    @staticmethod
    def body(length: int = LENGTH):
        return {"model": "tiny", "stream": True, "options": {"temperature": 0, "num_predict": length},
                "messages": [{"role": "user", "content": QUESTION}]}

    @staticmethod
    def piece(line):
        return json.loads(line)["message"]["content"] if line.startswith("{") else ""

    @staticmethod
    def end(lines):
        told = [json.loads(line) for line in lines if line.startswith("{")]
        assert [each["done"] for each in told] == [False] * (len(told) - 1) + [True]
        return told[-1]["done_reason"], told[-1]["prompt_eval_count"], told[-1]["eval_count"]


DIALECTS = (Chat, Responses, Messages, Ollama)


@unittest.skipUnless(os.geteuid() == 0, "network namespaces are made by root")
class ThreeDevices(unittest.TestCase):
    """One that asks, and two that hold the model."""

    @classmethod
    def setUpClass(cls):
        names = ("asker", "left", "right")
        cls.network = network(*names)
        cls.places, _ = cls.network.__enter__()
        cls.addClassCleanup(cls.network.__exit__, None, None, None)
        cls.scope = devices(*names, namespaces={name: place[0] for name, place in cls.places.items()},
                            settings=SAME_EACH_TIME)
        cls.asker, cls.left, cls.right = cls.scope.__enter__()
        cls.addClassCleanup(cls.scope.__exit__, None, None, None)
        cls.executors = {"left": cls.left, "right": cls.right}
        cls.asker.start()
        for device in cls.executors.values():
            device.start()
            device.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")
            device.plexus("join", cls.asker.plexus("invite").stdout.strip())
        cls.whole = {}
        cls.all_are_there()
        for dialect in DIALECTS:
            cls.whole[dialect] = cls.ask(dialect)

    @classmethod
    def all_are_there(cls):
        """Until both executors are seen and have the model in memory."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            states = {each["name"]: each["state"] for each in cls.asker.json("device", "ls")}
            if [states.get(name) for name in cls.executors] == ["ready", "ready"]:
                break
            time.sleep(0.05)
        else:
            raise AssertionError(f"not all devices are there: {states}")
        for device in cls.executors.values():
            device.plexus("model", "load", "tiny")

    @classmethod
    def ask(cls, dialect, cut: int = 0, action=None, body: dict | None = None):
        """Text and end of an answer; behind the piece of that number `action` is called with the name of who answers."""
        stream = Stream(cls.asker, dialect.path, body or dialect.body())
        lines, text, pieces = [], "", 0
        cls.gap = last = 0.0
        for line in stream:
            lines.append(line)
            if not (piece := dialect.piece(line)):
                continue
            now = time.monotonic()
            cls.gap = max(cls.gap, now - last) if last else 0.0
            last = now
            text += piece
            pieces += 1
            if pieces == cut:
                action(stream.executor)
        assert lines and lines[0].startswith("HTTP/1.1 200"), lines
        return text, dialect.end(lines)

    def kill_engine(self, name: str) -> None:
        for engine in self.executors[name].engines():
            with contextlib.suppress(ProcessLookupError):
                os.kill(engine, signal.SIGKILL)

    def kill(self, name: str) -> None:
        self.executors[name].kill()

    def start_again(self, name: str) -> None:
        self.executors[name].start()

    def halt(self, name: str) -> None:
        os.kill(self.executors[name].process.pid, signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        os.kill(self.executors[name].process.pid, signal.SIGCONT)

    def cut_off(self, name: str) -> None:
        run("ip", "-n", self.places[name][0], "link", "set", "eth0", "down")

    def join(self, name: str) -> None:
        space = self.places[name][0]
        run("ip", "-n", space, "link", "set", "eth0", "up")
        run("ip", "-n", space, "route", "replace", "10.77.0.0/24", "dev", "eth0", "congctl", "cubic")


class Failover(ThreeDevices):
    def test_an_engine_that_is_killed_anywhere_changes_no_word_in_any_dialect(self):
        gaps = []
        for dialect in DIALECTS:
            for cut in CUTS:
                with self.subTest(dialect=dialect.__name__, cut=cut):
                    self.assertEqual(self.ask(dialect, cut, self.kill_engine), self.whole[dialect])
                    gaps.append(self.gap)
        gaps.sort()
        print(f"{len(gaps)} kills; the longest wait between two pieces: median {gaps[len(gaps) // 2]:.3f} s, "
              f"95 of 100 {gaps[len(gaps) * 95 // 100]:.3f} s, most {gaps[-1]:.3f} s")

    def test_an_answer_goes_on_when_its_device_is_gone_stopped_or_cut_off(self):
        for harm, mend in ((self.kill, self.start_again), (self.halt, self.go_on), (self.cut_off, self.join)):
            self.all_are_there()
            harmed = []

            def once(name, harm=harm, harmed=harmed):
                harmed.append(name)
                harm(name)

            try:
                answer = self.ask(Chat, 20, once)
            finally:
                mend(harmed[0])
            print(f"{harm.__name__}: the next piece came after {self.gap:.2f} s")
            self.assertEqual(answer, self.whole[Chat])
            self.assertLess(self.gap, 5)
        self.all_are_there()

    def test_two_engines_in_a_row_are_killed(self):
        self.all_are_there()
        other = {"left": "right", "right": "left"}
        first = []

        stream = Stream(self.asker, Chat.path, Chat.body())
        lines, pieces = [], 0
        for line in stream:
            lines.append(line)
            pieces += 1 if Chat.piece(line) else 0
            if pieces == 10 and not first:
                first.append(stream.executor)
                self.kill_engine(first[0])
            if pieces == 30 and len(first) == 1:
                first.append(other[first[0]])
                self.kill_engine(first[1])
        self.assertEqual(("".join(map(Chat.piece, lines)), Chat.end(lines)), self.whole[Chat])
        self.assertEqual(len(first), 2)

    def test_without_another_device_an_answer_ends_with_an_error_that_says_so(self):
        self.all_are_there()
        self.right.stop()
        stream = Stream(self.asker, Chat.path, Chat.body())
        lines, pieces, began = [], 0, 0.0
        for line in stream:
            lines.append(line)
            pieces += 1 if Chat.piece(line) else 0
            if pieces == 10 and not began:
                self.assertEqual(stream.executor, "left")
                self.left.kill()
                began = time.monotonic()
        took = time.monotonic() - began
        for device in self.executors.values():
            device.start()
        text = "\n".join(lines)
        self.assertIn("device_lost", text)
        self.assertIn("no other device could go on", text)
        self.assertNotIn("[DONE]", text)
        self.assertLess(took, 10)

    def test_plexus_ask_shows_where_an_answer_went_on(self):
        self.all_are_there()
        command = self.asker.command("ask", "-m", "tiny", QUESTION, "--temperature", "0", "--max-tokens", str(LENGTH), "--json")
        told = []
        with subprocess.Popen(command, env=self.asker.environment, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                told.append(json.loads(line))
                if len(told) == 10:
                    for name in self.executors:
                        self.kill_engine(name)
        self.assertEqual(process.returncode, 0)
        self.assertEqual([each["type"] for each in told if each["type"] != "chunk"], ["moved", "done"])
        self.assertEqual("".join(each["text"] for each in told if each["type"] == "chunk"), self.whole[Chat][0])

    def test_a_tool_call_that_is_cut_in_two_is_one(self):
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder) / "tools.gguf"
            write_tool_model(DEFAULT_MODEL, model)
            for device in self.executors.values():
                device.plexus("model", "import", str(model), "--name", "calling")
                device.plexus("model", "load", "calling")
            body = Chat.body() | {"model": "calling", "tools": [WEATHER], "tool_choice": "required",
                                  "messages": [{"role": "user", "content": "What is the weather in Oslo?"}]}
            whole = self.call(body)
            self.assertEqual([call["function"]["name"] for call in whole[1]], ["weather"])
            for cut in range(1, whole[0]):
                with self.subTest(cut=cut):
                    self.assertEqual(self.call(body, cut), whole)
            for device in self.executors.values():
                device.plexus("model", "rm", "calling", "--yes")

    def call(self, body: dict, cut: int = 0):
        """How many pieces a call came in, where nothing cut it, and the call itself."""
        stream = Stream(self.asker, Chat.path, body)
        calls: dict = {}
        pieces = ends = 0
        for line in stream:
            for chunk in events_of([line]):
                for choice in chunk["choices"]:
                    ends += 1 if choice.get("finish_reason") == "tool_calls" else 0
                    for delta in choice["delta"].get("tool_calls") or []:
                        self.add_call(calls, delta)
                    pieces += 1 if choice["delta"].get("tool_calls") else 0
                    if pieces == cut and choice["delta"].get("tool_calls"):
                        self.kill_engine(stream.executor)
        self.assertEqual(ends, 1)
        return pieces, [calls[index] for index in sorted(calls)]

    @staticmethod
    def add_call(calls: dict, delta: dict) -> None:
        function = delta.get("function") or {}
        known = calls.setdefault(delta["index"], {"function": {"name": "", "arguments": ""}})
        known["function"]["name"] += function.get("name") or ""
        known["function"]["arguments"] += function.get("arguments") or ""


class Chaos(ThreeDevices):
    """PLEXUS_CHAOS_SECONDS (20) of trouble under load: each request ends with the whole answer or a typed error."""
    SECONDS = float(os.environ.get("PLEXUS_CHAOS_SECONDS", "20"))
    LONGEST_SILENCE = 30
    CLIENTS = 3
    WORDS = 40

    def ask_again_and_again(self, number: int, until: float) -> None:
        chance = random.Random(number)
        while time.monotonic() < until:
            dialect = chance.choice(DIALECTS)
            body = dialect.body(self.WORDS)
            began = time.monotonic()
            lines = list(Stream(self.asker, dialect.path, body))
            took = time.monotonic() - began
            self.outcomes.append((self.outcome(dialect, lines), took))

    def outcome(self, dialect, lines: list[str]) -> str:
        """What became of a request: whole, the code of a typed error, or all that came where it is neither."""
        for line in lines:
            told = line.removeprefix("data: ")
            error = json.loads(told).get("error") if told.startswith("{") else None
            if error:
                return error if isinstance(error, str) else error.get("code") or error["type"]
        with contextlib.suppress(AssertionError, ValueError, LookupError):
            dialect.end(lines)
            if "".join(map(dialect.piece, lines)) == self.expected[dialect]:
                return "whole"
        return "other words: " + "\n".join(lines)

    def test_every_request_ends_with_the_whole_answer_or_a_typed_error(self):
        self.expected = {dialect: self.ask(dialect, body=dialect.body(self.WORDS))[0] for dialect in DIALECTS}
        self.outcomes: list[tuple[str, float]] = []
        before = self.burden()
        until = time.monotonic() + self.SECONDS
        clients = [threading.Thread(target=self.ask_again_and_again, args=(number, until)) for number in range(self.CLIENTS)]
        for client in clients:
            client.start()
        troubles = self.trouble(until)
        for client in clients:
            client.join(120)
            self.assertFalse(client.is_alive(), "a request hangs")
        self.all_are_there()
        counts = collections.Counter(outcome for outcome, _ in self.outcomes)
        slowest = max(took for _, took in self.outcomes)
        after = self.burden()
        print(f"{len(self.outcomes)} requests, {troubles} troubles: {dict(counts)}; the slowest took {slowest:.1f} s; "
              f"resident {before[0]} to {after[0]} KiB, descriptors {before[1]} to {after[1]}")
        self.assertEqual([outcome for outcome in counts if outcome.startswith("other words")], [])
        self.assertGreater(counts["whole"], 0.8 * len(self.outcomes))
        self.assertLess(slowest, self.LONGEST_SILENCE)
        self.assertLess(after[0], before[0] * 1.2 + 4096)
        self.assertLessEqual(after[1], before[1] + 4)

    def trouble(self, until: float) -> int:
        """Does one device harm at a time, and mends it."""
        chance = random.Random(7)
        harms = [(self.kill_engine, None), (self.kill, self.start_again), (self.halt, self.go_on), (self.cut_off, self.join)]
        count = 0
        while time.monotonic() < until:
            harm, mend = chance.choice(harms)
            name = chance.choice(list(self.executors))
            harm(name)
            time.sleep(chance.uniform(0.5, 3))
            if mend is not None:
                mend(name)
            time.sleep(chance.uniform(0.5, 2))
            count += 1
        return count

    def burden(self) -> tuple[int, int]:
        """Resident KiB and descriptors of the daemon that asks."""
        process = pathlib.Path(f"/proc/{self.asker.process.pid}")
        lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return int(lines["VmRSS"].split()[0]), len(list((process / "fd").iterdir()))


class OneDevice(unittest.TestCase):
    def test_a_device_alone_starts_its_engine_again_and_goes_on(self):
        with devices("alone", settings=SAME_EACH_TIME) as (device,):
            device.start()
            device.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")
            whole = device.chat(QUESTION)
            stream = Stream(device, Chat.path, Chat.body() | {"max_tokens": 48})
            lines, pieces = [], 0
            for line in stream:
                lines.append(line)
                pieces += 1 if Chat.piece(line) else 0
                if pieces == 15:
                    for engine in device.engines():
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(engine, signal.SIGKILL)
                    pieces += 1
            self.assertEqual("".join(map(Chat.piece, lines)), whole)
            Chat.end(lines)


if __name__ == "__main__":
    unittest.main(verbosity=2)
