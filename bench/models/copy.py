#!/usr/bin/env python3
"""How fast a model is copied from one device to another, every piece checked and written.

    bench/models/copy.py --programs build/release/bin [--mebibytes 1024] [--rounds 3] [--at-least 0]

Two daemons in network namespaces joined by a veth link; needs root. The model has random bytes. What this machine can do
at best with one thread is SHA-256 on the taking side, which is measured too. Prints one JSON line a measurement, then the
median; --at-least makes less of it (in MB/s) a failure.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/integration")]


def sha256_rate() -> float:
    """MB/s of OpenSSL with one thread on large blocks."""
    done = subprocess.run(["openssl", "speed", "-seconds", "2", "-bytes", str(1 << 20), "-mr", "-evp", "sha256"],
                          check=True, capture_output=True, text=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("+F:"))
    return float(line.split(":")[-1]) / 1e6


def processor_seconds(process: int) -> float:
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(giver, taker, size: int) -> dict:
    before = [processor_seconds(device.process.pid) for device in (giver, taker)]
    began = time.monotonic()
    taker.plexus("model", "copy", "big", "--quiet", timeout=600)
    seconds = time.monotonic() - began
    after = [processor_seconds(device.process.pid) for device in (giver, taker)]
    return {"bytes": size, "seconds": seconds, "mb_per_second": size / seconds / 1e6,
            "giver_cpu_seconds": after[0] - before[0], "taker_cpu_seconds": after[1] - before[1]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-least", type=float, default=0, help="MB/s")
    arguments = parser.parse_args()
    os.environ.update(PLEXUS_PROGRAMS=str(pathlib.Path(arguments.programs).resolve()), PLEXUS_DEFAULT_MODEL="")
    import generated_model
    import mesh_testing

    print(json.dumps({"sha256_mb_per_second": sha256_rate()}), flush=True)
    with mesh_testing.network("a", "b") as (places, _), \
            mesh_testing.devices("a", "b", namespaces={name: place[0] for name, place in places.items()}) as (a, b):
        a.start()
        b.start()
        b.plexus("join", a.plexus("invite", "--no-wait").stdout.strip())
        file = a.home / "big.gguf"
        generated_model.write(file, arguments.mebibytes)
        began = time.monotonic()
        a.plexus("model", "import", str(file), timeout=600)
        size = file.stat().st_size
        print(json.dumps({"import_mb_per_second": size / (time.monotonic() - began) / 1e6}), flush=True)
        rates = []
        for _ in range(arguments.rounds):
            while not any("a" in model["devices"] for model in b.json("model", "ls")):
                time.sleep(0.1)
            measured = measure(a, b, size)
            print(json.dumps(measured), flush=True)
            rates.append(measured["mb_per_second"])
            b.plexus("model", "rm", "big", "--yes")
    median = statistics.median(rates)
    print(f"copied and checked: {median:.0f} MB/s, median of {len(rates)}")
    return 0 if median >= arguments.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
