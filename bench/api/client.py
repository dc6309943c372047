#!/usr/bin/env python3
"""A client that costs little: reads one JSON order a line, asks one streamed chat question, prints one JSON line of times.

An order: {"host", "port", "token", "body"}. The answer: first (seconds from the first byte sent to the first piece of text
received), total (to the last piece of text), tokens (pieces of text), digest (of the whole text), arrivals (seconds).
"""
import hashlib
import json
import socket
import sys
import time

EVENT = b'"delta":{"content":"'


def request_of(order: dict) -> bytes:
    body = json.dumps(order["body"]).encode()
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: {order['host']}:{order['port']}\r\n"
            f"Authorization: Bearer {order['token']}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
    return head.encode() + body


def text_of(stream: bytes) -> str:
    """All text of the answer, out of whatever chunked framing is around it."""
    events = (line[6:] for line in stream.split(b"\n") if line.startswith(b"data: {"))
    choices = (choice for event in events for choice in json.loads(event).get("choices", []))
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def ask(order: dict) -> dict:
    request = request_of(order)
    received, arrivals = bytearray(), []
    with socket.create_connection((order["host"], order["port"])) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        time.sleep(0.02)
        began = time.perf_counter()
        connection.sendall(request)
        while b"data: [DONE]" not in received[-64:]:
            part = connection.recv(65536)
            now = time.perf_counter()
            if not part:
                raise RuntimeError(f"the answer ended early: {bytes(received[-500:])}")
            seen = max(len(received) - len(EVENT) + 1, 0)
            received += part
            arrivals += [now - began] * received.count(EVENT, seen)
    return {"first": arrivals[0], "total": arrivals[-1], "tokens": len(arrivals), "arrivals": arrivals,
            "digest": hashlib.sha256(text_of(bytes(received)).encode()).hexdigest()[:16]}


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(ask(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
