"""Models are fetched over HTTPS, imported from other programs, kept, checked and planned, by real programs.

PLEXUS_PULL_MEGABYTES=500 fetches a model that was made that large instead of the default one, and prints figures.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import pty
import re
import shutil
import struct
import subprocess
import tempfile
import time
import unittest

from mesh_testing import DEFAULT_MODEL, devices
from small_disk import small_disk, take_room
from two_devices_test import eventually
from web_testing import web

PART = 4096
# What can be on its way when a program is killed: a part that is not whole yet, what waits in the program, in the
# sockets of both sides and in TLS records.
TAIL = PART + (1 << 20) + (7 << 20)


def digest_of(file: pathlib.Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def make_large(target: pathlib.Path, megabytes: int, random: bool = True) -> None:
    """The default model with one more tensor of that size, of random bytes or none at all (ggml docs/gguf.md)."""
    content = pathlib.Path(DEFAULT_MODEL).read_bytes()
    version, tensors, values = struct.unpack_from("<IQQ", content, 4)
    place = 24

    def skip_text():
        nonlocal place
        place += 8 + struct.unpack_from("<Q", content, place)[0]

    def skip_value(kind: int):
        nonlocal place
        widths = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
        if kind == 8:
            skip_text()
        elif kind == 9:
            inner, count = struct.unpack_from("<IQ", content, place)
            place += 12
            for _ in range(count):
                skip_value(inner)
        else:
            place += widths[kind]

    for _ in range(values):
        skip_text()
        kind = struct.unpack_from("<I", content, place)[0]
        place += 4
        skip_value(kind)
    for _ in range(tensors):
        skip_text()
        place += 4 + 8 * struct.unpack_from("<I", content, place)[0] + 12
    data = content[(place + 31) // 32 * 32:]
    data += bytes(-len(data) % 32)
    width = megabytes * 1_000_000 // 32 * 32
    name = b"filler.weight"
    row = struct.pack("<Q", len(name)) + name + struct.pack("<IQIQ", 1, width // 4, 0, len(data))
    head = b"GGUF" + struct.pack("<IQQ", version, tensors + 1, values) + content[24:place] + row
    with target.open("wb") as file:
        file.write(head + bytes(-len(head) % 32) + data)
        if not random:
            file.truncate(file.tell() + width)
            return
        block = os.urandom(1 << 20)
        for start in range(0, width, len(block)):
            file.write(block[:width - start])


class Fetching(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.folder = pathlib.Path(cls.stack.enter_context(tempfile.TemporaryDirectory(prefix="plexus-models-")))
        cls.web, cls.authority = cls.stack.enter_context(web())
        cls.large = int(os.environ.get("PLEXUS_PULL_MEGABYTES", "0"))
        cls.model = pathlib.Path(DEFAULT_MODEL)
        if cls.large:
            cls.model = cls.folder / "large.gguf"
            make_large(cls.model, cls.large)
        cls.digest = digest_of(cls.model)

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    def setUp(self):
        self.web.files = {"/cdn/file": self.model}
        self.web.redirects = {"/org/repo/resolve/main/tiny.gguf": f"{self.web.address}/cdn/file"}
        self.web.digests = {}
        self.web.answers = []
        self.web.bytes_per_second = 0

    def device(self, **settings: str):
        known = {"PLEXUS_MODELS_HUB": self.web.address, "PLEXUS_MODELS_CA_FILE": str(self.authority)}
        return devices("solo", settings=known | settings)

    def begin_pull(self, device) -> subprocess.Popen:
        return subprocess.Popen(device.command("model", "pull", "hf:org/repo/tiny.gguf"), env=device.environment,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def sent_up_to(self) -> int:
        """Where the last answer that was more than a look has come to."""
        fetches = [answer for answer in self.web.answers if answer.sent > 1]
        return (fetches[-1].start or 0) + fetches[-1].sent if fetches else 0

    def kill(self, device, pull: subprocess.Popen) -> None:
        device.kill()
        pull.communicate(timeout=30)
        self.assertEqual(pull.returncode, 7)
        time.sleep(0.2)  # the server sees that its client is gone

    def is_written(self, folder: pathlib.Path, place: int) -> bool:
        """Whether all whole parts before that place of the model are in its partial file."""
        last = place // PART * PART - PART
        with self.model.open("rb") as model:
            model.seek(last)
            wanted = model.read(PART)
        for file in folder.glob("*.part"):
            with file.open("rb") as partial:
                partial.seek(last)
                return partial.read(PART) == wanted
        return False

    def test_a_pull_that_is_killed_twice_goes_on_where_it_was(self):
        with self.device() as (device,):
            size = self.model.stat().st_size
            self.web.bytes_per_second = size // 4
            device.start()
            pull = self.begin_pull(device)
            eventually(lambda: self.sent_up_to() >= size * 0.35, 120)
            self.kill(device, pull)
            device.start()
            held_at = size * 7 // 10 + 1
            self.web.hold(held_at)
            pull = self.begin_pull(device)
            eventually(lambda: self.is_written(device.home / "data/models/partial", held_at), 120)
            self.kill(device, pull)
            self.web.release()
            self.web.bytes_per_second = 0
            device.start()
            began = time.monotonic()
            done = device.plexus("model", "pull", "hf:org/repo/tiny.gguf", "--sha256", self.digest)
            last = time.monotonic() - began

            self.assertIn("tiny", done.stdout)
            tenths = [int(percent) // 10 for percent in re.findall(r"^fetching (\d+)%$", done.stderr, re.M)]
            self.assertGreater(len(tenths), 0)
            self.assertEqual(tenths, sorted(set(tenths)))
            model = device.json("model", "show", "tiny")
            self.assertEqual((model["digest"], model["origin"]), (self.digest, "hf:org/repo/tiny.gguf"))
            fetches = [answer for answer in self.web.answers if answer.sent > 1]
            starts = [answer.start for answer in fetches]
            self.assertEqual(len(starts), 3)
            self.assertEqual([start % PART for start in starts], [0, 0, 0])
            self.assertEqual(starts[0], 0)
            in_flow, at_rest = (before.start + before.sent - after.start for before, after in zip(fetches, fetches[1:]))
            self.assertLessEqual(in_flow, TAIL)
            self.assertLess(at_rest, PART)
            self.assertEqual(starts, sorted(set(starts)))
            self.assertEqual(fetches[2].start + fetches[2].sent, size)
            print(f"\n{size} bytes in three parts from {starts}; sent again after a kill in full flow: {in_flow}, at rest: "
                  f"{at_rest}; the last part took {last:.1f} s ({fetches[2].sent / last / 1e6:.0f} MB/s with hashing)")

    def test_bytes_with_another_digest_are_refused_and_not_kept(self):
        with self.device() as (device,):
            device.start()
            refused = device.plexus("model", "pull", f"{self.web.address}/cdn/file", "--sha256", "ab" * 32, check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("digest", refused.stderr)
            self.assertEqual(device.json("model", "ls"), [])
            self.assertEqual(os.listdir(device.home / "data/models/partial"), [])

            self.web.digests["/org/repo/resolve/main/tiny.gguf"] = self.digest
            refused = device.plexus("model", "pull", "hf:org/repo/tiny.gguf", "--sha256", "ab" * 32, check=False)
            self.assertEqual(refused.returncode, 9)
            self.assertLessEqual(max(answer.sent for answer in self.web.answers[1:]), self.model.stat().st_size)
            for words in (["--sha256", "abc"], ["--sha256", "../" * 21 + "x"]):
                refused = device.plexus("model", "pull", "hf:org/repo/tiny.gguf", *words, check=False)
                self.assertEqual(refused.returncode, 2)

    def test_servers_that_are_not_to_be_trusted_or_not_public_are_refused(self):
        with self.device(PLEXUS_MODELS_CA_FILE="") as (device,):
            device.start()
            refused = device.plexus("model", "pull", "hf:org/repo/tiny.gguf", check=False)
            self.assertEqual(refused.returncode, 5)
            self.assertIn("certificate", refused.stderr)
            for source in ("http://example.org/x.gguf", "file:///etc/passwd", "nothing-of-this-name", "hf:x"):
                self.assertNotEqual(device.plexus("model", "pull", source, check=False).returncode, 0, source)
            self.assertEqual(self.web.answers, [])

    @unittest.skipUnless(os.geteuid() == 0, "a disk is mounted by root")
    def test_a_model_that_does_not_fit_is_refused_before_its_first_byte(self):
        with small_disk(self.folder / "small", (self.model.stat().st_size >> 20) + 40) as folder, \
                self.device(PLEXUS_HOME=str(folder / "home")) as (device,):
            device.start()
            for settings in (["--sha256", self.digest], []):
                refused = device.plexus("model", "pull", "hf:org/repo/tiny.gguf", *settings, check=False)
                self.assertEqual(refused.returncode, 1)
                self.assertIn("MB free", refused.stderr)
            self.assertEqual(max(answer.sent for answer in self.web.answers), 1)
            self.assertEqual(os.listdir(folder / "home/data/models/partial"), [])
            self.assertEqual(device.plexus("status").returncode, 0)

    @unittest.skipUnless(os.geteuid() == 0, "a disk is mounted by root")
    def test_a_disk_that_fills_up_in_the_middle_is_told_and_the_pull_goes_on_when_there_is_room(self):
        size = self.model.stat().st_size
        with small_disk(self.folder / "small", (size >> 20) + 100) as disk, self.device(PLEXUS_HOME=str(disk / "home")) as (device,):
            device.start()
            models = disk / "home/data/models"
            self.web.hold(size // 2)
            pull = self.begin_pull(device)
            eventually(lambda: self.is_written(models / "partial", size // 2), 120)
            (partial,) = (models / "partial").glob("*.part")
            filler = take_room(disk, partial, size * 3 // 4, size)
            self.web.release()
            _, told = pull.communicate(timeout=120)
            again = device.plexus("model", "pull", "hf:org/repo/tiny.gguf", check=False)

            for code, text in ((pull.returncode, told), (again.returncode, again.stderr)):
                self.assertEqual(code, 1)
                self.assertRegex(text, rf"the disk is full\n +why: it has 0 MB free, the model has {size >> 20} MB; what came")
            self.assertEqual(device.json("model", "ls"), [])
            self.assertEqual(list(models.rglob("*.gguf")), [])
            filler.unlink()
            device.plexus("model", "pull", "hf:org/repo/tiny.gguf", "--sha256", self.digest)
            self.assertEqual(device.json("model", "show", "tiny")["digest"], self.digest)
            last = [answer for answer in self.web.answers if answer.sent > 1][-1]
            self.assertGreater(last.start, size * 7 // 10)
            device.plexus("model", "verify", "tiny")

    def test_a_quota_is_kept(self):
        gigabytes = self.model.stat().st_size // 1_000_000_000 + 1
        with self.device(PLEXUS_MODELS_QUOTA_GB=str(gigabytes)) as (device,):
            device.start()
            copy = self.folder / "other.gguf"
            make_large(copy, 900 * gigabytes, random=False)
            device.plexus("model", "import", str(copy))
            refused = device.plexus("model", "pull", "hf:org/repo/tiny.gguf", check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("models.quota_gb", refused.stderr)
            copy.unlink()

    def test_a_terminal_shows_a_bar_with_the_time_left(self):
        with self.device() as (device,):
            device.start()
            self.web.bytes_per_second = self.model.stat().st_size // 2
            parent, child = pty.openpty()
            process = subprocess.Popen(device.command("model", "pull", "hf:org/repo/tiny.gguf"), stderr=child,
                                       stdout=subprocess.PIPE, env=device.environment | {"TERM": "xterm", "COLUMNS": "100"})
            os.close(child)
            shown = b""
            with contextlib.suppress(OSError):
                while piece := os.read(parent, 4096):
                    shown += piece
            self.assertEqual(process.wait(60), 0)
            process.stdout.close()
            os.close(parent)
            self.assertRegex(shown.decode(), r"fetching \[=+ +\] +\d+%  [\d.]+ MB of [\d.]+ MB  [\d.]+ MB/s  0:0\d left")


class Keeping(unittest.TestCase):
    def test_models_of_other_programs_are_imported_and_stay_as_they_are(self):
        with tempfile.TemporaryDirectory(prefix="plexus-foreign-") as folder, devices("solo") as (device,):
            root = pathlib.Path(folder)
            digest = digest_of(pathlib.Path(DEFAULT_MODEL))
            blob = root / "ollama/blobs" / f"sha256-{digest}"
            blob.parent.mkdir(parents=True)
            shutil.copyfile(DEFAULT_MODEL, blob)
            manifest = root / "ollama/manifests/registry.ollama.ai/library/smol/135m"
            manifest.parent.mkdir(parents=True)
            layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}",
                     "size": blob.stat().st_size}
            manifest.write_text(json.dumps({"schemaVersion": 2, "layers": [layer]}))
            (manifest.parent / "bad").write_text(json.dumps({"layers": [layer | {"digest": "sha256:../../x"}]}))
            studio = root / "studio/org/repo/other-name.gguf"
            studio.parent.mkdir(parents=True)
            os.link(blob, studio)
            before = {file: (file.stat().st_size, file.stat().st_mtime_ns) for file in root.rglob("*") if file.is_file()}
            device.start()
            ollama = ["model", "import", "--from", "ollama", "--folder", str(root / "ollama")]

            listed = {model["name"]: model["problem"] for model in device.json(*ollama)}
            self.assertEqual(listed["smol:135m"], "")
            self.assertIn("manifest", listed["smol:bad"])
            self.assertEqual(device.plexus(*ollama, "smol:bad", check=False).returncode, 1)
            self.assertEqual(device.plexus(*ollama, "nothing", check=False).returncode, 4)
            device.plexus(*ollama, "smol:135m")
            self.assertEqual(device.json("model", "show", "smol:135m")["digest"], digest)
            path = pathlib.Path(device.json("model", "show", "smol:135m")["path"])
            self.assertEqual(path.stat().st_ino, blob.stat().st_ino)
            device.plexus("model", "rm", "smol:135m", "--yes")
            device.plexus("model", "import", "--from", "lm-studio", "--folder", str(root / "studio"), "other-name")
            after = {file: (file.stat().st_size, file.stat().st_mtime_ns) for file in root.rglob("*") if file.is_file()}
            self.assertEqual(before, after)
            self.assertEqual(device.plexus(*ollama[:-1], str(root / "empty"), check=False).returncode, 4)

    def test_a_model_is_shown_planned_verified_and_found(self):
        with devices("solo") as (device,):
            device.start()
            device.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")

            shown = device.json("model", "show", "tiny")
            self.assertIn("chat", shown["abilities"])
            self.assertEqual(shown["license"], "apache-2.0")
            self.assertIn("apache", device.plexus("model", "show", "tiny").stdout)
            plan = device.json("model", "plan", "tiny", "--context", "2048", "--slots", "1")
            self.assertGreater(plan["total_bytes"], pathlib.Path(DEFAULT_MODEL).stat().st_size // 2)
            self.assertTrue(plan["devices"][0]["fits"])
            self.assertIn("does not fit on", device.plexus("model", "plan", "qwen3-32b", "--context", "32768", "--slots", "64").stdout)
            self.assertEqual(device.plexus("model", "plan", "nothing", check=False).returncode, 4)
            self.assertIn("To be had", device.plexus("model", "search").stdout)
            found = device.json("model", "search", "tiny")
            self.assertEqual([model["id"] for model in found["models"]], ["tiny"])
            self.assertEqual([each["name"] for each in device.json("model", "search", "coder", "7b")["suggestions"]],
                             ["qwen2.5-coder-7b"])
            self.assertEqual(device.plexus("model", "search", "no-such-word", check=False).returncode, 4)
            device.plexus("model", "verify", "tiny")
            path = pathlib.Path(shown["path"])
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.unlink()
            path.write_bytes(content)
            self.assertEqual(device.plexus("model", "verify", "tiny", check=False).returncode, 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
