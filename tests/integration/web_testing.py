"""An HTTPS server of files for tests, with an authority of its own: ranges, entity tags, a count of what it sent."""
import contextlib
import http.server
import pathlib
import socket
import ssl
import subprocess
import tempfile
import threading
import time

PIECE = 64 << 10


def make_authority(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """An authority that nobody knows, and the chain of a server named localhost that it vouches for."""
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority",
            "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names", "-out", "server.crt")
    (folder / "server.pem").write_text((folder / "server.key").read_text() + (folder / "server.crt").read_text())
    return folder / "ca.pem", folder / "server.pem"


class Answer:
    """One request as the server saw it."""

    def __init__(self, path: str, start: int | None):
        self.path = path
        self.start = start  # of the range, or None
        self.sent = 0


class Web:
    """Files by path; `redirects` by path; `bytes_per_second` of one answer, 0 for as fast as it goes. Between hold() and
    release() nothing behind a place of a file is sent."""

    def __init__(self, certificate: pathlib.Path):
        self.files: dict[str, pathlib.Path] = {}
        self.redirects: dict[str, str] = {}
        self.digests: dict[str, str] = {}
        self.answers: list[Answer] = []
        self.bytes_per_second = 0
        self.held_at: int | None = None
        self.released = threading.Event()
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)

            def do_GET(self):
                with contextlib.suppress(OSError):
                    web.answer(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # a client that was killed, or does not trust us

        self.server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    @property
    def address(self) -> str:
        return f"https://localhost:{self.server.server_address[1]}"

    def hold(self, place: int) -> None:
        self.released.clear()
        self.held_at = place

    def release(self) -> None:
        self.held_at = None
        self.released.set()

    def stop(self) -> None:
        self.release()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def sent(self) -> int:
        return sum(answer.sent for answer in self.answers)

    def answer(self, handler) -> None:
        path = handler.path.partition("?")[0]
        if path in self.redirects:
            handler.send_response(302)
            handler.send_header("Location", self.redirects[path])
            if path in self.digests:
                handler.send_header("X-Linked-ETag", f'"{self.digests[path]}"')
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if path not in self.files:
            handler.send_error(404)
            return
        size = self.files[path].stat().st_size
        tag = f'"{size}-{self.files[path].stat().st_mtime_ns}"'
        start, end = self.range_of(handler, size, tag)
        noted = Answer(path, start)
        self.answers.append(noted)
        handler.send_response(200 if start is None else 206)
        handler.send_header("ETag", tag)
        handler.send_header("Content-Length", str(end - (start or 0)))
        if start is not None:
            handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        handler.end_headers()
        with self.files[path].open("rb") as file:
            file.seek(start or 0)
            self.send(handler, file, end - (start or 0), noted)

    @staticmethod
    def range_of(handler, size: int, tag: str) -> tuple[int | None, int]:
        text = handler.headers.get("Range", "")
        if not text.startswith("bytes=") or handler.headers.get("If-Range", tag) != tag:
            return None, size
        first, _, last = text.removeprefix("bytes=").partition("-")
        return int(first), min(size, int(last) + 1) if last else size

    def send(self, handler, file, count: int, noted: Answer) -> None:
        began = time.monotonic()
        while noted.sent < count:
            held_at, place = self.held_at, file.tell()
            if held_at is not None and place >= held_at:
                self.released.wait()
                continue
            piece = file.read(min(PIECE, count - noted.sent, (held_at or place + PIECE) - place))
            handler.wfile.write(piece)
            noted.sent += len(piece)
            if self.bytes_per_second:
                ahead = noted.sent / self.bytes_per_second - (time.monotonic() - began)
                time.sleep(max(0, ahead))


@contextlib.contextmanager
def web():
    """A server, and the file of the authority that vouches for it."""
    with tempfile.TemporaryDirectory(prefix="plexus-web-") as folder:
        authority, certificate = make_authority(pathlib.Path(folder))
        made = Web(certificate)
        try:
            yield made, authority
        finally:
            made.stop()
