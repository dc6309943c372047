#!/usr/bin/env python3
"""Bulk on one stream over loopback: TCP, Noise, Yamux; each implementation with itself, in turns.

    bench/libp2p/bulk.py --plexus build/release/bin/plexus-perf [--peers plexus,rust,go,js] [--mebibytes 1024] [--rounds 6]

Prints one JSON line a measurement, then a Markdown table of medians. CPU seconds are those of both ends together.
"""
import argparse
import json
import os
import statistics
import sys

import peers


def measure(command: list, direction: str, size: int) -> dict:
    with peers.listener(command) as (address, process):
        before = 0.0
        for line in peers.lines([*command, "bulk", address, f"--{direction}", str(size)]):
            if "warm" in line:
                before = peers.cpu_seconds(process)
            elif "direction" in line:
                gibibytes = line["bytes"] / 2**30
                served = peers.cpu_seconds(process) - before
                return {"gib_per_second": gibibytes / line["seconds"],
                        "cpu_seconds_per_gib": (line["cpu_seconds"] + served) / gibibytes}
    raise RuntimeError("no measurement")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plexus", required=True)
    parser.add_argument("--peers", default="plexus,rust,go,js")
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=6, help="the first is not counted")
    arguments = parser.parse_args()
    names = arguments.peers.split(",")
    commands = peers.commands(names, arguments.plexus)

    found = {}
    for number, name in peers.there_and_back(names, arguments.rounds):
        for direction in ("upload", "download"):
            measured = measure(commands[name], direction, arguments.mebibytes << 20)
            print(json.dumps({"round": number, "peer": name, "direction": direction, "load": os.getloadavg()[0], **measured}), flush=True)
            if number > 0:
                found.setdefault((name, direction), []).append(measured)

    def median(name, direction, what):
        return statistics.median(one[what] for one in found[name, direction])

    print("\n| peer | upload GiB/s | download GiB/s | upload CPU s/GiB | download CPU s/GiB | plexus / peer, upload | download |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        speeds = [median(name, direction, "gib_per_second") for direction in ("upload", "download")]
        costs = [median(name, direction, "cpu_seconds_per_gib") for direction in ("upload", "download")]
        ratios = [median("plexus", direction, "gib_per_second") / speed for direction, speed in zip(("upload", "download"), speeds)] if "plexus" in names else []
        print("| " + " | ".join([name, *(f"{value:.2f}" for value in [*speeds, *costs, *ratios])]) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
