#!/usr/bin/env python3
"""plexus-wire between two namespaces: the delay it says, nothing while cut, all again when mended."""
import signal
import subprocess
import sys
import time

import wire

ROUND_TRIP = 20.0


def answers(left: str) -> bool:
    """A TCP connect to a port that refuses is refused only if packets pass both ways."""
    script = f"import socket; s = socket.socket(); s.settimeout(1); s.connect(('{wire.RIGHT_ADDRESS}', 9))"
    done = subprocess.run([*wire.inside(left), "python3", "-c", script], stderr=subprocess.PIPE, text=True)
    return "ConnectionRefusedError" in done.stderr


def main() -> int:
    with wire.link(sys.argv[1], "--delay", str(ROUND_TRIP / 2)) as link:
        measured = wire.round_trip_milliseconds(link.left)
        assert ROUND_TRIP <= measured <= ROUND_TRIP * 1.25, f"a round trip takes {measured:.2f} ms"
        assert answers(link.left)
        link.process.send_signal(signal.SIGUSR1)
        time.sleep(0.1)
        assert not answers(link.left), "packets pass a link that is cut"
        link.process.send_signal(signal.SIGUSR2)
        time.sleep(0.1)
        assert answers(link.left), "nothing passes a link that was mended"
    print(f"round trip {measured:.2f} ms of {ROUND_TRIP} ms asked; cut and mended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
