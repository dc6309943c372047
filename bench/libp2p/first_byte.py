#!/usr/bin/env python3
"""Time from nothing to the first byte back over a link with delay: TCP, Noise, Yamux, a stream, one byte echoed.

    bench/libp2p/first_byte.py --plexus build/release/bin/plexus-perf --wire build/release/bin/plexus-wire
        [--peers plexus,rust,go,js] [--round-trip 20] [--rounds 4] [--count 6] [--at-most 3.3]

Each implementation with itself, in turns. The first connection of every process is not counted: it warms the code.
Prints one JSON line a process, then a Markdown table; round trips are in those of the link itself, measured just before.
"""
import argparse
import json
import statistics
import sys

import peers
import wire


def measure(command: list, left: str, right: str, count: int) -> list:
    address = f"/ip4/{wire.RIGHT_ADDRESS}/tcp/0"
    with peers.listener(command, address, wire.inside(right)) as (target, _):
        dial = [*wire.inside(left), *command, "first-byte", target, "--count", str(count + 1)]
        return [line["first_byte_milliseconds"] for line in peers.lines(dial)][1:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plexus", required=True)
    parser.add_argument("--wire", required=True)
    parser.add_argument("--peers", default="plexus,rust,go,js")
    parser.add_argument("--round-trip", type=float, default=20, help="milliseconds")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--at-most", type=float, help="end with 1 if plexus needs more round trips than this")
    parser.add_argument("--count", type=int, default=6, help="connections a process")
    arguments = parser.parse_args()
    names = arguments.peers.split(",")
    commands = peers.commands(names, arguments.plexus)

    times = {name: [] for name in names}
    with wire.link(arguments.wire, "--delay", str(arguments.round_trip / 2)) as link:
        round_trip = wire.round_trip_milliseconds(link.left)
        for number, name in peers.there_and_back(names, arguments.rounds):
            found = measure(commands[name], link.left, link.right, arguments.count)
            print(json.dumps({"round": number, "peer": name, "milliseconds": found}), flush=True)
            times[name] += found

    print(f"\nOne round trip of the link: {round_trip:.2f} ms\n")
    print("| peer | median ms | best | worst | round trips |")
    print("|---|---|---|---|---|")
    for name in names:
        middle = statistics.median(times[name])
        print(f"| {name} | {middle:.1f} | {min(times[name]):.1f} | {max(times[name]):.1f} | {middle / round_trip:.2f} |")
    if arguments.at_most and statistics.median(times["plexus"]) > arguments.at_most * round_trip:
        print(f"\nplexus needs more than {arguments.at_most} round trips")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
