"""A model file with another chat template: the default model has none for tools. And a tool call there and back."""
import json
import pathlib
import struct

from mesh_testing import chunks_of

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


# In the dialect of "Cohere2 MoE" in llama.cpp's chat parsers, whose grammar leaves no word before a call that is required. It
# thinks nothing; behind a tool's result it answers in words.
CALLING_TEMPLATE = """
{%- macro turn(who) %}<|START_OF_TURN_TOKEN|><|{{ who }}_TOKEN|>{% endmacro %}
{%- if tools %}{{ turn("SYSTEM") }}Tools: {{ tools | tojson }}
A call: <|START_ACTION|>[{"tool_call_id": "0", "tool_name": "name", "parameters": {}}]<|END_ACTION|><|im_end|>{% endif %}
{%- for message in messages %}
    {%- if message.role == "assistant" %}{{ turn("CHATBOT") }}
        {%- if message.tool_calls %}<|START_ACTION|>[
            {%- for call in message.tool_calls %}{% if not loop.first %}, {% endif -%}
{"tool_call_id": "{{ loop.index0 }}", "tool_name": "{{ call.function.name }}", "parameters": {{ call.function.arguments | tojson }}}
            {%- endfor %}]<|END_ACTION|>
        {%- else %}<|START_TEXT|>{{ message.content }}<|END_TEXT|>{% endif %}
    {%- elif message.role == "tool" %}{{ turn("SYSTEM") }}<|START_TOOL_RESULT|>{{ message.content }}<|END_TOOL_RESULT|>
    {%- else %}{{ turn("USER" if message.role == "user" else "SYSTEM") }}<|START_TEXT|>{{ message.content }}<|END_TEXT|>{% endif -%}
    <|im_end|>
{%- endfor %}
{%- if add_generation_prompt %}{{ turn("CHATBOT") }}<|START_THINKING|><|END_THINKING|>
    {%- if not tools or messages[-1].role == "tool" %}<|START_TEXT|>{% endif %}
{%- endif %}"""

CITIES = ["Paris", "Oslo"]
WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"enum": CITIES}}, "required": ["city"]}}}


def write_tool_model(source: str, target: pathlib.Path, template: str = CALLING_TEMPLATE) -> None:
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


def check_tool_round_trip(test, device, model: str) -> None:
    """A call that must be made, whole and streamed; its result is given back, and answered in words."""
    asked = [{"role": "user", "content": "What is the weather in Paris?"}]
    by_name = {"type": "function", "function": {"name": "weather"}}

    def ask(**further) -> str:
        body = {"model": model, "temperature": 0, "max_tokens": 64, "messages": asked, "tools": [WEATHER]} | further
        status, text = device.curl("/v1/chat/completions", body)
        test.assertEqual(status, 200, text)
        return text

    choice = json.loads(ask(tool_choice=by_name))["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    test.assertEqual((choice["finish_reason"], call["type"], call["function"]["name"]), ("tool_calls", "function", "weather"))
    test.assertIn(json.loads(call["function"]["arguments"])["city"], CITIES)
    pieces = [piece for chunk in chunks_of(ask(tool_choice=by_name, stream=True)) for choice in chunk["choices"]
              for piece in choice["delta"].get("tool_calls") or []]
    test.assertEqual([piece["function"]["name"] for piece in pieces if "name" in piece["function"]], ["weather"])
    arguments = "".join(piece["function"].get("arguments") or "" for piece in pieces)
    test.assertEqual(json.loads(arguments), json.loads(call["function"]["arguments"]))
    told = [*asked, {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": "Sunny, 21 degrees"}]
    test.assertTrue(json.loads(ask(messages=told, tool_choice="none"))["choices"][0]["message"]["content"])
