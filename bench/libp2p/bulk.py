#!/usr/bin/env python3
"""Bulk on one stream: TCP, Noise, Yamux; each implementation with itself, in turns, over loopback or a slow link.

    bench/libp2p/bulk.py --plexus build/release/bin/plexus-perf [--peers plexus,rust,go,js] [--mebibytes 1024] [--rounds 6]
        [--wire build/release/bin/plexus-wire --round-trip 20 --rate 400]

Prints one JSON line a measurement, then a Markdown table of medians. CPU seconds are those of both ends together.
"""
import argparse
import contextlib
import json
import os
import statistics
import sys

import peers
import wire


QUEUE_BYTES = 8_000_000  # in front of a slow link


@contextlib.contextmanager
def place(arguments):
    """Gives the address to listen on, and what runs a command on the listening and on the dialling side."""
    if not arguments.wire:
        yield "/ip4/127.0.0.1/tcp/0", [], []
        return
    options = {"--delay": arguments.round_trip / 2, "--rate": arguments.rate, "--queue": QUEUE_BYTES}
    with wire.link(arguments.wire, *(str(part) for option in options.items() for part in option)) as link:
        yield f"/ip4/{wire.RIGHT_ADDRESS}/tcp/0", wire.inside(link.right), wire.inside(link.left)


def measure(command: list, direction: str, size: int, where: tuple) -> dict:
    listening, there, here = where
    with peers.listener(command, listening, there) as (address, process):
        before = 0.0
        for line in peers.lines([*here, *command, "bulk", address, f"--{direction}", str(size)]):
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
    parser.add_argument("--wire", help="plexus-wire, for a link with delay")
    parser.add_argument("--round-trip", type=float, default=20, help="milliseconds")
    parser.add_argument("--rate", type=float, default=0, help="megabits a second; 0: no limit")
    arguments = parser.parse_args()
    names = arguments.peers.split(",")
    commands = peers.commands(names, arguments.plexus)

    found = {}
    with place(arguments) as where:
        for number, name in peers.there_and_back(names, arguments.rounds):
            for direction in ("upload", "download"):
                measured = measure(commands[name], direction, arguments.mebibytes << 20, where)
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
        print("| " + " | ".join([name, *(f"{value:.3g}" for value in [*speeds, *costs, *ratios])]) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
