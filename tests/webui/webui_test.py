"""Open WebUI, as its package is, set up as its user would: a browser asks, and the answer grows on the page.

Runs with the Python of `tools/setup-python tests/webui`. PLEXUS_SCREENSHOT=FILE keeps the picture of the first chat.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.request

from playwright.sync_api import expect, sync_playwright

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from mesh_testing import SoloDevice  # noqa: E402

QUESTION = "What does the sea look like at night?"

# For one person without an account; nothing is fetched, nothing told to anyone; one question is one request.
SETTINGS = {
    "WEBUI_AUTH": "false",
    "USE_SLIM_DOCKER": "true",  # see requirements.in
    "OFFLINE_MODE": "true",
    "ANONYMIZED_TELEMETRY": "false",
    "ENABLE_TITLE_GENERATION": "false",
    "ENABLE_FOLLOW_UP_GENERATION": "false",
    "ENABLE_TAGS_GENERATION": "false",
    "DEFAULT_MODEL_PARAMS": '{"temperature": 0, "max_tokens": 120}',
}

# Notes every length that the answer has had.
WATCH = """() => {
    window.lengths = [];
    new MutationObserver(() => {
        const answer = [...document.querySelectorAll('.chat-assistant')].at(-1);
        const length = answer ? answer.innerText.trim().length : 0;
        if (length > 0 && length !== window.lengths.at(-1)) window.lengths.push(length);
    }).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class OpenWebui(SoloDevice):
    @contextlib.contextmanager
    def served(self, name: str, command: str, **settings: str):
        """Open WebUI started by `command`, with a folder of its own; its address once it answers."""
        folder = self.device.home / name
        folder.mkdir()
        port = free_port()
        kept = {name: value for name, value in os.environ.items() if "KEY" not in name and "TOKEN" not in name}
        environment = kept | SETTINGS | settings | {"HOME": str(folder), "DATA_DIR": str(folder / "data"),
                                                    "PATH": f"{pathlib.Path(sys.executable).parent}:{kept['PATH']}"}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(["sh", "-c", f"{command} --port {port}"], cwd=folder, env=environment,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            self.wait_until_served(process, f"http://127.0.0.1:{port}", folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def wait_until_served(self, process, address: str, log: pathlib.Path) -> None:
        deadline = time.monotonic() + 180
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=10) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.2)
        self.fail(f"Open WebUI is not ready:\n{log.read_text()[-5000:]}")

    def chat(self, address: str, picture: pathlib.Path) -> list[int]:
        """Asks in a browser as a person would; gives the lengths that the answer had on its way."""
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
            page = browser.new_page(viewport={"width": 1100, "height": 700})
            page.goto(address)
            page.get_by_role("button", name="Okay, Let's Go!").click(timeout=120_000)
            page.locator("#chat-input").click()
            page.keyboard.type(QUESTION)
            page.evaluate(WATCH)
            page.keyboard.press("Enter")
            expect(page.get_by_role("button", name="Regenerate")).to_be_visible(timeout=240_000)
            page.screenshot(path=picture)
            lengths = page.evaluate("window.lengths")
            browser.close()
        return lengths

    def answered(self, route: str) -> int:
        counts = re.findall(rf'^plexus_api_requests_total\{{route="{route}",status="200"\}} (\d+)',
                            self.device.curl("/metrics")[1], re.MULTILINE)
        return sum(map(int, counts))

    def check_chat(self, name: str, route: str, command: str, **settings: str) -> pathlib.Path:
        before = self.answered(route)

        with self.served(name, command, **settings) as address:
            lengths = self.chat(address, self.device.home / f"{name}.png")

        self.assertGreater(len(lengths), 5, "the answer did not grow")
        self.assertGreater(lengths[-1], lengths[0])
        self.assertEqual(self.answered(route), before + 1)
        return self.device.home / f"{name}.png"

    def test_a_browser_chats_by_openais_api_as_connect_sets_it_up(self):
        command = self.device.json("connect", "open-webui", "--write")["then"][0]

        picture = self.check_chat("openai", "/v1/chat/completions", command)

        if "PLEXUS_SCREENSHOT" in os.environ:
            shutil.copy(picture, os.environ["PLEXUS_SCREENSHOT"])

    def test_a_browser_chats_by_ollamas_api_with_the_token(self):
        key = json.dumps({"0": {"key": self.device.token}})

        self.check_chat("ollama", "/api/chat", "open-webui serve --host 127.0.0.1", ENABLE_OPENAI_API="false",
                        OLLAMA_BASE_URL=f"http://127.0.0.1:{self.device.port}", OLLAMA_API_CONFIGS=key)


if __name__ == "__main__":
    unittest.main()
