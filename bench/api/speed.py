#!/usr/bin/env python3
"""What Plexus adds to llama.cpp: the same question, the same model, the same build of llama.cpp, in turns.

    bench/api/speed.py --programs build/release/bin [--rounds 9] [--tokens 128] [--threads 2] [--at-least 0.9]

Four ways to the same answer: llama-server and plexusd on one device (host B), each asked there; and both asked from a second
device (host A) over a veth link, llama-server in the clear, Plexus through A's own daemon and the encrypted mesh.
Host A and host B are network namespaces; this needs root. Every answer must have the same text. A short unmeasured answer
the same way goes before each measured one, and the first round is not counted. Prints one JSON line a measurement, then a Markdown table; ratios are medians of the ratios within a round.
"""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/libp2p"), str(ROOT / "tests/integration")]
import ways

SLOTS, CONTEXT, PORT = 1, 2048, 9931
WARM_TOKENS = 16
QUESTION = "Write a long story about a lighthouse keeper."
LOCAL, MESH = ("llama-server", "plexus"), ("llama-server over the link", "plexus through the mesh")


class Client:
    """One client process in a namespace."""

    def __init__(self, prefix: list, host: str, port: int, token: str, processes: list):
        self.order = {"host": host, "port": port, "token": token}
        self.processes = processes  # all that work for the answer: (name, id)
        self.process = subprocess.Popen([*prefix, sys.executable, str(ROOT / "bench/api/client.py")],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def send(self, body: dict) -> None:
        self.process.stdin.write(json.dumps({**self.order, "body": body}) + "\n")
        self.process.stdin.flush()

    def receive(self) -> dict:
        return json.loads(self.process.stdout.readline())

    def ask(self, body: dict) -> dict:
        before = self.processor_seconds()
        self.send(body)
        answer = self.receive()
        used = {name: spent - before[name] for name, spent in self.processor_seconds().items()}
        return {**answer, "processor_seconds": used}

    def processor_seconds(self) -> dict:
        return {name: ways.scheduled_seconds(process) for name, process in self.processes}


def llama_server_command(model: str, threads: int, slots: int) -> list[str]:
    """What plexus-engine asks of llama.cpp, in llama-server's words."""
    program = pathlib.Path(ways.output(ROOT / "tools/build-llama", "--print")) / "bin/llama-server"
    command = [program, "--model", model, "--alias", "tiny", "--parallel", slots, "--ctx-size", slots * CONTEXT,
               "--threads", threads, "--cache-ram", 0, "--fit", "off", "--jinja", "--metrics", "--no-webui",
               "--host", "0.0.0.0", "--port", PORT]
    return [str(part) for part in command]


@contextlib.contextmanager
def llama_server(prefix: list, model: str, threads: int, slots: int = SLOTS):
    command = [*prefix, *llama_server_command(model, threads, slots)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        check = [*prefix, "curl", "--silent", "--fail", f"http://127.0.0.1:{PORT}/health"]
        while subprocess.run(check, stdout=subprocess.DEVNULL).returncode != 0:
            if process.poll() is not None:
                raise RuntimeError("llama-server does not start")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def clients(arguments, model: str):
    import mesh_testing  # needs PLEXUS_PROGRAMS
    settings = {"PLEXUS_ENGINE_SLOTS": str(SLOTS), "PLEXUS_ENGINE_CONTEXT": str(CONTEXT),
                "PLEXUS_ENGINE_THREADS": str(arguments.threads), "PLEXUS_LOG_LEVEL": "warning"}
    with mesh_testing.network("a", "b") as (places, _):
        spaces = {name: place[0] for name, place in places.items()}
        with mesh_testing.devices("a", "b", settings=settings, namespaces=spaces) as (a, b):
            a.start()
            b.start()
            b.plexus("model", "import", model, "--name", "tiny")
            a.plexus("join", b.plexus("invite", "--no-wait").stdout.strip())
            while not a.json("model", "ls"):
                time.sleep(0.1)
            b.chat("Hello", max_tokens=2)
            daemons = {"asker": a.process.pid, "daemon": b.process.pid, "engine": b.engines()[0]}
            with llama_server(b.prefix, model, arguments.threads) as server:
                on_b, on_a = list(daemons.items())[1:], list(daemons.items())
                yield {LOCAL[0]: Client(b.prefix, "127.0.0.1", PORT, "-", [("engine", server)]),
                       LOCAL[1]: Client(b.prefix, "127.0.0.1", b.port, b.token, on_b),
                       MESH[0]: Client(a.prefix, places["b"][1], PORT, "-", [("engine", server)]),
                       MESH[1]: Client(a.prefix, "127.0.0.1", a.port, a.token, on_a)}


def summary(answer: dict) -> dict:
    between = (answer["total"] - answer["first"]) / (answer["tokens"] - 1)
    return {"first_milliseconds": answer["first"] * 1e3, "token_milliseconds": between * 1e3,
            "tokens_per_second": answer["tokens"] / answer["total"],
            "processor_microseconds_per_token": {name: round(spent / answer["tokens"] * 1e6)
                                                 for name, spent in answer["processor_seconds"].items()}}


def row(name: str, base: str, found: dict) -> tuple[str, float]:
    def middle(what):
        return statistics.median(one[what] for one in found[name])

    def against(what, how):
        return statistics.median(how(one[what], other[what]) for one, other in zip(found[name], found[base]))

    used = [one["processor_microseconds_per_token"] for one in found[name]]
    daemons = statistics.median(sum(spent for part, spent in one.items() if part != "engine") for one in used)
    ratio = against("tokens_per_second", lambda one, other: one / other)
    columns = [f"{middle('first_milliseconds'):.2f}", f"{middle('token_milliseconds'):.3f}", f"{middle('tokens_per_second'):.1f}",
               f"{against('first_milliseconds', lambda one, other: one - other):+.2f}",
               f"{1000 * against('token_milliseconds', lambda one, other: one - other):+.0f}",
               f"{ratio:.3f}", f"{daemons:.0f}"]
    return f"| {name} | " + " | ".join(columns) + " |", ratio


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--at-least", type=float, default=0, help="end with 1 if a ratio of tokens per second is lower")
    arguments = parser.parse_args()
    model = ways.output(ROOT / "tools/fetch", "--print", "default-model")
    os.environ |= {"PLEXUS_PROGRAMS": str(pathlib.Path(arguments.programs).resolve()), "PLEXUS_DEFAULT_MODEL": model}
    import peers
    body = {"model": "tiny", "temperature": 0, "max_tokens": arguments.tokens, "stream": True,
            "messages": [{"role": "user", "content": QUESTION}]}

    found, digests = {name: [] for name in (*LOCAL, *MESH)}, set()
    with clients(arguments, model) as asked:
        for number, name in peers.there_and_back(list(found), arguments.rounds + 1):
            asked[name].ask({**body, "max_tokens": WARM_TOKENS})  # another process may have had the caches
            answer = asked[name].ask(body)
            measured = summary(answer)
            digests.add((answer["digest"], answer["tokens"]))
            print(json.dumps({"round": number, "way": name, "load": os.getloadavg()[0], **measured}), flush=True)
            if number > 0:
                found[name].append(measured)
    if len(digests) != 1:
        raise RuntimeError(f"the answers differ: {digests}")

    print("\n| way | first token ms | ms/token | tokens/s | added to first, ms | added per token, µs | tokens/s ratio | daemons' CPU, µs/token |")
    print("|---|---|---|---|---|---|---|---|")
    ratios = []
    for base, plexus in (LOCAL, MESH):
        print(row(base, base, found)[0])
        text, ratio = row(plexus, base, found)
        print(text)
        ratios.append(ratio)
    return 1 if min(ratios) < arguments.at_least else 0


if __name__ == "__main__":
    sys.exit(main())
