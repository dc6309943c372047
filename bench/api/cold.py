#!/usr/bin/env python3
"""Cold start of a model: from nothing in memory to the first token, the daemon against llama-server, in turns.

    bench/api/cold.py --programs build/release/bin [--rounds 7] [--threads 2] [--within-limits]

llama-server: from the start of its process, through its being ready, to the first piece of an answer. Plexus: from a question to
a daemon whose model was unloaded to the first piece of the answer; it starts the engine behind all its walls. The model's file
is in the page cache for both. Then the start of an engine without a model: process, walls, and the probes that prove them.
Prints one JSON line a measurement, then a Markdown table; ratios are medians of the ratios within a round.
"""
import argparse
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/libp2p"), str(ROOT / "tests/integration")]
import client
import peers
import speed
import ways

LLAMA, PLEXUS = "llama-server", "plexus"
LONGER, SPAWN_MILLISECONDS = 1.05, 20  # limits
BODY = {"model": "tiny", "temperature": 0, "max_tokens": 4, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}


def is_healthy() -> bool:
    with socket.socket() as door:
        try:
            door.connect(("127.0.0.1", speed.PORT))
            door.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return door.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


def first_of_llama(command: list) -> float:
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not is_healthy():
            if process.poll() is not None:
                raise RuntimeError("llama-server does not start")
            time.sleep(0.0005)
        ready = time.perf_counter() - began
        return ready + client.ask({"host": "127.0.0.1", "port": speed.PORT, "token": "-", "body": BODY})["first"]
    finally:
        process.terminate()
        process.wait()


def first_of_plexus(device, port: int, token: str) -> float:
    device.plexus("model", "unload", "tiny", check=False)
    while device.engines():
        time.sleep(0.01)
    return client.ask({"host": "127.0.0.1", "port": port, "token": token, "body": BODY})["first"]


def spawn_milliseconds(device) -> float:
    """The daemon's own measurement: start of the process to the report that all walls stand."""
    checks = json.loads(device.plexus("doctor", "--json", check=False).stdout)["data"]["checks"]
    (text,) = (check["text"] for check in checks if check["name"] == "sandbox")
    return float(re.search(r"in ([0-9.]+) ms", text).group(1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--within-limits", action="store_true")
    arguments = parser.parse_args()
    model = ways.output(ROOT / "tools/fetch", "--print", "default-model")
    os.environ |= {"PLEXUS_PROGRAMS": str(pathlib.Path(arguments.programs).resolve()), "PLEXUS_DEFAULT_MODEL": model}
    import mesh_testing

    settings = {"PLEXUS_ENGINE_SLOTS": str(speed.SLOTS), "PLEXUS_ENGINE_CONTEXT": str(speed.CONTEXT),
                "PLEXUS_ENGINE_THREADS": str(arguments.threads), "PLEXUS_LOG_LEVEL": "warning"}
    found = {LLAMA: [], PLEXUS: []}
    with mesh_testing.devices("one", settings=settings) as (device,):
        device.start()
        device.plexus("model", "import", model, "--name", "tiny")
        port, token = device.port, device.token
        measures = {LLAMA: lambda: first_of_llama(speed.llama_server_command(model, arguments.threads, speed.SLOTS)),
                    PLEXUS: lambda: first_of_plexus(device, port, token)}
        for number, name in peers.there_and_back(list(found), arguments.rounds + 1):
            seconds = measures[name]()
            print(json.dumps({"round": number, "way": name, "first_seconds": seconds, "load": os.getloadavg()[0]}), flush=True)
            if number > 0:
                found[name].append(seconds)
        spawns = [spawn_milliseconds(device) for _ in range(arguments.rounds)]
        print(json.dumps({"spawn_milliseconds": spawns}), flush=True)

    ratio = statistics.median(ours / theirs for ours, theirs in zip(found[PLEXUS], found[LLAMA]))
    spawn = statistics.median(spawns)
    print("\n| what | llama-server | plexus | ratio |\n|---|---|---|---|")
    print(f"| cold start to the first token, ms | {statistics.median(found[LLAMA]) * 1e3:.0f} | "
          f"{statistics.median(found[PLEXUS]) * 1e3:.0f} | {ratio:.3f} |")
    print(f"| an engine without a model: process, walls, probes, ms | | {spawn:.1f} | |")
    return 1 if arguments.within_limits and (ratio > LONGER or spawn > SPAWN_MILLISECONDS) else 0


if __name__ == "__main__":
    sys.exit(main())
