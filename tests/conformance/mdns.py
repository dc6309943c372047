#!/usr/bin/env python3
"""Lets plexus-interop and a peer of another libp2p find each other by mDNS, each on its own end of a link.

    mdns.py --plexus PROGRAM --name NAME -- COMMAND [ARGUMENT...]

Once plexus starts first, once the peer. Each must find the other's peer id and the address it has on the link, and is then
dialled there by plexus. Makes network namespaces, so it must be root. Ends with 1 at a failure.
"""
import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from namespaces import network, run  # noqa: E402

LIMIT_SECONDS = 3


class Finder:
    """A program that looks for others; `found` maps peers to (seconds since `since`, addresses)."""

    def __init__(self, command: list, space: str, address: str):
        self.process = subprocess.Popen(["ip", "netns", "exec", space, *command, "find", f"/ip4/{address}/tcp/0"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.address = json.loads(self.process.stdout.readline())["listening"]
        self.peer = self.address.split("/p2p/")[1]
        self.ready = time.monotonic()
        self.found = {}
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            told = json.loads(line)
            if "found" in told:
                self.found.setdefault(told["found"], (time.monotonic(), told["addresses"]))

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.reader.join()


@contextlib.contextmanager
def finder(*arguments):
    running = Finder(*arguments)
    try:
        yield running
    finally:
        running.stop()


def meet(first: tuple, second: tuple, plexus: str) -> str:
    """Starts both; gives how long each needed, from when both were ready."""
    with finder(*first) as left, finder(*second) as right:
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline and not (right.peer in left.found and left.peer in right.found):
            time.sleep(0.01)
        took = []
        for one, other in ((left, right), (right, left)):
            if other.peer not in one.found:
                raise RuntimeError(f"{one.address} has not found {other.address} after {LIMIT_SECONDS} s, only {one.found}")
            when, addresses = one.found[other.peer]
            wanted = other.address.split("/p2p/")[0]
            if not any(address.startswith(wanted) for address in addresses):
                raise RuntimeError(f"{wanted} is not among {addresses}")
            took.append(max(0.0, when - max(left.ready, right.ready)))
        theirs = right if second[0][0] != plexus else left
        space = first[1] if second[0][0] != plexus else second[1]
        subprocess.run(["ip", "netns", "exec", space, plexus, "dial", theirs.address, "--echo-bytes", "4096", "--streams", "1"],
                       check=True, stdout=subprocess.DEVNULL, timeout=20)
    return ", ".join(f"{seconds * 1000:.0f} ms" for seconds in took)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plexus", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("peer", nargs="+")
    arguments = parser.parse_args()
    passed = 0
    with network("left", "right") as (spaces, _):
        for space, _ in spaces.values():  # js sends where the system routes, and elsewhere not
            run("ip", "-n", space, "route", "add", "224.0.0.0/4", "dev", "eth0")
        programs = ([arguments.plexus], arguments.peer)
        for number, order in enumerate((programs, programs[::-1])):
            title = f"plexus and {arguments.name} find each other, {'plexus' if number == 0 else arguments.name} is there first"
            try:
                took = meet((order[0], *spaces["left"]), (order[1], *spaces["right"]), arguments.plexus)
                print(f"ok    {title}: {took}", flush=True)
                passed += 1
            except (RuntimeError, ValueError, subprocess.SubprocessError) as failure:
                print(f"FAIL  {title}: {failure}", flush=True)
    print(f"{passed} of 2 passed")
    return 0 if passed == 2 else 1


if __name__ == "__main__":
    sys.exit(main())
