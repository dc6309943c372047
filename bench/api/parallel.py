#!/usr/bin/env python3
"""Several questions at once: tokens per second of the daemon against llama-server of the same build, in turns.

    bench/api/parallel.py --programs build/release/bin [--parallel 1,4,8] [--rounds 5] [--tokens 128] [--threads 2]
                          [--at-least 0]

Both have as many slots as the most questions. A round asks each of them so many questions at the same moment, each of its own
client, and counts all pieces of text until the last answer has ended. A short unmeasured question of every client goes before,
and the first round is not counted. Prints one JSON line a measurement, then a Markdown table; ratios are medians of the ratios
within a round.
"""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/libp2p"), str(ROOT / "tests/integration")]
import peers
import speed
import ways

LLAMA, PLEXUS = "llama-server", "plexus"
TOPICS = ("a lighthouse keeper", "a clockmaker", "a river pilot", "a cartographer", "a beekeeper", "a glass blower",
          "a night nurse", "a stone mason")


@contextlib.contextmanager
def clients(arguments, model: str, slots: int):
    """Lists of clients, one a slot, for both ways."""
    import mesh_testing  # needs PLEXUS_PROGRAMS
    settings = {"PLEXUS_ENGINE_SLOTS": str(slots), "PLEXUS_ENGINE_CONTEXT": str(speed.CONTEXT),
                "PLEXUS_ENGINE_THREADS": str(arguments.threads), "PLEXUS_LOG_LEVEL": "warning"}
    with mesh_testing.devices("one", settings=settings) as (device,), \
            speed.llama_server([], model, arguments.threads, slots):
        device.start()
        device.plexus("model", "import", model, "--name", "tiny")
        device.chat("Hello", max_tokens=2)
        yield {LLAMA: [speed.Client([], "127.0.0.1", speed.PORT, "-", []) for _ in range(slots)],
               PLEXUS: [speed.Client([], "127.0.0.1", device.port, device.token, []) for _ in range(slots)]}


def ask_at_once(asked: list, tokens: int) -> dict:
    for client, topic in zip(asked, TOPICS):
        client.send({"model": "tiny", "temperature": 0, "max_tokens": tokens, "stream": True,
                     "messages": [{"role": "user", "content": f"Write a long story about {topic}."}]})
    answers = [client.receive() for client in asked]
    pieces = sum(answer["tokens"] for answer in answers)
    return {"pieces": pieces, "tokens_per_second": pieces / max(answer["total"] for answer in answers),
            "first_milliseconds": statistics.median(answer["first"] for answer in answers) * 1e3}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--parallel", default="1,4,8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--at-least", type=float, default=0, help="end with 1 if a ratio of tokens per second is lower")
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.parallel.split(",")]
    model = ways.output(ROOT / "tools/fetch", "--print", "default-model")
    os.environ |= {"PLEXUS_PROGRAMS": str(pathlib.Path(arguments.programs).resolve()), "PLEXUS_DEFAULT_MODEL": model}

    rows, ratios = [], []
    with clients(arguments, model, max(counts)) as asked:
        for count in counts:
            found = {LLAMA: [], PLEXUS: []}
            for number, name in peers.there_and_back(list(found), arguments.rounds + 1):
                ask_at_once(asked[name][:count], speed.WARM_TOKENS)
                measured = ask_at_once(asked[name][:count], arguments.tokens)
                print(json.dumps({"parallel": count, "round": number, "way": name, "load": os.getloadavg()[0], **measured}),
                      flush=True)
                if number > 0:
                    found[name].append(measured)
            rates = {name: [one["tokens_per_second"] for one in each] for name, each in found.items()}
            ratios.append(statistics.median(ours / theirs for ours, theirs in zip(rates[PLEXUS], rates[LLAMA])))
            firsts = {name: [one["first_milliseconds"] for one in each] for name, each in found.items()}
            later = statistics.median(ours - theirs for ours, theirs in zip(firsts[PLEXUS], firsts[LLAMA]))
            rows.append(f"| {count} | {statistics.median(rates[LLAMA]):.1f} | {statistics.median(rates[PLEXUS]):.1f} | "
                        f"{ratios[-1]:.3f} | {later:+.2f} |")

    print("\n| questions at once | llama-server tokens/s | plexus tokens/s | ratio | added to first, ms |\n|---|---|---|---|---|")
    print("\n".join(rows))
    return 1 if min(ratios) < arguments.at_least else 0


if __name__ == "__main__":
    sys.exit(main())
