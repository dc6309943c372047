#!/usr/bin/env python3
"""What the daemon costs between a client and an engine that answers at once, against other proxies, in turns.

    bench/api/proxies.py --programs build/release/bin [--peers plexus,nginx,caddy,litellm] [--rounds 4]
                         [--seconds 10] [--rate 200] [--connections 16] [--within-limits]

Behind all of them is plexus-mock-engine; the daemon knows it by `plexus engine add`. The proxy has one core, the client
(plexus-load) and the mock engine another. A round asks each of them three things: small questions at a fixed rate, small
questions one after another on several connections, and eight streams of 100 pieces a second each, where every piece says when
it was sent. "Added" is against the same question asked of the mock engine itself in the same round; the figures are medians
over the rounds. Prints one JSON line a measurement, then a Markdown table.
"""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/libp2p"), str(ROOT / "tests/integration")]
import peers
import ways
DIRECT, PLEXUS = "mock engine", "plexus"
STREAMS, PIECE_MICROSECONDS, PIECES = 8, 10_000, 100
LIMITS = {"added_p50": 150, "added_p99": 600, "answers_per_second": 3000, "added_per_piece": 30}  # of Plexus; microseconds


def measure(programs: pathlib.Path, way: ways.Way, arguments) -> dict:
    counted = ["--seconds", arguments.seconds, "--warm-up", 1]
    small, stream = ways.question(), ways.question(stream=True, seed=PIECE_MICROSECONDS, max_tokens=PIECES)
    paced = ways.load(programs, way, small, "--rate", arguments.rate, *counted)
    busy = ways.load(programs, way, small, "--connections", arguments.connections, *counted)
    streamed = ways.load(programs, way, stream, "--connections", STREAMS, *counted)
    per_second = busy["answers_us"]["count"] / arguments.seconds
    pieces = streamed["delays_us"]["count"] / arguments.seconds
    failures = [one["first_error"] for one in (paced, busy, streamed) if one["first_error"]]
    return {"p50": paced["answers_us"]["p50"], "p99": paced["answers_us"]["p99"], "answers_per_second": per_second,
            "processor_us_per_answer": busy["processor_share"] * 1e6 / max(per_second, 1e-9),
            "piece_p50": streamed["delays_us"]["p50"], "piece_p99": streamed["delays_us"]["p99"],
            "processor_us_per_piece": streamed["processor_share"] * 1e6 / max(pieces, 1e-9),
            "resident_mebibytes": way.resident_mebibytes(),
            "errors": sum(one["errors"] + one["missed"] + one["unanswered"] for one in (paced, busy, streamed)),
            "first_error": failures[0] if failures else ""}


def summary(name: str, found: dict) -> dict:
    def middle(what):
        return statistics.median(one[what] for one in found[name])

    def added(what):
        return statistics.median(one[what] - direct[what] for one, direct in zip(found[name], found[DIRECT]))

    kept = ("answers_per_second", "processor_us_per_answer", "processor_us_per_piece", "resident_mebibytes")
    return {what: middle(what) for what in kept} | {"added_p50": added("p50"), "added_p99": added("p99"),
                                                    "added_per_piece": added("piece_p50"),
                                                    "errors": sum(one["errors"] for one in found[name])}


def row(name: str, told: dict) -> str:
    own = "" if name == DIRECT else f"{told['processor_us_per_answer']:.0f}"
    own_piece = "" if name == DIRECT else f"{told['processor_us_per_piece']:.0f}"
    memory = "" if name == DIRECT else f"{told['resident_mebibytes']:.0f}"
    return (f"| {name} | {told['added_p50'] / 1000:+.3f} | {told['added_p99'] / 1000:+.3f} | {told['answers_per_second']:.0f} | "
            f"{own} | {told['added_per_piece']:+.0f} | {own_piece} | {memory} | {told['errors']} |")


def over_limits(told: dict) -> list[str]:
    return [name for name, limit in LIMITS.items()
            if (told[name] < limit if name == "answers_per_second" else told[name] > limit)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--peers", default="plexus,nginx,caddy,litellm")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--within-limits", action="store_true", help="end with 1 if Plexus is over a limit")
    arguments = parser.parse_args()
    programs = pathlib.Path(arguments.programs).resolve()
    os.environ |= {"PLEXUS_PROGRAMS": str(programs), "PLEXUS_DEFAULT_MODEL": ""}
    names = [DIRECT, *arguments.peers.split(",")]
    found = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="plexus-bench-") as folder, ways.mock_engine(programs) as engine, \
            contextlib.ExitStack() as running:
        started = {DIRECT: ways.Way(engine)}
        for name in names[1:]:
            prefix = ways.on_core(ways.PROXY_CORE)
            started[name] = running.enter_context(ways.STARTS[name](engine, prefix, pathlib.Path(folder)))
        for number, name in peers.there_and_back(names, arguments.rounds):
            measured = measure(programs, started[name], arguments)
            print(json.dumps({"round": number, "way": name, "load": os.getloadavg()[0], **measured}), flush=True)
            found[name].append(measured)

    print("\n| way | added p50 ms | added p99 ms | answers/s | CPU µs/answer | added per piece µs | CPU µs/piece | "
          "resident MiB | errors |\n|---|---|---|---|---|---|---|---|---|")
    for name in names:
        print(row(name, summary(name, found)))
    over = over_limits(summary(PLEXUS, found)) if PLEXUS in names else []
    return 1 if over and arguments.within_limits else 0


if __name__ == "__main__":
    sys.exit(main())
