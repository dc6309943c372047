#!/usr/bin/env python3
"""Lets plexus-interop and a peer of another libp2p meet on loopback, each dialling the other.

    interop.py --plexus PROGRAM --name NAME -- COMMAND [ARGUMENT...]

COMMAND is a peer as README.md beside this file describes it. Every step of both directions is checked here, not only
by the peers; the last line counts them. Ends with 1 at the first that fails.
"""
import argparse
import contextlib
import json
import subprocess
import sys
import time

ECHO_BYTES = 64 * 1024 * 1024
PINGS = 100
STREAMS = 200
LIMIT_SECONDS = 50


class Failed(Exception):
    pass


def check(good: bool, what: str) -> None:
    if not good:
        raise Failed(what)


@contextlib.contextmanager
def listener(command: list, *options: str):
    """Runs `command listen` and gives its address; ends it by SIGTERM."""
    process = subprocess.Popen([*command, "listen", *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        check(line != "", f"{command[0]} did not start to listen")
        yield json.loads(line)["listening"]
        check(process.poll() is None, f"{command[0]} ended while it was dialled")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f"{command[0]} did not end on SIGTERM") from None


def run(command: list) -> dict:
    """Runs to the end; gives its output lines by their step."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=LIMIT_SECONDS)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    check(done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stdout.strip()}")
    return {line["step"]: line for line in lines if "step" in line}


def check_dial(steps: dict, agent: str) -> str:
    identify, echo = steps["identify"], steps["echo"]
    check(agent in identify["agent"], f"identify names {identify['agent']}, not {agent}")
    check(steps["ping"]["count"] == PINGS, "some pings got no answer")
    check(echo["bytes"] == ECHO_BYTES, f"{echo['bytes']} bytes came back")
    check(len(echo["sent"]) == 64 and echo["sent"] == echo["received"], "the digests of the echo differ")
    check(steps["streams"]["good"] == STREAMS, f"{steps['streams']['good']} of {STREAMS} streams answered")
    return (f"connect {steps['connect']['milliseconds']:.1f} ms, {PINGS} pings of {steps['ping']['median_microseconds']:.0f} us, "
            f"64 MiB echo in {echo['seconds']:.2f} s, {STREAMS} streams")


def dial_test(dialer: list, listening: list, agent: str) -> str:
    with listener(listening) as address:
        return check_dial(run([*dialer, "dial", address]), agent)


def refused_test(plexus: str, peer: list) -> str:
    with listener([plexus], "--refuse") as address:
        refused = run([*peer, "dial", address, "--expect-refused"])["refused"]
    check(not refused["identified"] and refused["protocols"] == 0, "a stranger was served")
    check(refused["open_connections"] == 0, "the connection of a stranger stayed open")
    return "no identify, no protocol, connection closed"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plexus", required=True)
    parser.add_argument("--name", required=True, help="how the peer names itself in identify")
    parser.add_argument("peer", nargs="+")
    arguments = parser.parse_args()
    plexus, peer = [arguments.plexus], arguments.peer

    tests = [
        (f"{arguments.name} dials plexus", lambda: dial_test(peer, plexus, "plexus-mesh")),
        (f"plexus dials {arguments.name}", lambda: dial_test(plexus, peer, arguments.name)),
        (f"plexus refuses {arguments.name}", lambda: refused_test(arguments.plexus, peer)),
    ]
    passed = 0
    for title, test in tests:
        start = time.monotonic()
        try:
            found = test()
            passed += 1
            print(f"ok    {title}: {found} ({time.monotonic() - start:.1f} s)", flush=True)
        except (Failed, KeyError, ValueError, subprocess.TimeoutExpired) as failure:
            print(f"FAIL  {title}: {type(failure).__name__} {failure}", flush=True)
    print(f"{passed} of {len(tests)} passed")
    return 0 if passed == len(tests) else 1


if __name__ == "__main__":
    sys.exit(main())
