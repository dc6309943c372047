"""The peers that are measured, how they are started, and what they used."""
import contextlib
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


def commands(names: list, plexus: str) -> dict:
    """Builds or installs the foreign peers; gives the command line of each."""
    def output(*command):
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    found = {}
    for name in names:
        if name == "plexus":
            found[name] = [plexus]
        elif name == "js":
            folder = output(ROOT / "tools/setup-js", "tests/conformance/js")
            found[name] = [f"{folder}/node", f"{folder}/peer.mjs"]
        else:
            found[name] = [output(ROOT / "tools/build-peers", name)]
    return found


def cpu_seconds(process: int) -> float:
    """User and system time of all threads of a running process."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.contextmanager
def listener(command: list, address: str = "/ip4/127.0.0.1/tcp/0", prefix: list = ()):
    """Gives the address and the process id of a listening peer."""
    process = subprocess.Popen([*prefix, *command, "listen", address], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(process.stdout.readline())["listening"], process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def lines(command: list):
    """The JSON lines of a dialling peer, as they come. Raises if it fails."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        for text in process.stdout:
            line = json.loads(text)
            if "error" in line:
                raise RuntimeError(f"{command[0]}: {line['error']}")
            yield line
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")


def there_and_back(names: list, rounds: int):
    """A B C C B A, and so on: drift of the machine hits all alike."""
    for number in range(rounds):
        yield from ((number, name) for name in (names if number % 2 == 0 else reversed(names)))
