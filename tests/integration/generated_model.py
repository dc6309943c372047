"""Model files of any size for tests and benchmarks: a right GGUF header, random weights. No engine can run them."""
import os
import pathlib
import struct

ALIGNMENT = 32
TEXT, NUMBER = 8, 4  # types of values
ROW = 1024           # numbers of 4 bytes
CHUNK = 8 << 20


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def header(rows: int) -> bytes:
    numbers = {"context_length": 2048, "embedding_length": ROW, "block_count": 1, "attention.head_count": 16}
    values = [text("general.architecture") + struct.pack("<I", TEXT) + text("llama")]
    values += [text(f"llama.{name}") + struct.pack("<II", NUMBER, value) for name, value in numbers.items()]
    tensor = text("weight") + struct.pack("<IQQIQ", 2, ROW, rows, 0, 0)
    made = b"GGUF" + struct.pack("<IQQ", 3, 1, len(values)) + b"".join(values) + tensor
    return made + bytes(-len(made) % ALIGNMENT)


def write(file: pathlib.Path, mebibytes: int) -> None:
    rows = (mebibytes << 20) // (4 * ROW)
    with file.open("wb") as out:
        out.write(header(rows))
        left = rows * ROW * 4
        while left > 0:
            left -= out.write(os.urandom(min(CHUNK, left)))
