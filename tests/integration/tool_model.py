"""A model file with another chat template: the default model has none for tools."""
import pathlib
import struct

KEY = b"tokenizer.chat_template"
ALIGNMENT = 32
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9


class Reader:
    def __init__(self, data: bytes):
        self.data = data
        self.place = 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from("<" + form, self.data, self.place)
        self.place += struct.calcsize(form)
        return value

    def text(self) -> bytes:
        size = self.number("Q")
        self.place += size
        return self.data[self.place - size:self.place]

    def skip_value(self, kind: int) -> None:
        if kind == STRING:
            self.text()
        elif kind == ARRAY:
            inner, count = self.number("I"), self.number("Q")
            if inner == STRING:
                for _ in range(count):
                    self.text()
            else:
                self.place += SIZES[inner] * count
        else:
            self.place += SIZES[kind]


def write_tool_model(source: str, target: pathlib.Path, template: str) -> None:
    """Copies a GGUF file, its chat template replaced (ggml docs/gguf.md)."""
    data = pathlib.Path(source).read_bytes()
    reader = Reader(data)
    reader.place = 8
    tensors, values = reader.number("Q"), reader.number("Q")
    head = bytearray(data[:reader.place])
    for _ in range(values):
        begin = reader.place
        key = reader.text()
        kind = reader.number("I")
        before_value = reader.place
        reader.skip_value(kind)
        if key == KEY:
            text = template.encode()
            head += data[begin:before_value] + struct.pack("<Q", len(text)) + text
        else:
            head += data[begin:reader.place]
    begin = reader.place
    for _ in range(tensors):
        reader.text()
        dimensions = reader.number("I")
        reader.place += 8 * dimensions + 4 + 8
    head += data[begin:reader.place]
    head += bytes(-len(head) % ALIGNMENT)
    weights = (reader.place + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    target.write_bytes(head + data[weights:])
