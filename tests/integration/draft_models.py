"""Draft models for the default model, made of it: the same weights under another digest, fewer layers, another vocabulary."""
import pathlib
import struct

from mesh_testing import DEFAULT_MODEL
from tool_model import ALIGNMENT, Reader

LAYERS = b"llama.block_count"


def aligned(place: int) -> int:
    return (place + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def write_twin(target: pathlib.Path) -> None:
    """The same weights with another letter in the name: it guesses what the model says."""
    content = bytearray(pathlib.Path(DEFAULT_MODEL).read_bytes())
    content[content.index(b"general.name") + len(b"general.name") + 4 + 8] = ord("~")
    target.write_bytes(content)


def write_stranger(target: pathlib.Path) -> None:
    """One token has another text."""
    content = bytearray(pathlib.Path(DEFAULT_MODEL).read_bytes())
    word = "Ġpeople".encode()
    place = content.index(struct.pack("<Q", len(word)) + word, content.index(b"tokenizer.ggml.tokens"))
    content[content.index(b"people", place)] = ord("@")
    target.write_bytes(content)


class Model:
    """The default model in parts (ggml docs/gguf.md)."""

    def __init__(self):
        data = pathlib.Path(DEFAULT_MODEL).read_bytes()
        reader = Reader(data)
        reader.place = 8
        count, self.values = reader.number("Q"), reader.number("Q")
        begin = reader.place
        for _ in range(self.values):
            key, kind = reader.text(), reader.number("I")
            if key == LAYERS:
                self.layers_place = reader.place - begin
            reader.skip_value(kind)
        self.magic, self.metadata = data[:8], bytearray(data[begin:reader.place])
        rows = [self.row(reader, data) for _ in range(count)]
        weights = data[aligned(reader.place):]
        ends = sorted([place for _, _, place in rows] + [len(weights)])
        self.tensors = [(name, shape, weights[place:ends[ends.index(place) + 1]]) for name, shape, place in rows]

    @staticmethod
    def row(reader: Reader, data: bytes) -> tuple[bytes, bytes, int]:
        name, begin = reader.text(), reader.place
        dimensions = reader.number("I")
        reader.place += 8 * dimensions + 4
        return name, data[begin:reader.place], reader.number("Q")

    def write(self, target: pathlib.Path, layers: int) -> None:
        struct.pack_into("<I", self.metadata, self.layers_place, layers)
        rows, blocks = b"", bytearray()
        for name, shape, weights in self.tensors:
            rows += struct.pack("<Q", len(name)) + name + shape + struct.pack("<Q", len(blocks))
            blocks += weights + bytes(-len(weights) % ALIGNMENT)
        front = self.magic + struct.pack("<QQ", len(self.tensors), self.values) + bytes(self.metadata) + rows
        target.write_bytes(front + bytes(-len(front) % ALIGNMENT) + blocks)


def layer_of(name: bytes) -> int:
    """-1 for what belongs to none."""
    return int(name.split(b".")[1]) if name.startswith(b"blk.") else -1


def write_small(target: pathlib.Path, layers: int) -> None:
    """The first layers alone, with the head of the whole: it guesses badly, but fast."""
    model = Model()
    model.tensors = [each for each in model.tensors if layer_of(each[0]) < layers]
    model.write(target, layers)


def write_deep(target: pathlib.Path, times: int) -> None:
    """So many times the layers, of which the further ones add nothing: it says what the default model says, so much slower."""
    model = Model()
    layers = 1 + max(layer_of(name) for name, _, _ in model.tensors)
    for number in range(layers, layers * times):
        for name, shape, weights in [each for each in model.tensors if layer_of(each[0]) == layers - 1]:
            part = name.split(b".", 2)[2]
            adds = part in (b"attn_output.weight", b"ffn_down.weight")
            model.tensors.append((b"blk.%d.%s" % (number, part), shape, bytes(len(weights)) if adds else weights))
    model.write(target, layers * times)
