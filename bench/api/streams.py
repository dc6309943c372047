#!/usr/bin/env python3
"""Many streams at once through the daemon, for long: errors, delays, memory.

    bench/api/streams.py --programs build/release/bin [--streams 1000] [--seconds 600] [--interval-ms 100] [--pieces 100]
                         [--within-limits]

The engine behind the daemon is plexus-mock-engine, which sends a piece every interval and writes in it when that was; a stream
that has ended begins again. The daemon has one core, client and engine the other. Prints one JSON line, then a Markdown table.
With --within-limits it ends with 1 at an error, or if the memory at the end is over that after the first fifth by more than
5 % and 2 MiB.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/libp2p"), str(ROOT / "tests/integration")]
import ways

WARM_UP_SECONDS = 5
GROWTH, GROWTH_MEBIBYTES = 1.05, 2


def watch(process: subprocess.Popen, way: ways.Way) -> list[float]:
    """Resident MiB of the proxy, once a second while the load lasts."""
    resident = []
    while process.poll() is None:
        resident.append(way.resident_mebibytes())
        time.sleep(1)
    return resident


def measure(programs: pathlib.Path, way: ways.Way, arguments) -> dict:
    body = ways.question(stream=True, seed=arguments.interval_ms * 1000, max_tokens=arguments.pieces)
    command = ways.load_command(programs, way, body, "--connections", arguments.streams, "--seconds", arguments.seconds,
                                "--warm-up", WARM_UP_SECONDS)
    empty, began, before = way.resident_mebibytes(), time.monotonic(), way.processor_seconds()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        resident = watch(process, way)
        told = json.loads(process.stdout.read())
    share = (way.processor_seconds() - before) / (time.monotonic() - began)
    pieces = told["delays_us"]["count"] / arguments.seconds
    # At the end all streams have ended, and what is measured last may be after that.
    busy = resident[WARM_UP_SECONDS:int(WARM_UP_SECONDS + arguments.seconds)]
    return told | {"pieces_per_second": pieces, "processor_us_per_piece": share * 1e6 / max(pieces, 1e-9),
                   "resident_before": empty, "resident_early": busy[len(busy) // 5], "resident_most": max(busy),
                   "resident_late": busy[-1], "load": os.getloadavg()[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--interval-ms", type=int, default=100)
    parser.add_argument("--pieces", type=int, default=100)
    parser.add_argument("--within-limits", action="store_true")
    arguments = parser.parse_args()
    programs = pathlib.Path(arguments.programs).resolve()
    os.environ |= {"PLEXUS_PROGRAMS": str(programs), "PLEXUS_DEFAULT_MODEL": ""}

    with tempfile.TemporaryDirectory(prefix="plexus-bench-") as folder, ways.mock_engine(programs) as engine, \
            ways.plexus(engine, ways.on_core(ways.PROXY_CORE), pathlib.Path(folder)) as way:
        found = measure(programs, way, arguments)
    print(json.dumps(found))
    errors = found["errors"] + found["missed"] + found["unanswered"]
    print("\n| streams | seconds | answers | pieces/s | errors | delay of a piece, ms: p50 | p99 | CPU µs/piece | "
          "resident MiB: before | after a fifth | most | at the end |\n|---|---|---|---|---|---|---|---|---|---|---|---|")
    print(f"| {arguments.streams} | {arguments.seconds} | {found['answers_us']['count']} | {found['pieces_per_second']:.0f} | "
          f"{errors} | {found['delays_us']['p50'] / 1000:.2f} | {found['delays_us']['p99'] / 1000:.2f} | "
          f"{found['processor_us_per_piece']:.1f} | {found['resident_before']:.1f} | {found['resident_early']:.1f} | "
          f"{found['resident_most']:.1f} | {found['resident_late']:.1f} |")
    grown = found["resident_late"] > max(found["resident_early"] * GROWTH, found["resident_early"] + GROWTH_MEBIBYTES)
    return 1 if arguments.within_limits and (errors > 0 or grown) else 0


if __name__ == "__main__":
    sys.exit(main())
