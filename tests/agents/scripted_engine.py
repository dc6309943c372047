"""An OpenAI-compatible server whose answers are a script: reads a file with whatever tool it is offered, then tells of it.

It stands for a capable model where the test is of the protocol; a person would add a vLLM of theirs the same way.
"""
import contextlib
import http.server
import json
import threading

MODEL = "scripted"
CONTEXT = 131072


def call_that_reads(tools: list[dict], path: str) -> tuple[str, dict] | None:
    """The first offered tool that can read a file, and what to call it with."""
    offered = {tool["function"]["name"]: tool["function"].get("parameters", {}).get("properties", {}) for tool in tools}
    for name, arguments in (("read", {"filePath": path}), ("exec_command", {"cmd": f"cat {path}"}),
                            ("shell", {"command": ["cat", path]}), ("shell_command", {"command": f"cat {path}"})):
        if name in offered and set(arguments) <= set(offered[name]):
            return name, arguments
    return None


def text_of(content) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or [])


class ScriptedEngine(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.json({"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": CONTEXT}]})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        messages = request["messages"]
        results = [text_of(message["content"]) for message in messages if message["role"] == "tool"]
        call = call_that_reads(request.get("tools") or [], self.server.path)
        if results:
            self.stream(*({"content": piece} for piece in self.pieces(f"The file says: {self.told(results[-1])}.")))
        elif call:
            self.stream({"content": "I look into the file."}, {"tool_calls": [
                {"index": 0, "id": "call_1", "type": "function", "function": {"name": call[0], "arguments": ""}}]},
                *({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
                  for piece in self.pieces(json.dumps(call[1]))), reason="tool_calls")
        else:
            self.stream({"content": "A title"})

    def told(self, result: str) -> str:
        """What this answer has to hold, only if the tool's result held it."""
        return self.server.secret if self.server.secret in result else "nothing I know"

    @staticmethod
    def pieces(text: str) -> list[str]:
        return [text[begin:begin + 7] for begin in range(0, len(text), 7)]

    def stream(self, *deltas: dict, reason: str = "stop") -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for delta in ({"role": "assistant"}, *deltas):
            self.event({"index": 0, "delta": delta, "finish_reason": None})
        self.event({"index": 0, "delta": {}, "finish_reason": reason},
                   usage={"prompt_tokens": 100, "completion_tokens": len(deltas), "total_tokens": 100 + len(deltas)})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, choice: dict, **further) -> None:
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}
        self.wfile.write(f"data: {json.dumps(chunk | further)}\n\n".encode())

    def json(self, value: dict) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def scripted_engine(path: str, secret: str):
    """The server while the block runs; `requests` are the bodies that it was sent."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ScriptedEngine)
    server.requests, server.path, server.secret = [], path, secret
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
