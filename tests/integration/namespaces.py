"""Network namespaces that are joined by a bridge. Needs root."""
import contextlib
import os
import subprocess


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


@contextlib.contextmanager
def network(*names: str):
    """Network namespaces joined by a bridge in one of its own; gives {name: (namespace, address)} and the bridge's."""
    tag = f"plx{os.getpid() % 100000}"
    spaces = {name: f"{tag}-{name}" for name in names}
    middle = f"{tag}-bridge"
    try:
        run("ip", "netns", "add", middle)
        run("ip", "-n", middle, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", middle, "link", "set", "br0", "up")
        for index, (name, space) in enumerate(spaces.items()):
            run("ip", "netns", "add", space)
            run("ip", "-n", space, "link", "set", "lo", "up")
            run("ip", "-n", middle, "link", "add", f"port{index}", "type", "veth", "peer", "name", "eth0", "netns", space)
            run("ip", "-n", middle, "link", "set", f"port{index}", "master", "br0", "up")
            run("ip", "-n", space, "addr", "add", f"10.77.0.{index + 1}/24", "dev", "eth0")
            run("ip", "-n", space, "link", "set", "eth0", "up")
            run("ip", "-n", space, "route", "replace", "10.77.0.0/24", "dev", "eth0", "congctl", "cubic")
        yield {name: (space, f"10.77.0.{index + 1}") for index, (name, space) in enumerate(spaces.items())}, middle
    finally:
        for space in [*spaces.values(), middle]:
            subprocess.run(["ip", "netns", "del", space], capture_output=True)
